"""Commands for what surrounds the arrays: pins, vectors, DAC, clocks, scan chains; and which pin is what."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.supert_a0.wire.command import Command, within

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
DATA_PINS = tuple(
    (port, pin)
    for port, pins in (("H", (9, 10, 11, 12, 15)), ("J", (0, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15)))
    for pin in pins
)
"""Where the 16 data lines of `LineData` are, the lowest bit first."""
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


@dataclass(frozen=True)
class ReadPort(Command):
    r"""The levels of a port's 16 pins.

    >>> ReadPort("K").encode(), ReadPort("K").reply
    (b'202,K\x00', 4)
    """

    port: str
    number = 202
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
        within("DAC channel", channel, 0, 15)
        within("DAC code", code, 0, 0xFFFF)
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
