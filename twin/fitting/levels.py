"""Steps that the fits by level share: halves of the cells, the choice of a model, the judgement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from imssa_lab.contract.errors import DataError
from imssa_lab.contract.hal import BoolArray, FloatArray
from twin.fitting.fit_outcome import Curve, Group, Outcome, Parameter, Remark
from twin.fitting.goodness import FEWEST, banded, judge
from twin.fitting.tables.measured_tables import Table
from twin.fitting.tailed_law import GAUSSIAN, NAMES, TAILED, LevelLaw, fit_levels

MODELS = {"gaussian": GAUSSIAN, "tailed": TAILED}
CELLS_NEEDED = 40
BANDS = 8
THIN = 10
FEWEST_IN_BAND = 740
"""Cells that keep the KS distance of a true law below 0.05 in 95 of 100 bands: 1.36/sqrt(n)."""

_UNITS = ("S", "S", "S", "1", "S", "1")


def half_of(cell: FloatArray, rng: np.random.Generator) -> BoolArray:
    """True for the rows of half of the cells, (n,): a cell is on one side with all its rows."""
    distinct, index = np.unique(cell, return_inverse=True)
    chosen = np.zeros(distinct.size, dtype=np.bool_)
    chosen[rng.permutation(distinct.size)[: distinct.size // 2]] = True
    return np.asarray(chosen[index])


def need_cells(table: Table, what: str) -> None:
    """Refuse a table of too few cells.

    Raises:
        DataError: fewer than `CELLS_NEEDED` distinct cells.
    """
    found = np.unique(table["cell"]).size
    if found < CELLS_NEEDED:
        raise DataError(
            f"{table.source}: {found} cells, {what} needs {CELLS_NEEDED} or more: half of them are kept for the test"
        )


def fit_models(
    level: FloatArray, displaced: FloatArray, knots: FloatArray, train: BoolArray, rng: np.random.Generator, only: str
) -> dict[str, LevelLaw]:
    """Each model fitted to the cells of `train` (n,), levels in S; `only` names one of them, or is "" for all."""
    return {
        name: fit_levels(level[train], displaced[train], knots, rng, free=free)
        for name, free in MODELS.items()
        if only in ("", name)
    }


def judge_levels(
    name: FloatArray, time: float | None, probability: FloatArray, outcome: Outcome, bands: FloatArray | None
) -> None:
    """Judge unused cells level by level (`name` (n,)) and band by band.

    Neighbouring levels of too few cells are judged together, bands only where chance alone stays below their bar.
    """
    levels, counts = np.unique(name, return_counts=True)
    run: list[float] = []
    for one, count in zip(levels, counts, strict=True):
        run.append(float(one))
        at = np.isin(name, run)
        if at.sum() >= FEWEST or (count and one == levels[-1] and at.sum() > 1):
            label = f"level {run[0]:g}" if len(run) == 1 else f"levels {run[0]:g} to {run[-1]:g}"
            outcome.groups.append(judge(label, time, probability[at]))
            run = []
    if bands is not None:
        for band in np.unique(bands):
            if (bands == band).sum() >= FEWEST_IN_BAND:
                outcome.bands.append(judge(f"band {band:g}", time, probability[bands == band]))


def named_levels(table: Table, role: str) -> FloatArray:
    """What distinguishes levels, (n,): the column `level`, distinct values of `role`, or sixteen equal shares."""
    if "level" in table:
        return table["level"]
    values = table[role]
    if np.unique(values).size <= 64:
        return values
    edges = np.quantile(values, np.linspace(0, 1, 17)[1:-1])
    return np.asarray(np.searchsorted(edges, values), dtype=np.float64)


def thin_levels(table: Table, names: FloatArray) -> list[Remark]:
    """A remark for every level, named for each row (n,), that fewer than ten cells hold."""
    remarks = []
    for one in np.unique(names):
        at = names == one
        cells = np.unique(table["cell"][at]).size
        if cells < THIN:
            remarks.append(
                Remark(
                    f"level {one:g} has only {cells} cells; its parameters are interpolated from neighbouring levels",
                    table.numbers(at),
                )
            )
    return remarks


def bands_of(names: FloatArray) -> FloatArray | None:
    """Eight bands of levels, (n,), or None where there are too few levels to pool."""
    return banded(names, BANDS) if np.unique(names).size >= 2 * BANDS else None


def choose(held_out: Mapping[str, float], outcome: Outcome) -> str:
    """The model under which unused cells are likelier; the record is kept in the outcome."""
    outcome.held_out = dict(held_out)
    outcome.chosen = max(held_out, key=lambda name: held_out[name])
    return outcome.chosen


def law_parameters(law: LevelLaw, prefix: str) -> list[Parameter]:
    """Every parameter of a law with its interval."""
    return [
        Parameter(
            f"{prefix}{name} at {1e6 * knot:.3g} uS",
            float(law.table[i, k]),
            float(law.low[i, k]),
            float(law.high[i, k]),
            _UNITS[i],
        )
        for i, name in enumerate(NAMES[: law.free])
        for k, knot in enumerate(law.knots)
    ]


def quantile_curve(title: str, probability: FloatArray) -> Curve:
    """Normal scores of unused cells, from their probabilities (n,), against those they should have."""
    place = (np.arange(1, probability.size + 1) - 0.5) / probability.size
    shown = np.unique(np.linspace(0, probability.size - 1, 400).astype(int))
    measured = stats.norm.ppf(np.clip(np.sort(probability), 1e-9, 1 - 1e-9))
    expected = stats.norm.ppf(place)
    return Curve(title, expected[shown], measured[shown], "normal score expected", "normal score of unused cells")


def worst(groups: Sequence[Group]) -> str:
    """The group that fits worst, in words."""
    if not groups:
        return "none was large enough to judge"
    bad = min(groups, key=lambda group: group.ks_p)
    when = "" if bad.time is None else f" at {bad.time:g} s"
    return f"{bad.label}{when}: KS {bad.ks:.3f}, p {bad.ks_p:.2g}"
