"""Kernels in closed loop on arrays: one product a time step and bank, many sequences in lockstep.

An array that can runs many steps in one call (`read_loop`), with the same bits; any other is read step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.closed_loop import VECTORS_AT_ONCE, ClosedLoop, LoopBank
from imssa_lab.contract.errors import ConfigError, DeploymentError
from imssa_lab.contract.hal import CrossbarArray, FloatArray
from imssa_lab.mapping import Mapping, PlacedKernel
from imssa_lab.s4d.output_correction import corrected_outputs, output_correction


def check_reads(vectors: int | None, averages: int) -> None:
    """Refuse reads that no runner can make: `vectors` is the most that go into one read, None for any number.

    Raises:
        ConfigError: fewer than one, or more reads to be averaged than vectors in a read.
    """
    if averages < 1 or (vectors is not None and vectors < averages):
        most = "any number of vectors a read" if vectors is None else f"{vectors} vectors a read"
        raise ConfigError(f"averages must be 1 or more, and no more than go into one read; got {averages} and {most}")


def check_arrays(arrays: Sequence[CrossbarArray], mapping: Mapping) -> None:
    """Refuse fewer arrays than `mapping` uses.

    Raises:
        DeploymentError: there are fewer.
    """
    if len(arrays) < mapping.arrays:
        raise DeploymentError(f"the mapping uses {mapping.arrays} arrays, {len(arrays)} given")


def read_signed(array: CrossbarArray, voltages: FloatArray) -> FloatArray:
    """`read_mvm` for signed voltages (n, rows), in two passes if word lines take no negative V; A, (n, cols)."""
    if array.info.input_signed:
        return array.read_mvm(voltages)
    return array.read_mvm(np.maximum(voltages, 0.0) + 0.0) - array.read_mvm(np.maximum(-voltages, 0.0) + 0.0)


@dataclass(frozen=True)
class KernelBank(FrozenArrays):
    """Kernels of one layer and size that are read together on one array.

    Attributes:
        channels: that they serve, (kernels,); lines: their places and scales.
    """

    array: CrossbarArray
    channels: NDArray[np.intp]
    lines: LoopBank

    @classmethod
    def of(cls, array: CrossbarArray, kernels: Sequence[PlacedKernel], span: float) -> KernelBank:
        """Kernels on an array with conductances `span` (S) wide."""
        volt = array.info.limits.read_voltage
        scales = np.array([kernel.block.column_scale * kernel.column_signs for kernel in kernels])
        lines = LoopBank(
            rows=np.array([kernel.word_lines for kernel in kernels]),
            plus=np.array([2 * kernel.pairs for kernel in kernels]),
            drive=volt * np.array([kernel.row_signs for kernel in kernels]),
            per_ampere=scales / (volt * span),
            input_scale=np.array([kernel.block.input_scale for kernel in kernels]),
            keep=np.array([1.0 if kernel.block.form == "delta" else 0.0 for kernel in kernels]),
        )
        return cls(array, np.array([kernel.channel for kernel in kernels]), lines)


def banks_by_layer(arrays: Sequence[CrossbarArray], mapping: Mapping) -> list[list[KernelBank]]:
    """The kernels that are read together, layer by layer, on these arrays."""
    layers: list[list[KernelBank]] = []
    for layer in range(1 + max(kernel.layer for kernel in mapping.kernels)):
        groups: dict[tuple[int, int, int], list[PlacedKernel]] = {}
        for kernel in mapping.kernels:
            if kernel.layer == layer:
                groups.setdefault((kernel.array, kernel.bank, kernel.block.size), []).append(kernel)
        span = mapping.window.span
        layers.append([KernelBank.of(arrays[key[0]], kernels, span) for key, kernels in groups.items()])
    return layers


def spreads_of(bits: int | None, averages: int) -> FloatArray:
    """The offset that each read of a step adds to its inputs, (averages,), in units of full scale.

    They lie within one step of the DAC, so that their mean resolves less than a step.
    """
    if bits is None:
        return np.zeros(averages)
    return np.asarray(((np.arange(averages) + 0.5) / averages - 0.5) / (2 ** (bits - 1) - 1))


def step_by_step(
    array: CrossbarArray, loop: ClosedLoop, inputs: FloatArray, states: Sequence[FloatArray]
) -> tuple[FloatArray, list[FloatArray]]:
    """The results of `read_loop`, computed by `read_mvm`: outputs (n, steps, kernels) and the states after them."""
    after, outputs = list(states), np.empty(inputs.shape)
    for step in range(inputs.shape[1]):
        first = 0
        for index, bank in enumerate(loop.banks):
            mine = slice(first, first + len(bank.rows))
            lines = array.info.rows
            volts = bank.voltages(inputs[:, step, mine], after[index], loop.spreads, lines, loop.step)
            after[index], outputs[:, step, mine] = bank.after(read_signed(array, volts), after[index])
            first = mine.stop
    return outputs, after


class KernelStream:
    """The kernels of one layer, step after step, for inputs that arrive one by one or many at once.

    The state is kept between the steps, in digital accumulators; `n` sequences run in lockstep. `read` gets how many
    vectors were read, after each part of the work.
    """

    def __init__(
        self, banks: Sequence[KernelBank], averages: int, n: int, read: Callable[[int], None] = lambda vectors: None
    ) -> None:
        self._banks, self._read, self._vectors = banks, read, averages * n
        self._at_once = max(1, VECTORS_AT_ONCE // (averages * n))
        self._runs: list[tuple[CrossbarArray, list[int], ClosedLoop]] = []
        for array in {id(bank.array): bank.array for bank in banks}.values():
            mine = [index for index, bank in enumerate(banks) if bank.array is array]
            spreads = spreads_of(array.info.input_bits, averages)
            loop = ClosedLoop([banks[index].lines for index in mine], spreads, array.info.whole_step)
            self._runs.append((array, mine, loop))
        self._states = [loop.rest(n) for _, _, loop in self._runs]

    def step(self, inputs: FloatArray) -> FloatArray:
        """Outputs (n, channels) as the arrays give them, for inputs (n, channels) of this time step."""
        return self.steps(inputs[:, None])[:, 0]

    def steps(self, inputs: FloatArray) -> FloatArray:
        """Outputs (n, steps, channels) as the arrays give them, for inputs of the same shape."""
        pieces = [inputs[:, at : at + self._at_once] for at in range(0, inputs.shape[1], self._at_once)]
        return np.concatenate([self._some_steps(piece) for piece in pieces], axis=1)

    def _some_steps(self, inputs: FloatArray) -> FloatArray:
        parts: dict[int, FloatArray] = {}
        for index, (array, mine, loop) in enumerate(self._runs):
            channels = [self._banks[bank].channels for bank in mine]
            given, states = inputs[..., np.concatenate(channels)], self._states[index]
            run = array.read_loop(loop, given, states)
            made, after = step_by_step(array, loop, given, states) if run is None else (run.outputs, run.states)
            self._states[index] = after
            self._read(self._vectors * inputs.shape[1] * len(mine))
            cuts = np.cumsum([len(each) for each in channels])[:-1]
            parts |= dict(zip(mine, np.split(made, cuts, axis=2), strict=True))
        outputs = np.zeros(inputs.shape)
        for number, bank in enumerate(self._banks):
            for kernel, channel in enumerate(bank.channels):
                outputs[..., channel] += parts[number][..., kernel]  # the parts of a kernel add up
        return outputs


class KernelRunner:
    """Runs the kernels of a mapped bundle on arrays; `runner(layer, u)` is what `run_network` takes as `kernels`.

    Args:
        arrays: as many as the mapping uses, programmed.
        mapping: the places of the kernels.
        vectors: most vectors a read, where an instrument takes no more: so many sequences run in lockstep, or with
            `averages` so many fewer; None: all.
        averages: reads of which every step takes the mean, against the noise of reads; they are spread over one step
            of the input converter, against its rounding.

    Attributes:
        gain, offset: per layer, digital correction of the outputs as `corrected_outputs` takes it, identity until
            `recalibrate`.
        reads: products asked for so far, in vectors: `averages` a sequence, time step and bank.

    Raises:
        DeploymentError: fewer arrays than the mapping uses. ConfigError: more averages than vectors.
    """

    def __init__(
        self, arrays: Sequence[CrossbarArray], mapping: Mapping, vectors: int | None = None, averages: int = 1
    ) -> None:
        check_arrays(arrays, mapping)
        check_reads(vectors, averages)
        self._vectors = vectors
        self._averages = averages
        self.reads = 0
        self._watch: Callable[[int], None] = lambda reads: None
        self._banks = banks_by_layer(arrays, mapping)
        widths = [1 + max(int(bank.channels.max()) for bank in banks) for banks in self._banks]
        self.gain = [np.ones(width) for width in widths]
        self.offset = [np.zeros(width) for width in widths]

    def __call__(self, layer: int, inputs: FloatArray) -> FloatArray:
        """Outputs (n, steps, channels) of one layer's kernels for inputs of the same shape, corrected."""
        return corrected_outputs(self.raw(layer, inputs), self.gain[layer], self.offset[layer])

    def stream(self, layer: int, n: int = 1) -> KernelStream:
        """`n` new sequences through one layer, step by step; outputs are not corrected."""
        return KernelStream(self._banks[layer], self._averages, n, self._count)

    @contextmanager
    def watched(self, stage: str, n: int, steps: int, tell: Callable[[str, int, int], None]) -> Iterator[None]:
        """Within it `tell` gets (stage, vectors read, vectors in all), as for `n` sequences through every layer."""
        before, whole = self.reads, self._averages * n * steps * sum(len(banks) for banks in self._banks)
        self._watch = lambda reads: tell(stage, reads - before, whole)
        tell(stage, 0, whole)
        try:
            yield
        finally:
            self._watch = lambda reads: None

    def _count(self, vectors: int) -> None:
        self.reads += vectors
        self._watch(self.reads)

    def raw(self, layer: int, inputs: FloatArray) -> FloatArray:
        """Outputs as the arrays give them."""
        outputs = np.empty_like(inputs, dtype=np.float64)
        most = len(inputs) if self._vectors is None else self._vectors // self._averages
        for start in range(0, len(inputs), most):
            part = inputs[start : start + most]
            outputs[start : start + most] = self.stream(layer, len(part)).steps(part)
        return outputs

    def recalibrate(self, layer: int, measured: FloatArray, ideal: FloatArray) -> None:
        """Fit the correction of the outputs by `output_correction`."""
        self.gain[layer], self.offset[layer] = output_correction(layer, measured, ideal)
