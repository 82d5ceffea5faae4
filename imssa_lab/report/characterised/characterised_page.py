"""The page of a characterisation, from the folder of its tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray
from matplotlib.figure import Figure

from imssa_lab.report import plots
from imssa_lab.report.characterised import characterised_plots as drawn
from imssa_lab.report.characterised.characterised_tables import (
    Tables,
    left_out,
    noise_readings,
    of_moving_cells,
    on_dead_line,
    programmed_cells,
    read_tables,
    relaxation_readings,
)
from imssa_lab.report.figure_files import Column, Format, figure_files
from imssa_lab.report.page import Drawing, in_page, templates, write_new


@dataclass(frozen=True)
class NotMeasured:
    """A picture that cannot be: what of, and why."""

    title: str
    why: str


@dataclass(frozen=True)
class _Kind:
    """A picture of one experiment: its file, its heading, and how it is drawn, narrow or not."""

    name: str
    title: str
    experiment: str
    draw: Callable[[Tables, bool], Figure]
    caption: Callable[[Tables], str]
    several: bool = False


def write_characterised_page(folder: Path, path: Path) -> None:
    """The page of a characterisation as a new HTML file that refers to nothing outside.

    Raises:
        DataError: the folder holds none; ConfigError: the file exists or cannot be written.
    """
    tables = read_tables(folder)
    shown = [
        one if isinstance(one, NotMeasured) else {"title": title, "picture": in_page(one)}
        for title, one in _pictures(tables)
    ]
    page = (
        templates()
        .get_template("characterised/characterised.html.j2")
        .render(
            chip=tables.settings["chip"],
            verdict=_verdict(tables),
            shown=shown,
            facts=_facts(tables),
            settings={
                f"{part}, {name}": str(value)
                for part in ("schedule", "recipe")
                for name, value in tables.settings[part].items()
            },
        )
    )
    write_new(path, page)


def characterised_figures(folder: Path, out: Path, column: Column = "single", kind: Format = "pdf") -> list[Path]:
    """The pictures of that page as vector files for a paper; as `imssa_lab.report.figure_files.write_figures`."""
    tables = read_tables(folder)
    return figure_files((one for _, one in _pictures(tables) if isinstance(one, Drawing)), out, column, kind)


def _pictures(tables: Tables) -> Iterator[tuple[str, Drawing | NotMeasured]]:
    for kind in _KINDS:
        why = _missing(tables, kind)
        if why:
            yield kind.title, NotMeasured(kind.title, why)
            continue
        narrow = kind.draw(tables, True) if kind.several else None
        yield kind.title, Drawing(kind.name, kind.draw(tables, False), kind.caption(tables), (), narrow)


_OF_MOVING_CELLS = ("iv", "noise", "relaxation")


def _missing(tables: Tables, kind: _Kind) -> str:
    """Why a picture cannot be drawn; empty where it can."""
    if kind.experiment not in tables.columns:
        return f"Not measured; imssa characterise --only {kind.experiment} does."
    if kind.experiment in _OF_MOVING_CELLS and not of_moving_cells(tables, kind.experiment)["cell"].size:
        return "No cell is left: all that were read are stuck or on dead lines."
    if kind.name == "endurance":
        cycles = np.unique(tables.columns["pulses"]["cycle"]).size
        if cycles < drawn.FEWEST_CYCLES:
            return f"Not measured: {cycles} cycles of SET and RESET, fewer than {drawn.FEWEST_CYCLES}, show no wear."
    return ""


def _calibration(tables: Tables) -> xarray.Dataset:
    names = ("gain", "offset", "residual")
    table = tables.columns["columns"]
    return xarray.Dataset({name: (("array", "col"), np.asarray(table[name])[None]) for name in names})


def _times(tables: Tables) -> str:
    return ", ".join(f"{time:.0f}" for time in np.unique(tables.columns["relaxation"]["time"])[1:])


def _sample(tables: Tables) -> str:
    cells = np.unique(tables.columns["pulses"]["cell"]).size
    cycles = np.unique(tables.columns["pulses"]["cycle"]).size
    return f"{cells} of {tables.shape[0] * tables.shape[1]} cells, an even sample, {cycles} cycles"


def _dead(tables: Tables) -> str:
    dead = int(on_dead_line(tables.columns["stuck"]["state"]).sum())
    return f"{dead} cells on dead lines are left out" if dead else "none is left out"


_KINDS = (
    _Kind(
        "stuck-map",
        "Stuck map",
        "stuck",
        lambda tables, narrow: drawn.stuck_map(tables),
        lambda tables: (
            "All cells by how they answer to the strongest SET and RESET of the recipe. A cell on a dead "
            "line says nothing about itself. Limited: it moves, but not over the whole window."
        ),
    ),
    _Kind(
        "windows",
        "Windows",
        "stuck",
        lambda tables, narrow: drawn.windows(tables),
        lambda tables: f"What the strongest RESET and SET leave in each cell, mean of the cycles; {_dead(tables)}.",
    ),
    _Kind(
        "pulse-response",
        "Conductance against pulses, gate and voltage",
        "pulses",
        lambda tables, narrow: drawn.pulse_response(tables, narrow=narrow),
        lambda tables: (
            f"{_sample(tables)}: SET with rising gate after a RESET, then RESET with rising voltage. "
            "Lines: medians, the first cycle solid, later ones dashed; bands: half of the cells. "
            "Stuck cells are in it."
        ),
        several=True,
    ),
    _Kind(
        "endurance",
        "Endurance",
        "pulses",
        lambda tables, narrow: drawn.endurance(tables),
        lambda tables: f"{_sample(tables)}: highest and lowest reading of each cell in each cycle.",
    ),
    _Kind(
        "current-voltage",
        "I-V",
        "iv",
        lambda tables, narrow: drawn.current_voltage(tables, narrow=narrow),
        lambda tables: (
            "Cell by cell within the read limit, in bands of conductance at the highest voltage. A cell "
            f"that lacks a voltage is left out; {left_out(tables, 'iv')}; nothing beyond the read limit was measured."
        ),
        several=True,
    ),
    _Kind(
        "noise-spectrum",
        "Noise",
        "noise",
        lambda tables, narrow: plots.noise_spectra(noise_readings(tables)),
        lambda tables: (
            f"Single readings, {np.unique(tables.columns['noise']['read']).size} of each cell; "
            f"{left_out(tables, 'noise')}. Each cell less its line; the median of a band of "
            "conductance. Slower noise than the whole series, and faster than two readings, is not in it."
        ),
    ),
    _Kind(
        "relaxation",
        "Relaxation",
        "relaxation",
        lambda tables, narrow: plots.relaxation_fans(relaxation_readings(tables)),
        lambda tables: (
            "From the first reading after programming, at "
            f"{_times(tables)} s: the whole time that was measured; {left_out(tables, 'relaxation')}. "
            "What cells lose before the first reading is not in it; noise of readings is."
        ),
    ),
    _Kind(
        "programmed",
        "Programming",
        "programming",
        lambda tables, narrow: plots.error_by_level(programmed_cells(tables)),
        lambda tables: (
            "Errors by an independent re-read, by level of the target. Stuck cells are in it; those with "
            "the lowest targets, that a chip has right without a pulse, are left out."
        ),
    ),
    _Kind(
        "yield",
        "Yield",
        "programming",
        lambda tables, narrow: plots.yield_by_pulse(programmed_cells(tables)),
        lambda tables: "The same cells against the pulses that they took.",
    ),
    _Kind(
        "columns",
        "Columns",
        "columns",
        lambda tables, narrow: plots.column_calibration(_calibration(tables), narrow=narrow),
        lambda tables: (
            f"Gain, offset and what is left of all {tables.columns['columns']['col'].size} bit lines, from "
            "products against the cells' own conductances."
        ),
        several=True,
    ),
)


def _verdict(tables: Tables) -> str:
    if "stuck" not in tables.columns:
        return f"{', '.join(tables.columns) or 'nothing'} measured; whether cells are stuck was not."
    states = Counter(tables.columns["stuck"]["state"].tolist())
    total = sum(states.values())
    others = ", ".join(f"{states[name]} {name}" for name in drawn.STATES if name != "good" and states[name])
    return (
        f"{states['good']} of {total} cells are good ({100 * states['good'] / total:.2f} %); {others or 'no other'}."
    )


def _facts(tables: Tables) -> list[tuple[str, str]]:
    """The chip in numbers, each with what it is of."""
    found: list[tuple[str, str]] = []
    if "stuck" in tables.columns:
        table = tables.columns["stuck"]
        kept = ~on_dead_line(table["state"])
        for name, words in (("low", "after the strongest RESET"), ("high", "after the strongest SET")):
            found.append((f"conductance {words}", _spread(1e6 * table[name][kept], "µS")))
    if "programming" in tables.columns:
        data = programmed_cells(tables)
        moved = data["level"].values >= 0
        tolerance = float(data["tolerance"].values[0])
        error = np.abs(data["achieved"].values - data["target"].values)[moved]
        inside = int((error <= tolerance).sum())
        found.append(
            (
                f"programmed within ±{1e6 * tolerance:g} µS, of cells that had to move",
                f"{inside} of {error.size} ({100 * inside / max(error.size, 1):.2f} %)",
            )
        )
        found.append(("pulses to one of these", _spread(data["pulses"].values[moved], "")))
    if "noise" in tables.columns and of_moving_cells(tables, "noise")["cell"].size:
        spread = noise_readings(tables)["conductance"].values.std(axis=0, ddof=1)
        found.append(("standard deviation of single readings", _spread(1e6 * spread, "µS")))
    if "columns" in tables.columns:
        found.append(("gain of a bit line", _spread(tables.columns["columns"]["gain"], "")))
    return found


def _spread(values: Any, unit: str) -> str:
    if not len(values):
        return "of no cell"
    low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
    numbers = f"median {middle:.4g}, 90 % within {round(low, 9):.4g} to {high:.4g}"
    return f"{numbers}{unit and f' {unit}'} (n = {len(values)})"
