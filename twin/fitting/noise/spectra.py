"""Spectra of traces as sums of a white, a 1/f and a random-walk part, many cells at once (Whittle's likelihood)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.hal import BoolArray, FloatArray

_WEIGHT = 0.5
"""Frequencies count as f^-0.5: between equal ones, which would fit the white part alone, and equal octaves."""

_PART, _STRANGE, _ROUNDS = 0.02, 5.0, 8
"""Width of a part of the spectrum per reading; sd beyond which a part counts as interference."""

_LINE, _LOWEST_LINE = 9.0, 10
"""How far, in units of the fitted spectrum and beyond the largest by chance, a single frequency is a line; the lowest
frequencies, where drift is, hold none."""

_PER_OCTAVE = 6
_EXACT = 512
"""Readings for which the mean periodogram is worked out; that of longer traces differs from the spectrum no more."""

_LEAST, _MOST = -30.0, 8.0
_STEPS, _GAIN = 80, 1e-7


@dataclass(frozen=True)
class Spectra(FrozenArrays):
    """Periodograms of traces of one length, in bins of frequency.

    Attributes:
        unit: S, sd of each trace about its straight line, (cells,); powers are in units of its square.
        power: one-sided, per reading, (cells, bins). weight: of each bin in the likelihood, (cells, bins); 0 where
            interference is.
        basis: white, 1/f and random walk at the bins, (3, bins), for parts of unit sd, unit sd per square root of an
            e-fold, and unit strength of 1/f^2.
        second: of each bin, the sum of squared weights, (cells, bins): for standard errors.
        full: the periodograms without bins, (cells, frequencies); frequency: per reading; used: without interference.
    """

    unit: FloatArray
    power: FloatArray
    weight: FloatArray
    basis: FloatArray
    second: FloatArray
    full: FloatArray
    frequency: FloatArray
    used: BoolArray

    @property
    def readings(self) -> float:
        """Readings of a trace."""
        return float(1.0 / self.frequency[0])

    def take(self, chosen: NDArray[np.integer] | BoolArray) -> Spectra:
        """Some of the cells."""
        names = ("unit", "power", "weight", "second", "full", "used")
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})

    def with_slope(self, slope: float) -> FloatArray:
        """The basis, (3, bins), with 1/f^slope in place of 1/f."""
        return self.basis if slope == 1.0 else _binned_basis(self.frequency, _full_basis(self.frequency, slope))


def spectra_of(values: FloatArray) -> Spectra:
    """Periodograms of equally spaced readings (cells, n), S, the straight line through each taken away.

    Interference is left out: parts of the spectrum far above the smooth law, and single lines.
    """
    n = values.shape[1]
    place = np.arange(n) - 0.5 * (n - 1)
    slope = values @ place / (place @ place)
    left = values - values.mean(axis=1, keepdims=True) - slope[:, np.newaxis] * place
    unit = left.std(axis=1)
    full = 2 * np.abs(np.fft.rfft(left / unit[:, np.newaxis], axis=1)[:, 1 : (n - 1) // 2 + 1]) ** 2 / n
    frequency = np.arange(1, full.shape[1] + 1) / n
    used = np.ones(full.shape, dtype=np.bool_)
    found = _in_bins(unit, full, frequency, used)
    start = np.tile(np.log([0.5, 0.05, 1e-6]), (len(values), 1))
    for _ in range(_ROUNDS):
        start, _ = fit_parts(found, found.basis, start)
        clean = found.used & _without_interference(found, np.exp(start) @ _full_basis(frequency))
        if np.array_equal(clean, found.used):
            break
        found = _in_bins(unit, full, frequency, clean)
    return found


def fit_parts(
    spectra: Spectra, basis: FloatArray, start: FloatArray, fixed: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Ln weights of the parts of `basis` (parts, bins) that make each periodogram likeliest, and the losses there.

    Fisher's scoring, damped for every cell on its own. Weights end at e^-30: there is nothing of that part.

    Args:
        start: ln weights to begin with, (cells, parts). fixed: what the model has besides, (cells, bins).

    Returns:
        (cells, parts), and minus the ln likelihood, (cells,).
    """
    x = np.clip(start, _LEAST, _MOST)
    damping = np.full(len(x), 1e-3)
    beside = np.zeros_like(spectra.power) if fixed is None else fixed
    loss = _loss(spectra.power, spectra.weight, np.exp(x) @ basis + beside)
    eye = np.eye(len(basis))
    active = np.arange(len(x))
    for _ in range(_STEPS):
        parts = np.exp(x[active])[:, :, np.newaxis] * basis
        model = parts.sum(axis=1) + beside[active]
        power, weight = spectra.power[active], spectra.weight[active]
        share, ratio = parts / model[:, np.newaxis], power / model
        gradient = np.einsum("cjb,cb->cj", share, weight * (1 - ratio))
        curvature = (share * weight[:, np.newaxis]) @ share.transpose(0, 2, 1)
        held = (x[active] <= _LEAST) & (gradient > 0)
        curvature = np.where(held[:, :, np.newaxis] | held[:, np.newaxis], 0.0, curvature)
        diagonal = np.einsum("cjj->cj", curvature)
        curvature = curvature + eye * (damping[active, np.newaxis] * diagonal + 1e-9 + held)[:, :, np.newaxis]
        step = -np.linalg.solve(curvature, np.where(held, 0.0, gradient)[:, :, np.newaxis])[:, :, 0]
        trial = np.clip(x[active] + np.clip(step, -3.0, 3.0), _LEAST, _MOST)
        tried = _loss(power, weight, np.exp(trial) @ basis + beside[active])
        better = tried <= loss[active]
        gained = loss[active] - tried
        x[active[better]], loss[active[better]] = trial[better], tried[better]
        damping[active] = np.where(better, np.maximum(damping[active] / 5, 1e-9), damping[active] * 5)
        active = active[np.where(better, gained > _GAIN, damping[active] < 1e8)]
        if not active.size:
            break
    return x, loss


def inflation(spectra: Spectra, model: FloatArray, direction: FloatArray) -> FloatArray:
    """How much wider than the likelihood says a parameter is known, as weighted frequencies count more than once.

    Args:
        model: (cells, bins). direction: derivative of the model by the parameter, (cells, bins) or (bins,).
    """
    relative = (direction / model) ** 2
    useful = (spectra.weight * relative).sum(axis=1)
    return np.asarray((spectra.second * relative).sum(axis=1) / np.where(useful > 0, useful, 1.0))


def lines_of(spectra: Spectra, model: FloatArray, cell: int) -> list[tuple[float, float]]:
    """Interference of one cell: (frequency per reading, sd in S) of every line or hump, the strongest first."""
    left_out = np.flatnonzero(~spectra.used[cell])
    runs = np.split(left_out, np.flatnonzero(np.diff(left_out) > 2) + 1) if left_out.size else []
    found = []
    for run in runs:
        power = spectra.full[cell, run]
        excess = float(np.maximum(power - model[run], 0.0).sum()) / spectra.readings
        where = float(spectra.frequency[run[np.argmax(power)]])
        found.append((where, float(spectra.unit[cell] * np.sqrt(excess))))
    return sorted(found, key=lambda one: -one[1])


def without_lines(spectra: Spectra, model: FloatArray, values: FloatArray) -> FloatArray:
    """Traces (cells, n), S, about their straight lines, interference brought down to the fitted `model`'s level."""
    n = values.shape[1]
    place = np.arange(n) - 0.5 * (n - 1)
    left = values - values.mean(axis=1, keepdims=True)
    left = left - (left @ place / (place @ place))[:, np.newaxis] * place
    if spectra.used.all():
        return np.asarray(left)
    lines = np.fft.rfft(left, axis=1)
    scale = np.where(spectra.used, 1.0, np.sqrt(model / spectra.full))
    lines[:, 1 : 1 + scale.shape[1]] *= scale
    return np.fft.irfft(lines, n, axis=1)


def adjacent_gain(slope: float) -> float:
    """Variance of adjacent differences, halved, of a spectrum 1/f^slope per reading: integral of (1 - cos 2 pi f)."""
    x = (np.arange(20_000) + 0.5) / 40_000
    return float(np.mean((1 - np.cos(2 * np.pi * x)) * x**-slope) * 0.5)


def short_time(spectra: Spectra, model: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sd of adjacent differences over sqrt(2), S, and the standard error of its ln, of every cell, (cells,).

    From the periodograms themselves; where interference was left out, from the fitted `model` (cells, frequencies).
    """
    gain = 1 - np.cos(2 * np.pi * spectra.frequency)
    power = np.where(spectra.used, spectra.full, model) * gain
    total = power.sum(axis=1)
    if round(spectra.readings) % 2 == 0:  # of even numbers of readings half of the highest frequency is left out
        total = total + model[:, -1]
    return (
        np.asarray(spectra.unit * np.sqrt(total / spectra.readings)),
        np.asarray(0.5 * np.sqrt(0.5 * (power**2).sum(axis=1)) / total),
    )


def full_model(spectra: Spectra, x: FloatArray, slope: float = 1.0) -> FloatArray:
    """The spectra for ln weights x (cells, 3) at all frequencies, (cells, frequencies)."""
    return np.exp(x) @ _full_basis(spectra.frequency, slope)


def _loss(power: FloatArray, weight: FloatArray, model: FloatArray) -> FloatArray:
    return np.asarray((weight * (np.log(model) + power / model)).sum(axis=1))


def _full_basis(frequency: FloatArray, slope: float = 1.0) -> FloatArray:
    return np.stack(
        [2.0 * _periodogram(frequency, 0.0), _periodogram(frequency, slope), _periodogram(frequency, 2.0)]
    )


def _periodogram(frequency: FloatArray, slope: float) -> FloatArray:
    """What a periodogram shows on the average of a process with the spectrum 1/f^slope, (frequencies,).

    The process goes on below the lowest frequency; the straight line is taken away, and the trace's ends leak.
    """
    factor = np.ones(frequency.size)
    seen = _seen_of(min(round(1 / frequency[0]), _EXACT), slope)
    size = min(seen.size, frequency.size)
    factor[:size] = seen[:size]
    return np.asarray(factor * frequency**-slope)


@lru_cache(maxsize=32)
def _seen_of(n: int, slope: float) -> FloatArray:
    """The mean periodogram of n readings of such a process, over the spectrum itself, at its frequencies."""
    power, frequency, width = _gains(n)
    own = np.arange(1, (n - 1) // 2 + 1) / n
    seen: FloatArray = (power @ (width * frequency**-slope)) * own**slope
    return seen


@lru_cache(maxsize=4)
def _gains(n: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """What the periodogram of n detrended readings shows of unit power at each of many frequencies, their widths."""
    edges = np.concatenate(
        [np.geomspace(1e-3, 1.0, 240) / n, 1 / n + np.arange(1, 12 * n // 2 - 11) / (12 * n), [0.5]]
    )
    frequency, width = 0.5 * (edges[1:] + edges[:-1]), np.diff(edges)
    place = np.arange(n) - 0.5 * (n - 1)
    waves = np.exp(2j * np.pi * np.outer(place, frequency))
    waves -= waves.mean(axis=0) + np.outer(place, place @ waves) / (place @ place)
    power = np.abs(np.fft.fft(waves, axis=0)) ** 2 / n
    upper = power[1 : (n - 1) // 2 + 1]
    lower = power[n - 1 : n - 1 - (n - 1) // 2 : -1]  # a real process has both signs of frequency
    return np.asarray(upper + lower), frequency, width


def _bins(frequency: FloatArray) -> FloatArray:
    """The bin of each frequency: single ones, then parts of octaves, then parts of 0.02 per reading."""
    low = np.floor(_PER_OCTAVE * np.log2(frequency / frequency[0]))
    high = np.floor(frequency / _PART)
    _, index = np.unique(np.where(high < 2, low, 1e6 + high), return_inverse=True)
    return np.asarray(index)


def _binned_basis(frequency: FloatArray, shape: FloatArray) -> FloatArray:
    """Shapes (parts, frequencies) in bins, (parts, bins)."""
    bins = _bins(frequency).astype(int)
    weight = frequency**-_WEIGHT
    return np.asarray(np.stack([np.bincount(bins, weight * one) for one in shape]) / np.bincount(bins, weight))


def _in_bins(unit: FloatArray, full: FloatArray, frequency: FloatArray, used: BoolArray) -> Spectra:
    bins = _bins(frequency).astype(int)
    weight = used * frequency**-_WEIGHT
    weight *= (used.sum(axis=1) / weight.sum(axis=1))[:, np.newaxis]
    gather = np.eye(bins[-1] + 1)[bins]
    summed = weight @ gather
    power = (weight * full) @ gather / np.where(summed > 0, summed, 1.0)
    basis = _binned_basis(frequency, _full_basis(frequency))
    return Spectra(unit, np.where(summed > 0, power, 1.0), summed, basis, weight**2 @ gather, full, frequency, used)


def _without_interference(spectra: Spectra, model: FloatArray) -> BoolArray:
    """The frequencies used, (cells, frequencies): outstanding parts and lines, as from the mains, are left out."""
    ratio, part = spectra.full / model, (spectra.frequency / _PART).astype(int)
    count = np.bincount(part)
    excess = ratio @ np.eye(count.size)[part] / np.maximum(count, 1)
    strange = (excess > 1 + _STRANGE / np.sqrt(np.maximum(count, 1))) & (np.arange(count.size) > 1) & (count > 3)
    line = ratio > _LINE + np.log(spectra.frequency.size)
    line[:, :_LOWEST_LINE] = False
    wide = line.copy()
    wide[:, 1:] |= line[:, :-1]
    wide[:, :-1] |= line[:, 1:]
    used = ~(strange[:, part] | wide)
    enough = used.mean(axis=1, keepdims=True) >= 0.5
    return np.asarray(np.where(enough, used, spectra.used))
