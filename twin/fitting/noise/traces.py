"""The noise of single cells: white, 1/f and random-walk parts of a trace, and how well each is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imssa_lab.contract.errors import DataError
from imssa_lab.contract.hal import BoolArray, FloatArray
from twin.fitting.noise.spectra import (
    Spectra,
    adjacent_gain,
    fit_parts,
    full_model,
    inflation,
    lines_of,
    short_time,
    spectra_of,
)

SHOWN = 32
"""Cells of which each part is reported with its interval."""

START = np.log([0.5, 0.05, 1e-6])
_DROP_90 = 1.353
"""Drop of the ln likelihood at the ends of a 90 % interval: half of the chi-squared quantile."""

_FOOT, _HALVINGS = 1e-3, 14
"""Where a part is as good as absent, of the sd of adjacent differences; halvings that find the end of an interval."""


@dataclass(frozen=True)
class Trace:
    """One cell's noise.

    Attributes:
        mean: S. short: sd of adjacent differences over sqrt(2), S: all that differs from reading to reading;
            short_error: standard error of its ln. white: sd of the white part of one reading, S. flicker: sd per
            square root of an e-fold of frequency, S: the one-sided spectrum is flicker^2/f. walk: sd of a random
            walk's step from reading to reading, S. drift: S over the whole trace, by the straight line.
        white_range, flicker_range: 90 % intervals by profile likelihood; the lower end is 0 where the part may as
            well be absent: the upper one is a limit then, and the part itself says nothing.
        plateau: sd of a white noise as strong as the upper half of the spectrum, 1/f part included, S.
        lines: (frequency per reading, sd in S) of interference that was left out, the strongest first.
    """

    mean: float
    short: float
    short_error: float
    white: float
    flicker: float
    walk: float
    drift: float
    white_range: tuple[float, float]
    flicker_range: tuple[float, float]
    plateau: float
    lines: tuple[tuple[float, float], ...] = ()
    drift_per_reading: float = 0.0

    @property
    def floor(self) -> float:
        """Allan deviation that averaging does not go below: sqrt(2 ln 2) flicker, S."""
        return float(np.sqrt(2 * np.log(2)) * self.flicker)

    def allan(self, lengths: FloatArray) -> FloatArray:
        """Allan deviation in S of means of so many readings, as these parts make it."""
        walk, drift = self.walk**2 * lengths / 3, 0.5 * (self.drift_per_reading * lengths) ** 2
        return np.asarray(np.sqrt(self.white**2 / lengths + self.floor**2 + walk + drift))


def fit_trace(values: FloatArray) -> Trace:
    """The parts of one trace of equally spaced readings (n,), S.

    Raises:
        DataError: the readings are all the same.
    """
    return fit_traces(values[np.newaxis])[1][0]


def fit_traces(values: FloatArray) -> tuple[Spectra, list[Trace]]:
    """The parts of traces of equally spaced readings (cells, n), S, cell by cell.

    White, 1/f and random walk by Whittle's likelihood, after the straight line through the readings. Intervals are
    those of the profile likelihood, of the first `SHOWN` cells; of others they are NaN.

    Raises:
        DataError: the readings of a cell are all the same.
    """
    same = np.ptp(values, axis=1) == 0
    if same.any():
        raise DataError("all readings are the same; read noise cannot be fitted to them")
    spectra = spectra_of(values)
    x, _ = fit_parts(spectra, spectra.basis, np.tile(START, (len(values), 1)))
    n = values.shape[1]
    model = full_model(spectra, x)
    short, error = short_time(spectra, model)
    parts = spectra.unit[:, np.newaxis] * np.exp(0.5 * x)
    upper = spectra.used & (spectra.frequency > 0.25)
    plateau = spectra.unit * np.sqrt(0.5 * (spectra.full * upper).sum(axis=1) / np.maximum(upper.sum(axis=1), 1))
    place = np.arange(n) - 0.5 * (n - 1)
    slope = values @ place / (place @ place)
    ranges = _ranges(spectra.take(np.arange(len(values)) < SHOWN), x[:SHOWN], short[:SHOWN])
    found = []
    for i in range(len(values)):
        white_range, flicker_range = ranges[i] if i < SHOWN else ((np.nan, np.nan), (np.nan, np.nan))
        found.append(
            Trace(
                mean=float(values[i].mean()),
                short=float(short[i]),
                short_error=float(error[i]),
                white=float(parts[i, 0]),
                flicker=float(parts[i, 1]),
                walk=float(parts[i, 2] * np.sqrt(2) * np.pi),
                drift=float(slope[i] * (n - 1)),
                white_range=white_range,
                flicker_range=flicker_range,
                plateau=float(plateau[i]),
                lines=tuple(lines_of(spectra, model[i], i)),
                drift_per_reading=float(slope[i]),
            )
        )
    return spectra, found


def allan_deviation(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Averaging lengths (readings) and Allan deviations of readings (n,), overlapping."""
    sums = np.concatenate([[0.0], np.cumsum(values - values.mean())])
    lengths = np.unique(np.round(np.geomspace(1, values.size // 4, 25)).astype(int))
    found = []
    for m in lengths:
        means = (sums[m:] - sums[:-m]) / m
        found.append(np.sqrt(0.5 * np.mean((means[m:] - means[:-m]) ** 2)))
    return lengths.astype(np.float64), np.asarray(found)


def _ranges(
    spectra: Spectra, best: FloatArray, short: FloatArray
) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """90 % intervals of the white and of the 1/f sd of each cell, S, by bisection of the profile likelihood."""
    found = []
    for part, gain in ((0, 1.0), (1, adjacent_gain(1.0))):
        most = np.log(3.0 * short / np.sqrt(gain) / spectra.unit) + 1.0
        foot = np.log(_FOOT * short / spectra.unit)
        middle = np.clip(0.5 * best[:, part], foot, most)
        low, nothing = _end(spectra, best, part, middle, foot)
        high, _ = _end(spectra, best, part, middle, most)
        ends = spectra.unit * np.where(nothing, 0.0, np.exp(low)), spectra.unit * np.exp(high)
        found.append([(float(a), float(b)) for a, b in zip(*ends, strict=True)])
    return list(zip(*found, strict=True))


def _end(
    spectra: Spectra, best: FloatArray, part: int, inside: FloatArray, outside: FloatArray
) -> tuple[FloatArray, BoolArray]:
    """Ln sd of a part where the profile likelihood has dropped, between two; whether it has not at the last."""
    others = [i for i in range(3) if i != part]
    basis = spectra.basis
    scale = inflation(spectra, np.exp(best) @ basis, basis[part])
    at = best[:, others]

    def drop(log_sd: FloatArray, start: FloatArray) -> tuple[FloatArray, FloatArray]:
        fixed = np.exp(2 * log_sd)[:, np.newaxis] * basis[part]
        x, loss = fit_parts(spectra, basis[others], start, fixed)
        return loss / scale, x

    least = drop(inside, at)[0]
    never = drop(outside, at)[0] - least <= _DROP_90
    near, far = inside.copy(), outside.copy()
    for _ in range(_HALVINGS):
        middle = 0.5 * (near + far)
        loss, at = drop(middle, at)
        within = loss - least <= _DROP_90
        near, far = np.where(within, middle, near), np.where(within, far, middle)
    return 0.5 * (near + far), np.asarray(never)
