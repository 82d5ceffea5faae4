"""How single cells move between neighbouring times: most stand still, some jump.

Of the cells that have both times, a share p stays within a normal spread s of its displacement, and the others have
the later law: p N(D_b - D_a; 0, s^2) + (1 - p) f_b(D_b), by expectation and maximisation in bands of levels
(Dempster, Laird and Rubin, J. R. Statist. Soc. B 39:1, 1977). The later law is wider than the earlier one, so that
some cells must leave their place anyway; `jumps` counts those that leave it beyond that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.hal import BoolArray, FloatArray
from twin.fitting.fit_outcome import StepGroup
from twin.fitting.tables.measured_tables import Table
from twin.fitting.tailed_law import LevelLaw, log_density
from twin.jumping_cells import log_room
from twin.relaxation import LogTimeRelaxation, divisible, fallen
from twin.relaxing_cells import RelaxingCells

LEAST = 150
"""Cells of a band of levels, at least: of fewer nothing can be said of those that stay."""

_BANDS = 8
_FEWEST = 0.05  # of the cells of a band, that stay: below, nothing can be said of how far they wander
_ITERATIONS = 300
_SIMULATED = 4  # cells by the law for each measured one, so that chance is mostly that of the data
_MEMORIES, _MOST_MEMORY = (0.0, 0.6), 0.95
_REACHES, _FAR = (0.0, 2.0, 1.0, 0.5), (0.9, 0.99, 0.999)
_RESAMPLED, _CLEARLY = 100, 6.0
"""A reach is taken if it betters the squared distance by more than chance does in one of seventy intervals."""


@dataclass(frozen=True)
class Steps(FrozenArrays):
    """Cells that were read at two neighbouring times, in the order of their numbers; all (n,).

    Attributes:
        start: S. early, late: displacements, S. early_score, late_score: z in the laws of these times.
    """

    start: FloatArray
    early: FloatArray
    late: FloatArray
    early_score: FloatArray
    late_score: FloatArray


def steps_between(
    table: Table, displaced: FloatArray, laws: tuple[LevelLaw, LevelLaw], times: tuple[float, float], some: BoolArray
) -> Steps:
    """The cells among `some` rows that have both times; displacements in S and `some` have one value a row."""
    first, second = (np.flatnonzero(some & (table["time"] == time)) for time in times)
    _, left, right = np.intersect1d(table["cell"][first], table["cell"][second], return_indices=True)
    early, late = first[left], second[right]
    start = table["initial"]
    scores = [law.scores(start[row], displaced[row]) for law, row in zip(laws, (early, late), strict=True)]
    return Steps(start[early], displaced[early], displaced[late], scores[0], scores[1])


@dataclass(frozen=True)
class Staying(FrozenArrays):
    """What the steps of one interval show, by bands of levels.

    Attributes:
        level: S, middle of each band. share: of cells that stay. spread: S, of those, from one time to the other.
        jumps: mean number of jumps that explains the share, beside the widening of the law. All (bands,).
    """

    level: FloatArray
    share: FloatArray
    spread: FloatArray
    jumps: FloatArray

    def at(self, levels: FloatArray) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """jumps and spread at these levels, S, as rows of a profile."""
        jumps, spread = np.interp(levels, self.level, self.jumps), np.interp(levels, self.level, self.spread)
        return tuple(float(f"{x:.6g}") for x in jumps), tuple(float(f"{x:.6g}") for x in spread)


def fit_staying(steps: Steps, laws: tuple[LevelLaw, LevelLaw], rng: np.random.Generator) -> Staying:
    """Of one interval; bands hold `LEAST` cells or more, and are at most eight."""
    order = np.argsort(steps.start, kind="stable")
    count = int(np.clip(order.size // LEAST, 1, _BANDS))
    found = [_band(steps, part, laws, rng) for part in np.array_split(order, count)]
    return Staying(*(np.array(column) for column in zip(*found, strict=True)))


def _band(
    steps: Steps, part: NDArray[np.intp], laws: tuple[LevelLaw, LevelLaw], rng: np.random.Generator
) -> tuple[float, float, float, float]:
    start, step = steps.start[part], steps.late[part] - steps.early[part]
    anew = np.exp(log_density(steps.late[part], divisible(laws[1].parameters(start))))
    share, spread = 0.5, float(np.quantile(np.abs(step), 0.5))
    for _ in range(_ITERATIONS):
        stay = share * stats.norm.pdf(step, scale=spread)
        weight = stay / (stay + (1.0 - share) * anew)
        share, spread = float(weight.mean()), float(np.sqrt((weight * step**2).sum() / weight.sum()))
        if share < _FEWEST:
            share = _FEWEST
            break
    early, late = (divisible(law.parameters(start)) for law in laws)
    room = float(np.exp(np.minimum(log_room(rng.standard_normal(start.size), early, late), 0.0)).mean())
    return float(np.median(start)), share, spread, max(0.0, float(np.log(room / share)))


def memory_of(
    intervals: list[tuple[Steps, tuple[float, float]]],
    make: Callable[[float], LogTimeRelaxation],
    rng: np.random.Generator,
) -> float:
    """The correlation across a jump with which neighbouring scores correlate as the measured ones do.

    The correlation of scores is linear in it: simulated at two values, and read off the line between them.

    Args:
        intervals: steps, and the two times in s. make: the law for a memory.
    """
    measured = np.mean([np.corrcoef(steps.early_score, steps.late_score)[0, 1] for steps, _ in intervals])
    shown = []
    for memory in _MEMORIES:
        law = make(memory)
        found = [
            np.corrcoef(steps.early_score, _later(law, steps, ends, 1, rng).scores.ravel())[0, 1]
            for steps, ends in intervals
        ]
        shown.append(np.mean(found))
    slope = (shown[1] - shown[0]) / (_MEMORIES[1] - _MEMORIES[0])
    return float(f"{np.clip((measured - shown[0]) / slope, 0.0, _MOST_MEMORY):.3g}")


def reach_of(
    steps: Steps, ends: tuple[float, float], make: Callable[[float], LogTimeRelaxation], rng: np.random.Generator
) -> float:
    """How far cells go that lose their place, in normal scores, so that large steps are as large as measured ones.

    Compared are the correlation of scores and the far quantiles of the steps, each in standard errors over cells.
    Anywhere (0) unless a band does clearly better.

    Args:
        ends: the two times, s. make: the law for a reach.
    """
    early = fallen(steps.start, steps.early, 1.0)
    measured = fallen(steps.start, steps.late, 1.0) - early
    shown = _shown(measured, steps.early_score, steps.late_score)
    whose = rng.integers(0, measured.size, (_RESAMPLED, measured.size))
    again = [_shown(measured[some], steps.early_score[some], steps.late_score[some]) for some in whose]
    error = np.std(again, axis=0) * np.sqrt(1.0 + 1.0 / _SIMULATED)
    off = []
    for reach in _REACHES:
        later = _later(make(reach), steps, ends, _SIMULATED, rng)
        drawn = later.conductance.ravel() - np.tile(early, _SIMULATED)
        found = _shown(drawn, np.tile(steps.early_score, _SIMULATED), later.scores.ravel())
        off.append(float(np.sum(((found - shown) / error) ** 2)))
    best = int(np.argmin(off))
    return _REACHES[best] if off[0] - off[best] > _CLEARLY else _REACHES[0]


def _shown(step: FloatArray, early: FloatArray, late: FloatArray) -> FloatArray:
    """Correlation of the scores, and ln of the far quantiles of the steps."""
    return np.array([np.corrcoef(early, late)[0, 1], *np.log(np.quantile(np.abs(step), _FAR))])


def _later(
    law: LogTimeRelaxation, steps: Steps, ends: tuple[float, float], times: int, rng: np.random.Generator
) -> RelaxingCells:
    """The measured cells, each so many times, from where they were found at the first time to the second, s."""
    start = np.tile(steps.start, times)[np.newaxis]
    cells = RelaxingCells(law, np.zeros_like(start), rng)
    cells.notice(start, np.zeros(start.shape, dtype=np.bool_), 0.0)
    cells.resume(np.tile(steps.early_score, times)[np.newaxis], ends[0])
    cells.advance(ends[1])
    return cells


def gain_of_jumps(steps: Steps, staying: Staying, late: LevelLaw) -> float:
    """Mean ln likelihood of where unused cells are found later, above that of a Gaussian process, for each cell.

    The Gaussian process has the correlation of these very cells, so that the comparison favours it.
    """
    density = np.exp(log_density(steps.late, divisible(late.parameters(steps.start))))
    share, spread = (np.interp(steps.start, staying.level, of) for of in (staying.share, staying.spread))
    jumping = share * stats.norm.pdf(steps.late - steps.early, scale=spread) + (1.0 - share) * density
    r = float(np.corrcoef(steps.early_score, steps.late_score)[0, 1])
    a, b = steps.early_score, steps.late_score
    copula = -0.5 * np.log1p(-r * r) - 0.5 * (r * r * (a * a + b * b) - 2.0 * r * a * b) / (1.0 - r * r)
    return float(np.mean(np.log(jumping) - copula - np.log(density)))


def judge_steps(
    steps: Steps, law: LogTimeRelaxation, times: tuple[float, float], rng: np.random.Generator
) -> StepGroup:
    """Steps of conductance of `steps` against those of four times as many cells that relax by `law`; times in s."""
    start = np.tile(steps.start, _SIMULATED)
    early, late = (cells.conductance.ravel() for cells in _waits(law, start, times, rng))
    real = fallen(steps.start, steps.late, law.knee) - fallen(steps.start, steps.early, law.knee)
    drawn = late - early
    edges = np.quantile(steps.start, np.linspace(0.0, 1.0, int(np.clip(real.size // LEAST, 1, _BANDS)) + 1))
    p = []
    for low, high in pairwise(edges):
        bands = [step[(low <= at) & (at <= high)] for step, at in ((real, steps.start), (drawn, start))]
        p.append(float(stats.ks_2samp(*bands).pvalue))
    both = real, drawn
    return StepGroup(
        times,
        tuple(p),
        _two(float(np.subtract(*np.quantile(one, [0.75, 0.25]))) / 1.349 for one in both),
        _two(float(stats.kurtosis(one)) for one in both),
        _two(float(np.quantile(np.abs(one), 0.999)) for one in both),
    )


def _two(values: Iterable[float]) -> tuple[float, float]:
    first, second = values
    return first, second


def _waits(
    law: LogTimeRelaxation, start: FloatArray, times: Iterable[float], rng: np.random.Generator
) -> Iterator[RelaxingCells]:
    """Cells left at `start` (n,) in S, at each of the times in s; the same cells again and again."""
    cells = RelaxingCells(law, np.zeros((1, start.size)), rng)
    cells.notice(start[np.newaxis], np.zeros((1, start.size), dtype=np.bool_), 0.0)
    for time in times:
        cells.advance(float(time))
        yield cells
