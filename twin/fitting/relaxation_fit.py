"""Relaxation by level and time: the profile section `relaxation` from cells that were read again after a while."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.errors import DataError
from imssa_lab.contract.hal import BoolArray, FloatArray
from twin.fitting.fit_outcome import Outcome, Remark
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
from twin.fitting.movements import Followed, fit_movements
from twin.fitting.tables.measured_tables import Table, positive
from twin.fitting.tailed_law import NAMES, LevelLaw, knots_for
from twin.relaxation import LogTimeRelaxation, displacement

KNEE = 1.0
"""Falls are exponential in D/G0 from the start: measured tails towards low conductance are, and none reaches zero."""

_MOST_TIMES = 24


def fit_relaxation(
    table: Table,
    rng: np.random.Generator,
    *,
    model: str = "",
    crossed: bool = False,
    broken_at: tuple[float, ...] = (),
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Outcome:
    """Fit half of the cells, test on the other half.

    Args:
        table: cell, time (s since programming), conductance, and initial, or rows at time 0 instead.
        model: "gaussian" or "tailed"; "" lets unused cells decide.
        crossed: fit each half and judge it by the law of the other, so that every cell is an unused one; the
            section is that of the first half either way.
        broken_at: times (s) that are no continuation of the trajectories before them: used as a marginal only.
        progress: called with the number of times of all halves that are fitted.

    Raises:
        DataError: a column is missing, too few cells, negative times, or nothing measured after time 0.
    """
    table = _with_initial(positive(table, "conductance"))
    negative = table["time"] < 0
    if negative.any():
        raise DataError(
            f"{table.source}: negative times, first in row {table.numbers(negative)[0]}; "
            "time counts from the end of programming"
        )
    table = positive(table.take(table["time"] > 0), "initial")
    need_cells(table, "relaxation")
    outcome = Outcome("relaxation", remarks=list(table.remarks))
    outcome.remarks.extend(_order(table))
    names = named_levels(table, "initial")
    outcome.remarks.extend(thin_levels(table, names))
    table, times = _rounded_times(table, outcome)
    train = half_of(table["cell"], rng)
    displaced = displacement(table["initial"], table["conductance"], KNEE)
    knots = knots_for(table["initial"][table["time"] == times[0]] if times.size else table["initial"], 240)
    halves = [train, ~train] if crossed else [train]
    fitted = [
        _fit_times(table, displaced, knots, times, half, rng, model, partial(_tell, progress, number, len(halves)))
        for number, half in enumerate(halves)
    ]
    held_out = {name: float(np.mean([part.held_out[name] for part in fitted])) for name in fitted[0].held_out}
    chosen = choose(held_out, outcome)
    _judge(table, displaced, names, times, halves, [part.laws[chosen] for part in fitted], outcome)
    laws = fitted[0].laws[chosen]
    make = partial(_section, laws, knots, times, chosen)
    section = fit_movements(Followed(table, displaced, laws, times, train), broken_at, make, outcome, rng)
    outcome.sections["relaxation"] = section.model_dump(exclude_unset=True)
    outcome.sections["window"] = {"low": float(table["initial"].min()), "high": float(table["initial"].max())}
    for time, law in zip(times, laws, strict=True):
        outcome.parameters.extend(law_parameters(law, f"{time:g} s: "))
        if not law.converged:
            outcome.remarks.append(Remark(f"the fit at {time:g} s stopped before its optimum"))
    outcome.undetermined.append(
        "read noise: each time was read once, so the noise of both readings is part of the core; "
        "leave read noise out of the profile, or take the core of the first time as its measure"
    )
    outcome.undetermined.append(
        f"anything before {times[0]:g} s and after {times[-1]:g} s: the law is extrapolated, unproven"
    )
    outcome.facts |= {
        "cells": str(np.unique(table["cell"]).size),
        "cells fitted": str(np.unique(table["cell"][train]).size),
        "times": ", ".join(f"{time:g}" for time in times) + " s",
        "tested": "each half by the law of the other" if crossed else "the half that was not fitted",
        "worst group": worst(outcome.groups),
    }
    return outcome


def _tell(progress: Callable[[str, int, int], None], half: int, halves: int, done: int, times: int) -> None:
    progress("fit relaxation", half * times + done, halves * times)


class _Half:
    """The laws of every model, fitted to one half, and how likely they make the other."""

    def __init__(self) -> None:
        self.laws: dict[str, list[LevelLaw]] = {}
        self.held_out: dict[str, float] = {}


def _fit_times(
    table: Table,
    displaced: FloatArray,
    knots: FloatArray,
    times: FloatArray,
    train: BoolArray,
    rng: np.random.Generator,
    model: str,
    tell: Callable[[int, int], None],
) -> _Half:
    half, likelihood, cells = _Half(), dict[str, float](), 0
    for done, time in enumerate(times):
        tell(done, times.size)
        at = table["time"] == time
        start, moved = table["initial"][at], displaced[at]
        if train[at].sum() < 2 * knots.size or (~train[at]).sum() < 2:
            raise DataError(
                f"{table.source}: {at.sum()} cells at {time:g} s are too few for {knots.size} levels; "
                "measure more cells, or leave the time out with --keep time=LOW:HIGH"
            )
        laws = fit_models(start, moved, knots, train[at], rng, model)
        tested = int((~train[at]).sum())
        cells += tested
        for name, law in laws.items():
            half.laws.setdefault(name, []).append(law)
            gained = law.log_likelihood(start[~train[at]], moved[~train[at]])
            likelihood[name] = likelihood.get(name, 0.0) + tested * gained
    half.held_out = {name: value / cells for name, value in likelihood.items()}
    return half


def _judge(
    table: Table,
    displaced: FloatArray,
    names: FloatArray,
    times: FloatArray,
    halves: list[BoolArray],
    laws: list[list[LevelLaw]],
    outcome: Outcome,
) -> None:
    bands = bands_of(names)
    for i, time in enumerate(times):
        probability = np.full(table.size, np.nan)
        for train, half in zip(halves, laws, strict=True):
            test = (table["time"] == time) & ~train
            probability[test] = half[i].probability(table["initial"][test], displaced[test])
        tested = np.isfinite(probability)
        judge_levels(
            names[tested], float(time), probability[tested], outcome, None if bands is None else bands[tested]
        )
        outcome.curves.append(quantile_curve(f"relaxation after {time:g} s", probability[tested]))
        far = tested & ((probability < 1e-4) | (probability > 1 - 1e-4))
        expected = 2e-4 * tested.sum()
        if far.sum() > expected + 4 * np.sqrt(expected) + 4:
            outcome.remarks.append(
                Remark(
                    f"{far.sum()} cells moved further in {time:g} s than one in 5,000 should "
                    f"({expected:.1f} expected): failures that the tails do not hold, kept in every test",
                    table.numbers(far),
                )
            )


def _section(
    laws: list[LevelLaw], knots: FloatArray, times: FloatArray, chosen: str, movement: dict[str, Any]
) -> LogTimeRelaxation:
    tables = {
        name: tuple(tuple(float(f"{value:.6g}") for value in law.table[i]) for law in laws)
        for i, name in enumerate(NAMES)
    }
    tails = {name: tables[name] for name in NAMES[2:]} if chosen == "tailed" else {}
    return LogTimeRelaxation.model_validate(
        {
            "kind": "log-time",
            "t0": float(times[0]) / 10,
            "levels": tuple(float(f"{knot:.6g}") for knot in knots),
            "times": tuple(float(time) for time in times),
            "shift": tables["shift"],
            "core": tables["core"],
            **tails,
            **movement,
            "knee": KNEE,
        }
    )


def _with_initial(table: Table) -> Table:
    """The table with the conductance at time 0 of every cell as `initial`, where it has no such column."""
    if "initial" in table:
        return table
    begin = table["time"] == 0
    cells, first = np.unique(table["cell"][begin], return_index=True)
    if cells.size == 0:
        raise DataError(
            f"{table.source}: no column for 'initial' and no rows at time 0; give one with --column initial="
        )
    place = np.clip(np.searchsorted(cells, table["cell"]), 0, cells.size - 1)
    known = cells[place] == table["cell"]
    if not known.all():
        table.remarks.append(Remark("cells without a row at time 0: left out", table.numbers(~known)))
    initial = table["conductance"][begin][first][place]
    return replace(table, columns={**table.columns, "initial": initial}).take(known)


def _order(table: Table) -> list[Remark]:
    """Remarks on rows of a cell that go back in time or come twice."""
    order = np.argsort(table["cell"], kind="stable")
    same = np.diff(table["cell"][order]) == 0
    step = np.diff(table["time"][order])
    remarks = []
    for what, wrong in (("times out of order within a cell", step < 0), ("a cell twice at the same time", step == 0)):
        rows = table.rows[order[1:][same & wrong]]
        if rows.size:
            remarks.append(Remark(what, tuple(int(row) for row in np.sort(rows))))
    return remarks


def _rounded_times(table: Table, outcome: Outcome) -> tuple[Table, FloatArray]:
    """Times as they are where they are few, else put together to four a decade."""
    times = np.unique(table["time"])
    if times.size <= _MOST_TIMES:
        return table, times
    step: NDArray[np.float64] = np.round(4 * np.log10(table["time"])) / 4
    rounded = np.asarray(10.0**step)
    outcome.remarks.append(
        Remark(f"{times.size} different times were put together to four a decade; name the nominal ones if there are")
    )
    return replace(table, columns={**table.columns, "time": rounded}), np.unique(rounded)
