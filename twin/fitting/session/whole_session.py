"""One profile from one characterisation: every table that its folder holds, and what the record says of the array."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from imssa_lab.contract.errors import DataError, LogError
from imssa_lab.contract.hal import ArrayInfo
from imssa_lab.log import open_run
from twin.fitting.comparison import Comparison, compare_twin, misfit_of
from twin.fitting.fit_outcome import Outcome, Remark
from twin.fitting.profile_file import fitted_profile
from twin.fitting.quantities import FitChoices, fit_quantity
from twin.fitting.session.column_table import fit_column_table
from twin.fitting.session.noise_removal import ReadingNoise, take_out_of_programming, take_out_of_relaxation
from twin.fitting.session.pulse_tables import fit_pulse_tables
from twin.fitting.session.session_matching import (
    match_noise,
    match_relaxation,
    relaxed_of,
    repeated_looks,
)
from twin.fitting.session.session_tables import COLUMNS, read_session_table
from twin.fitting.session.simulated_sweeps import SingleReads
from twin.fitting.session.window_map import fit_window_map
from twin.fitting.tables.measured_tables import Reading, Table, read_table
from twin.noise import ReadNoise
from twin.profile import Recipe, TwinProfile

TABLES = ("noise", "stuck", "pulses", "relaxation", "programming", "iv", "columns")
"""Tables of a session in the order in which they are fitted: noise is taken out of what follows it."""
SETTINGS, RUN = "characterisation.json", "run.h5"
_TWINS, _WORTH_SAYING = 3, 0.05
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class SessionFit:
    """The fits of a session.

    Attributes:
        outcomes: by table. base: what they change, periphery and recipe as recorded.
        missing: why a table was left out. counted: cells or bit lines that sections were fitted to.
        own: twins of the fitted profile against the session itself; in words why there are none.
    """

    outcomes: dict[str, Outcome]
    base: TwinProfile
    missing: dict[str, str]
    counted: dict[str, int]
    own: Comparison | str = ""

    @cached_property
    def misfit(self) -> dict[str, float]:
        """What twins of the fitted profile miss of the session itself, by statistic, see `misfit_of`."""
        return misfit_of(self.own.statistics, _TWINS) if isinstance(self.own, Comparison) else {}

    @property
    def sections(self) -> dict[str, Any]:
        """Of all fits together; where the window lies is known from the record."""
        found: dict[str, Any] = {}
        for outcome in self.outcomes.values():
            found |= {name: value for name, value in outcome.sections.items() if name != "window"}
        fitted: dict[str, Any] = {name: count for name, count in self.counted.items() if name in found}
        if self.misfit:
            fitted["misfit"] = self.misfit
        return found | ({"fitted_to": fitted} if fitted else {})

    def together(self) -> Outcome:
        """All fits as one, for a page."""
        whole = Outcome(f"session: {', '.join(self.outcomes)}", sections=self.sections)
        for name, one in self.outcomes.items():
            whole.parameters += one.parameters
            whole.groups += one.groups
            whole.bands += one.bands
            whole.curves += one.curves[:4]
            whole.remarks += [Remark(f"{name}: {remark.what}", remark.rows) for remark in one.remarks]
            whole.undetermined += [f"{name}: {text}" for text in one.undetermined]
            whole.facts |= {f"{name}, {key}": value for key, value in one.facts.items()}
        whole.undetermined += [f"{name}: {why}" for name, why in self.missing.items()]
        whole.facts["twins against this session"] = self._against_itself()
        return whole

    def _against_itself(self) -> str:
        if isinstance(self.own, str):
            return f"not compared, so that `imssa twin-check` allows for no misfit: {self.own}"
        largest = sorted(self.misfit.items(), key=lambda pair: -pair[1])
        text = ", ".join(f"{name} {value:.2f}" for name, value in largest if value >= _WORTH_SAYING)
        beyond = f"KS distance beyond chance {_WORTH_SAYING:g} or more"
        return f"{len(self.own.statistics)} statistics; {beyond}: {text or 'none'}"


def is_session(path: Path) -> bool:
    """Whether this is the folder of a characterisation."""
    return path.is_dir() and (path / SETTINGS).is_file()


def fit_session(
    folder: Path, base: TwinProfile, choices: FitChoices, rng: np.random.Generator, progress: Progress
) -> SessionFit:
    """Fit every table of a characterisation.

    Args:
        base: for all else. progress: called with the number of tables that are done and of all.

    Raises:
        DataError: no table, or one that is damaged.
    """
    there = [name for name in TABLES if (folder / f"{name}.csv").is_file()]
    if not there:
        raise DataError(f"{folder} holds no table of a characterisation; `imssa characterise` writes them")
    kept = _recorded(folder, base)
    missing = {name: "not in this session" for name in TABLES if name not in there}
    found: dict[str, Outcome] = {}
    noise: ReadingNoise | None = None
    windows = read_session_table(folder / "stuck.csv", "stuck") if "stuck" in there else None
    law: ReadNoise | None = None
    for done, name in enumerate(there):
        progress(f"fit {name}", done, len(there))
        path = folder / f"{name}.csv"
        reads = None if law is None else SingleReads(law, kept.read_voltage, kept.adc)
        try:
            if name == "pulses":
                found[name] = fit_pulse_tables(read_session_table(path, name), windows, reads, rng)
            elif name in COLUMNS:
                found[name] = fit_one_table(path, name, reads, rng)
            else:
                table = _without_stuck(read_table(path, Reading()), windows)
                found[name] = fit_quantity(table, name, choices, rng, progress)
                shape = next((info.shape for info in _arrays(folder)), None)
                if name == "noise":
                    noise = ReadingNoise.of(table)
                    if shape is not None:
                        looks = repeated_looks(folder / RUN)
                        match_noise(found[name], table, looks, kept, shape, int(rng.integers(2**31)))
                    law = ReadNoise.model_validate(found[name].sections["read_noise"])
                elif name == "relaxation" and noise is not None and law is not None:
                    take_out_of_relaxation(noise, table, found[name])
                    _matched(found[name], folder, table, kept.model_copy(update={"read_noise": law}), rng)
                elif name == "programming" and noise is not None:
                    take_out_of_programming(noise, table, found[name], _verifying_reads(folder))
        except DataError as error:
            missing[name] = str(error)
    progress("fit", len(there), len(there))
    if not found:
        raise DataError(f"{folder}: no table could be fitted: {'; '.join(missing.values())}")
    fit = SessionFit(found, kept, missing, _counted(found, next((info.cols for info in _arrays(folder)), None)))
    return replace(fit, own=_against_itself(folder, fit, rng))


def _against_itself(folder: Path, fit: SessionFit, rng: np.random.Generator) -> Comparison | str:
    """Twins of the fitted profile in the session that it was fitted to: what the laws of a twin do not describe."""
    first = int(rng.integers(2**31))
    profile = fitted_profile(fit.base, fit.sections, "fitted", "this session")
    try:
        with open_run(folder / RUN) as run:
            found = compare_twin(run, profile, tuple(range(first, first + _TWINS)))
        return found if found.statistics else "too few values of everything"
    except LogError as error:  # without a whole run file nothing can be repeated
        return str(error)


def _matched(outcome: Outcome, folder: Path, table: Table, kind: TwinProfile, rng: np.random.Generator) -> None:
    """Let relaxation count from the last pulse, which the record of the session knows."""
    seed = int(rng.integers(2**31))
    try:
        seen = relaxed_of(folder / RUN, table)
    except LogError as error:
        outcome.undetermined.append(f"how long before their first reading cells had their last pulse: {error}")
        return
    match_relaxation(outcome, seen, kind, seed)


def _counted(found: dict[str, Outcome], lines: int | None) -> dict[str, int]:
    """Cells, or bit lines, that the sections were fitted to."""
    facts = (
        ("noise", "read_noise", "cells fitted"),
        ("relaxation", "relaxation", "cells fitted"),
        ("programming", "programming", "cells fitted"),
        ("pulses", "measured_pulses", "cells"),
        ("columns", "columns", "bit lines"),
    )
    counted = {
        section: int(found[table].facts[fact])
        for table, section, fact in facts
        if table in found and fact in found[table].facts
    }
    # a chip's bend of I-V is seen by bit line: the cells of one share an amplifier
    return counted | ({"nonlinearity": lines} if "iv" in found and lines is not None else {})


def fit_one_table(path: Path, kind: str, noise: SingleReads | None, rng: np.random.Generator) -> Outcome:
    """Fit one of the tables that only a characterisation writes, see `session_tables.COLUMNS`.

    Args:
        noise: of single reads, for the pulse response; None for none.

    Raises:
        DataError: the table is damaged or too short.
    """
    table = read_session_table(path, kind)
    if kind == "stuck":
        return fit_window_map(table)
    if kind == "columns":
        return fit_column_table(table)
    return fit_pulse_tables(table, None, noise, rng)


def _without_stuck(table: Table, windows: Any) -> Table:
    """A table without the rows of cells that the stuck map calls stuck or on a dead line; they have their own law."""
    if windows is None or "cell" not in table:
        return table
    state = windows["state"].astype(str)
    bad = np.char.startswith(state, "stuck") | np.char.startswith(state, "dead")
    out = np.isin(table["cell"], np.asarray(windows["cell"], dtype=np.float64)[bad])
    if out.all():
        raise DataError(f"{table.source}: all cells in it are stuck or on dead lines")
    return table.take(~out) if out.any() else table


# ---- what the record says of the array


def _recorded(folder: Path, base: TwinProfile) -> TwinProfile:
    """The base profile with limits, inputs, converter and times of the recorded array, and the session's recipe."""
    draft = base.model_dump(exclude_none=True)
    settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8")) if (folder / SETTINGS).is_file() else {}
    recipe = {key: value for key, value in settings.get("recipe", {}).items() if key in Recipe.model_fields}
    if recipe:
        draft["recipe"] = draft["recipe"] | recipe
    for info in _arrays(folder):
        draft |= _periphery(info)
    return TwinProfile.model_validate(draft)


def _verifying_reads(folder: Path) -> int:
    """How many reads the session's recipe averaged for what it left."""
    path = folder / SETTINGS
    settings = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return int(settings.get("recipe", {}).get("verify_averages", 1))


def _arrays(folder: Path) -> Iterator[ArrayInfo]:
    path = folder / RUN
    if path.is_file():
        try:
            with open_run(path) as run:
                yield run.infos[0]
        except LogError:
            return


def _periphery(info: ArrayInfo) -> dict[str, Any]:
    weights = 1 if info.input_coding == "analog" or info.input_bits is None else info.input_bits
    if info.input_coding == "unary":
        weights = 2 ** (info.input_bits or 1) - 1
    found: dict[str, Any] = {
        "read_voltage": info.read_voltage,
        "window": info.window.model_dump(),
        "limits": info.limits.model_dump(exclude_none=True),
        "inputs": {"coding": info.input_coding, "full_scale": info.limits.read_voltage, "signed": info.input_signed}
        | ({} if info.input_bits is None else {"bits": info.input_bits}),
    }
    if info.durations is not None:
        timing = {"mvm": info.durations.product / weights, "cell_read": info.durations.cell_read}
        found["timing"] = timing | {"pulse": info.durations.pulse}
    if info.adc is not None and not any(info.adc.offset) and info.adc.signed is not None and weights == 1:
        top = 2 ** (info.adc.bits - 1) - 1 if info.adc.signed else 2**info.adc.bits - 1
        scales = sorted(abs(scale) * top for scale in info.adc.scale)
        found["adc"] = {"bits": info.adc.bits, "full_scales": scales, "signed": info.adc.signed}
    return found
