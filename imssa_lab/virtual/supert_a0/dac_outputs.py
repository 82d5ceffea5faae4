"""The 16 outputs of the superT A0's DAC in volts: what its serial words, its spans and its CLR line make of them.

The command set of an LTC2668 as far as the board uses it. The board's buffers add 0.078 V to channels 0 to 13.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.array_types import FloatArray

CHANNELS = (
    "PLANE_VPP",
    "VREF_ARRAY",
    "VREF_TIA",
    "VREF_HI_CMP",
    "VREF_SH",
    "VP_PAD",
    "TVDD",
    "VAGC_0",
    "VAGC_1",
    "ADC_EXT_TEST_IN",
    "AMP_VREF",
    "AMP_INPUT",
    "SPARE_12",
    "SPARE_13",
    "DRIVE_VN",
    "SCHOTTKY",
)
BUFFER = 0.078
_BUFFERED = 14
_TOP = 65535
_SPANS = ((0.0, 5.0), (0.0, 10.0), (-5.0, 5.0), (-10.0, 10.0), (-2.5, 2.5))
_WRITE_AND_UPDATE, _SPAN_OF_ALL = 3, 14
STEP = 20.0 / _TOP
"""V from code to code in the span from -10 to +10 V."""


class Dac:
    """Codes and span; after power-up and while CLR is low all codes are 0, in a span from 0 V."""

    def __init__(self) -> None:
        self.codes = [0] * len(CHANNELS)
        self.span = 0
        self.cleared = True

    def word(self, word: int) -> None:
        """A 32-bit frame: command in bits 20-23, channel in 16-19, code in 0-15."""
        command = word >> 20 & 0xF
        if command == _SPAN_OF_ALL and word & 0xF < len(_SPANS):
            self.span = word & 0xF
        elif command == _WRITE_AND_UPDATE:
            self.write(word >> 16 & 0xF, word & 0xFFFF)

    def write(self, channel: int, code: int) -> None:
        """Write and update one channel; a DAC held clear takes nothing."""
        if not self.cleared:
            self.codes[channel] = code & 0xFFFF

    def clear(self, low: bool) -> None:
        """The CLR line."""
        self.cleared = low
        if low:
            # zero or mid scale is open; zero volts in any span is taken
            bottom, top = _SPANS[self.span]
            self.codes = [round(-bottom / (top - bottom) * _TOP)] * len(CHANNELS)

    def of_codes(self, codes: NDArray[np.uint16], channel: int) -> FloatArray:
        """V that codes give in a channel, same shape; a DAC held clear gives what it gives."""
        bottom, top = _SPANS[self.span]
        taken = np.full(codes.shape, self.codes[channel]) if self.cleared else codes
        return np.asarray(bottom + taken / _TOP * (top - bottom) + (BUFFER if channel < _BUFFERED else 0.0))

    def volts(self, name: str) -> float:
        """V at an output now."""
        channel = CHANNELS.index(name)
        return float(self.of_codes(np.array(self.codes[channel], dtype=np.uint16), channel))
