"""Kernels in closed loop on arrays: one `read_mvm` a time step and bank, many sequences in lockstep.

The state lives in digital accumulators. Each step puts [u, x] on the word lines of a bank, reads increments (or
next states) and outputs from its bit-line pairs, and undoes the column scales.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imssa_lab.errors import DeploymentError
from imssa_lab.hal import CrossbarArray, FloatArray
from imssa_lab.mapping import Mapping, PlacedKernel


def read_signed(array: CrossbarArray, voltages: FloatArray) -> FloatArray:
    """`read_mvm` for signed voltages (n, rows), in two passes where the word lines take no sign; A, (n, cols)."""
    if array.info.input_signed:
        return array.read_mvm(voltages)
    return array.read_mvm(np.maximum(voltages, 0.0)) - array.read_mvm(np.maximum(-voltages, 0.0))


@dataclass(frozen=True)
class _Bank:
    """Kernels of one layer and size that are read together, as index arrays of shape (kernels, block size)."""

    array: CrossbarArray
    channels: NDArray[np.intp]
    rows: NDArray[np.intp]
    plus: NDArray[np.intp]
    row_signs: FloatArray
    column_scale: FloatArray
    input_scale: FloatArray
    keep: FloatArray
    averages: int

    @classmethod
    def of(cls, array: CrossbarArray, kernels: Sequence[PlacedKernel], averages: int) -> _Bank:
        return cls(
            array,
            np.array([kernel.channel for kernel in kernels]),
            np.array([kernel.word_lines for kernel in kernels]),
            np.array([2 * kernel.pairs for kernel in kernels]),
            np.array([kernel.row_signs for kernel in kernels]),
            np.array([kernel.block.column_scale * kernel.column_signs for kernel in kernels]),
            np.array([kernel.block.input_scale for kernel in kernels]),
            np.array([[[1.0 if kernel.block.form == "delta" else 0.0]] for kernel in kernels])[:, 0],
            averages,
        )

    def step(self, inputs: FloatArray, state: FloatArray, volt: float, unit: float) -> tuple[FloatArray, FloatArray]:
        """Next state (n, kernels, 2N) in units of X, and outputs (n, kernels), for inputs (n, kernels)."""
        drive = np.concatenate([(inputs / self.input_scale)[..., None], state], axis=-1)
        # reads of one step are spread over a step of the DAC, so that their mean resolves less than one
        repeated = np.zeros((self.averages, len(inputs), self.array.info.rows))
        for number, spread in enumerate(self._spreads()):
            repeated[number][:, self.rows] = volt * self.row_signs * np.clip(drive + spread, -1.0, 1.0)  # full scale
        reads = read_signed(self.array, repeated.reshape(-1, self.array.info.rows))
        current = reads.reshape(self.averages, len(inputs), -1).mean(axis=0)
        out = (current[:, self.plus] - current[:, self.plus + 1]) * (self.column_scale / unit)
        return np.clip(self.keep * state + out[..., :-1], -1.0, 1.0), out[..., -1]

    def _spreads(self) -> FloatArray:
        """What each read of a step adds to its inputs, (averages,), in units of full scale."""
        bits = self.array.info.input_bits
        if bits is None:
            return np.zeros(self.averages)
        return np.asarray(((np.arange(self.averages) + 0.5) / self.averages - 0.5) / (2 ** (bits - 1) - 1))


class KernelStream:
    """The kernels of one layer, step after step, for inputs that arrive one by one.

    The state stays between the steps, in digital accumulators; `n` sequences run in lockstep.
    """

    def __init__(self, banks: Sequence[_Bank], span: float, n: int) -> None:
        self._banks = banks
        self._span = span
        self._states = [np.zeros((n, len(bank.channels), bank.rows.shape[1] - 1)) for bank in banks]

    def step(self, inputs: FloatArray) -> FloatArray:
        """Outputs (n, channels) as the arrays give them, for inputs (n, channels) of this time step."""
        outputs = np.zeros(inputs.shape)
        for index, bank in enumerate(self._banks):
            volt = bank.array.info.limits.read_voltage
            self._states[index], y = bank.step(inputs[:, bank.channels], self._states[index], volt, volt * self._span)
            np.add.at(outputs.T, bank.channels, y.T)  # the parts of a kernel add up
        return outputs


class KernelRunner:
    """Runs the kernels of a mapped bundle on arrays; `runner(layer, u)` is what `run_network` takes as `kernels`.

    Args:
        arrays: as many as the mapping uses, programmed.
        mapping: where the kernels stand.
        vectors: most sequences that run in lockstep, where an instrument takes no more vectors a read; None: all.
        averages: reads of which every step takes the mean, against the noise of reads; they are spread over one step
            of the input converter, against its rounding.

    Attributes:
        gain, offset: per layer, (channels,): digital correction of the outputs, identity until `recalibrate`.
        reads: products asked for so far, in vectors: `averages` a sequence, time step and bank.

    Raises:
        DeploymentError: fewer arrays than the mapping uses.
    """

    def __init__(
        self, arrays: Sequence[CrossbarArray], mapping: Mapping, vectors: int | None = None, averages: int = 1
    ) -> None:
        if len(arrays) < mapping.arrays:
            raise DeploymentError(f"the mapping uses {mapping.arrays} arrays, {len(arrays)} given")
        self._span = mapping.window.span
        self._vectors = vectors
        self._averages = averages
        self.reads = 0
        layers = 1 + max(kernel.layer for kernel in mapping.kernels)
        self._banks: list[list[_Bank]] = []
        for layer in range(layers):
            groups: dict[tuple[int, int, int], list[PlacedKernel]] = {}
            for kernel in mapping.kernels:
                if kernel.layer == layer:
                    groups.setdefault((kernel.array, kernel.bank, kernel.block.size), []).append(kernel)
            self._banks.append([_Bank.of(arrays[key[0]], kernels, averages) for key, kernels in groups.items()])
        widths = [1 + max(int(bank.channels.max()) for bank in banks) for banks in self._banks]
        self.gain = [np.ones(width) for width in widths]
        self.offset = [np.zeros(width) for width in widths]

    def __call__(self, layer: int, inputs: FloatArray) -> FloatArray:
        """Outputs (n, steps, channels) of one layer's kernels for inputs of the same shape, corrected."""
        return self.gain[layer] * self.raw(layer, inputs) + self.offset[layer]

    def stream(self, layer: int, n: int = 1) -> KernelStream:
        """`n` fresh sequences through one layer, to be fed step by step; outputs are not corrected."""
        return KernelStream(self._banks[layer], self._span, n)

    def raw(self, layer: int, inputs: FloatArray) -> FloatArray:
        """Outputs as the arrays give them."""
        outputs = np.empty_like(inputs, dtype=np.float64)
        most = max(self._vectors // self._averages, 1) if self._vectors else len(inputs)
        for start in range(0, len(inputs), most):
            part = inputs[start : start + most]
            stream = self.stream(layer, len(part))
            for step in range(inputs.shape[1]):
                outputs[start : start + most, step] = stream.step(part[:, step])
        self.reads += self._averages * inputs.shape[0] * inputs.shape[1] * len(self._banks[layer])
        return outputs

    def recalibrate(self, layer: int, measured: FloatArray, ideal: FloatArray) -> None:
        """Least-squares gain and offset of every channel, measured -> ideal, both (n, steps, channels)."""
        m, t = (values.reshape(-1, values.shape[-1]) for values in (measured, ideal))
        m_mean, t_mean = m.mean(axis=0), t.mean(axis=0)
        variance = ((m - m_mean) ** 2).sum(axis=0)
        if not (variance > 0).all():
            raise DeploymentError(
                f"layer {layer}: channels {np.flatnonzero(variance == 0).tolist()} give a constant output on the "
                "calibration inputs; check that the array is powered and programmed"
            )
        self.gain[layer] = ((m - m_mean) * (t - t_mean)).sum(axis=0) / variance
        self.offset[layer] = t_mean - self.gain[layer] * m_mean
