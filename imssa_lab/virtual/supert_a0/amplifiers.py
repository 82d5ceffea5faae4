"""The transimpedance amplifiers and converters behind the columns of a superT A0: currents to words.

V_out = VREF_TIA + R I, where I flows from the column (at VREF_TIA) through the cell to the row plane. The ADC sees
0.5 to 4.0 V, moved by the excess of VREF_HI_CMP over 4.0 V.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.array_types import BoolArray, FloatArray, Readout
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from twin.periphery.converter import Converters

RESISTANCES = np.array([1e3, 5e3, 30e3, 200e3, 1e6])
"""Ohm, by gain index."""
SPAN, ZERO, TOP = 3.5, 0.5, 1023
_S_H, _ENABLE = 1 << 9, 1 << 8
_WORDS, _BITS = 96, 10
_CYCLE = 20e-9
_HOLD = np.array([12, 12, 12, 25, 100]) + 2  # cycles of 20 ns after which the host takes each gain for settled
_LAG = 17 * _CYCLE  # of the largest resistance; the others follow in proportion
_DEAD = 11 * _CYCLE
_AGC_TOP = 3.9


def gains_of(chain: bytes) -> NDArray[np.int8]:
    """Gain index of the amplifiers of a chain, (96,); -1 where one is off or has not exactly one resistor."""
    bits = np.unpackbits(np.frombuffer(chain, np.uint8)).reshape(_WORDS, _BITS)
    words = bits @ (1 << np.arange(_BITS)[::-1])
    index = np.full(_WORDS, -1, dtype=np.int8)
    for gain in range(len(RESISTANCES)):
        index[words & 0x1F == 1 << gain] = gain
    index[(words & _S_H == 0) | (words & _ENABLE == 0)] = -1
    return index


@dataclass(frozen=True)
class Setting(FrozenArrays):
    """How a conversion is done.

    Attributes:
        gains: index of each column's amplifier as configured, -1 for one that is off, (64,).
        enabled: columns of the column register, (64,).
        auto: whether the amplifiers choose their gain.
        reference: V of VREF_TIA; top: V of VREF_HI_CMP; agc: V of VAGC_1.
        hold: s between the pulse and the sample.
        share: of its current that the transistor lets through; negative where the rows are above the columns.
    """

    gains: NDArray[np.int8]
    enabled: BoolArray
    auto: bool
    reference: float
    top: float
    agc: float
    hold: float
    share: float = 1.0


class FrontEnd(Converters):
    """The converters of one chip behind its amplifiers, for the `setting` that the board has brought about."""

    def __init__(self, converters: Converters) -> None:
        self._converters = converters
        self.setting: Setting | None = None

    def convert(self, current: FloatArray) -> Readout:
        """Codes, and ranges that count from the largest resistance, of currents (..., 64) in A."""
        setting = self.setting
        assert setting is not None
        current = current * setting.share if setting.share != 1.0 else current
        # references count in whole codes: a DAC step is a tenth of one
        at_zero = np.rint((setting.reference - ZERO) * TOP / SPAN) / TOP
        moved = np.rint((setting.top - 4.0) * TOP / SPAN) / TOP
        gain = self._gain(current, setting, at_zero)
        full_scale = SPAN / RESISTANCES[gain]
        settled = _settled(setting.hold)[gain]
        share = settled * (current / full_scale) + (at_zero + moved)
        codes = self._converters.codes(share)
        off = np.broadcast_to(setting.gains < 0, codes.shape)
        codes = np.where(off, 0, codes)
        ranges = np.where(off, len(RESISTANCES) - 1, len(RESISTANCES) - 1 - gain)
        return Readout(codes.astype(np.int16), ranges.astype(np.uint8))

    def _gain(self, current: FloatArray, setting: Setting, at_zero: float) -> NDArray[np.intp]:
        if not setting.auto:
            return np.broadcast_to(np.maximum(setting.gains, 0), current.shape).astype(np.intp)
        within = np.round((setting.agc - ZERO) / (_AGC_TOP - ZERO), 3) * self._converters.headroom
        scales = SPAN / RESISTANCES[::-1]
        size = np.maximum(current, 0.0)
        steps = np.searchsorted((within - at_zero) * scales, size)
        return np.asarray(len(scales) - 1 - np.minimum(steps, len(scales) - 1), dtype=np.intp)

    def external(self, volts: float, top: float) -> FloatArray:
        """Codes of every converter for one voltage at all of them, (64,)."""
        share = (volts - ZERO) / SPAN + np.rint((top - 4.0) * TOP / SPAN) / TOP
        return self._converters.codes(np.full(self._converters.cols, share))


def _settled(hold: float) -> FloatArray:
    """Share of the final output that each gain has reached when it is sampled."""
    lag = np.maximum(_LAG * RESISTANCES / RESISTANCES[-1], 1e-12)
    dead = np.where(RESISTANCES >= 200e3, _DEAD, 0.0)
    early = -np.expm1(-np.maximum(hold - dead, 0.0) / lag)
    return np.where(hold >= _HOLD * _CYCLE * (1 - 1e-9), 1.0, early)
