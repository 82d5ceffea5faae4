"""Telegraph noise in traces: cells with two levels, how far these are apart, and how long a cell stays at each.

A hidden Markov chain of two levels with white noise around them is fitted to every trace (Baum et al., Ann. Math.
Statist. 41:164, 1970). It would fit slow 1/f noise too, better than one level does. So what decides is a likelihood
of the whole trace: with the levels taken off, and with the price of their path, against a Gaussian process without
levels, whose spectrum is white, 1/f, a random walk, and one Lorentzian, so that it may have the spectrum of the
telegraph noise itself. Both by Whittle's likelihood. On traces of the Gaussian process the ratio exceeds K with a
chance of at most 1/K (Markov's inequality); what fitting adds is taken off as by Schwarz (BIC).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.hal import BoolArray, FloatArray

FEWEST_READINGS, FEWEST_STAYS = 3.0, 10.0
"""Mean stay at a level, in readings, and number of stays: of less, dwell times are not decidable."""

_LONGEST = 16_384
_ITERATIONS, _TOLERANCE = 40, 1e-3
_CHANCE = np.log(1000.0)
_PARAMETERS = 3  # step and two dwell times
_BINS, _UPDATES = 48, 300
_TIMES = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0)
_LINE, _LOWEST, _AROUND, _MOST_LINES = 12.0, 20, 41, 8
_VALUES_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Switching(FrozenArrays):
    """The two levels of each of some cells; all (cells,).

    Attributes:
        seen: whether two levels are clearly likelier than noise alone. decided: whether its dwell times are, too.
        gain: ln of the likelihood ratio, less what its parameters cost.
        depth, depth_error: ln of the ratio of the levels. capture, emission: mean stay at the upper and at the lower
            level, in readings. capture_error, emission_error: of their ln. stays: at the lower level.
        offset: S, (cells, readings), what the levels add to the mean; zero where dwell times are not decided.
    """

    seen: BoolArray
    decided: BoolArray
    gain: FloatArray
    depth: FloatArray
    depth_error: FloatArray
    capture: FloatArray
    emission: FloatArray
    capture_error: FloatArray
    emission_error: FloatArray
    stays: FloatArray
    offset: FloatArray

    def take(self, cells: NDArray[np.intp]) -> Switching:
        """Some of the cells."""
        return Switching(*(getattr(self, part.name)[cells] for part in fields(self)))


def joined(parts: Sequence[Switching]) -> Switching:
    """Cells of several groups, without what the levels add to their traces, which may differ in length."""
    names = [part.name for part in fields(Switching)][:-1]
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in names]
    columns.append(np.zeros((columns[0].size, 0)))
    return Switching(*columns)


def switching_of(values: FloatArray) -> Switching:
    """The levels in traces of equally spaced readings (cells, n), S; of longer ones than 16,384 the first part."""
    size = max(1, _VALUES_AT_ONCE // values.shape[1])
    parts = [_some(values[i : i + size]) for i in range(0, len(values), size)]
    return Switching(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _some(values: FloatArray) -> tuple[FloatArray, ...]:
    trace = _without_lines(values[:, :_LONGEST])
    chain = _Chain(trace)
    path = chain.path
    here = path.sum(axis=1)
    n = trace.shape[1]
    moving = (here > 0) & (here < n)
    y, x = _transformed(trace), _transformed(path)
    spectrum = _Whittle(n)
    power = np.abs(y) ** 2 / n
    noise = spectrum.fitted(power, lorentzian=True)
    used = power <= (_LINE + np.log(spectrum.frequency.size)) * noise
    alone = spectrum.likelihood(power, noise, used)
    step = chain.step
    for _ in range(2):
        left = np.abs(y + step[:, np.newaxis] * x) ** 2 / n
        rest = spectrum.fitted(np.where(used, left, noise), lorentzian=False)
        weight = used * np.abs(x) ** 2 / rest
        total = np.where(moving, weight.sum(axis=1), 1.0)
        step = np.where(moving, -(used * np.real(np.conj(x) * y) / rest).sum(axis=1) / total, 0.0)
    left = np.abs(y + step[:, np.newaxis] * x) ** 2 / n
    gain = spectrum.likelihood(left, rest, used) - alone + _price(path) - 0.5 * _PARAMETERS * np.log(n)
    share, mean = here / n, trace.mean(axis=1)
    upper, lower = mean + step * share, mean - step * (1 - share)
    seen = moving & (gain > _CHANCE) & (step > 0) & (lower > 0)
    error = np.sqrt(n / (2 * total))
    with np.errstate(invalid="ignore", divide="ignore"):
        depth = np.where(seen, np.log(upper / lower), 0.0)
        depth_error = np.where(seen, error * (share / upper + (1 - share) / lower), 0.0)
    capture, emission = chain.stays()
    counts = np.maximum(chain.counts, 1e-9)
    decided = seen & (np.minimum(capture, emission) >= FEWEST_READINGS) & (chain.counts.min(axis=0) >= FEWEST_STAYS)
    offset = np.zeros_like(values)
    offset[:, :n] = np.where(decided, step, 0.0)[:, np.newaxis] * (share[:, np.newaxis] - path)
    errors = 1 / np.sqrt(counts)
    return (seen, decided, gain, depth, depth_error, capture, emission, errors[0], errors[1], chain.counts[1], offset)


class _Chain:
    """Two levels and how cells go between them, fitted to traces (cells, n).

    Attributes:
        step: S, from the lower to the upper level. path: 1 where a cell is more likely at the lower one, (cells, n).
        counts: how often cells go down and up, (2, cells).
    """

    def __init__(self, trace: FloatArray) -> None:
        cells = len(trace)
        self._y = np.ascontiguousarray(trace.T)
        low, high = np.quantile(trace, [0.02, 0.98], axis=1)
        for _ in range(20):
            lower = self._y < 0.5 * (low + high)
            count = lower.sum(axis=0)
            low = np.where(count > 0, (self._y * lower).sum(axis=0) / np.maximum(count, 1), low)
            other = len(self._y) - count
            high = np.where(other > 0, (self._y * ~lower).sum(axis=0) / np.maximum(other, 1), high)
        self._levels = np.stack([high, low])
        within = np.median(np.abs(np.diff(self._y, axis=0)), axis=0) / (0.6745 * np.sqrt(2))
        self._sd = np.maximum(within, 1e-3 * (high - low) + 1e-30)
        self._go = np.full((2, cells), 0.02)
        self.counts = np.zeros((2, cells))
        before = np.full(cells, -np.inf)
        for _ in range(_ITERATIONS):
            likelihood = self._improve()
            if np.all(np.abs(likelihood - before) < _TOLERANCE * np.maximum(1.0, np.abs(likelihood))):
                break
            before = likelihood

    def _improve(self) -> FloatArray:
        """One step of expectation and maximisation; the ln likelihood before it, (cells,)."""
        n, cells = self._y.shape
        far = -0.5 * ((self._y[:, np.newaxis] - self._levels) / self._sd) ** 2
        top = far.max(axis=1)
        shown = np.exp(far - top[:, np.newaxis])  # (n, 2, cells)
        go, stay = self._go, 1 - self._go
        ahead, scale = np.empty_like(shown), np.empty((n, cells))
        at = go[::-1] / go.sum(axis=0)
        for t in range(n):
            at = at * shown[t]
            scale[t] = at[0] + at[1]
            at = at / scale[t]
            ahead[t] = at
            at = at * stay + (at * go)[::-1]
        behind = np.empty_like(shown)
        behind[-1] = back = np.ones((2, cells))
        for t in range(n - 1, 0, -1):
            back = back * shown[t] / scale[t]
            back = back * stay + back[::-1] * go
            behind[t - 1] = back
        weight = ahead * behind
        weight /= weight.sum(axis=1, keepdims=True)
        crossed = ahead[:-1] * go * (shown[1:] * behind[1:])[:, ::-1] / scale[1:, np.newaxis]
        self.counts = crossed.sum(axis=0)
        spent = weight[:-1].sum(axis=0)
        self._go = np.clip(self.counts / np.maximum(spent, 1e-9), 1e-6, 0.9)
        whole = np.maximum(weight.sum(axis=0), 1e-9)
        self._levels = (weight * self._y[:, np.newaxis]).sum(axis=0) / whole
        square = (weight * (self._y[:, np.newaxis] - self._levels) ** 2).sum(axis=(0, 1)) / n
        self._sd = np.maximum(np.sqrt(square), 1e-6 * np.abs(self._levels).max(axis=0) + 1e-30)
        lower = self._levels.argmin(axis=0)
        of_lower = np.take_along_axis(weight, lower[np.newaxis, np.newaxis], axis=1)[:, 0].T
        self.path = np.asarray(of_lower > 0.5, dtype=np.float64)
        self.step = np.abs(self._levels[0] - self._levels[1])
        if (lower == 0).any():  # the first is the upper one
            turned = lower == 0
            for of in (self._levels, self._go, self.counts):
                of[:, turned] = of[::-1, turned]
        return np.asarray((np.log(scale) + top).sum(axis=0) - n * np.log(self._sd))

    def stays(self) -> tuple[FloatArray, FloatArray]:
        """Mean stay at the upper and at the lower level, readings, of the process behind the readings."""
        both = self._go.sum(axis=0)
        rate = -np.log(np.maximum(1 - both, 1e-6)) * self._go / both
        return np.asarray(1 / rate[0]), np.asarray(1 / rate[1])


def _price(path: FloatArray) -> FloatArray:
    """Ln probability of each path (cells, n) of a chain that goes between its levels as often as the path does."""
    first, then = path[:, :-1], path[:, 1:]
    total = np.full(len(path), -np.log(2.0))
    for state in (0.0, 1.0):
        spent = (first == state).sum(axis=1)
        went = ((first == state) & (then != state)).sum(axis=1)
        for count in (went, spent - went):
            some = np.maximum(count, 1)
            total += np.where(count > 0, count * np.log(some / np.maximum(spent, 1)), 0.0)
    return total


def _transformed(values: FloatArray) -> FloatArray:
    """Fourier coefficients of traces (cells, n) without their straight lines, at frequencies above zero."""
    n = values.shape[1]
    place = np.arange(n) - 0.5 * (n - 1)
    left = values - values.mean(axis=1, keepdims=True)
    left = left - (left @ place / (place @ place))[:, np.newaxis] * place
    return np.asarray(np.fft.rfft(left, axis=1)[:, 1 : (n - 1) // 2 + 1])


def _without_lines(trace: FloatArray) -> FloatArray:
    """Traces (cells, n) less their interference: what stands out of the spectrum close around it, as sine waves.

    Two levels would follow a sine wave well. Telegraph noise itself has no lines.
    """
    found = trace.copy()
    n = trace.shape[1]
    if n < 4 * _AROUND:
        return found
    waiting = np.arange(len(trace))
    for _ in range(_MOST_LINES):
        lines = np.abs(_transformed(found[waiting])) ** 2
        around = median_filter(lines, size=(1, _AROUND), mode="nearest") / np.log(2.0)
        over = lines / np.maximum(around, 1e-300)
        over[:, :_LOWEST] = 0.0
        standing = over.max(axis=1) > _LINE + np.log(lines.shape[1])
        waiting, at = waiting[standing], over[standing].argmax(axis=1)
        if not waiting.size:
            break
        for cell, where in zip(waiting, at, strict=True):
            found[cell] -= _sine(found[cell], (where + 1) / n)
    return found


def _sine(trace: FloatArray, frequency: float) -> FloatArray:
    """The sine wave in a trace (n,) near a frequency, per reading, (n,)."""
    n, left = trace.size, trace - trace.mean()
    place = np.arange(n)
    near = frequency + np.linspace(-1.0, 1.0, 41) / n
    for _ in range(2):  # the second time between the neighbours of the best
        power = np.abs(np.exp(-2j * np.pi * np.outer(near, place)) @ left)
        best = near[power.argmax()]
        near = best + np.linspace(-0.05, 0.05, 41) / n
    wave = np.exp(2j * np.pi * best * place)
    parts = np.stack([wave.real, wave.imag])
    return np.asarray(np.linalg.solve(parts @ parts.T, parts @ left) @ parts)


class _Whittle:
    """Spectra of traces of n readings as sums of simple ones, by Whittle's likelihood.

    Attributes:
        frequency: per reading, (frequencies,).
    """

    def __init__(self, n: int) -> None:
        self.frequency = np.arange(1, (n - 1) // 2 + 1) / n
        edges = np.unique(np.round(np.geomspace(1, self.frequency.size + 1, _BINS)).astype(int)) - 1
        self._first, self._size = edges[:-1], np.diff(edges)
        f = self.frequency
        self._plain = np.stack([np.ones_like(f), 1 / f, 1 / f**2])
        kept = np.exp(-1 / np.array([time for time in _TIMES if time < n / 4]))[:, np.newaxis]
        self._lorentzian = (1 - kept**2) / (1 - 2 * kept * np.cos(2 * np.pi * f) + kept**2)

    def fitted(self, power: FloatArray, *, lorentzian: bool) -> FloatArray:
        """The likeliest spectrum of each periodogram (cells, frequencies), of the same shape.

        Multiplicative steps that never lower the likelihood (Fevotte and Idier, Neural Comput. 23:2421, 2011).
        """
        best = self._best(power, self._plain)
        if lorentzian:
            for one in self._lorentzian:
                tried = self._best(power, np.vstack([self._plain, one]))
                better = self.likelihood(power, tried, None) > self.likelihood(power, best, None)
                best = np.where(better[:, np.newaxis], tried, best)
        return best

    def _best(self, power: FloatArray, parts: FloatArray) -> FloatArray:
        mean, basis = (np.add.reduceat(of, self._first, axis=1) / self._size for of in (power, parts))
        basis_scale = basis.mean(axis=1, keepdims=True)
        basis = basis / basis_scale
        share = np.full((len(power), len(basis)), 1 / len(basis)) * mean.mean(axis=1, keepdims=True)
        for _ in range(_UPDATES):
            model = np.maximum(share @ basis, 1e-300)
            share = share * np.sqrt((self._size * mean / model**2 @ basis.T) / (self._size / model @ basis.T))
        return np.asarray((share / basis_scale.T) @ parts)

    def likelihood(self, power: FloatArray, spectrum: FloatArray, used: BoolArray | None) -> FloatArray:
        """Ln likelihood of each periodogram (cells, frequencies) under a spectrum, over the `used` frequencies."""
        each = -np.log(spectrum) - power / spectrum
        return np.asarray((each if used is None else np.where(used, each, 0.0)).sum(axis=1))
