"""Programming error by level: how far from their targets cells were left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

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
from twin.fitting.tailed_law import LevelLaw, knots_for
from twin.relaxation import tailed

_DEGREE = 2


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
        raise DataError(f"{table.source}: {Remark('negative targets', table.numbers(wrong))}; turn the sign")
    outcome = Outcome("programming error", remarks=[*table.remarks, *mostly_positive(table, "conductance")])
    names = named_levels(table, "target")
    outcome.remarks.extend(thin_levels(table, names))
    target, error = table["target"], table["conductance"] - table["target"]
    train = half_of(table["cell"], rng)
    knots = knots_for(target, 250)
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
    probability = np.empty_like(error)
    for laws, test in zip(halves, tests, strict=True):
        probability[test] = laws[chosen].probability(target[test], error[test])
    judge_levels(names, None, probability, outcome, bands_of(names))
    outcome.curves.append(quantile_curve("programming error", probability))
    law = halves[0][chosen]
    if isinstance(law, WindowLaw):
        outcome.parameters.append(Parameter("half width of the window", law.half, law.low, law.high, "S"))
        outcome.sections["programming"] = law.section(float(target.max()))
    else:
        outcome.parameters.extend(law_parameters(law, ""))
        outcome.sections["programming"] = _section(law, target)
    outcome.sections["window"] = {"low": max(float(target.min()), 0.0), "high": float(target.max())}
    outcome.facts |= {
        "cells": str(np.unique(table["cell"]).size),
        "cells fitted": str(np.unique(table["cell"][train]).size),
        "tested": "each half by the law of the other",
        "mean error": f"{1e6 * error.mean():+.2f} uS",
        "sd": f"{1e6 * error.std():.2f} uS",
        "robust sd": f"{5e5 * float(np.diff(np.quantile(error, [0.1587, 0.8413]))[0]):.2f} uS",
        "worst group": worst(outcome.groups),
    }
    if chosen == "tailed" or abs(error.mean()) > 0.1 * error.std():
        outcome.undetermined.append(
            "the profile's section `programming` holds an sd by level only: the mean error and the tails found here "
            "are in this report and not in the profile"
        )
    outcome.undetermined.append(
        "how much of the error is relaxation and read noise: one reading at one time cannot part them"
    )
    return outcome


@dataclass(frozen=True)
class WindowLaw:
    """The residue of an acceptance window: errors uniform within +- half (S), a share `beyond` of them outside.

    `low` and `high` are the ends of the 90 % interval of `half`.
    """

    half: float
    low: float
    high: float
    beyond: float = 0.01

    @classmethod
    def of(cls, error: FloatArray) -> WindowLaw:
        """The narrowest window that holds all but one in a hundred of the errors (n,).

        The largest of n uniform values lies below the edge by a factor u^(1/n): so the interval.
        """
        size = np.abs(error)
        largest = float(np.sort(size)[int(np.ceil(0.99 * size.size)) - 1])
        half = largest * (1 + 1 / size.size)
        return cls(half, largest, largest * 0.05 ** (-1 / size.size))

    def log_likelihood(self, level: FloatArray, error: FloatArray) -> float:
        """Mean ln density of the errors, per S."""
        inside = np.abs(error) <= self.half
        outer = -0.5 * (error / self.half) ** 2 - np.log(self.half * np.sqrt(2 * np.pi)) + np.log(self.beyond)
        return float(
            np.mean(np.logaddexp(outer, np.where(inside, np.log((1 - self.beyond) / (2 * self.half)), -np.inf)))
        )

    def probability(self, level: FloatArray, error: FloatArray) -> FloatArray:
        """Where in this law each error lies, between 0 and 1."""
        inner = np.clip(0.5 + 0.5 * error / self.half, 0.0, 1.0)
        return np.asarray((1 - self.beyond) * inner + self.beyond * ndtr(error / self.half))

    def section(self, largest: float) -> dict[str, object]:
        """The section `programming` of a profile."""
        return {"law": "uniform", "g_max": largest, "sd": [self.half / float(np.sqrt(3))]}


def _models(
    target: FloatArray, error: FloatArray, knots: FloatArray, train: BoolArray, rng: np.random.Generator, only: str
) -> dict[str, LevelLaw | WindowLaw]:
    laws: dict[str, LevelLaw | WindowLaw] = dict(fit_models(target, error, knots, train, rng, only))
    return laws if only else laws | {"window": WindowLaw.of(error[train])}


def _section(law: LevelLaw, target: FloatArray) -> dict[str, object]:
    """Sd by level as a polynomial of the level over the largest one."""
    z = np.linspace(-4, 4, 2001)
    weight = np.exp(-0.5 * z**2)
    levels = np.linspace(target.min(), target.max(), 41) if np.ptp(target) > 0 else target[:1]
    sds = []
    for column in law.parameters(levels).T:
        shift, core, *tails = (np.full(1, value) for value in column)
        drawn = tailed(z, shift, core, tuple(tails))
        mean = np.average(drawn, weights=weight)
        sds.append(float(np.sqrt(np.average((drawn - mean) ** 2, weights=weight))))
    top = float(target.max())
    degree = min(_DEGREE, law.knots.size - 1)
    fitted = np.polynomial.polynomial.polyfit(levels / top, sds, degree)
    return {"law": "normal", "g_max": top, "sd": [float(f"{value:.6g}") for value in np.atleast_1d(fitted)]}
