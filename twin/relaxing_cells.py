"""The cells of one array as they relax."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.hal import BoolArray, FloatArray
from twin.jumping_cells import STRIDE, Stride
from twin.relaxation import LogTimeRelaxation, PowerLawDrift, divisible
from twin.thermal.temperature import Warmth

_Times = TypeVar("_Times", float, FloatArray)


class RelaxingCells:
    """The cells of one array as they relax.

    Cells start to relax when a pulse (or anything else) has given them a new conductance; those that were never
    touched stand still. Between reads nothing moves until the log-time of the youngest cell has grown by `step`:
    that depends on the times of the reads alone, not on how they are batched.

    Args:
        law: how they relax.
        conductance: S, (rows, cols), at time zero.
        rng: for the latent; drawn at restarts and at updates.
        warmth: how fast they age; None: as fast as the device time that all methods are given runs.
    """

    KEPT = (
        *("_now", "_start", "_since", "_z", "_forgotten", "_moving"),
        *("_coefficients", "_youngest", "_updated", "_rng"),
    )

    step = 0.05

    def __init__(
        self,
        law: LogTimeRelaxation | PowerLawDrift,
        conductance: FloatArray,
        rng: np.random.Generator,
        warmth: Warmth | None = None,
    ) -> None:
        self._law, self._rng, self._warmth = law, rng, warmth
        self._shape = conductance.shape
        self._now = conductance.ravel().copy()
        self._start = self._now.copy()
        self._since = np.zeros(self._now.size)
        self._z = np.zeros(self._now.size)
        self._forgotten = np.zeros(self._now.size)
        self._moving = np.zeros(self._now.size, dtype=np.bool_)
        self._coefficients = law.coefficients(self._start)
        self._youngest = 0.0
        self._updated = 0.0

    def notice(self, conductance: FloatArray, held: BoolArray, time: float) -> None:
        """Cells whose conductance (S, (rows, cols)) is not what relaxation left begin again, at `time` (s).

        `held` cells are stuck and do not relax.
        """
        given = conductance.ravel()
        changed = given != self._now
        stopped = held.ravel() & self._moving
        if not (changed.any() or stopped.any()):
            return
        fresh = changed & ~held.ravel()
        self._moving = (self._moving & ~changed & ~stopped) | fresh
        self._now = given.copy()
        if fresh.any():
            self._start[fresh] = given[fresh]
            self._since[fresh] = time = self._aged(time)
            self._forgotten[fresh] = 0.0
            self._coefficients[:, :, fresh] = self._law.coefficients(given[fresh])
            self._z[fresh] = self._rng.standard_normal(int(fresh.sum()))
            self._youngest = self._updated = time

    def carry(self, conductance: FloatArray, crept: BoolArray) -> None:
        """Cells of `crept` came to `conductance` (S), both (rows, cols), by no pulse of theirs: none begins again.

        Age and latent stay, and where such a cell started moves with it.
        """
        cells = np.flatnonzero(crept)
        given, now = conductance.ravel()[cells], self._now[cells]
        if isinstance(self._law, LogTimeRelaxation):
            self._start[cells] += given - now
        else:
            self._start[cells] *= given / now
        self._now[cells] = given

    @property
    def conductance(self) -> FloatArray:
        """S, (rows, cols), as of the last update."""
        return self._now.reshape(self._shape).copy()

    @property
    def scores(self) -> FloatArray:
        """Normal scores of all cells in the law of their age, (rows, cols), as of the last update."""
        return self._z.reshape(self._shape).copy()

    def due(self, times: FloatArray) -> int:
        """How many of the reads at `times` (s, rising) come before the next update."""
        if not self._moving.any():
            return times.size
        times = self._aged(times)
        at = self._law.log_time(np.asarray(self._updated - self._youngest)) + self.step
        return int(np.searchsorted(self._law.log_time(times - self._youngest), at, side="left"))

    def advance(self, time: float) -> None:
        """Bring all cells to `time`, s."""
        time = self._aged(time)
        moving = np.flatnonzero(self._moving & (time > self._since))
        self._updated = max(time, self._updated)
        if moving.size:
            age = time - self._since[moving]
            if isinstance(self._law, LogTimeRelaxation) and self._law.jumps is not None:
                self._jump(self._law, moving, self._law.log_time(age))
            else:
                self._forget(moving, self._law.decorrelation(age))
            self._now[moving] = self._law.conductance(
                self._start[moving], self._coefficients[:, :, moving], self._z[moving], age
            )

    def resume(self, scores: FloatArray, time: float) -> None:
        """All cells are at `time` (s) with these normal scores, (rows, cols), whatever they were before."""
        self._z = scores.ravel().copy()
        age = time - self._since
        of_jumps = isinstance(self._law, LogTimeRelaxation) and self._law.jumps is not None
        self._forgotten = self._law.log_time(age) if of_jumps else self._law.decorrelation(age)

    def steady(self, times: FloatArray) -> int:
        """Bring the cells to the first of the reads at `times` (s, rising); how many of them see that state."""
        if not self.due(times[:1]):
            self.advance(float(times[0]))
        return max(1, self.due(times))

    def _aged(self, time: _Times) -> _Times:
        return time if self._warmth is None else self._warmth.aged(time)

    def _forget(self, moving: NDArray[np.intp], forgotten: FloatArray) -> None:
        """A Gaussian process: its clock of these cells comes to `forgotten`."""
        kept = np.exp(self._forgotten[moving] - forgotten)
        fresh = self._rng.standard_normal(moving.size)
        self._z[moving] = kept * self._z[moving] + np.sqrt(-np.expm1(2 * np.log(kept))) * fresh
        self._forgotten[moving] = forgotten

    def _jump(self, law: LogTimeRelaxation, moving: NDArray[np.intp], until: FloatArray) -> None:
        """Bring cells that stand still and jump to log-times `until`, but for less than one `step`.

        Before the first of the law's times no score changes.
        """
        first = float(law.log_time(np.asarray(law.times[0])))
        self._forgotten[moving] = np.maximum(self._forgotten[moving], first)
        while True:
            going = until - self._forgotten[moving] >= self.step
            if not going.any():
                return
            cells, goal = moving[going], until[going]
            since = self._forgotten[cells]
            strides = np.floor((since - first) / STRIDE) + 1.0
            strides += first + strides * STRIDE <= since  # a quotient that was rounded down
            now = np.minimum(first + strides * STRIDE, goal)
            jumps, spread = law.rates(self._start[cells], 0.5 * (since + now))
            reach = law.reach_at(0.5 * (since + now))
            stride = Stride(jumps * (now - since), np.sqrt(spread * (now - since)), law.jump_memory, reach)
            before, after = (divisible(law.at(self._coefficients[:, :, cells], s)) for s in (since, now))
            self._z[cells] = stride.moved(self._z[cells], before, after, self._rng)
            self._forgotten[cells] = now
