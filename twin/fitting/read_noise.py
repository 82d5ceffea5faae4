"""Read noise from traces of repeated readings: its size, its spread over cells, its white and 1/f parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.errors import DataError
from imssa_lab.contract.hal import BoolArray, FloatArray
from twin.fitting.fit_outcome import Curve, Outcome, Parameter, Remark
from twin.fitting.levels import half_of
from twin.fitting.noise.judgement import FEWEST_TO_JUDGE, checked, judge_noise, noise_groups
from twin.fitting.noise.population import (
    CELLS_FOR_SPREAD,
    SPAN_FOR_EXPONENT,
    Known,
    Mixture,
    Population,
    mixture_of,
    population_of,
    section_of,
)
from twin.fitting.noise.spectra import Spectra, full_model, without_lines
from twin.fitting.noise.telegraph import Switching, joined, switching_of
from twin.fitting.noise.traces import SHOWN, Trace, allan_deviation, fit_traces
from twin.fitting.noise.traps import Trapped
from twin.fitting.tables.measured_tables import Table, mostly_positive

READINGS_NEEDED = 100
"""Fewest readings of a cell, unless many cells are measured (`READINGS_OF_MANY`)."""
READINGS_OF_MANY = 40
_MANY = 20
_HALVES, _FOLDS = 40, 4


@dataclass(frozen=True)
class _Cells(FrozenArrays):
    """Cells with traces of one length: addresses, readings (cells, n) less telegraph noise, spectra and parts."""

    cell: FloatArray
    values: FloatArray
    spectra: Spectra
    traces: list[Trace]
    levels: Switching

    def take(self, chosen: BoolArray) -> _Cells:
        at = np.flatnonzero(chosen)
        some = [self.traces[i] for i in at]
        return _Cells(self.cell[at], self.values[at], self.spectra.take(at), some, self.levels.take(at))


def fit_read_noise(table: Table, rng: np.random.Generator, *, interval: float | None = None) -> Outcome:
    """Fit the noise of a population of cells and, if there are enough, test it on cells that were not fitted.

    Args:
        table: conductance, and time (s) or read; cell where there is more than one.
        interval: s between readings where the table has no times.

    Raises:
        DataError: too few readings, only equal ones, or cells too different to be of one population.
    """
    outcome = Outcome("read noise", remarks=[*table.remarks, *mostly_positive(table, "conductance")])
    timed = "time" in table or interval is not None
    groups, step = _traces(table, interval, outcome)
    cells = np.concatenate([group.cell for group in groups])
    train = np.ones(cells.size, dtype=np.bool_)
    if cells.size >= _HALVES:
        train = half_of(cells, rng)
    fitted = _chosen(groups, train)
    population, mixture = _law(fitted, table.source, rng)
    readings = max(group.values.shape[1] for group in groups)
    section, white = section_of(population, mixture, step if timed else None, readings)
    outcome.sections["read_noise"] = section
    _judge(groups, cells, train, step if timed else None, outcome, table.source, rng)
    means = np.concatenate([group.values.mean(axis=1) for group in groups])
    trapped = Trapped(cells, means, train, joined([group.levels for group in groups]))
    telegraph = trapped.fit(population.reference, step if timed else None, outcome)
    if telegraph is not None:
        section["telegraph"] = telegraph
    checked(section, table.source)
    _report(population, mixture, white, groups, step, timed, outcome)
    outcome.facts["cells fitted"] = str(int(train.sum()))
    return outcome


def _traces(table: Table, interval: float | None, outcome: Outcome) -> tuple[list[_Cells], float]:
    """Cells by the length of their traces, and the step between readings, s (1 without times)."""
    cells = table["cell"] if "cell" in table else np.zeros(table.size)
    order = np.argsort(cells, kind="stable")
    distinct, first = np.unique(cells[order], return_index=True)
    needed = READINGS_OF_MANY if distinct.size >= _MANY else READINGS_NEEDED
    by_length: dict[int, list[tuple[float, FloatArray]]] = {}
    steps: list[float] = []
    doubts: dict[str, list[int]] = {}
    short: list[float] = []
    for cell, rows in zip(distinct, np.split(order, first[1:]), strict=True):
        chosen = table.take(np.sort(rows))
        values, step = _in_order(chosen, interval, doubts)
        if values.size < needed:
            short.append(float(cell))
            continue
        if values.mean() <= 0:
            below = chosen.numbers(chosen["conductance"] <= 0)
            outcome.remarks.append(Remark(f"cell {cell:g} has a mean that is not above zero: left out", below))
            continue
        if np.ptp(values) == 0:
            outcome.remarks.append(
                Remark(f"cell {cell:g}: all readings are the same, left out", chosen.numbers(values == values[0]))
            )
            continue
        _jumps(chosen, values, float(cell), outcome)
        steps.append(step)
        by_length.setdefault(values.size, []).append((float(cell), values))
    if short:
        named = ", ".join(f"{cell:g}" for cell in short[:6]) + (" ..." if len(short) > 6 else "")
        outcome.remarks.append(Remark(f"{len(short)} cells ({named}) have fewer than {needed} readings: left out"))
    outcome.remarks.extend(Remark(what, tuple(rows)) for what, rows in doubts.items())
    if not by_length:
        raise DataError(f"{table.source}: no cell has {needed} readings that differ; read noise needs longer traces")
    if np.ptp(steps) > 0.2 * np.median(steps):
        outcome.remarks.append(
            Remark(f"intervals between readings differ from cell to cell; {np.median(steps):.3g} s is taken for all")
        )
    groups = []
    for found in by_length.values():
        values = np.stack([trace for _, trace in found])
        levels = switching_of(values)
        if "time" in table or interval is not None:  # else a profile cannot hold them, and they stay in the noise
            values = values - levels.offset
        spectra, traces = fit_traces(values)
        groups.append(_Cells(np.array([cell for cell, _ in found]), values, spectra, traces, levels))
    return groups, float(np.median(steps))


def _chosen(groups: list[_Cells], chosen: BoolArray) -> list[_Cells]:
    """Some of the cells, `chosen` over all groups in order."""
    ends = np.cumsum([group.cell.size for group in groups])
    parts = [group.take(part) for group, part in zip(groups, np.split(chosen, ends[:-1]), strict=True)]
    return [part for part in parts if part.cell.size]


def _law(groups: list[_Cells], source: str, rng: np.random.Generator) -> tuple[Population, Mixture]:
    traces = [trace for group in groups for trace in group.traces]
    return population_of(traces, source), mixture_of([group.spectra for group in groups], rng)


def _judge(
    groups: list[_Cells],
    cells: FloatArray,
    train: BoolArray,
    step: float | None,
    outcome: Outcome,
    source: str,
    rng: np.random.Generator,
) -> None:
    """Test every cell against twins of a law that was fitted without it, by halves, or by quarters of few cells."""
    if cells.size < FEWEST_TO_JUDGE:
        outcome.undetermined.append(
            f"whether other cells follow this law: {cells.size} cell(s) were measured, {FEWEST_TO_JUDGE} are needed"
        )
        outcome.facts["tested"] = "on no other cell"
        return
    if cells.size >= _HALVES:
        tests = [~train, train]
        outcome.facts["tested"] = "each half by twins of the law of the other"
    else:
        fold = rng.permutation(cells.size) % _FOLDS
        tests = [fold == k for k in range(_FOLDS)]
        outcome.facts["tested"] = "each quarter by twins of the law of the others; the profile holds the law of all"
    shortest = min(group.values.shape[1] for group in groups)
    readings = max(group.values.shape[1] for group in groups)
    probabilities: list[list[FloatArray]] = [[], []]
    means = []
    for number, test in enumerate(tests):
        law, mixture = _law(_chosen(groups, ~test), source, rng)
        noise = checked(section_of(law, mixture, step, readings)[0], source)
        for group in _chosen(groups, test):
            clean = without_lines(group.spectra, full_model(group.spectra, _ln_parts(group)), group.values)
            found, mean = judge_noise(noise, step, clean[:, :shortest], group.values.mean(axis=1), number)
            means.append(mean)
            for all_of, one in zip(probabilities, found, strict=True):
                all_of.append(one)
    outcome.groups.extend(noise_groups([np.concatenate(part) for part in probabilities], np.concatenate(means)))


def _ln_parts(group: _Cells) -> FloatArray:
    """Ln weights of white, 1/f and walk in units of each trace's own variance, (cells, 3)."""
    parts = np.array([[t.white, t.flicker, t.walk / (np.sqrt(2) * np.pi)] for t in group.traces])
    return np.asarray(2 * np.log(parts / group.spectra.unit[:, np.newaxis]))


def _in_order(rows: Table, interval: float | None, doubts: dict[str, list[int]]) -> tuple[FloatArray, float]:
    """Readings in order of time and the step between them, s (1 where there are no times)."""
    by = next((role for role in ("time", "read") if role in rows), None)
    if by is None:
        return rows["conductance"], interval or 1.0
    backwards = np.diff(rows[by], prepend=rows[by][0]) < 0
    if backwards.any():
        what = {"time": "times", "read": "numbers of readings"}[by]
        doubts.setdefault(f"{what} out of order: readings were sorted", []).extend(rows.numbers(backwards))
    order = np.argsort(rows[by], kind="stable")
    if by == "read":
        return rows["conductance"][order], interval or 1.0
    steps = np.diff(rows["time"][order])
    step = float(np.median(steps)) if steps.size else 1.0
    gaps = steps > 3 * step
    if gaps.any():
        at = rows.rows[order][1:][gaps]
        doubts.setdefault("pauses of more than three steps, taken as none", []).extend(int(row) for row in at)
    return rows["conductance"][order], step


def _jumps(rows: Table, values: FloatArray, cell: float, outcome: Outcome) -> None:
    """Report readings too far off for Gaussian noise: telegraph noise or a disturbance. They stay in the fit."""
    centre = np.median(values)
    spread = 0.5 * float(np.diff(np.quantile(values, [0.1587, 0.8413]))[0])
    far = np.abs(values - centre) > 6 * spread
    if far.any():
        what = f"cell {cell:g}: {far.sum()} readings beyond 6 robust sd, as of telegraph noise; kept"
        outcome.remarks.append(Remark(what, tuple(int(row) for row in rows.rows[far])))


def _report(
    population: Population,
    mixture: Mixture,
    white: float,
    groups: list[_Cells],
    step: float,
    timed: bool,
    outcome: Outcome,
) -> None:
    """Fill the outcome: parameters, curves, facts, and what these data cannot determine."""
    traces = [trace for group in groups for trace in group.traces]
    names = [cell for group in groups for cell in group.cell]
    outcome.parameters.append(_parameter("noise from reading to reading, median", population.median, "S"))
    outcome.parameters.append(_parameter("white share of its variance", mixture.share, "1"))
    if not mixture.fixed:
        outcome.parameters.append(_parameter("slope of the 1/f part", mixture.slope, "1"))
    elif mixture.slope.low == mixture.slope.low:
        text = f"a slope of the 1/f part other than 1: {mixture.slope.low:.2f} to {mixture.slope.high:.2f} do as well"
        outcome.undetermined.append(text)
    if population.exponent is not None:
        outcome.parameters.append(_parameter("exponent of the noise", population.exponent, "1"))
        if population.exponent.value < 0:
            outcome.remarks.append(Remark("noise falls with conductance here; the profile takes it as constant"))
    else:
        outcome.undetermined.append(
            f"how read noise grows with conductance: {CELLS_FOR_SPREAD} cells over a factor of "
            f"{SPAN_FOR_EXPONENT:g} are needed"
        )
    if population.spread is not None:
        outcome.parameters.append(_parameter("spread from cell to cell, sd of ln", population.spread, "1"))
        outcome.undetermined.append("cells noisier than twice the noisiest one measured: the profile has none")
    else:
        outcome.undetermined.append(f"spread from cell to cell: {len(traces)} cell(s), {CELLS_FOR_SPREAD} are needed")
    limits = 0
    for i, trace in enumerate(traces[:SHOWN]):
        name = f"trace {i} at {1e6 * trace.mean:.1f} uS: "
        for what, value, ends in (
            ("white sd", trace.white, trace.white_range),
            ("1/f sd", trace.flicker, trace.flicker_range),
        ):
            if np.isfinite(ends[1]):
                outcome.parameters.append(Parameter(name + what, value, *ends, "S", upper_limit=ends[0] == 0.0))
                limits += ends[0] == 0.0
    if limits:
        outcome.undetermined.append(
            f"{limits} parts of single traces: an upper limit is all that these know (at most, in the table)"
        )
    for cell, trace in zip(names, traces, strict=True):
        _interference(float(cell), trace, step, timed, outcome)
    for group in groups:
        for cell, values, trace in zip(group.cell, group.values, group.traces, strict=True):
            if len(outcome.curves) < 12:
                outcome.curves.append(_allan_curve(f"cell {cell:g}, {1e6 * trace.mean:.1f} uS", values, trace))
    if not timed:
        outcome.undetermined.append("time constants of the 1/f part: readings have no times; give --read-interval")
    outcome.undetermined.append("drift: it is in this report, a profile has no drift of a cell at rest")
    shares = [trace.white**2 / trace.short**2 for trace in traces]
    outcome.facts |= {
        "cells": str(len(traces)),
        "noise from reading to reading, median": _uS(np.median([t.short for t in traces])),
        "white sd, median": _uS(np.median([t.white for t in traces])),
        "white part of the law": _uS(white),
        "white share of single traces, 10 to 90 %": " to ".join(f"{x:.2f}" for x in np.quantile(shares, [0.1, 0.9])),
        "upper half of the spectrum as white sd, median": _uS(np.median([t.plateau for t in traces])),
        "1/f floor (Allan deviation), median": _uS(np.median([t.floor for t in traces])),
        "Allan deviation over 100 readings, median": (
            f"{_uS(np.median([t.allan(np.array([100.0]))[0] for t in traces]))}, by the fit"
        ),
        "drift over the first trace": f"{1e6 * traces[0].drift:+.3g} uS",
    }


def _interference(cell: float, trace: Trace, step: float, timed: bool, outcome: Outcome) -> None:
    """Report the spectral lines (interference) that were left out of the fit of a cell."""
    if not trace.lines:
        return
    unit = "Hz" if timed else "per reading"
    per = step if timed else 1.0
    named = ", ".join(f"{f / per:.4g} {unit} ({_uS(sd)} rms)" for f, sd in trace.lines[:4])
    more = f" and {len(trace.lines) - 4} more" if len(trace.lines) > 4 else ""
    aliased = "; frequencies above half the rate of the readings appear below it" if timed else ""
    outcome.remarks.append(Remark(f"cell {cell:g}: interference at {named}{more}, left out of the fit{aliased}"))


def _parameter(name: str, known: Known, unit: str) -> Parameter:
    return Parameter(name, known.value, known.low, known.high, unit)


def _uS(value: float | np.floating) -> str:  # noqa: N802 - the unit's own name
    return f"{1e6 * float(value):.3g} uS"


def _allan_curve(title: str, values: FloatArray, trace: Trace) -> Curve:
    lengths, deviation = allan_deviation(values)
    law = 1e6 * trace.allan(lengths)
    return Curve(title, lengths, 1e6 * deviation, "readings averaged", "Allan deviation (uS)", fitted=law, log=True)
