"""What goes over the wire of an OpenMENA board: lines of text, and the codes that its firmware makes of them.

Facts from the board's published firmware and host program (github ali20480/OpenMiMA, `memristor_rev.ino` and
`memristor_main.py`, commits ddb0459 and 9d0020a; A. Safa et al., arXiv 2511.03747): 115200 baud, a command a line.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.errors import LinkCorrupt

BAUD = 115_200
LINES = 8
RANGE, REFERENCE = 4095, 1.5
"""The highest code of the eight converters of the word lines, and V there."""
CENTRE = 0.75
"""V of the column amplifiers' virtual ground: what all lines are at where nothing is to happen."""
REST = 2048
"""Code of a word line at rest; the centre lies between two codes."""
STEP = REFERENCE / RANGE
COLUMN_LOW, COLUMN_GAIN, COLUMN_SUPPLY = 0.545, 0.665, 3.3
"""The bit line in a pulse: V = low + gain * supply * code / range, from a converter of the controller."""
REPEATS = 20
"""Readings that the firmware takes the mean of."""
ADC_SUPPLY = 3.3
READ, PULSE, SET_LINES = b"INFEREMULTIPLE:", b"WEIGHTMODIF:", b"SETVOLTAGES:"
READ_BEGINS, READ_ENDS = b"INFEREMULTIPLE ADC Averages:", b"INFEREMULTIPLE complete."
RUNNING, LINES_SET = b"Running inference for ", b"Voltages updated:"


def read(codes: NDArray[np.int64]) -> bytes:
    r"""Products of these codes of the word lines, (vectors, 8).

    >>> read(np.full((1, 8), 2048))
    b'INFEREMULTIPLE: 1 2048 2048 2048 2048 2048 2048 2048 2048\n'
    """
    numbers = b" ".join(b"%d" % code for code in codes.ravel().tolist())
    return b"%s %d %s\n" % (READ, len(codes), numbers)


def question(number: int) -> bytes:
    r"""Drives nothing: a read of `number` vectors, 1 to 99, without any; `reply` is what the firmware says to that.

    >>> question(7), reply(7)
    (b'INFEREMULTIPLE: 7\n', b'Error: Expected 56 DAC values after N.')
    """
    return b"%s %d\n" % (READ, number)


def reply(number: int) -> bytes:
    """See `question`."""
    return b"Error: Expected %d DAC values after N." % (LINES * number)


def pulse(row: int, col: int, forward: bool, magnitude: float, micros: int) -> bytes:
    """One pulse on one cell, of at most `magnitude` V and less by .9 mV at the most; nothing comes back for it.

    Args:
        forward: the word line above the bit line (SET), or below it; micros: width, us.
    """
    if forward:
        below = min(magnitude / 2, CENTRE - COLUMN_LOW)
        word = math.floor((CENTRE + magnitude - below) / STEP)
        bit = math.ceil(_column_code(CENTRE - below))
    else:
        below = min(magnitude / 2, CENTRE)
        word = math.ceil((CENTRE - below) / STEP)
        bit = math.floor(_column_code(CENTRE + magnitude - below))
    # the middle of a code: the firmware cuts off in single precision
    volts = (word + 0.5) * STEP, _column_volts(bit + 0.5)
    levels = (*volts, CENTRE, CENTRE) if forward else (CENTRE, CENTRE, *volts)
    sign = 1 if forward else -1
    return b"%s %d %d %d 1 %.6f %.6f %.6f %.6f %d\n" % (PULSE, row, col, sign, *levels, micros)


def strongest() -> tuple[float, float]:
    """V that the board can put across a cell in SET and in RESET."""
    return REFERENCE - COLUMN_LOW, _column_volts(RANGE)


def at_rest() -> bytes:
    """All lines to the centre, for no cell to see a voltage even where a switch is closed."""
    return SET_LINES + b" %g" % CENTRE * (LINES + 1) + b"\n"


def averages(line: bytes) -> NDArray[np.int32]:
    r"""Sums of the readings of all bit lines, (8,), from a line of their means.

    >>> averages(b"0.00\t1.05\t4095.00\t2.00\t3.00\t4.00\t5.00\t6.50\t")
    array([    0,    21, 81900,    40,    60,    80,   100,   130], dtype=int32)

    Raises:
        LinkCorrupt: anything else.
    """
    fields: Sequence[bytes] = line.split()
    try:
        means = np.array([float(field) for field in fields])
    except ValueError:
        means = np.zeros(0)
    sums = np.round(means * REPEATS)
    if means.shape != (LINES,) or not (np.isfinite(means).all() and np.abs(means * REPEATS - sums).max() < 1e-6):
        raise LinkCorrupt(f"OpenMENA: means of {LINES} bit lines were expected, got {line[:80]!r}; read again")
    if sums.min() < 0 or sums.max() > REPEATS * RANGE:
        raise LinkCorrupt(f"OpenMENA: means beyond its converter, {line[:80]!r}; read again")
    return sums.astype(np.int32)


def _column_code(volts: float) -> float:
    return (volts - COLUMN_LOW) / COLUMN_GAIN * RANGE / COLUMN_SUPPLY


def _column_volts(code: float) -> float:
    return COLUMN_LOW + COLUMN_GAIN * COLUMN_SUPPLY * code / RANGE
