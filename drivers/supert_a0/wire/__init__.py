r"""The bytes of the superT A0 board: every command a value, every reply a length. Firmware of 8 December 2019.

A command is its number, fields parted by commas, and a NUL. Where a payload follows, it comes after a marker of one
character and a comma, is taken by length, and may hold any byte. The firmware takes one USB transfer for one command:
each must be one write of at most 511 bytes. Replies have neither header nor checksum.

>>> ReadCell(array=1, row=3, col=5).encode()
b'401,1,3,5,1\x00'
"""

from drivers.supert_a0.convert import ADC_SPAN, TIA_RESISTANCES, dac_code, dac_voltage, pack, unpack
from drivers.supert_a0.wire.arrays import (
    ARRAYS,
    BLOCK,
    MAX_VECTORS,
    PACKET_BYTES,
    SIDE,
    START_ROW,
    Products,
    PulsesExternal,
    PulsesInternal,
    ReadArray,
    ReadCell,
    packets,
)
from drivers.supert_a0.wire.command import (
    ACKNOWLEDGE,
    LONGEST,
    LONGEST_DELAY,
    PATTERN,
    Barrier,
    Command,
    Handshake,
    check_acknowledged,
    check_barrier,
)
from drivers.supert_a0.wire.lines import (
    CHANNELS,
    CONTROL_RESET,
    PINS,
    TIA_GROUPS,
    ClearPin,
    ClockDivider,
    ClockOff,
    ClockOn,
    Dac,
    FifoSelect,
    LineBank,
    LineData,
    SetPin,
    WriteChain,
    column_banks,
)

__all__ = [
    "ACKNOWLEDGE",
    "ADC_SPAN",
    "ARRAYS",
    "BLOCK",
    "CHANNELS",
    "CONTROL_RESET",
    "LONGEST",
    "LONGEST_DELAY",
    "MAX_VECTORS",
    "PACKET_BYTES",
    "PATTERN",
    "PINS",
    "SIDE",
    "START_ROW",
    "TIA_GROUPS",
    "TIA_RESISTANCES",
    "Barrier",
    "ClearPin",
    "ClockDivider",
    "ClockOff",
    "ClockOn",
    "Command",
    "Dac",
    "FifoSelect",
    "Handshake",
    "LineBank",
    "LineData",
    "Products",
    "PulsesExternal",
    "PulsesInternal",
    "ReadArray",
    "ReadCell",
    "SetPin",
    "WriteChain",
    "check_acknowledged",
    "check_barrier",
    "column_banks",
    "dac_code",
    "dac_voltage",
    "pack",
    "packets",
    "unpack",
]
