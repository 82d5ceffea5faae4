"""Read noise from traces of repeated readings: a white part, a 1/f part and a drift, cell by cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from imssa_lab.contract.errors import DataError
from imssa_lab.contract.hal import BoolArray, FloatArray
from twin.fitting.fit_outcome import Curve, Outcome, Parameter, Remark
from twin.fitting.tables.measured_tables import Table, mostly_positive

READINGS_NEEDED = 100
_CELLS_FOR_SPREAD, _SPAN_FOR_EXPONENT = 5, 2.0
_REPLICATES = 100
_WEIGHT = 0.5
"""Frequencies count as f^-0.5: between equal ones, which would fit the white part alone, and equal octaves."""

_PART, _STRANGE, _ROUNDS = 0.02, 5.0, 20
"""Width of a part of the spectrum per reading; sd beyond which a part counts as interference."""


@dataclass(frozen=True)
class Trace:
    """One cell's noise.

    Attributes:
        mean: S. white: sd of the white part of one reading, S. flicker: sd per square root of an e-fold of
            frequency, S: the one-sided spectrum is flicker^2/f. walk: sd of a random walk's step from reading to
            reading, S. drift: S over the whole trace, by the straight line.
        white_range, flicker_range: 90 % intervals.
        plateau: sd of a white noise as strong as the upper half of the spectrum, 1/f part included, S.
        humps: frequencies per reading of interference, in parts of the spectrum that were left out.
    """

    mean: float
    white: float
    flicker: float
    walk: float
    drift: float
    white_range: tuple[float, float]
    flicker_range: tuple[float, float]
    plateau: float
    humps: tuple[float, ...] = ()
    drift_per_reading: float = 0.0

    @property
    def floor(self) -> float:
        """Allan deviation that averaging does not go below: sqrt(2 ln 2) flicker, S."""
        return float(np.sqrt(2 * np.log(2)) * self.flicker)

    def allan(self, lengths: FloatArray) -> FloatArray:
        """Allan deviation in S of means of so many readings, as these parts make it."""
        walk, drift = self.walk**2 * lengths / 3, 0.5 * (self.drift_per_reading * lengths) ** 2
        return np.asarray(np.sqrt(self.white**2 / lengths + self.floor**2 + walk + drift))


def fit_read_noise(table: Table, rng: np.random.Generator, *, interval: float | None = None) -> Outcome:
    """Fit the noise of every cell of a table, and the population of cells where there are enough.

    Args:
        table: conductance, and time (s) or read; cell where there is more than one.
        interval: s between readings where the table has no times.

    Raises:
        DataError: too few readings, or all the same.
    """
    outcome = Outcome("read noise", remarks=[*table.remarks, *mostly_positive(table, "conductance")])
    cells = table["cell"] if "cell" in table else np.zeros(table.size)
    traces, curves = [], []
    for cell in np.unique(cells):
        rows = table.take(cells == cell)
        values, step = _in_order(rows, interval, outcome)
        if values.size < READINGS_NEEDED:
            outcome.remarks.append(Remark(f"cell {cell:g} has {values.size} readings, {READINGS_NEEDED} are needed"))
            continue
        if values.mean() <= 0:
            below = rows.numbers(rows["conductance"] <= 0)
            outcome.remarks.append(Remark(f"cell {cell:g} has a mean that is not above zero: left out", below))
            continue
        trace = fit_trace(values, rng)
        traces.append(trace)
        if trace.humps:
            span = f"{min(trace.humps) / step:.3g} to {max(trace.humps) / step:.3g}"
            unit = "Hz" if "time" in rows or interval is not None else "per reading"
            outcome.remarks.append(Remark(f"cell {cell:g}: interference at {span} {unit}, left out of the fit"))
        curves.append(_allan_curve(f"cell {cell:g}, {1e6 * trace.mean:.1f} uS", values, trace))
        _jumps(rows, values, cell, outcome)
    if not traces:
        raise DataError(f"{table.source}: no cell has {READINGS_NEEDED} readings; read noise needs longer traces")
    outcome.curves.extend(curves[:12])
    timed = "time" in table or interval is not None
    _population(traces, outcome, step if timed else None, values.size)
    if not timed:
        outcome.undetermined.append("time constants of the 1/f part: readings have no times; give --read-interval")
    outcome.undetermined.append("drift: it is in this report, a profile has no drift of a cell at rest")
    outcome.undetermined.append("telegraph noise: jumps are named above where there are, dwell times are not fitted")
    return outcome


def fit_trace(values: FloatArray, rng: np.random.Generator) -> Trace:
    """White, 1/f and random-walk parts of equally spaced readings (n,), S, by Whittle's likelihood.

    The straight line through the readings is taken away first. Intervals are those of a bootstrap of the periodogram.

    Raises:
        DataError: the readings are all the same.
    """
    n = values.size
    place = np.arange(n) - 0.5 * (n - 1)
    slope = float(place @ values / (place @ place))
    left = values - values.mean() - slope * place
    unit = float(left.std())
    if not unit > 0:
        raise DataError("all readings are the same; read noise cannot be fitted to them")
    power = 2 * np.abs(np.fft.rfft(left / unit)[1 : (n - 1) // 2 + 1]) ** 2 / n
    frequency = np.arange(1, power.size + 1) / n
    basis = np.stack([np.full(frequency.size, 2.0), 1 / frequency, 1 / frequency**2])
    best, used = _without_humps(basis, power, frequency)
    humps = tuple(float(f) for f in frequency[~used])
    plateau = unit * np.sqrt(0.5 * power[used & (frequency > 0.25)].mean())
    basis, weight = basis[:, used], frequency[used] ** -_WEIGHT
    model = np.exp(best) @ basis
    draws = np.array(
        [_whittle(basis, model * rng.exponential(size=model.size), weight, best) for _ in range(_REPLICATES)]
    )
    white, flicker, walk = unit * np.exp(0.5 * best)
    low, high = unit * np.exp(0.5 * np.quantile(draws[:, :2], [0.05, 0.95], axis=0))
    return Trace(
        mean=float(values.mean()),
        white=float(white),
        flicker=float(flicker),
        walk=float(walk * np.sqrt(2) * np.pi),
        drift=slope * (n - 1),
        white_range=(float(low[0]), float(high[0])),
        flicker_range=(float(low[1]), float(high[1])),
        plateau=float(plateau),
        humps=humps,
        drift_per_reading=slope,
    )


def _without_humps(basis: FloatArray, power: FloatArray, frequency: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Ln weights of the parts, and the frequencies used: those of interference, as from the mains, are left out."""
    used, part = np.ones(power.size, dtype=np.bool_), (frequency / _PART).astype(int)
    best = np.log([0.5, 0.05, 1e-6])
    for _ in range(_ROUNDS):
        best = _whittle(basis[:, used], power[used], frequency[used] ** -_WEIGHT, best)
        excess = np.bincount(part, power / (np.exp(best) @ basis)) / np.maximum(np.bincount(part), 1)
        strange = excess > 1 + _STRANGE / np.sqrt(np.maximum(np.bincount(part), 1))
        found = used & ~(strange & (np.arange(strange.size) > 1))[part]
        if np.array_equal(found, used) or found.sum() < 0.5 * power.size:
            break
        used = found
    return best, used


def allan_deviation(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Averaging lengths (readings) and Allan deviations of readings (n,), overlapping."""
    sums = np.concatenate([[0.0], np.cumsum(values - values.mean())])
    lengths = np.unique(np.round(np.geomspace(1, values.size // 4, 25)).astype(int))
    found = []
    for m in lengths:
        means = (sums[m:] - sums[:-m]) / m
        found.append(np.sqrt(0.5 * np.mean((means[m:] - means[:-m]) ** 2)))
    return lengths.astype(np.float64), np.asarray(found)


def _whittle(basis: FloatArray, power: FloatArray, weight: FloatArray, start: FloatArray) -> FloatArray:
    """Ln weights of the parts of the spectrum that make this periodogram likeliest, frequencies weighted."""
    share = weight * power.size / weight.sum()

    def loss(x: FloatArray) -> tuple[float, FloatArray]:
        parts = np.exp(x)[:, np.newaxis] * basis
        model = parts.sum(axis=0)
        ratio = power / model
        return float(share @ (np.log(model) + ratio)), np.asarray(parts @ (share * (1 - ratio) / model))

    bounds = [(-30.0, 5.0), (-30.0, 5.0), (-30.0, 0.0)]
    return np.asarray(optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x)


def _in_order(rows: Table, interval: float | None, outcome: Outcome) -> tuple[FloatArray, float]:
    """Readings in order of time and the step between them, s (1 where there are no times)."""
    by = next((role for role in ("time", "read") if role in rows), None)
    if by is None:
        return rows["conductance"], interval or 1.0
    backwards = np.diff(rows[by], prepend=rows[by][0]) < 0
    if backwards.any():
        what = {"time": "times", "read": "numbers of readings"}[by]
        outcome.remarks.append(Remark(f"{what} out of order: readings were sorted", rows.numbers(backwards)))
    order = np.argsort(rows[by], kind="stable")
    if by == "read":
        return rows["conductance"][order], interval or 1.0
    steps = np.diff(rows["time"][order])
    step = float(np.median(steps)) if steps.size else 1.0
    gaps = steps > 3 * step
    if gaps.any():
        at = rows.rows[order][1:][gaps]
        outcome.remarks.append(
            Remark("pauses of more than three steps, taken as none", tuple(int(row) for row in at))
        )
    return rows["conductance"][order], step


def _jumps(rows: Table, values: FloatArray, cell: float, outcome: Outcome) -> None:
    """Readings that a Gaussian would hardly give: telegraph noise or disturbance; they stay in the fit."""
    centre = np.median(values)
    spread = 0.5 * float(np.diff(np.quantile(values, [0.1587, 0.8413]))[0])
    far = np.abs(values - centre) > 6 * spread
    if far.any():
        what = f"cell {cell:g}: {far.sum()} readings beyond 6 robust sd, as of telegraph noise; kept"
        outcome.remarks.append(Remark(what, tuple(int(row) for row in rows.rows[far])))


def _allan_curve(title: str, values: FloatArray, trace: Trace) -> Curve:
    lengths, deviation = allan_deviation(values)
    law = 1e6 * trace.allan(lengths)
    return Curve(title, lengths, 1e6 * deviation, "readings averaged", "Allan deviation (uS)", fitted=law, log=True)


def _population(traces: list[Trace], outcome: Outcome, step: float | None, readings: int) -> None:
    """The section `read_noise`, and what a population of this size says of it."""
    mean, white, flicker = (np.array([getattr(t, name) for t in traces]) for name in ("mean", "white", "flicker"))
    reference, exponent, spread, flicker_spread = float(np.median(mean)), 0.0, 0.0, 0.0
    enough = len(traces) >= _CELLS_FOR_SPREAD
    if enough and mean.max() / mean.min() >= _SPAN_FOR_EXPONENT:
        line = stats.theilslopes(np.log(white), np.log(mean / reference))
        outcome.parameters.append(
            Parameter("exponent of the white sd", line.slope, line.low_slope, line.high_slope, "1")
        )
        exponent = max(float(line.slope), 0.0)
        if line.slope < 0:
            outcome.remarks.append(
                Remark("white noise falls with conductance here; the profile takes it as constant")
            )
    else:
        outcome.undetermined.append("how read noise grows with conductance: too few cells or all at one level")
    at_reference = white / (mean / reference) ** exponent
    if enough:
        spread, flicker_spread = float(np.log(at_reference).std(ddof=1)), float(np.log(flicker).std(ddof=1))
    else:
        outcome.undetermined.append(
            f"spread from cell to cell: {len(traces)} cell(s), {_CELLS_FOR_SPREAD} are needed"
        )
    median = float(np.median(at_reference))
    section: dict[str, object] = {
        "reference": reference,
        "sd_median": median,
        "sd_spread": spread,
        "exponent": exponent,
    }
    if step is not None:
        section["flicker"] = {
            "sd": float(np.median(flicker)),
            "spread": flicker_spread,
            "exponent": exponent,
            "fastest": step,
            "resolved": step,
            "slowest": step * readings,
        }
    outcome.sections["read_noise"] = section
    for i, trace in enumerate(traces[:32]):
        name = f"trace {i} at {1e6 * trace.mean:.1f} uS: "
        outcome.parameters.append(Parameter(name + "white sd", trace.white, *trace.white_range, "S"))
        outcome.parameters.append(Parameter(name + "1/f sd", trace.flicker, *trace.flicker_range, "S"))
    first = traces[0]
    outcome.facts |= {
        "cells": str(len(traces)),
        "white sd, median": f"{1e6 * float(np.median(white)):.3g} uS",
        "upper half of the spectrum as white sd, median": f"{1e6 * np.median([t.plateau for t in traces]):.3g} uS",
        "1/f floor (Allan deviation), median": f"{1e6 * float(np.median([t.floor for t in traces])):.3g} uS",
        "Allan deviation over 100 readings, median": (
            f"{1e6 * float(np.median([t.allan(np.array([100.0]))[0] for t in traces])):.3g} uS, by the fit"
        ),
        "drift over the first trace": f"{1e6 * first.drift:+.3g} uS",
    }
