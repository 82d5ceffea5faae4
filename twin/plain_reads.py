"""The short way of a matrix-vector product through a twin whose physics is plain, compiled.

Plain is: linear cells that stand still, with or without wires, noise that does not last from read to read, analog
inputs, and a converter without faults. The bits are those of the long way in `twin.array`.
"""

from __future__ import annotations

import numpy as np

from imssa_lab.hal import FloatArray, Readout
from twin import compiled
from twin.noise import CellNoise
from twin.periphery import ColumnAmplifiers
from twin.products import SteppedProduct
from twin.profile import TwinProfile
from twin.wires import WiredCells

_BY_HAND = 12
"""Up to so many vectors a loop is faster than the library's matrix product."""
_AT_ONCE = 128


class PlainReads:
    """Products of one array, the short way.

    Args:
        profile: of the chip; `suits` must be true of it. columns, noise: of this chip; wired: None without wires.
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
        self._top, self._signed = profile.adc.top, profile.adc.signed
        self._kind = np.int16 if self._top < 2**15 else np.int32
        self._conductance = np.full((1, 1), np.nan)
        self._product = SteppedProduct(np.zeros((1, 1)), self._step)
        self._variance = self._conductance

    @staticmethod
    def suits(profile: TwinProfile) -> bool:
        """Whether chips of this kind can be read the short way, here."""
        adc, noise = profile.adc, profile.read_noise
        return (
            compiled.AVAILABLE
            and profile.nonlinearity is None
            and profile.relaxation is None
            and profile.read_rate is None
            and profile.inputs.coding == "analog"
            and SteppedProduct.suits(profile.limits.read_voltage, profile.inputs.step)
            and noise.flicker is None
            and noise.telegraph is None
            and noise.electronic is None
            and adc is not None
            and not (adc.missing or adc.inl or adc.gain_spread or adc.offset_spread)
        )

    def read(self, conductance: FloatArray, voltages: FloatArray) -> Readout:
        """What the converters say of voltages (n, rows) in V on cells of these conductances, S."""
        if conductance.shape != self._conductance.shape or not compiled.same(conductance, self._conductance):
            self._conductance = conductance.copy()
            matrix = conductance
            if self._wired is not None:
                view = self._wired.view(conductance)
                matrix, self._shares, self._columns[2] = view.matrix, view.word_share, view.bit_share
            self._product = SteppedProduct(matrix, self._step)
            self._variance = self._noise.variance_on_grid(conductance)
        shape = (len(voltages), conductance.shape[1])
        values, ranges = np.empty(shape, dtype=self._kind), np.empty(shape, dtype=np.uint8)
        behind = (self._columns, self._scales, float(self._top), self._signed)
        if len(voltages) <= _BY_HAND:
            slices, drawn = self._product.slices, self._noise.draw(shape)
            compiled.read_few(
                voltages, self._step, self._shares, slices, self._variance, drawn, *behind, values, ranges
            )
            return Readout(values, ranges)
        codes, squares = np.empty((2, min(_AT_ONCE, len(voltages)), voltages.shape[1]))
        for start in range(0, len(voltages), _AT_ONCE):
            block = slice(start, start + _AT_ONCE)
            n = len(voltages[block])
            compiled.codes_and_squares(voltages[block], self._step, self._shares, codes[:n], squares[:n])
            sums, variances = codes[:n] @ self._product.slices, squares[:n] @ self._variance
            drawn = self._noise.draw(variances.shape)
            compiled.convert(sums, self._step, variances, drawn, *behind, values[block], ranges[block])
        return Readout(values, ranges)
