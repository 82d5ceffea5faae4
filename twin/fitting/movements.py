"""How single cells move from time to time, for the section `relaxation`: by jumps, or by a Gaussian process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.hal import BoolArray, FloatArray
from twin.fitting.fit_outcome import Outcome, Parameter, Remark
from twin.fitting.tables.measured_tables import Table
from twin.fitting.tailed_law import LevelLaw
from twin.fitting.trajectories import (
    LEAST,
    Steps,
    fit_staying,
    gain_of_jumps,
    judge_steps,
    memory_of,
    reach_of,
    steps_between,
)
from twin.relaxation import LogTimeRelaxation

_FEW = 20
_LEAST_CORRELATION = 0.02
_CHANCE = 0.01
_MUST_PASS = 0.8
_CLEAR = 0.02
"""ln likelihood for each unused cell; jumps have more parameters, and follow a Gaussian process nearly as well."""


@dataclass(frozen=True)
class Followed(FrozenArrays):
    """Cells that were read again and again, and what was fitted to each time.

    Attributes:
        table: cell, time, conductance, initial. displaced: S, one a row. laws: one a time, of the rows in `train`.
        times: s, rising.
    """

    table: Table
    displaced: FloatArray
    laws: list[LevelLaw]
    times: FloatArray
    train: BoolArray


@dataclass(frozen=True)
class _Interval:
    """Two neighbouring times, steps of the fitted and of the unused cells, and the laws of both times."""

    ends: tuple[float, float]
    fitted: Steps
    unused: Steps
    laws: tuple[LevelLaw, LevelLaw]

    def __str__(self) -> str:
        return f"{self.ends[0]:g} to {self.ends[1]:g} s"


def fit_movements(
    cells: Followed,
    broken_at: tuple[float, ...],
    make: Callable[[dict[str, Any]], LogTimeRelaxation],
    outcome: Outcome,
    rng: np.random.Generator,
) -> LogTimeRelaxation:
    """The section with jumps if they make the steps of unused cells clearly likelier, else with correlations.

    Args:
        broken_at: times (s) that are no continuation of the trajectories before them.
        make: the section from the fields that say how cells move.
    """
    intervals = _intervals(cells, broken_at, outcome)
    followed = [one for one in intervals if one is not None]
    fields: dict[str, Any] = {"correlation": tuple(correlations(intervals, outcome))}
    enough = all(min(one.fitted.start.size, one.unused.start.size) >= LEAST for one in followed)
    if followed and enough:
        jumps = _jumps(intervals, cells.laws[0].knots, outcome, rng)
        if jumps is not None:
            fields = _remembered(intervals, jumps, make, outcome, rng)
    law = make(fields)
    if enough:
        _judge(followed, law, outcome, rng)
    return law


def _intervals(cells: Followed, broken_at: tuple[float, ...], outcome: Outcome) -> list[_Interval | None]:
    """What is between neighbouring times; None where too few cells have both, or they are other trajectories."""
    found: list[_Interval | None] = []
    for i, ends in enumerate(pairwise(float(time) for time in cells.times)):
        laws = cells.laws[i], cells.laws[i + 1]
        if any(np.isclose(ends[1], time) for time in broken_at):
            outcome.undetermined.append(
                f"how a cell moves from {ends[0]:g} to {ends[1]:g} s: as asked, these are not the same trajectories; "
                "their movement is taken from the times before"
            )
            found.append(None)
            continue
        here, other = (
            steps_between(cells.table, cells.displaced, laws, ends, half) for half in (cells.train, ~cells.train)
        )
        if here.start.size < _FEW:
            outcome.undetermined.append(
                f"correlation from {ends[0]:g} to {ends[1]:g} s: {here.start.size} common cells"
            )
        found.append(_Interval(ends, here, other, laws) if here.start.size >= _FEW else None)
    return found


def correlations(intervals: list[_Interval | None], outcome: Outcome) -> list[float]:
    """Of a cell's normal score between neighbouring times, over the fitted half; None: that of the times before."""
    found: list[float] = []
    for interval in intervals:
        if interval is None:
            found.append(found[-1] if found else 1.0)
            continue
        value = float(np.corrcoef(interval.fitted.early_score, interval.fitted.late_score)[0, 1])
        error = (1 - value**2) / np.sqrt(interval.fitted.start.size)
        name = f"correlation {interval}"
        outcome.parameters.append(Parameter(name, value, value - 1.645 * error, value + 1.645 * error, "1"))
        if value < _LEAST_CORRELATION:
            outcome.remarks.append(Remark(f"{name} is {value:.2f}, taken as {_LEAST_CORRELATION}"))
        found.append(float(f"{np.clip(value, _LEAST_CORRELATION, 1.0):.6g}"))
    return found


def _jumps(
    intervals: list[_Interval | None], levels: FloatArray, outcome: Outcome, rng: np.random.Generator
) -> dict[str, Any] | None:
    """Fields of a law with jumps; None where they make the steps of unused cells hardly likelier."""
    rows: list[tuple[tuple[float, ...], tuple[float, ...]]] = []
    facts: dict[str, str] = {}
    gained, unused = 0.0, 0
    for interval in intervals:
        if interval is None:
            rows.append(rows[-1] if rows else ((0.0,) * levels.size,) * 2)
            continue
        staying = fit_staying(interval.fitted, interval.laws, rng)
        rows.append(staying.at(levels))
        gained += interval.unused.start.size * gain_of_jumps(interval.unused, staying, interval.laws[1])
        unused += interval.unused.start.size
        share = f"{100 * staying.share.min():.0f} to {100 * staying.share.max():.0f} %"
        spread = f"{1e6 * staying.spread.min():.2g} to {1e6 * staying.spread.max():.2g} uS"
        facts[f"cells that stay, {interval}"] = f"{share} by level, within a spread of {spread}"
    outcome.facts["movement of single cells"] = (
        f"jumps against a Gaussian process: {gained / unused:+.3f} in ln likelihood for each unused cell and "
        f"interval; above {_CLEAR:g} the profile has jumps"
    )
    if gained <= _CLEAR * unused:
        return None
    outcome.facts |= facts
    return {"jumps": tuple(row[0] for row in rows), "wander": tuple(row[1] for row in rows)}


def _remembered(
    intervals: list[_Interval | None],
    jumps: dict[str, Any],
    make: Callable[[dict[str, Any]], LogTimeRelaxation],
    outcome: Outcome,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Fields of a law with jumps, with their memory and, where steps are too large without, the reach of cells."""
    tried = [(one.fitted, one.ends) for one in intervals if one is not None]

    def with_memory(fields: dict[str, Any]) -> dict[str, Any]:
        return fields | {"jump_memory": memory_of(tried, lambda memory: make(fields | {"jump_memory": memory}), rng)}

    def within(reach: float) -> LogTimeRelaxation:
        return make(fields | {"reach": (reach,) * len(intervals)})

    fields, reaches = with_memory(jumps), list[float]()
    for one in intervals:
        if one is None:
            reaches.append(reaches[-1] if reaches else 0.0)
            continue
        reaches.append(reach_of(one.fitted, one.ends, within, rng))
        if reaches[-1]:
            outcome.facts[f"cells without room, {one}"] = f"go {reaches[-1]:g} in normal scores, at most"
    return with_memory(jumps | {"reach": tuple(reaches)}) if any(reaches) else fields


def _judge(intervals: list[_Interval], law: LogTimeRelaxation, outcome: Outcome, rng: np.random.Generator) -> None:
    """Steps of unused cells against cells that move by the law."""
    for interval in intervals:
        judged = judge_steps(interval.unused, law, interval.ends, rng)
        outcome.steps.append(judged)
        good = sum(p > _CHANCE for p in judged.p)
        outcome.facts[f"steps of unused cells, {interval}"] = (
            f"{good} of {len(judged.p)} bands of levels with KS p > {_CHANCE:g}; measured and law: spread "
            f"{1e6 * judged.robust[0]:.2f}, {1e6 * judged.robust[1]:.2f} uS, kurtosis {judged.kurtosis[0]:.1f}, "
            f"{judged.kurtosis[1]:.1f}, one cell in a thousand beyond {1e6 * judged.far[0]:.1f}, "
            f"{1e6 * judged.far[1]:.1f} uS"
        )
    if outcome.steps_passed < _MUST_PASS:
        outcome.remarks.append(
            Remark(
                f"steps of single cells between times: {outcome.steps_passed:.0%} of the bands of levels and "
                f"intervals follow the law (KS p > {_CHANCE:g}); what single cells do is less certain than their "
                "distribution"
            )
        )
