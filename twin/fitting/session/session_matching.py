"""Laws of noise and relaxation, corrected until twins in the session's own experiment show what its chip showed.

A session sees cells through digitised readings with noise, and sees them relax from a first reading that comes at
another age of every cell: some were left long before the last of their array. No estimate from the readings alone
is free of all that; a twin that is asked the same is.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.hal import BoolArray, FloatArray
from imssa_lab.log import open_run
from twin.digital_twin import DigitalTwin
from twin.fitting.checking.last_pulses import in_turn, last_pulses
from twin.fitting.fit_outcome import Outcome
from twin.fitting.tables.measured_tables import Table
from twin.profile import TwinProfile

_ROUNDS, _DAMPED, _TWINS, _BINS = 10, 0.6, 3, 6
_LEAST, _KNOWN = 1e-10, 0.5
_LOOKS, _REPEATED = 4, 3
_RANKS = (0.0, 0.05, 0.3, 0.7, 0.95, 1.0)
"""Ranks of cells between which means are matched: a quantile would jump with the steps of the converter."""
_LAST_ROUNDS = 4
"""Rounds whose mean is taken: each carries the chance of its twins."""


@dataclass(frozen=True)
class Relaxed(FrozenArrays):
    """A relaxation experiment, maps (rows, cols) with NaN for cells that are not in it.

    Attributes:
        start: S, first reading. age: s since a cell's last pulse at that reading.
        times: s since that reading, (k,). change: S, (k, rows, cols).
    """

    start: FloatArray
    age: FloatArray
    times: FloatArray
    change: FloatArray


def relaxed_of(run: Path, table: Table) -> Relaxed:
    """The experiment of a table of relaxation; the ages of its cells are in the record.

    Args:
        table: cell (row * cols + col), target, time, initial, conductance.
    """
    with open_run(run) as log:
        shape = log.infos[0].shape
        target = _map(shape, table, "target", np.ones(table.size, dtype=np.bool_))
        known, age = np.isfinite(target), np.zeros(shape)
        for row in range(log.records("program")):
            if np.allclose(log.column("program", "target", row)[known], target[known]):
                ended = float(log.column("program", "device_time", row))
                age = ended - last_pulses(log, 0, row)
                break
    times = np.unique(table["time"][table["time"] > 0])
    now = np.stack([_map(shape, table, "conductance", table["time"] == time) for time in times])
    start = _map(shape, table, "initial", np.ones(table.size, dtype=np.bool_))
    return Relaxed(start, np.where(known, np.nan_to_num(age), np.nan), times, now - start)


def match_relaxation(outcome: Outcome, seen: Relaxed, kind: TwinProfile, seed: int) -> None:
    """Change the section `relaxation` in the outcome, of which read noise was taken out roughly.

    The law then counts from the last pulse. Times below the usual age at the first reading tell nothing of it.

    Args:
        kind: profile with the noise and the converter of the session.
    """
    section = _from_last_pulse(outcome.sections["relaxation"], float(np.nanmedian(seen.age)))
    places = [int(np.argmin(np.abs(seen.times - time))) for time in section.pop("seen")]
    levels = np.asarray(section["levels"])
    wanted, middles = _by_level(seen.start, seen.change[places])
    still = {name: 0.0 * np.asarray(section[name]) for name in _SCALES if section.get(name)}
    quiet, _ = _by_level(seen.start, _relaxing_twin(_with(kind, relaxation=section | still), seen, seed)[places])
    if _own_share_of_tails(wanted, quiet) < _KNOWN:
        for name in ("down", "down_share", "up", "up_share"):
            section.pop(name, None)
        outcome.undetermined.append("tails of the relaxation: most of what lies far out is the noise of the readings")
    kept: list[dict[str, FloatArray]] = []
    for number in range(_ROUNDS):
        twins = [
            _relaxing_twin(_with(kind, relaxation=section), seen, seed + _TWINS * number + i)[places]
            for i in range(_TWINS)
        ]
        found, _ = _by_level(np.tile(seen.start, (1, _TWINS)), np.concatenate(twins, axis=2))
        tables = {name: np.asarray(section[name]) for name in _SCALES if section.get(name)}
        for row in range(len(places)):
            for name, value in _corrected(tables, row, wanted[row], found[row], middles, levels).items():
                tables[name][row] = value
        section |= {name: table.tolist() for name, table in tables.items()}
        kept.append({name: table.copy() for name, table in tables.items()})
    last = kept[-_LAST_ROUNDS:]
    for name in last[0]:
        mean = np.mean([tables[name] for tables in last], axis=0)
        section[name] = [[float(f"{value:.6g}") for value in row] for row in mean]
    outcome.sections["relaxation"] = section
    youngest, middle, oldest = (f"{part:.3g}" for part in np.nanquantile(seen.age, [0.0, 0.5, 1.0]))
    outcome.facts["cells fitted"] = outcome.facts["cells"]  # corrected by all of them
    outcome.facts["age of the cells at their first reading"] = (
        f"{youngest} to {oldest} s, median {middle} s; the law counts from the last pulse"
    )


_SCALES = ("shift", "core", "down", "up")


def _own_share_of_tails(wanted: FloatArray, quiet: FloatArray) -> float:
    """Median share of the squared width of both tails, (times, bins, 5), that cells that stand still do not show."""
    shares = [
        1.0 - ((quiet[..., high] - quiet[..., low]) / np.maximum(wanted[..., high] - wanted[..., low], _LEAST)) ** 2
        for low, high in ((0, 1), (3, 4))
    ]
    return float(np.median(shares))


def _from_last_pulse(section: dict[str, Any], age: float) -> dict[str, Any]:
    """A first guess of the law since the last pulse, from one since a reading at that age (s)."""
    times, t0 = np.asarray(section["times"]), float(section["t0"])
    known = times >= min(age, float(times[-1]))
    begin = max(t0, float(times[0])) if age > t0 else t0
    late, early = (np.log1p((value + age) / begin) for value in (times[known], 0.0))
    grown = late / (late - early)
    moved = dict(section)
    moved["times"] = [float(f"{time + age:.6g}") for time in times[known]]
    moved["t0"], moved["seen"] = begin, times[known]
    for name in ("shift", "core", "down", "down_share", "up", "up_share"):
        if section.get(name):
            rows = np.asarray(section[name])[known]
            moved[name] = (rows * grown[:, np.newaxis] if name in _SCALES else rows).tolist()
    moved["correlation"] = list(section.get("correlation", ()))[int(np.flatnonzero(known)[0]) :]
    moved["until"] = float(times[-1] + age)
    return moved


def _corrected(
    tables: dict[str, FloatArray],
    row: int,
    wanted: FloatArray,
    found: FloatArray,
    middles: FloatArray,
    levels: FloatArray,
) -> dict[str, FloatArray]:
    """Parameters of one time at every level, nearer to those with the wanted means between ranks (bins, 5)."""

    def at(values: FloatArray) -> FloatArray:
        return np.asarray(np.interp(levels, middles, values))

    moved = {"shift": tables["shift"][row] + _DAMPED * at(wanted[:, 2] - found[:, 2])}
    for name, low, high in (("core", 1, 3), ("down", 0, 1), ("up", 3, 4)):
        if name in tables:
            part = 0.25 if name == "core" else 1.0  # a core is about half of what lies between its two means
            lacks = part * ((wanted[:, high] - wanted[:, low]) ** 2 - (found[:, high] - found[:, low]) ** 2)
            moved[name] = np.sqrt(np.maximum(tables[name][row] ** 2 + _DAMPED * at(lacks), _LEAST**2))
    return moved


def _relaxing_twin(kind: TwinProfile, seen: Relaxed, seed: int) -> FloatArray:
    """Changes of a twin's cells, S, (k, rows, cols), left as early before the first reading as those of the chip."""
    there = np.isfinite(seen.start)
    with DigitalTwin(kind, seen.start.shape, seed) as twin:
        for time, group in in_turn(seen.age, there):
            twin.wait(max(time - twin.time, 0.0))
            twin.cells.conductance = np.where(group, np.maximum(seen.start, _LEAST), twin.cells.conductance)
        twin.wait(max(float(np.nanmax(seen.age)) - twin.time, 0.0))
        began, first, looks = twin.time, twin.read_conductances(), []
        for time in seen.times:
            twin.wait(max(began + float(time) - twin.time, 0.0))
            looks.append(twin.read_conductances() - first)
    return np.where(there, np.stack(looks), np.nan)


def repeated_looks(run: Path) -> list[FloatArray]:
    """Readings of all cells that were repeated at once, as a map of stuck cells does at both ends of the windows.

    S, (reads, rows, cols) each, at most `_LOOKS` of them, the first ones.
    """
    found: list[FloatArray] = []
    with open_run(run) as log:
        info = log.infos[0]
        for row in range(log.records("read_conductances")):
            if len(found) == _LOOKS:
                break
            if (
                int(log.column("read_conductances", "array", row))
                or not log.column("read_conductances", "mask", row).all()
            ):
                continue
            if int(log.column("read_conductances", "count", row)) >= _REPEATED:
                readout = log.readout("read_conductances", row, info.adc is not None)
                found.append(readout.current(info.adc) / info.read_voltage)
    return found


def match_noise(
    outcome: Outcome, table: Table, looks: list[FloatArray], kind: TwinProfile, shape: tuple[int, int], seed: int
) -> None:
    """Change size, spread and growth of `read_noise` in the outcome until twins read alike by the converter.

    Args:
        table: cell (row * cols + col), read, time, conductance. looks: more readings, S, each (reads, rows, cols), of
            cells in other states. kind: profile with the converter of the session.
    """
    reads = np.unique(table["read"])
    traces = np.stack([_map(shape, table, "conductance", table["read"] == read) for read in reads])
    period = float(np.median(np.diff(np.unique(table["time"]))))
    there = np.asarray(np.isfinite(traces).all(axis=0))
    seen = [traces, *looks]
    levels = [np.maximum(np.where(there, one.mean(axis=0), _LEAST), _LEAST) for one in seen]
    section = dict(outcome.sections["read_noise"])
    reference = float(section["reference"])
    wanted = _noise_law(seen, levels, there, reference)
    kept = []
    for number in range(_ROUNDS):
        twin = DigitalTwin(_with(kind, read_noise=section), shape, seed + number)
        found = []
        for level, one in zip(levels, seen, strict=True):
            twin.cells.conductance = level
            pause = max(period - twin.profile.timing.cell_read * level.size, 0.0) if one is traces else 0.0
            found.append(_read_by(twin, len(one), pause))
        lacks = _DAMPED * np.asarray(wanted - _noise_law(found, levels, there, reference))
        section["exponent"] = max(float(section["exponent"]) + float(lacks[0]), 0.0)
        section["sd_median"] = float(section["sd_median"]) * float(np.exp(lacks[1]))
        section["sd_spread"] = max(float(section["sd_spread"]) + float(lacks[2]), 0.0)
        if section.get("flicker"):
            flicker = dict(section["flicker"])
            flicker |= {"exponent": section["exponent"], "spread": section["sd_spread"]}
            flicker["sd"] = float(flicker["sd"]) * float(np.exp(lacks[1]))
            section["flicker"] = flicker
        kept.append(section)
        section = dict(section)
    outcome.sections["read_noise"] = _mean_of(kept[-_LAST_ROUNDS:])
    outcome.facts["cells fitted"] = outcome.facts["cells"]
    outcome.facts["converter"] = "what it adds to the readings is taken out of the law in the profile"


def _read_by(twin: DigitalTwin, reads: int, pause: float) -> FloatArray:
    """So many readings of all cells with pauses (s) between, S, (reads, rows, cols)."""
    found = []
    for _ in range(reads):
        found.append(twin.read_conductances())
        twin.wait(pause)
    return np.stack(found)


def _mean_of(sections: list[dict[str, Any]]) -> dict[str, Any]:
    found = dict(sections[-1])
    for name in ("sd_median", "sd_spread", "exponent"):
        found[name] = float(f"{np.mean([float(one[name]) for one in sections]):.6g}")
    if found.get("flicker"):
        flicker = dict(found["flicker"])
        for name in ("sd", "spread", "exponent"):
            flicker[name] = float(f"{np.mean([float(one['flicker'][name]) for one in sections]):.6g}")
        found["flicker"] = flicker
    return found


def _noise_law(seen: list[FloatArray], levels: list[FloatArray], there: BoolArray, reference: float) -> FloatArray:
    """Growth with the conductance, ln of the size at the reference, and spread of noise from reading to reading.

    By medians of cells of like conductance.
    """
    short = [np.sqrt(0.5 * np.mean(np.diff(one[:, there], axis=0) ** 2, axis=0)) for one in seen]
    y = np.log(np.maximum(np.concatenate(short), _LEAST))
    x = np.log(np.concatenate([level[there] for level in levels]) / reference)
    parts = np.array_split(np.argsort(x), _BINS * len(seen))
    middles = np.array([(np.median(x[part]), np.median(y[part])) for part in parts])
    slope, start = np.polyfit(middles[:, 0], middles[:, 1], 1)
    of_traces, at = np.log(np.maximum(short[0], _LEAST)), np.array_split(np.argsort(levels[0][there]), _BINS)
    spreads = [0.5 * float(np.diff(np.quantile(of_traces[part], [0.1587, 0.8413]))[0]) for part in at]
    return np.array([slope, start, np.median(spreads)])


def _by_level(start: FloatArray, change: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Means between ranks of changes (k, ...) in bins of their level, (k, bins, 5), and the bins' levels, (bins,)."""
    there = np.isfinite(start) & np.isfinite(change).all(axis=0)
    level, moved = start[there], change[:, there]
    parts = np.array_split(np.argsort(level, kind="stable"), _BINS)
    found = np.stack([_means_between_ranks(moved[:, part]) for part in parts], axis=1)
    return found, np.array([np.median(level[part]) for part in parts])


def _means_between_ranks(values: FloatArray) -> FloatArray:
    """Means of the sorted values (k, n) between `_RANKS`, (k, 5)."""
    ordered = np.sort(values, axis=1)
    ends = np.round(np.array(_RANKS) * values.shape[1]).astype(int)
    last = values.shape[1] - 1  # of few cells, the outermost rank begins behind it
    found = [ordered[:, min(low, last) : max(high, low + 1)].mean(axis=1) for low, high in pairwise(ends)]
    return np.stack(found, axis=1)


def _with(kind: TwinProfile, **sections: Any) -> TwinProfile:
    return TwinProfile.model_validate(kind.model_dump(exclude_none=True) | sections)


def _map(shape: tuple[int, int], table: Table, name: str, rows: BoolArray) -> FloatArray:
    """A column of a table as a map, NaN where it has no row."""
    found = np.full(shape[0] * shape[1], np.nan)
    found[table["cell"][rows].astype(int)] = table[name][rows]
    return found.reshape(shape)
