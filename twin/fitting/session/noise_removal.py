"""Laws of change without the noise of the readings that they were seen by: a twin adds that again when it is read."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.hal import FloatArray
from twin.fitting.fit_outcome import Outcome
from twin.fitting.tables.measured_tables import Table

_BINS = 6
_LEAST = 0.02
"""Share of a core or a tail that is left at least: below it the readings cannot tell it from nothing."""
_KNOWN = 0.5
"""Share of the variance that must be the cells' own for their correlation to be estimated."""
_OF_JUMPS = ("jumps", "wander", "jump_memory", "reach")
_CORE, _TAIL = (0.1587, 0.8413), (0.02, 0.98)


@dataclass(frozen=True)
class ReadingNoise(FrozenArrays):
    """Differences of two single readings of one cell: conductance (n,), S, and difference (n,), S."""

    conductance: FloatArray
    difference: FloatArray

    @classmethod
    def of(cls, table: Table) -> ReadingNoise:
        """From neighbouring readings of the same cells in a table of noise: cell, time, conductance."""
        order = np.lexsort((table["time"], table["cell"]))
        cell, g = table["cell"][order], table["conductance"][order]
        same = np.diff(cell) == 0
        return cls((0.5 * (g[1:] + g[:-1]))[same], np.diff(g)[same])

    def span(self, levels: FloatArray, ends: tuple[float, float]) -> FloatArray:
        """Half of the interval between two quantiles of the differences at `levels` (S), S, same shape."""
        return _by_level(self.conductance, self.difference, levels, ends)


def take_out_of_programming(noise: ReadingNoise, table: Table, outcome: Outcome, reads: int) -> None:
    """Change `programming` in the outcome: cells were seen by the mean of so many readings."""
    section, error = outcome.sections["programming"], table["conductance"] - table["target"]
    if section["law"] == "by-level":
        levels = np.asarray(section["levels"])
        for names, ends in ((("core",), _CORE), (("down", "up"), _TAIL)):
            seen = _by_level(table["target"], error, levels, ends)
            own = _own_share(seen, noise.span(levels, ends) / np.sqrt(2 * reads))
            _scale(section, names, own)
    else:
        sd = section["sd"][0]
        left = _own_share(np.array([sd]), np.array([noise.difference.std() / np.sqrt(2 * reads)]))
        section["sd"] = [float(sd * left[0])]
    _say(outcome, f"{reads} reading(s)")


def take_out_of_relaxation(noise: ReadingNoise, table: Table, outcome: Outcome) -> None:
    """Change `relaxation` in the outcome: readings at both ends of every change.

    Cells move by correlations then: a law of jumps was fitted to steps that carry the noise of two readings, and
    takes some of it for jumps.
    """
    section = outcome.sections["relaxation"]
    levels, times = np.asarray(section["levels"]), np.asarray(section["times"])
    for index, time in enumerate(times):
        at = table["time"] == time
        change = (table["conductance"] - table["initial"])[at]
        for names, ends in ((("core",), _CORE), (("down", "up"), _TAIL)):
            seen = _by_level(table["initial"][at], change, levels, ends)
            _scale(section, names, _own_share(seen, noise.span(levels, ends)), row=index)
    if len(times) > 1:
        jumps = [section.pop(name) for name in _OF_JUMPS if name in section]
        if jumps:
            outcome.undetermined.append(
                "jumps of single cells: readings at these times were likelier with jumps, but their noise cannot be "
                "taken out of these, so that cells of the profile move by correlations; steps were judged with jumps"
            )
        section["correlation"] = [
            _correlation(noise, table, float(first), float(second)) for first, second in pairwise(times)
        ]
    _say(outcome, "two readings")


def _by_level(level: FloatArray, values: FloatArray, asked: FloatArray, ends: tuple[float, float]) -> FloatArray:
    """Half of the interval between two quantiles of values in bins of their level, at the levels asked."""
    edges = np.quantile(level, np.linspace(0, 1, _BINS + 1))
    bins = np.clip(np.searchsorted(edges, level, side="right") - 1, 0, _BINS - 1)
    known = [k for k in range(_BINS) if np.count_nonzero(bins == k) >= _BINS]
    middles = [float(np.median(level[bins == k])) for k in known]
    spans = [0.5 * float(np.diff(np.quantile(values[bins == k], ends))[0]) for k in known]
    return np.asarray(np.interp(asked, middles, spans))


def _own_share(seen: FloatArray, noise: FloatArray) -> FloatArray:
    """What is left of spans (n,) without the noise, as a share of them."""
    rest = 1.0 - (noise / np.maximum(seen, 1e-15)) ** 2
    return np.asarray(np.sqrt(np.maximum(rest, _LEAST**2)))


def _scale(section: dict[str, Any], names: tuple[str, ...], share: FloatArray, row: int | None = None) -> None:
    for name in names:
        if not section.get(name):
            continue
        if row is None:
            section[name] = [float(f"{value:.6g}") for value in np.asarray(section[name]) * share]
        else:
            rows = [list(values) for values in section[name]]
            rows[row] = [float(f"{value:.6g}") for value in np.asarray(rows[row]) * share]
            section[name] = rows


def _correlation(noise: ReadingNoise, table: Table, first: float, second: float) -> float:
    """Correlation of a cell's own change at two times; the noise of the first reading of all is in both.

    By robust spans. Where the changes are mostly noise it is unknown and taken as 1: such cells do not move.
    """
    parts = [table.take(table["time"] == time) for time in (first, second)]
    _, left, right = np.intersect1d(parts[0]["cell"], parts[1]["cell"], return_indices=True)
    one, other = ((part["conductance"] - part["initial"])[at] for part, at in zip(parts, (left, right), strict=True))
    variance = [_span(values) ** 2 for values in (one, other)]
    both = 0.25 * (_span(one + other) ** 2 - _span(one - other) ** 2)
    of_noise = float(np.mean(noise.span(parts[0]["initial"][left], _CORE) ** 2))
    own = [value - of_noise for value in variance]
    if min(part / max(value, 1e-30) for part, value in zip(own, variance, strict=True)) < _KNOWN:
        return 1.0
    return float(f"{np.clip((both - 0.5 * of_noise) / np.sqrt(own[0] * own[1]), 0.02, 1.0):.6g}")


def _span(values: FloatArray) -> float:
    return 0.5 * float(np.diff(np.quantile(values, _CORE))[0])


def _say(outcome: Outcome, readings: str) -> None:
    outcome.facts["read noise"] = f"that of {readings} is taken out of the law in the profile"
    outcome.undetermined[:] = [text for text in outcome.undetermined if "read noise" not in text]
