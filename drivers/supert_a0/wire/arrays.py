"""Commands that read and pulse the cells of an array."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.supert_a0.wire.command import LONGEST_DELAY, Command, within
from imssa_lab.contract.errors import LimitError

ARRAYS, SIDE = 3, 64
MAX_VECTORS = 60
BLOCK = 512
"""Bytes in which long replies come."""
START_ROW = 126
PACKET_BYTES = 2 * SIDE * 2


@dataclass(frozen=True)
class _OfArray(Command):
    array: int

    def __post_init__(self) -> None:
        within("array", self.array, 0, ARRAYS - 1)


@dataclass(frozen=True)
class ReadCell(_OfArray):
    r"""One cell; the array stays connected afterwards. The word holds code (bits 0-9) and gain (10-12).

    >>> ReadCell(0, 63, 0).encode(), ReadCell(0, 63, 0).reply
    (b'401,0,63,0,1\x00', 2)
    """

    row: int
    col: int
    autogain: int = 1
    number = 401
    reply_length = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        within("row", self.row, 0, SIDE - 1)
        within("column", self.col, 0, SIDE - 1)


@dataclass(frozen=True)
class ReadArray(_OfArray):
    r"""All cells one after another, row by row, `pause` us after each; stays connected afterwards.

    >>> ReadArray(2, pause=500).encode(), ReadArray(2).reply
    (b'402,2,1,500\x00', 8192)
    """

    autogain: int = 1
    pause: int = 0
    number = 402
    reply_length = 2 * SIDE * SIDE

    def __post_init__(self) -> None:
        super().__post_init__()
        within("pause (us)", self.pause, 0, LONGEST_DELAY)


@dataclass(frozen=True)
class Products(_OfArray):
    r"""Products of up to 60 one-bit vectors with the columns enabled; bit i of a mask is row i, sent big-endian.

    `mode`: 1 unselected rows float, else grounded; plus 2 for autogain.

    >>> Products.of(0, [1 << 63 | 1]).encode()
    b'403,0,1,3,0,\x01,\x80\x00\x00\x00\x00\x00\x00\x01\x00'
    >>> Products.of(0, [1] * 60).reply, len(Products.of(0, [1] * 60).encode())
    (7680, 496)
    """

    vectors: int
    mode: int
    pause: int
    masks: bytes
    number = 403

    @classmethod
    def of(cls, array: int, masks: list[int], mode: int = 3, pause: int = 0) -> Products:
        """From masks as integers."""
        return cls(array, len(masks), mode, pause, b"".join(mask.to_bytes(8, "big") for mask in masks))

    def __post_init__(self) -> None:
        super().__post_init__()
        within("vectors in one command", self.vectors, 1, MAX_VECTORS)
        within("pause (us)", self.pause, 0, LONGEST_DELAY)

    @property
    def payload(self) -> bytes:
        """Eight bytes for each vector."""
        return self.masks

    @property
    def reply(self) -> int:
        """Whole blocks of four vectors."""
        return -(-self.vectors // 4) * BLOCK

    def words(self, reply: bytes) -> NDArray[np.uint16]:
        """(vectors, 64); what is left of the last block is old and not given."""
        return np.frombuffer(reply, "<u2").reshape(-1, SIDE)[: self.vectors]


class _Packet(_OfArray):
    """Two rows of codes for pulses; the fields stand in the order of each command."""

    marker = b"0"
    row: int
    codes: bytes

    def __post_init__(self) -> None:
        super().__post_init__()
        within("row of a packet", self.row, 0, START_ROW)
        if self.row % 2 or len(self.codes) != PACKET_BYTES:
            raise LimitError(
                f"superT A0: a packet begins at an even row and holds {PACKET_BYTES} bytes; nothing was sent"
            )

    @property
    def payload(self) -> bytes:
        """2 x 64 codes, least significant byte first."""
        return self.codes

    @property
    def reply(self) -> int:
        """An acknowledgement for the last packet."""
        return int(self.row == START_ROW)


@dataclass(frozen=True)
class PulsesInternal(_Packet):
    r"""Codes of two rows for pulses that the chip times: rows 0-62 voltages, 64-126 gates; row 126 starts them.

    Cells with a code 0 are left alone. Only the starting packet is acknowledged.

    >>> PulsesInternal(0, 1, 126, bytes(256)).encode()[:14], PulsesInternal(0, 1, 126, bytes(256)).reply
    (b'405,0,1,126,0,', 1)
    >>> PulsesInternal(0, 1, 0, bytes(256)).reply
    0
    """

    forward: int
    row: int
    codes: bytes
    number = 405


@dataclass(frozen=True)
class PulsesExternal(_Packet):
    r"""As `PulsesInternal`, timed by the controller: `width` us, with voltages returning to the code `zero`.

    >>> PulsesExternal(0, 0, 32767, 1000, 126, bytes(256)).encode()[:25]
    b'407,0,0,32767,1000,126,0,'
    """

    forward: int
    zero: int
    width: int
    row: int
    codes: bytes
    number = 407

    def __post_init__(self) -> None:
        super().__post_init__()
        within("width (us)", self.width, 1, LONGEST_DELAY)


@dataclass(frozen=True)
class PulseExternal(_OfArray):
    r"""One pulse of one cell, timed by the controller: `width` us, with voltages returning to the code `zero`.

    It pulses with a code 0, too.

    >>> PulseExternal(0, 5, 7, 1, 40000, 36000, 32511, 10).encode(), PulseExternal(0, 5, 7, 1, 1, 1, 1, 1).reply
    (b'406,0,5,7,1,40000,36000,32511,10\x00', 1)
    """

    row: int
    col: int
    forward: int
    voltage: int
    gate: int
    zero: int
    width: int
    number = 406
    reply_length = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        within("row", self.row, 0, SIDE - 1)
        within("column", self.col, 0, SIDE - 1)
        for what in ("voltage", "gate", "zero"):
            within(f"code of {what}", getattr(self, what), 1, 0xFFFF)
        within("width (us)", self.width, 1, LONGEST_DELAY)


def packets(voltage: NDArray[np.uint16], gate: NDArray[np.uint16]) -> list[tuple[int, bytes]]:
    """Row fields and payloads of a whole batch, in the order in which they are sent, from codes (64, 64)."""
    codes = np.concatenate([voltage, gate]).astype("<u2")
    return [(row, codes[row : row + 2].tobytes()) for row in range(0, 2 * SIDE, 2)]
