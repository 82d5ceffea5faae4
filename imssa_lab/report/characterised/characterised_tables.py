"""The tables that `imssa characterise` leaves in a folder, as columns."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray
from numpy.typing import NDArray

from imssa_lab.contract.array_types import BoolArray, FloatArray, Window
from imssa_lab.contract.cell_classes import level_ranges, target_levels
from imssa_lab.contract.errors import DataError
from imssa_lab.report.measured.programmed import of_arrays

SETTINGS = "characterisation.json"
NAMES = ("stuck", "pulses", "relaxation", "programming", "noise", "iv", "columns")
_WORDS = ("state", "kind")
Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Tables:
    """What is there of a characterisation.

    Attributes:
        folder: where; settings: chip, schedule and recipe.
        columns: by experiment and name, in SI, of the experiments that are finished.
    """

    folder: Path
    settings: Mapping[str, Any]
    columns: Mapping[str, Columns]

    @property
    def shape(self) -> tuple[int, int]:
        """Word lines and bit lines of the chip."""
        rows, cols = self.settings["chip"]["shape"]
        return int(rows), int(cols)

    @property
    def window(self) -> Window:
        """Conductances that cells may be programmed to.

        Raises:
            DataError: an earlier version measured the folder, which did not keep the window.
        """
        if "window" not in self.settings["chip"]:
            raise DataError(
                f"{self.folder} was measured by an earlier imssa_lab, which did not keep the window of the array; "
                f'add "window": [LOW, HIGH] in S to "chip" in {SETTINGS}'
            )
        low, high = self.settings["chip"]["window"]
        return Window(low=low, high=high)

    def by_cell(self, experiment: str, name: str) -> FloatArray:
        """A column with one value for every cell, as a map (rows, cols), NaN where there is none."""
        table, found = self.columns[experiment], np.full(self.shape, np.nan)
        found[table["row"], table["col"]] = table[name]
        return found


def read_tables(folder: Path) -> Tables:
    """The tables of a folder of `imssa characterise`.

    Raises:
        DataError: it is none, or a table is damaged.
    """
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        found = {name: _columns(folder / f"{name}.csv") for name in NAMES if (folder / f"{name}.csv").is_file()}
    except (OSError, ValueError, StopIteration) as error:
        raise DataError(
            f"{folder} holds no tables of imssa characterise that can be read ({error}); name the folder of its --out"
        ) from error
    return Tables(folder, settings, found)


def _columns(path: Path) -> Columns:
    with path.open(newline="", encoding="utf-8") as file:
        next(file)  # the units
        reader = csv.reader(file)
        names = next(reader)
        values = list(zip(*reader, strict=True)) or [()] * len(names)
    whole = ("cell", "row", "col", "cycle", "step", "level", "read", "pulses", "outcome")
    return {
        name: np.array(column, dtype=np.str_ if name in _WORDS else np.int64 if name in whole else np.float64)
        for name, column in zip(names, values, strict=True)
    }


def noise_readings(tables: Tables) -> xarray.Dataset:
    """The repeated readings as `measured.repeats` gives them: (read, cell)."""
    return _readings(tables, "noise", "read")


def relaxation_readings(tables: Tables) -> xarray.Dataset:
    """The readings after programming as `measured.repeats` gives them: (read, cell)."""
    return _readings(tables, "relaxation", "time")


def of_moving_cells(tables: Tables, experiment: str) -> Columns:
    """A table without the cells that the stuck map calls stuck or on a dead line; whole where there is no map."""
    table = tables.columns[experiment]
    if "stuck" not in tables.columns:
        return table
    found = tables.columns["stuck"]
    state = found["state"]
    still = found["cell"][on_dead_line(state) | np.char.startswith(state, "stuck")]
    kept = ~np.isin(table["cell"], still)
    return {name: values[kept] for name, values in table.items()}


def left_out(tables: Tables, experiment: str) -> str:
    """How many cells of an experiment `of_moving_cells` leaves out, in words."""
    if "stuck" not in tables.columns:
        return "which cells are stuck was not measured, so all are in it"
    all_cells, kept = tables.columns[experiment]["cell"], of_moving_cells(tables, experiment)["cell"]
    return f"{np.unique(all_cells).size - np.unique(kept).size} cells that are stuck or on dead lines are left out"


def _readings(tables: Tables, experiment: str, order: str) -> xarray.Dataset:
    table = of_moving_cells(tables, experiment)
    cells, place = np.unique(table["cell"], return_inverse=True)
    orders, read = np.unique(table[order], return_inverse=True)
    held, times = np.full((orders.size, cells.size), np.nan), np.zeros(orders.size)
    held[read, place], times[read] = table["conductance"], table["time"]
    return xarray.Dataset(
        {
            "conductance": (("read", "cell"), held, {"units": "S"}),
            "device_time": (("read",), times, {"units": "s"}),
        },
        attrs={"array": 0},
    )


def programmed_cells(tables: Tables) -> xarray.Dataset:
    """What programming came to, as `measured.programmed` gives it."""
    target, achieved, pulses = (tables.by_cell("programming", name) for name in ("target", "conductance", "pulses"))
    tolerance = float(tables.settings["recipe"]["tolerance_out"])
    window = tables.window
    data = of_arrays([target], [achieved], tolerance, [np.nan_to_num(pulses).astype(np.int64)])
    return data.drop_vars("ranges").assign(
        level=(("array", "row", "col"), target_levels(target, window, tolerance)[None]),
        ranges=(("array", "level_of", "end"), np.array([level_ranges(window, tolerance)])),
        bottom=(("array",), np.array([window.low])),
    )


def on_dead_line(state: NDArray[np.str_]) -> BoolArray:
    """Cells whose line is dead, (n,), so that nothing is known of themselves; state: in words, (n,)."""
    return np.asarray(np.char.startswith(state, "dead"))
