"""Codes of the superT A0 board to volts and amperes, and back: pure functions for its driver and its emulator.

Converters as measured and as in the board's public host software, github lican81/A0_DUT @ b10f97f.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.errors import LimitError, LinkCorrupt

CodeArray = NDArray[np.uint16]

DAC_FULL_SCALE = 10.0
"""V; the DAC gives -10 V at code 0 and +10 V at code 65,535."""

DAC_TOP = 0xFFFF

DAC_OFFSET = 0.078
"""V that the board's buffers add to what the DAC gives."""

DAC_STEP = 2 * DAC_FULL_SCALE / DAC_TOP
"""V from code to code."""

ADC_TOP = 1023

ADC_ZERO = 0.5
"""V at code 0."""

ADC_SPAN = 3.5
"""V from code 0 to code 1023."""

TIA_RESISTANCES = (1e3, 5e3, 30e3, 200e3, 1e6)
"""Ohm, feedback of the transimpedance amplifier by gain index."""

_CODE_BITS = 10


def dac_code(voltage: ArrayLike, offset: float = 0.0) -> CodeArray:
    """DAC codes for voltages in V, cut down to the step below as the board's host does.

    Args:
        offset: V taken off before coding: `DAC_OFFSET` for what is to stand behind the board's buffers. The
            board's own host leaves it out for pulses, whose cells then see that much more than it asks.

    Raises:
        LimitError: beyond what the DAC can give.
    """
    wanted = np.asarray(voltage, dtype=np.float64) - offset
    if not (np.abs(wanted) <= DAC_FULL_SCALE).all():
        raise LimitError(f"DAC: {np.asarray(voltage).ravel()[:3]} V asked, -10 to +10 V can be given")
    return np.trunc((wanted + DAC_FULL_SCALE) / (2 * DAC_FULL_SCALE) * DAC_TOP).astype(np.uint16)


def dac_voltage(code: ArrayLike, offset: float = 0.0) -> FloatArray:
    """Voltage in V that was asked with these codes, `offset` as in `dac_code`."""
    return np.asarray(code, dtype=np.float64) / DAC_TOP * (2 * DAC_FULL_SCALE) - DAC_FULL_SCALE + offset


def read_steps(voltage: float) -> int:
    """DAC steps between row plane and columns that come closest to `voltage` (V) from below.

    >>> read_steps(0.2), round(read_steps(0.2) * DAC_STEP, 6)
    (655, 0.199893)

    Raises:
        LimitError: less than one step.
    """
    steps = int(voltage / DAC_STEP + 1e-6)
    if steps < 1:
        raise LimitError(
            f"superT A0: reading at {voltage:g} V asked; its converter has steps of {DAC_STEP * 1e3:.3g} mV, "
            "ask for at least one"
        )
    return steps


def adc_voltage(code: ArrayLike) -> FloatArray:
    """Voltage in V at the ADC for its codes, 0 to 1023."""
    return ADC_ZERO + np.asarray(code, dtype=np.float64) * (ADC_SPAN / ADC_TOP)


def adc_code(voltage: ArrayLike) -> CodeArray:
    """Code of a perfect ADC for voltages in V; it saturates at 0 and 1023."""
    ideal = np.rint((np.asarray(voltage, dtype=np.float64) - ADC_ZERO) * (ADC_TOP / ADC_SPAN))
    return np.clip(ideal, 0, ADC_TOP).astype(np.uint16)


def current(code: ArrayLike, gain: ArrayLike) -> FloatArray:
    """Current in A for ADC codes read at these gain indices: (V - 0.5 V) / R."""
    resistance = np.asarray(TIA_RESISTANCES)[np.asarray(gain, dtype=np.intp)]
    return np.asarray((adc_voltage(code) - ADC_ZERO) / resistance)


def unpack(words: ArrayLike) -> tuple[CodeArray, CodeArray]:
    """ADC codes and gain indices, in the shape of the words that reads answer with: bits 0-9 and 10-12.

    Raises:
        LinkCorrupt: a gain that does not exist, or one of the bits 13-15 set.
    """
    given = np.asarray(words, dtype=np.uint16)
    gain = given >> np.uint16(_CODE_BITS)
    bad = gain >= len(TIA_RESISTANCES)
    if bad.any():
        raise LinkCorrupt(
            f"superT A0: reading 0x{int(given[bad].ravel()[0]):04X} holds gain {int(gain[bad].ravel()[0])}, allowed "
            f"are 0 to {len(TIA_RESISTANCES) - 1} ({np.count_nonzero(bad)} such words); flush the port and read again"
        )
    return np.asarray(given & np.uint16((1 << _CODE_BITS) - 1)), np.asarray(gain)


def pack(code: ArrayLike, gain: ArrayLike) -> CodeArray:
    """Words that reads answer with, from ADC codes (0-1023) and gain indices (0-4) of one shape."""
    return np.asarray(np.asarray(gain, dtype=np.uint16) << _CODE_BITS | np.asarray(code, dtype=np.uint16))
