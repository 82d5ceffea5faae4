"""Read noise of the cells in time: white, 1/f, telegraph, thermal and shot.

All noise is a zero-mean fluctuation of a cell's conductance. What differs from read to read is drawn per output from
its exact variance; what lasts from one read to the next is a fluctuation of every cell that moves with device time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydantic import Field, model_validator

from imssa_lab.contract import jit
from imssa_lab.contract.hal import FloatArray
from twin.fast import compiled_noise
from twin.fast.aligned import aligned
from twin.fast.exact_products import MAGNITUDE_GRID, SIEMENS_GRID, SQUARE_GRID, VOLT_GRID, grid_below, on_grid
from twin.fast.normal_stream import NormalStream
from twin.fluctuators import Changes, Fluctuators, IntArray
from twin.profile_section import Section

_BOLTZMANN = 1.380649e-23  # J/K, and the elementary charge in C: exact, by the definition of the SI of 2019
_CHARGE = 1.602176634e-19
_PER_DECADE = 2
"""Lorentzians per decade: the spectrum then ripples by less than 1 % about 1/f."""

_EVENTS_AT_ONCE = 256
_FEW_MOVED = 0.25
"""Up to this share of the cells, those that moved alone are followed."""


class Flicker(Section):
    """1/f noise: every e-fold of time constants between `fastest` and `slowest` adds the same variance, sd(G)^2.

    One-sided spectrum S_G(f) = sd(G)^2 f_0^(slope - 1) / f^slope between 1/(2 pi slowest) and f_0 = 1/(2 pi fastest):
    the e-fold at the time constant tau adds sd(G)^2 sin(pi slope / 2) (tau / fastest)^(slope - 1).
    sd(G) = sd (G / reference)^exponent, or sd ln(G / vanishes_at) / ln(reference / vanishes_at), at least zero.
    """

    sd: float = Field(ge=0, description="S per square root of an e-fold, at the reference, median of cells")
    spread: float = Field(ge=0, description="sd of ln sd from cell to cell")
    exponent: float | None = Field(default=None, description="power of G; leave out where vanishes_at is given")
    vanishes_at: float | None = Field(default=None, gt=0, description="S, where a logarithmic growth with G begins")
    fastest: float = Field(gt=0, description="shortest time constant, s")
    resolved: float = Field(gt=0, description="s; what is faster than this is drawn afresh at every read")
    slowest: float = Field(gt=0, description="longest time constant, s")
    slope: float = Field(default=1.0, gt=0, lt=2, description="power of f with which the spectrum falls")
    with_white: bool = Field(
        default=False, description="True: a cell with more white noise than others has as much more 1/f noise"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Flicker:
        if not self.fastest <= self.resolved < self.slowest:
            raise ValueError("flicker: fastest <= resolved < slowest is needed")
        if (self.exponent is None) == (self.vanishes_at is None):
            raise ValueError("flicker: give either exponent or vanishes_at")
        return self

    def growth(self, conductance: FloatArray, reference: float) -> FloatArray:
        """sd(G) over that at `reference`, for conductances in S of any shape."""
        if self.vanishes_at is not None:
            above = np.maximum(conductance / self.vanishes_at, 1.0)
            return np.asarray(np.log(above) / np.log(reference / self.vanishes_at))
        return np.asarray((conductance / reference) ** (self.exponent or 0.0))


class Telegraph(Section):
    """Random telegraph noise: a trap takes a cell from G to G exp(-step) and back, with exponential dwell times.

    step = depth (G / reference)^-exponent, at most `deepest`: larger at low conductance, where it levels off. The
    relative amplitude grows with resistance and then saturates (Ielmini, Nardi, Cagli, Appl. Phys. Lett. 96:053503,
    2010; from memory). The mean over both states, by their times, is the programmed conductance. If the step had no
    end, a cell at the bottom of the window that is nearly always trapped would jump to hundreds of times its
    conductance.
    """

    fraction: float = Field(ge=0, le=1, description="of cells with a trap")
    depth: float = Field(ge=0, description="ln of the conductance ratio at the reference, median of such cells")
    spread: float = Field(ge=0, description="sd of ln depth from cell to cell")
    exponent: float = Field(ge=0, description="the depth falls as (G / reference) to minus this power")
    deepest: float | None = Field(
        default=None, gt=0, description="largest ln of the conductance ratio, however low the conductance"
    )
    capture: tuple[float, float] = Field(description="shortest and longest mean time to capture, s, log-uniform")
    emission: tuple[float, float] = Field(description="shortest and longest mean time to emission, s, log-uniform")

    @model_validator(mode="after")
    def _ordered(self) -> Telegraph:
        for name, (low, high) in (("capture", self.capture), ("emission", self.emission)):
            if not 0 < low <= high:
                raise ValueError(f"telegraph: {name} needs 0 < shortest <= longest")
        return self


class Electronic(Section):
    """Thermal and shot noise of the current, sigma_I^2 = (4 k_B T G + 2 e |I|) bandwidth."""

    temperature: float = Field(gt=0, description="K")
    bandwidth: float = Field(gt=0, description="Hz")

    def variance(self, conductance: FloatArray, voltage: float | FloatArray) -> FloatArray:
        """Variance of the current of cells at a voltage (V) across them, A^2."""
        thermal = 4 * _BOLTZMANN * self.temperature * conductance
        return np.asarray((thermal + 2 * _CHARGE * np.abs(voltage) * conductance) * self.bandwidth)


class ReadNoise(Section):
    """Noise of reads. White noise is Gaussian from read to read; its sd is lognormal over the cells."""

    reference: float = Field(gt=0, description="S, the conductance at which amplitudes are given")
    sd_median: float = Field(ge=0, description="S, of the white part at the reference, median of cells")
    sd_spread: float = Field(ge=0, description="sd of ln of the white sd from cell to cell")
    exponent: float = Field(ge=0, description="the white sd grows as (G / reference) to this power")
    noisiest: float | None = Field(
        default=None, gt=1, description="no cell's noise exceeds the median times this: lognormals end there"
    )
    flicker: Flicker | None = None
    telegraph: Telegraph | None = None
    electronic: Electronic | None = None


class CellNoise:
    """The noise of the cells of one array, at a device time that only moves forward.

    Read noise follows the conductance: after programming the same traps act on the new conductances.

    Args:
        noise: the laws; shape: (rows, cols), kept.
        devices: draws each cell's amplitudes and traps; reads: draws what happens in time.

    Attributes:
        stream: where white noise is drawn, one standard normal number after the other.
        states: fluctuators of what lasts; cell: flat, that each belongs to; amplitude: S, of each, (fluctuators,).
        slow: what lasts of every cell's fluctuation, S, on a grid, (rows, cols).
        followed: how often amplitudes were made again for other conductances.
    """

    KEPT = ("stream", "states", "amplitude", "slow", "_conductance", "_variance")
    DEVICES = ("_at_reference", "_flicker", "_traps", "_depth", "_occupancy")

    def __init__(
        self, noise: ReadNoise, shape: tuple[int, int], devices: np.random.Generator, reads: np.random.Generator
    ) -> None:
        self._noise, self.shape, self._compiled = noise, shape, jit.AVAILABLE
        stream, in_time = reads.spawn(2)
        self.stream = NormalStream(stream)
        white = devices.standard_normal(shape)
        self._at_reference = noise.sd_median * np.exp(
            noise.sd_spread * _ended(white, noise.noisiest, noise.sd_spread)
        )
        cells = np.arange(shape[0] * shape[1])
        rates: list[FloatArray] = []
        self._flicker, self._constants = np.zeros(shape), np.zeros(0)
        if noise.flicker is not None:
            own, spread = devices.standard_normal(shape), noise.flicker.spread
            score = _ended(white if noise.flicker.with_white else own, noise.noisiest, spread)
            self._flicker = noise.flicker.sd * np.exp(spread * score)
            self._constants = time_constants(noise.flicker)
            rates = [np.full(cells.size, 1.0 / constant) for constant in self._constants]
        self._traps, self._depth, self._occupancy = cells[:0], np.zeros(0), np.zeros(0)
        if noise.telegraph is not None:
            self._traps = np.flatnonzero(devices.random(cells.size) < noise.telegraph.fraction)
            self._depth = noise.telegraph.depth * np.exp(
                noise.telegraph.spread * devices.standard_normal(self._traps.size)
            )
            capture, emission = (
                low * (high / low) ** devices.random(self._traps.size)
                for low, high in (noise.telegraph.capture, noise.telegraph.emission)
            )
            rates.append(1.0 / capture + 1.0 / emission)
            self._occupancy = emission / (capture + emission)
        self.cell = np.concatenate([np.tile(cells, self._constants.size), self._traps])
        gaussian = np.full(self._constants.size * cells.size, np.nan)
        self.states = Fluctuators(
            np.concatenate([np.zeros(0), *rates]), np.concatenate([gaussian, self._occupancy]), in_time
        )
        self._conductance, self.followed = np.full(shape, np.nan), 0
        self.amplitude, self._variance = np.zeros(self.cell.size), np.zeros(shape)
        self.slow = aligned(np.zeros(shape))
        self._variance_on_grid: FloatArray | None = None

    def of_cells(self, conductance: FloatArray, voltage: float, times: FloatArray) -> FloatArray:
        """Fluctuation of every cell's conductance in reads at `voltage` (V) at `times` (n,): S, (n, rows, cols)."""
        variance = self.cell_variance(conductance, voltage)
        drawn = self.stream.take(len(times), *self.shape) * np.sqrt(variance)
        if self.cell.size:
            for i, now in enumerate(times):
                self.advance(float(now))
                drawn[i] += self.slow
        return drawn

    def of_mvm(self, conductance: FloatArray, voltages: FloatArray, times: FloatArray) -> FloatArray:
        """Noise currents in A, (n, cols), for word-line voltages (n, rows) in V at `times` (n,), s."""
        self.follow(conductance)
        squares = self.squares(voltages)
        electronic = self.electronic(conductance)
        if electronic is not None:
            thermal, shot = electronic
            squares = squares + (thermal + on_grid(np.abs(voltages), MAGNITUDE_GRID) @ shot)
        drawn = self.stream.take(*squares.shape) * np.sqrt(squares)
        if self.cell.size:
            drawn += self._slow_mvm(on_grid(voltages, VOLT_GRID), times)
        return np.asarray(drawn)

    def cell_variance(self, conductance: FloatArray, voltage: float) -> FloatArray:
        """Variance in S^2, (rows, cols), from one read of a cell at `voltage` (V) to the next."""
        variance = self.white_variance(conductance)
        law = self._noise.electronic
        return variance if law is None else variance + law.variance(conductance, voltage) / voltage**2

    def squares(self, voltages: FloatArray) -> FloatArray:
        """Variance in A^2, (n, cols), of the white noise of products, with the conductances last seen."""
        return np.asarray(on_grid(voltages * voltages, SQUARE_GRID) @ self._on_grid())

    def variance_on_grid(self, conductance: FloatArray) -> FloatArray:
        """Variance of each cell in S^2, (rows, cols), of all that does not last until the next read, on a grid."""
        self.follow(conductance)
        return self._on_grid()

    def white_variance(self, conductance: FloatArray) -> FloatArray:
        """Variance from read to read in S^2, (rows, cols), of all that does not last until the next read."""
        self.follow(conductance)
        return self._variance

    def _on_grid(self) -> FloatArray:
        if self._variance_on_grid is None:
            largest = float(self._variance.sum(axis=0).max()) or 1.0
            self._variance_on_grid = on_grid(self._variance, grid_below(largest, 29))
        return self._variance_on_grid

    def electronic(self, conductance: FloatArray) -> tuple[FloatArray, FloatArray] | None:
        """Thermal noise of outputs, A^2, (cols,), and shot noise of the cells, A^2 per V, (rows, cols), on a grid.

        None without such noise.
        """
        law = self._noise.electronic
        if law is None:
            return None
        thermal = law.variance(conductance, 0.0)
        shot = law.variance(conductance, 1.0) - thermal
        return thermal.sum(axis=0), on_grid(shot, grid_below(float(shot.sum(axis=0).max()) or 1.0, 30))

    def follow(self, conductance: FloatArray) -> None:
        """Amplitudes belong to conductances (S, (rows, cols)): make them again where these have changed."""
        changed = (conductance != self._conductance).ravel()  # NaN at first
        moved = int(np.count_nonzero(changed))
        if not moved:
            return
        self.followed += 1
        self._variance_on_grid = None
        self._conductance = conductance.copy()
        if moved > _FEW_MOVED * changed.size:
            self._follow(slice(None), slice(None))
        else:
            self._follow(np.flatnonzero(changed), np.flatnonzero(changed[self._traps]))

    def _follow(self, cells: IntArray | slice, traps: IntArray | slice) -> None:
        """Make the amplitudes of these cells, flat, again, and of the traps in them."""
        noise, conductance = self._noise, self._conductance.ravel()[cells]
        variance = conductance / noise.reference
        variance **= noise.exponent
        variance *= self._at_reference.ravel()[cells]
        variance *= variance
        folds, size, flat = self._constants.size, self._conductance.size, self.slow.reshape(-1)
        if noise.flicker is not None:
            each = (self._flicker.ravel()[cells] * noise.flicker.growth(conductance, noise.reference)) ** 2
            variance = variance + each * unresolved(noise.flicker)
            amplitudes, levels = (
                part[: folds * size].reshape(folds, size) for part in (self.amplitude, self.states.level)
            )
            amplitudes[:, cells] = np.sqrt(np.outer(variances(noise.flicker), each))
            flat[cells] = on_grid(amplitudes[:, cells] * levels[:, cells], SIEMENS_GRID).sum(axis=0)
        elif self.cell.size:
            flat[cells] = 0.0
        if noise.telegraph is not None:
            where = self._traps[traps]
            at = self._conductance.ravel()[where]
            with np.errstate(divide="ignore"):
                step = self._depth[traps] * (at / noise.reference) ** -noise.telegraph.exponent
            if noise.telegraph.deepest is not None:
                step = np.minimum(step, noise.telegraph.deepest)
            lost = -np.expm1(-step)  # of the upper level; the mean of both, by their times, stays G
            amplitude, level = (part[folds * size :] for part in (self.amplitude, self.states.level))
            amplitude[traps] = -at * lost / (1.0 - lost * self._occupancy[traps])
            flat[where] += on_grid(amplitude[traps] * level[traps], SIEMENS_GRID)
        self._variance.reshape(-1)[cells] = variance

    def advance(self, now: float) -> None:
        """Bring what lasts to the device time `now`, s."""
        changes = self.states.advance(now)
        if not changes.which.size:
            return
        slow = self.slow.reshape(-1)
        if self._compiled:
            compiled_noise.move(slow, self.cell, self.amplitude, changes.which, changes.before, changes.after)
        else:
            np.add.at(slow, self.cell[changes.which], self._step(changes))

    def _step(self, changes: Changes) -> FloatArray:
        """Change of the cell's conductance at each of these changes, S, on the grid."""
        amplitude = self.amplitude[changes.which]
        return on_grid(amplitude * changes.after, SIEMENS_GRID) - on_grid(amplitude * changes.before, SIEMENS_GRID)

    def _slow_mvm(self, voltages: FloatArray, times: FloatArray) -> FloatArray:
        """Currents of what lasts between reads; all sums are of numbers on a grid, so their order does not matter."""
        if len(times) == 1 or not self.states.is_quick(times):
            current = np.empty((len(times), self.shape[1]))
            for i, now in enumerate(times):
                self.advance(float(now))
                current[i] = voltages[i] @ self.slow
            return current
        changes = self.states.follow(times)
        if not changes.which.size:
            return np.asarray(voltages @ self.slow)
        cell, step = self.cell[changes.which], self._step(changes)
        rows, cols = np.divmod(cell, self.shape[1])
        slow, pieces = self.slow.reshape(-1), []
        for vectors, events in _in_pieces(changes.at, len(times)):
            seen = voltages[vectors]
            current = seen @ self.slow
            if events.stop > events.start:
                already = np.arange(vectors.start, vectors.stop)[:, None] >= changes.at[events]
                by_column = np.zeros((events.stop - events.start, self.shape[1]))
                by_column[np.arange(len(by_column)), cols[events]] = step[events]
                current += (seen[:, rows[events]] * already) @ by_column
                np.add.at(slow, cell[events], step[events])
            pieces.append(current)
        return np.concatenate(pieces)


def time_constants(flicker: Flicker) -> FloatArray:
    """Time constants of the Lorentzians from `resolved` to `slowest`, s: the middles of equal parts in ln time."""
    span = np.log(flicker.slowest / flicker.resolved)
    count = max(1, int(np.ceil(span / np.log(10) * _PER_DECADE)))
    return np.asarray(flicker.resolved * np.exp((np.arange(count) + 0.5) / count * span))


def variances(flicker: Flicker) -> FloatArray:
    """Variance of each Lorentzian, (lorentzians,), as a multiple of that of an e-fold at `fastest`."""
    constants = time_constants(flicker)
    folds = np.log(flicker.slowest / flicker.resolved) / constants.size
    if flicker.slope == 1.0:
        return np.full(constants.size, folds)
    size = np.sin(0.5 * np.pi * flicker.slope) * (constants / flicker.fastest) ** (flicker.slope - 1.0)
    return np.asarray(folds * size)


def unresolved(flicker: Flicker) -> float:
    """Variance of all that is faster than `resolved`, of that of an e-fold at `fastest`."""
    folds = float(np.log(flicker.resolved / flicker.fastest))
    if flicker.slope == 1.0:
        return folds
    above = flicker.slope - 1.0
    return float(np.sin(0.5 * np.pi * flicker.slope) * np.expm1(above * folds) / above)


def _ended(score: FloatArray, noisiest: float | None, spread: float) -> FloatArray:
    """Standard normals whose law ends where exp(spread score) is `noisiest`, same shape; the same without an end."""
    if noisiest is None or spread == 0.0:
        return score
    from scipy.special import ndtr, ndtri  # a tenth of a second, which only chips with such an end need

    return np.asarray(ndtri(ndtr(score) * ndtr(np.log(noisiest) / spread)))


def _in_pieces(at: IntArray, vectors: int) -> Iterator[tuple[slice, slice]]:
    """Slices of the vectors and of the changes that happen during them, about `_EVENTS_AT_ONCE` of these a piece."""
    cuts = [0, *(int(cut) for cut in np.unique(at[_EVENTS_AT_ONCE::_EVENTS_AT_ONCE]) if cut > 0), vectors]
    marks = np.searchsorted(at, cuts, side="left")
    for i in range(len(cuts) - 1):
        yield slice(cuts[i], cuts[i + 1]), slice(int(marks[i]), int(marks[i + 1]))
