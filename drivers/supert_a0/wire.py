r"""The bytes of the superT A0 board: every command a value, every reply a length. Firmware of 8 December 2019.

A command is its number, fields parted by commas, and a NUL. Where a payload follows, it comes after a marker of one
character and a comma, is taken by length, and may hold any byte. The firmware takes one USB transfer for one command:
each must be one write of at most 511 bytes. Replies have neither header nor checksum.

>>> ReadCell(array=1, row=3, col=5).encode()
b'401,1,3,5,1\x00'
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from drivers.supert_a0.convert import ADC_SPAN as ADC_SPAN
from drivers.supert_a0.convert import TIA_RESISTANCES as TIA_RESISTANCES
from drivers.supert_a0.convert import dac_code as dac_code
from drivers.supert_a0.convert import dac_voltage as dac_voltage
from drivers.supert_a0.convert import pack as pack
from drivers.supert_a0.convert import unpack as unpack
from imssa_lab.errors import LimitError, LinkCorrupt

ARRAYS, SIDE = 3, 64
LONGEST = 511
MAX_VECTORS = 60
BLOCK = 512
"""Bytes in which long replies come."""
LONGEST_DELAY = 21_470_000
"""us; the firmware's wait compares signed ticks of 10 ns, a longer one returns at once."""
ACKNOWLEDGE = b"0"
PATTERN = b"".join((100_000 * number).to_bytes(4, "little") for number in range(64))
"""What `Handshake` is answered with."""

PINS: dict[str, tuple[str, int]] = {
    "PWR_GOOD": ("A", 9),
    "READ_BIT": ("A", 10),
    "READ_DPE": ("A", 14),
    "CONNECT_COLUMN_T": ("A", 15),
    "DPE_INTERNAL_EN": ("B", 7),
    "NFORCE_SAFE0": ("B", 9),
    "WRT_INTERNAL_EN": ("B", 10),
    "AGC_INTERNAL_EN": ("B", 11),
    "WRITE_ADD_CAP": ("B", 15),
    "DPE_EXT_PULSE": ("C", 1),
    "DPE_EXT_SH": ("C", 2),
    "SERIAL_CHAIN_SEL0": ("C", 3),
    "SERIAL_CHAIN_SEL1": ("C", 4),
    "UPDATE_TIA_CONF": ("C", 13),
    "PIC_LDAC": ("D", 0),
    "SERIAL_CK_IN": ("D", 1),
    "SERIAL_BUS_IN": ("D", 3),
    "PIC_CLR": ("D", 9),
    "DPE_EXT_OVERRIDE_EN": ("D", 10),
    "NRESET_DPE_ENGINE": ("D", 13),
    "AGC_PULSE": ("E", 0),
    "WRT_PULSE": ("E", 1),
    "NFORCE_SAFE2": ("E", 2),
    "NRESET_FULL_CHIP": ("E", 6),
    "LATCH_CLK_DATA": ("E", 7),
    "WRITE_FWD": ("E", 8),
    "WRITE_SEL_EXT": ("E", 9),
    "PIC_TGP": ("F", 2),
    "CONNECT_TIA": ("F", 4),
    "COL_ROW_SEL": ("F", 12),
    "COL_WRITE_CONNECT": ("F", 13),
    "ADC_FIFO_ADVANCE": ("G", 0),
    "ADC_SEL_EXTERNAL": ("G", 7),
    "ROW_WRITE_CONNECT": ("G", 8),
    "DPE_PULSE": ("G", 12),
    "NFORCE_SAFE1": ("G", 13),
    "ARRAY_EN0": ("H", 3),
    "ARRAY_EN1": ("H", 6),
    "ARRAY_EN2": ("H", 7),
}
CHANNELS = {
    "PLANE_VPP": 0,
    "VREF_ARRAY": 1,
    "VREF_TIA": 2,
    "VREF_HI_CMP": 3,
    "VREF_SH": 4,
    "VP_PAD": 5,
    "TVDD": 6,
    "VAGC_0": 7,
    "VAGC_1": 8,
    "ADC_EXT_TEST_IN": 9,
    "AMP_VREF": 10,
    "AMP_INPUT": 11,
}
TIA_GROUPS = tuple(
    bytes.fromhex(text) for text in ("F87E1F87E1", "F8BE2F8BE2", "D134 4D13 44", "C2308C2308", "C4310C4310")
)
"""The five bytes that set four amplifiers to gain 0 to 4; a chain takes 24 of them."""
CONTROL_RESET = bytes.fromhex("10020C10200102")


def _within(what: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise LimitError(f"superT A0: {what} {value} asked, {low} to {high} are allowed; nothing was sent")


@dataclass(frozen=True)
class Command:
    """A command; `reply` is how many bytes answer it, 0 for silent ones. Fields are sent in their order."""

    number: ClassVar[int]
    reply_length: ClassVar[int] = 0

    @property
    def reply(self) -> int:
        """Bytes of the answer."""
        return self.reply_length

    @property
    def payload(self) -> bytes | None:
        """Raw bytes after the fields; None for text commands."""
        return None

    marker: ClassVar[bytes] = b"\x01"

    def encode(self) -> bytes:
        """The one write that sends it."""
        texts = [str(getattr(self, field.name)).encode() for field in fields(self) if field.name not in _RAW]
        head = b",".join([b"%d" % self.number, *texts])
        data = head + b"\0" if self.payload is None else b"%s,%s,%s\0" % (head, self.marker, self.payload)
        if len(data) > LONGEST:
            raise LimitError(f"superT A0: command {self.number} of {len(data)} bytes, at most {LONGEST} are taken")
        return data


_RAW = ("content", "masks", "codes")


@dataclass(frozen=True)
class Handshake(Command):
    r"""A fixed pattern, without any effect.

    >>> Handshake().encode(), Handshake().reply
    (b'103\x00', 256)
    """

    number = 103
    reply_length = 256


@dataclass(frozen=True)
class Barrier(Command):
    r"""Reads the ADC's pins; its answer shows that all commands before are done.

    >>> Barrier().encode(), Barrier().reply
    (b'207\x00', 4)
    """

    number = 207
    reply_length = 4


@dataclass(frozen=True)
class LineData(Command):
    r"""The 16 data lines of row and column vectors.

    >>> LineData(65024).encode()
    b'203,65024\x00'
    """

    value: int
    number = 203


@dataclass(frozen=True)
class LineBank(Command):
    r"""Which of the four banks (one-hot) takes the data; clears the FIFO select.

    >>> LineBank(4).encode()
    b'204,4\x00'
    """

    value: int
    number = 204


@dataclass(frozen=True)
class FifoSelect(Command):
    r"""Which FIFO is addressed; clears the bank select.

    >>> FifoSelect(0).encode()
    b'205,0\x00'
    """

    value: int
    number = 205


@dataclass(frozen=True)
class _Pin(Command):
    port: str
    pin: int


@dataclass(frozen=True)
class SetPin(_Pin):
    r"""A pin high.

    >>> SetPin(*PINS["PWR_GOOD"]).encode()
    b'211,A,9\x00'
    """

    number = 211


@dataclass(frozen=True)
class ClearPin(_Pin):
    r"""A pin low.

    >>> ClearPin(*PINS["CONNECT_COLUMN_T"]).encode()
    b'212,A,15\x00'
    """

    number = 212


@dataclass(frozen=True)
class Dac(Command):
    r"""A word to the DAC, as the decimal of its reversed bytes.

    >>> Dac.write(2, 33904).encode()
    b'214,1887711744\x00'
    >>> Dac.span_of_10_volts().encode()
    b'214,50388992\x00'
    """

    word: int
    number = 214

    @classmethod
    def write(cls, channel: int, code: int) -> Dac:
        """Write and update one channel."""
        _within("DAC channel", channel, 0, 15)
        _within("DAC code", code, 0, 0xFFFF)
        return cls(int.from_bytes((3 << 20 | channel << 16 | code).to_bytes(4, "big"), "little"))

    @classmethod
    def span_of_10_volts(cls) -> Dac:
        """All channels from -10 to +10 V."""
        return cls(int.from_bytes(bytes.fromhex("00E00003"), "little"))


@dataclass(frozen=True)
class ClockOn(Command):
    r"""Clock output on: 0 CK_ARRAY, 2 ADC_CK.

    >>> ClockOn(2).encode()
    b'217,2\x00'
    """

    clock: int
    number = 217


@dataclass(frozen=True)
class ClockOff(Command):
    r"""Clock output off.

    >>> ClockOff(0).encode()
    b'218,0\x00'
    """

    clock: int
    number = 218


@dataclass(frozen=True)
class ClockDivider(Command):
    r"""Frequency 200 MHz / (2 divider) from the system clock (source 0).

    >>> ClockDivider(0, 0, 2).encode()
    b'220,0,0,2\x00'
    """

    clock: int
    source: int
    divider: int
    number = 220


@dataclass(frozen=True)
class WriteChain(Command):
    r"""A scan chain: 0 and 1 the amplifiers, 2 the control block. Acknowledged.

    >>> WriteChain.of(2, CONTROL_RESET).encode()
    b'303,2,7,\x01,\x10\x02\x0c\x10 \x01\x02\x00'
    """

    chain: int
    length: int
    content: bytes
    number = 303
    reply_length = 1

    @classmethod
    def of(cls, chain: int, content: bytes) -> WriteChain:
        """The length is that of the content."""
        return cls(chain, len(content), content)

    @property
    def payload(self) -> bytes:
        """The chain, first byte sent first."""
        return self.content


@dataclass(frozen=True)
class _OfArray(Command):
    array: int

    def __post_init__(self) -> None:
        _within("array", self.array, 0, ARRAYS - 1)


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
        _within("row", self.row, 0, SIDE - 1)
        _within("column", self.col, 0, SIDE - 1)


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
        _within("pause (us)", self.pause, 0, LONGEST_DELAY)


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
        _within("vectors in one command", self.vectors, 1, MAX_VECTORS)
        _within("pause (us)", self.pause, 0, LONGEST_DELAY)

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


@dataclass(frozen=True)
class PulsesInternal(_OfArray):
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
    marker = b"0"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_packet(self.row, self.codes)

    @property
    def payload(self) -> bytes:
        """2 x 64 codes, least significant byte first."""
        return self.codes

    @property
    def reply(self) -> int:
        """An acknowledgement for the last packet."""
        return int(self.row == START_ROW)


@dataclass(frozen=True)
class PulsesExternal(_OfArray):
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
    marker = b"0"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_packet(self.row, self.codes)
        _within("width (us)", self.width, 1, LONGEST_DELAY)

    @property
    def payload(self) -> bytes:
        """2 x 64 codes, least significant byte first."""
        return self.codes

    @property
    def reply(self) -> int:
        """An acknowledgement for the last packet."""
        return int(self.row == START_ROW)


START_ROW = 126
PACKET_BYTES = 2 * SIDE * 2


def _check_packet(row: int, codes: bytes) -> None:
    _within("row of a packet", row, 0, START_ROW)
    if row % 2 or len(codes) != PACKET_BYTES:
        raise LimitError(
            f"superT A0: a packet begins at an even row and holds {PACKET_BYTES} bytes; nothing was sent"
        )


def packets(voltage: NDArray[np.uint16], gate: NDArray[np.uint16]) -> list[tuple[int, bytes]]:
    """Row fields and payloads of a whole batch, in the order in which they are sent, from codes (64, 64)."""
    codes = np.concatenate([voltage, gate]).astype("<u2")
    return [(row, codes[row : row + 2].tobytes()) for row in range(0, 2 * SIDE, 2)]


def check_acknowledged(reply: bytes, number: int) -> None:
    """LinkCorrupt unless `reply` acknowledges."""
    if reply != ACKNOWLEDGE:
        raise LinkCorrupt(f"superT A0: command {number} was answered {reply!r} instead of {ACKNOWLEDGE!r}; repeat it")


def check_barrier(reply: bytes) -> None:
    """LinkCorrupt unless `reply` can be the 13 pins that `Barrier` reads."""
    if int.from_bytes(reply, "little") >= 1 << 13:
        raise LinkCorrupt(f"superT A0: the barrier was answered {reply.hex(' ')}; replies are out of step, ask again")


# ---- row and column vectors through the data lines


def column_banks(columns: list[int]) -> list[int]:
    """Data of the four banks that select these columns.

    >>> [hex(bank) for bank in column_banks(list(range(14)))]
    ['0xfe00', '0xfe00', '0x0', '0x0']
    """
    banks = [0, 0, 0, 0]
    for col in columns:
        bit = 15 - col // 2 if col < 32 else (col - 32) // 2
        banks[2 * (col // 32) + col % 2] |= 1 << bit
    return banks
