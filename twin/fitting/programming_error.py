"""Programming error by level: how far from their targets cells were left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imssa_lab.contract.errors import DataError
from imssa_lab.contract.hal import BoolArray, FloatArray
from twin.fitting.fit_outcome import Outcome, Parameter, Remark
from twin.fitting.levels import (
    bands_of,
    choose,
    fit_models,
    half_of,
    judge_levels,
    law_parameters,
    named_levels,
    need_cells,
    quantile_curve,
    thin_levels,
    worst,
)
from twin.fitting.tables.measured_tables import Table, mostly_positive
from twin.fitting.tailed_law import GAUSSIAN, NAMES, TAILED, LevelLaw, knots_for
from twin.programming_law import ProgrammingError

CELLS_PER_KNOT = 250
"""Two to four knots for a thousand cells are as good on unused cells as the other half of the data itself."""
_DRAWS = 1000


def fit_programming(table: Table, rng: np.random.Generator, *, model: str = "") -> Outcome:
    """Fit the error conductance - target of half of the cells, test on the other half.

    Args:
        table: cell, target, conductance; one row per cell.
        model: "gaussian" or "tailed"; "" lets unused cells decide.

    Raises:
        DataError: a column is missing, there are too few cells, negative targets, or conductances mostly negative.
    """
    need_cells(table, "programming error")
    wrong = table["target"] < 0
    if wrong.any():
        raise DataError(f"{table.source}: {Remark('negative targets', table.numbers(wrong))}; reverse the sign")
    outcome = Outcome("programming error", remarks=[*table.remarks, *mostly_positive(table, "conductance")])
    names = named_levels(table, "target")
    outcome.remarks.extend(thin_levels(table, names))
    target, error = table["target"], table["conductance"] - table["target"]
    train = half_of(table["cell"], rng)
    knots = knots_for(target, CELLS_PER_KNOT)
    halves = [
        _models(target, error, knots, half, rng, model) for half in (train, ~train)
    ]  # each half is judged by the laws of the other
    tests = (~train, train)
    held_out = {
        name: sum(
            laws[name].log_likelihood(target[test], error[test]) * float(test.mean())
            for laws, test in zip(halves, tests, strict=True)
        )
        for name in halves[0]
    }
    chosen = choose(held_out, outcome)
    sections = [_section(laws[chosen], target) for laws in halves]
    probability, mean = np.empty_like(error), np.empty_like(error)
    for section, test in zip(sections, tests, strict=True):
        profile = ProgrammingError.model_validate(section)
        probability[test], mean[test] = drawn_places(profile, target[test], table["conductance"][test], rng)
    judge_levels(names, None, probability, outcome, bands_of(names))
    outcome.curves.append(quantile_curve("programming error", probability))
    law = halves[0][chosen]
    if isinstance(law, WindowLaw):
        outcome.parameters.append(Parameter("half width of the window", law.half, law.low, law.high, "S"))
    else:
        outcome.parameters.extend(law_parameters(law, ""))
    outcome.sections["programming"] = sections[0]
    outcome.sections["window"] = {"low": max(float(target.min()), 0.0), "high": float(target.max())}
    outcome.facts |= {
        "cells": str(np.unique(table["cell"]).size),
        "cells fitted": str(np.unique(table["cell"][train]).size),
        "tested": "each half by cells drawn from the profile of the other",
        "mean error": f"{1e6 * error.mean():+.2f} uS, of cells drawn from the profile {1e6 * mean.mean():+.2f} uS",
        "sd": f"{1e6 * error.std():.2f} uS",
        "robust sd": f"{5e5 * float(np.diff(np.quantile(error, [0.1587, 0.8413]))[0]):.2f} uS",
        "worst group": worst(outcome.groups),
    }
    outcome.undetermined.append(
        "how much of the error is relaxation and read noise: one reading at one time cannot part them"
    )
    return outcome


def drawn_places(
    law: ProgrammingError, target: FloatArray, conductance: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Where measured cells lie among cells drawn from a profile for the same targets, and how far off these are.

    Args:
        target, conductance: S, (n,).

    Returns:
        Probabilities (n,), uniform if the cells follow the law, and the mean error of those drawn, S, (n,).
    """
    drawn = law.draw(np.broadcast_to(target, (_DRAWS, target.size)), rng)
    below, equal = (drawn < conductance).sum(axis=0), (drawn == conductance).sum(axis=0)
    place = (below + rng.random(target.size) * (equal + 1)) / (_DRAWS + 1)
    return place, np.asarray(drawn.mean(axis=0) - target)


@dataclass(frozen=True)
class WindowLaw:
    """The residue of an acceptance window: errors uniform within +- half (S), a share `beyond` of them outside.

    `low` and `high` are the ends of the 90 % interval of `half`; the density inside is tilted, (1 + tilt error/half).
    """

    half: float
    low: float
    high: float
    tilt: float = 0.0
    beyond: float = 0.01

    @classmethod
    def of(cls, error: FloatArray) -> WindowLaw:
        """The narrowest window that holds all but one in a hundred of the errors (n,).

        The largest of n uniform values lies below the edge by a factor u^(1/n): so the interval.
        """
        size = np.abs(error)
        largest = float(np.sort(size)[int(np.ceil(0.99 * size.size)) - 1])
        half = largest * (1 + 1 / size.size)
        mean = float(error[size <= half].mean())
        tilt = float(np.clip(3 * mean / half, -0.9, 0.9))
        return cls(half, largest, largest * 0.05 ** (-1 / size.size), tilt)

    def log_likelihood(self, level: FloatArray, error: FloatArray) -> float:
        """Mean ln density of the errors, per S."""
        inside = np.abs(error) <= self.half
        outer = -0.5 * (error / self.half) ** 2 - np.log(self.half * np.sqrt(2 * np.pi)) + np.log(self.beyond)
        density = (1 - self.beyond) / (2 * self.half) * (1 + self.tilt * np.clip(error / self.half, -1, 1))
        return float(np.mean(np.logaddexp(outer, np.where(inside, np.log(density), -np.inf))))


def _models(
    target: FloatArray, error: FloatArray, knots: FloatArray, train: BoolArray, rng: np.random.Generator, only: str
) -> dict[str, LevelLaw | WindowLaw]:
    laws: dict[str, LevelLaw | WindowLaw] = dict(fit_models(target, error, knots, train, rng, only))
    return laws if only else laws | {"window": WindowLaw.of(error[train])}


def _section(law: LevelLaw | WindowLaw, target: FloatArray) -> dict[str, object]:
    """The section `programming` of a profile: the law as it was fitted."""
    if isinstance(law, WindowLaw):
        sd = law.half / float(np.sqrt(3))
        return {"law": "uniform", "g_max": float(target.max()), "sd": [sd], "tilt": float(f"{law.tilt:.6g}")}
    rows = {name: [float(f"{value:.6g}") for value in row] for name, row in zip(NAMES, law.table, strict=True)}
    tails = rows if law.free == TAILED else {name: rows[name] for name in NAMES[:GAUSSIAN]}
    return {"law": "by-level", "levels": [float(f"{knot:.6g}") for knot in law.knots], **tails}
