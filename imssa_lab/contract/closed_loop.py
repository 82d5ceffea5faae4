"""A closed loop on one array as data: the digital operations between one product and the next.

Each step puts [u, x] on the word lines of a bank, reads increments (or next states) and outputs from its bit-line
pairs, and undoes the column scales. The state x lives in digital accumulators.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.array_types import FloatArray, Readout
from imssa_lab.contract.checks import containers
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.errors import LimitError

VECTORS_AT_ONCE = 4096
"""About so many vectors are asked of an array in one `read_loop`: what is not in the log yet stays bounded."""


@dataclass(frozen=True)
class LoopBank(FrozenArrays):
    """Kernels that are read together, (kernels, size) each unless said.

    Attributes:
        rows: word lines of [u, x]; no word line twice.
        plus: bit lines that count positive, of the next states (or increments) and the output; the negative ones
            are their right neighbours.
        drive: V on a word line at full scale, with the sign of the row.
        per_ampere: what a pair's current counts in units of full scale, 1/A.
        input_scale: full scale of the inputs, (kernels,).
        keep: how much of the old state stays, 1 in the delta form, else 0, (kernels,).
    """

    rows: NDArray[np.intp]
    plus: NDArray[np.intp]
    drive: FloatArray
    per_ampere: FloatArray
    input_scale: FloatArray
    keep: FloatArray

    def voltages(
        self, inputs: FloatArray, state: FloatArray, spreads: FloatArray, lines: int, step: float | None = None
    ) -> FloatArray:
        """V on all word lines, (averages * n, lines), for inputs (n, kernels) and state (n, kernels, size - 1).

        `step`: V of which they are whole multiples, see `ClosedLoop`.
        """
        wanted = np.concatenate([(inputs / self.input_scale)[..., None], state], axis=-1)
        repeated = np.zeros((len(spreads), len(inputs), lines))
        for number, spread in enumerate(spreads):
            volts = self.drive * np.clip(wanted + spread, -1.0, 1.0)  # full scale
            if step is not None:
                volts = np.rint(volts / step) * step + 0.0  # zero has one sign, as a code has
            repeated[number][:, self.rows] = volts
        return repeated.reshape(-1, lines)

    def after(self, reads: FloatArray, state: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Next state (n, kernels, size - 1) and outputs (n, kernels) for reads (averages * n, cols) in A."""
        current = reads.reshape(-1, len(state), reads.shape[1]).mean(axis=0)
        out = (current[:, self.plus] - current[:, self.plus + 1]) * self.per_ampere
        return np.clip(self.keep[:, None] * state + out[..., :-1], -1.0, 1.0), out[..., -1]


@dataclass(frozen=True)
class ClosedLoop(FrozenArrays):
    """Banks of one array in lockstep; each step reads one after the other.

    Attributes:
        banks: kernels that are read together.
        spreads: what each read of a step adds to [u, x], in units of full scale; as many as the step averages.
        step: V of which the array makes voltages whole multiples; they are asked for as such, so that the record of a
            loop is one of codes. None: continuous.
    """

    banks: Sequence[LoopBank]
    spreads: FloatArray
    step: float | None = None

    @property
    def kernels(self) -> int:
        """In all banks."""
        return sum(len(bank.rows) for bank in self.banks)

    def rest(self, n: int) -> list[FloatArray]:
        """Zero states for n sequences, (n, kernels, size - 1) for each bank."""
        return [np.zeros((n, len(bank.rows), bank.rows.shape[1] - 1)) for bank in self.banks]

    def own(self, name: str, inputs: object, states: Sequence[object]) -> tuple[FloatArray, list[FloatArray]]:
        """Copies of inputs (n, steps, kernels) and states that this loop can start from; `name` asks.

        Raises:
            LimitError: wrong container or shape, or not finite.
        """
        given: FloatArray = containers.floats(inputs, f"{name}: inputs of the closed loop", (), "1")
        before: list[FloatArray] = [
            containers.floats(state, f"{name}: a state of the closed loop", (), "1") for state in states
        ]
        if given.ndim != 3 or given.shape[2] != self.kernels:
            raise LimitError(f"{name}: the closed loop needs inputs (n, steps, {self.kernels}), got {given.shape}")
        shapes = [(len(given), len(bank.rows), bank.rows.shape[1] - 1) for bank in self.banks]
        if [state.shape for state in before] != shapes:
            raise LimitError(
                f"{name}: the closed loop needs states {shapes}, got {[state.shape for state in before]}"
            )
        if not all(np.isfinite(part).all() for part in (given, *before)):
            raise LimitError(f"{name}: the closed loop needs finite inputs of {self.kernels} kernels, and states")
        return given, before

    def check(self, name: str, shape: tuple[int, int], read_voltage: float) -> None:
        """Raise LimitError where a line lies outside `shape` or is driven above `read_voltage`, V; `name` asks."""
        if self.step is not None and not 0.0 < self.step < np.inf:
            raise LimitError(
                f"{name}: the closed loop rounds voltages to multiples of {self.step} V; above 0 or None"
            )
        for bank in self.banks:
            if (
                bank.rows.min() < 0
                or bank.rows.max() >= shape[0]
                or bank.plus.min() < 0
                or bank.plus.max() + 1 >= shape[1]
            ):
                raise LimitError(f"{name}: the closed loop uses lines outside the array of {shape[0]}x{shape[1]}")
            if len(np.unique(bank.rows)) < bank.rows.size:
                raise LimitError(f"{name}: the closed loop drives a word line twice in one bank")
            scales = (bank.drive, bank.per_ampere, bank.input_scale, bank.keep, self.spreads)
            if not all(np.isfinite(part).all() for part in scales):
                raise LimitError(f"{name}: the closed loop holds NaN or infinity")
            peak = float(np.abs(bank.drive).max())
            if self.step is not None:
                peak = float(np.rint(peak / self.step) * self.step)
            if not peak <= read_voltage:
                raise LimitError(f"{name}: the closed loop drives {peak:g} V, at most {read_voltage:g} V is allowed")


@dataclass(frozen=True)
class LoopRun(FrozenArrays):
    """Results of some steps of a closed loop.

    Attributes:
        outputs: (n, steps, kernels), in units of full scale.
        states: after the last step, (n, kernels, size - 1) for each bank.
        voltages: V, (reads, averages * n, rows), a read for each step and bank in turn, two of
            opposite sign where word lines take none.
        readout: of the same reads, (reads, averages * n, cols).
        times: device time after each read, s, (reads,).
    """

    outputs: FloatArray
    states: list[FloatArray]
    voltages: FloatArray
    readout: Readout
    times: FloatArray
