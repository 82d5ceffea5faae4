"""Reads of a twin whose physics is plain, compiled: a shorter way than `twin.fast.chip_reads`, with the same bits.

Plain is: linear cells that stand still, with or without wires, noise that does not last from read to read, analog
inputs in steps, and a converter without faults.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from imssa_lab.contract import jit
from imssa_lab.contract.array_types import AdcRanges, ColumnCalibration
from imssa_lab.contract.checks.frozen_arrays import frozen
from imssa_lab.contract.closed_loop import ClosedLoop
from imssa_lab.contract.hal import FloatArray, Readout
from twin.fast import compiled_reads, plain_loop, plain_products
from twin.fast.chip_reads import ReadParts
from twin.fast.compiled_sums import BY_HAND
from twin.fast.coverage import NOT_OF_READS, Claims, absent, any_value, fields, not_covered, section
from twin.fast.exact_products import SteppedProduct
from twin.noise import CellNoise, ReadNoise
from twin.periphery.columns import ColumnAmplifiers, Columns
from twin.periphery.converter import Adc
from twin.periphery.inputs import Inputs
from twin.profile import TwinProfile
from twin.wires.wire_resistance import WiredCells, Wires

CLAIMS: Claims = {
    TwinProfile: {
        **dict.fromkeys(NOT_OF_READS, any_value),
        "read_voltage": any_value,
        **dict.fromkeys(("read_noise", "inputs", "columns"), section),
        "adc": lambda adc: adc is not None,
        "wires": lambda wires: wires is None or type(wires) is Wires,
        **dict.fromkeys(("nonlinearity", "read_rate", "relaxation"), absent),
    },
    ReadNoise: {
        **fields("reference sd_median sd_spread exponent noisiest"),
        **dict.fromkeys(("flicker", "telegraph", "electronic"), absent),
    },
    Inputs: {"coding": lambda coding: coding == "analog", **fields("bits full_scale signed")},
    Adc: {
        **fields("bits full_scales signed headroom converters"),
        **dict.fromkeys(("missing", "inl", "gain_spread", "offset_spread"), absent),
    },
    Columns: fields("gain gain_spread offset_spread"),
    Wires: fields("r_word r_bit r_in r_out r_access selector"),
}
"""What is computed here, field by field."""


def is_plain(profile: TwinProfile) -> bool:
    """Whether the physics of this kind of chip is plain: analog inputs in steps, white noise, perfect converters."""
    return not_covered(profile, CLAIMS) is None and SteppedProduct.suits(
        profile.limits.read_voltage, profile.inputs.step
    )


class PlainReads:
    """Products of one array, the short way.

    Args:
        profile: of the chip; `is_plain` must be true of it. columns, noise: of this chip; wired: None without wires.
    """

    def __init__(
        self, profile: TwinProfile, columns: ColumnAmplifiers, noise: CellNoise, wired: WiredCells | None
    ) -> None:
        assert profile.adc is not None
        assert profile.inputs.step is not None
        self._step = profile.inputs.step
        self._wired = wired
        self._noise, self._shares = noise, np.ones(noise.shape[0])
        self._columns = np.stack([columns.gain, columns.offset, np.ones(noise.shape[1])])
        full_scales = np.asarray(profile.adc.full_scales)
        self._scales = np.stack([full_scales, profile.adc.headroom * full_scales])
        self._top, self._signed = float(profile.adc.top), profile.adc.signed
        self._kind = np.int16 if profile.adc.top < 2**15 else np.int32
        self._conductance = np.full((1, 1), np.nan)
        self._product = SteppedProduct(np.zeros((1, 1)), self._step)
        self._variance = self._conductance

    @staticmethod
    def of(parts: ReadParts) -> PlainReads | None:
        """Of this chip; None where its physics is not plain, or without numba."""
        if not (jit.AVAILABLE and parts.are_known() and is_plain(parts.profile)):
            return None
        return PlainReads(parts.profile, parts.columns, parts.noise, parts.wired)

    def read(self, conductance: FloatArray, voltages: FloatArray) -> Readout:
        """What the converters say of voltages (n, rows) in V on cells of these conductances, S."""
        self._look_at(conductance)
        shape = (len(voltages), conductance.shape[1])
        values, ranges = np.empty(shape, dtype=self._kind), np.empty(shape, dtype=np.uint8)
        few, noise = len(voltages) <= BY_HAND, self._noise.stream
        read: Callable[..., None] = plain_products.read if few else plain_products.read_many
        cells = (voltages, self._step, self._shares, self._product.slices, self._variance)
        behind = (self._columns, self._scales, self._top, self._signed, values, ranges)
        read(*cells, noise.standard_normal(shape) if few else noise, *behind)
        return Readout(frozen(values), frozen(ranges))

    def read_cells(self, conductance: FloatArray, voltage: float, averages: int) -> Readout:
        """What the converters say of so many reads of every cell at `voltage` (V), conductances in S."""
        shape = (averages, *conductance.shape)
        values, ranges = np.empty(shape, dtype=self._kind), np.empty(shape, dtype=np.uint8)
        cells = (conductance, self._noise.white_variance(conductance), self._noise.stream, voltage)
        plain_products.read_cells(*cells, self._scales, self._top, self._signed, values, ranges)
        return Readout(frozen(values), frozen(ranges))

    def run(
        self,
        conductance: FloatArray,
        loop: ClosedLoop,
        inputs: FloatArray,
        states: Sequence[FloatArray],
        adc: AdcRanges,
        calibration: ColumnCalibration | None,
    ) -> tuple[FloatArray, list[FloatArray], FloatArray, Readout]:
        """Outputs, states, voltages and readout of a closed loop, with the shapes and units of `LoopRun`."""
        self._look_at(conductance)
        banks, (n, steps), cols = loop.banks, inputs.shape[:2], conductance.shape[1]
        rows = np.concatenate([bank.rows.ravel() for bank in banks])
        lines = np.stack([rows, np.concatenate([bank.plus.ravel() for bank in banks])])
        drive, per_ampere, sizes, scale, keep = (
            np.concatenate([part.ravel() for part in parts])
            for parts in zip(
                *(
                    (b.drive, b.per_ampere, np.full(len(b.rows), b.rows.shape[1]), b.input_scale, b.keep)
                    for b in banks
                ),
                strict=True,
            )
        )
        ends = np.cumsum([len(bank.rows) for bank in banks])
        state = np.concatenate([np.pad(x, ((0, 0), (0, 0), (1, 0))).reshape(n, -1) for x in states], axis=1)
        shape, outputs = (steps * len(banks), len(loop.spreads) * n), np.empty((steps, n, loop.kernels))
        voltages = np.empty((*shape, conductance.shape[0]))
        values, ranges = np.empty((*shape, cols), dtype=self._kind), np.empty((*shape, cols), dtype=np.uint8)
        corrected = np.empty((2, 0)) if calibration is None else np.stack([calibration.gain, calibration.offset])
        plain_loop.run(
            np.ascontiguousarray(inputs.swapaxes(0, 1)),
            state,
            np.array(loop.spreads),  # one type for the compiler: what a loop holds is read-only
            np.concatenate([[0], ends]),
            np.concatenate([[0], np.cumsum(sizes)]),
            lines,
            np.stack([drive, self._shares[rows], per_ampere]),
            np.stack([scale, keep]),
            self._step,
            self._product.slices[rows],
            self._variance[rows],
            self._noise.stream,
            self._columns,
            self._scales,
            self._top,
            self._signed,
            np.array([adc.scale, adc.offset]),
            corrected,
            outputs,
            voltages,
            values,
            ranges,
        )
        for made in (outputs, state, voltages, values, ranges):
            frozen(made)
        cuts = np.cumsum([bank.rows.size for bank in banks])[:-1]
        after = [
            part.reshape(n, *bank.rows.shape)[..., 1:]
            for part, bank in zip(np.split(state, cuts, axis=1), banks, strict=True)
        ]
        return outputs.swapaxes(0, 1), after, voltages, Readout(values, ranges)

    def _look_at(self, conductance: FloatArray) -> None:
        if conductance.shape == self._conductance.shape and compiled_reads.same(conductance, self._conductance):
            return
        self._conductance = conductance.copy()
        matrix = conductance
        if self._wired is not None:
            view = self._wired.view(conductance)
            matrix, self._shares, self._columns[2] = view.matrix, view.word_share, view.bit_share
        self._product = SteppedProduct(matrix, self._step)
        self._variance = self._noise.variance_on_grid(conductance)
