"""The bytes of the SCPI array interface (docs/scpi.md): blocks, checked calls, number arrays.

Pure functions, shared by the driver and by the virtual instrument.
"""

from __future__ import annotations

import zlib
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from imssa_lab.contract.array_types import ArrayInfo, Durations, Readout
from imssa_lab.contract.errors import LinkCorrupt

PROTOCOL_VERSION = 2
DAMAGED = 0
"""Number of the answer to a call whose checksum was wrong: it was not executed."""

Order = Literal["<", ">"]
_TYPES = {"INT16": "i2", "INT32": "i4", "REAL64": "f8"}
_NAMES = {code: name for name, code in _TYPES.items()}


class Seconds(BaseModel):
    """How long the instrument takes, s: for deadlines."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vector: float = Field(default=0.0, ge=0, description="one product")
    cell: float = Field(default=0.0, ge=0, description="one reading of one cell")
    pulse: float = Field(default=0.0, ge=0, description="one pulse, beside its width")
    widths: bool = Field(default=False, description="whether the widths of pulses really pass")

    @property
    def durations(self) -> Durations | None:
        """As the contract has them; None where the instrument leaves all of them at 0."""
        if not (self.vector or self.cell or self.pulse):
            return None
        return Durations(product=self.vector, cell_read=self.cell, pulse=self.pulse, widths=self.widths)


class Description(BaseModel):
    """What ``SYSTem:DESCription?`` answers, as JSON in a block."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    protocol: int
    info: ArrayInfo
    seconds: Seconds = Seconds()
    reads_at: bool = Field(default=False, description="whether it knows READ:CONDuctance:AT?")
    recipe: dict[str, Any] = Field(description="write-verify settings, as protocols.programmers.WriteVerify")


def block(data: bytes) -> bytes:
    """A definite-length block of IEEE 488.2.

    >>> block(b"abcd")
    b'#14abcd'
    """
    length = str(len(data)).encode()
    return b"#%d%s%s" % (len(length), length, data)


def checksum(session: int, number: int, waiting: int, content: bytes) -> int:
    """CRC-32 of a call or an answer, its session, number and count of waiting errors (0 in a call) included.

    >>> checksum(55, 7, 0, b"*IDN?")
    98923486
    """
    return zlib.crc32(content, zlib.crc32(b"%d,%d,%d," % (session, number, waiting)))


def call(session: int, number: int, message: bytes) -> bytes:
    r"""A message in a call: executed only if it arrives undamaged and in its session, answered with its number.

    >>> call(55, 7, b"*IDN?")
    b'SYST:CALL 55,7,98923486,#15*IDN?\n'
    """
    return b"SYST:CALL %d,%d,%d,%s\n" % (session, number, checksum(session, number, 0, message), block(message))


def answer(session: int, number: int, waiting: int, content: bytes) -> bytes:
    r"""What a call is answered with: the instrument's session, the number, errors that wait in the queue, checksum,
    what the message answered.

    >>> answer(55, 7, 0, b"1")
    b'55,7,0,2539337692,#111\n'
    """
    check = checksum(session, number, waiting, content)
    return b"%d,%d,%d,%d,%s\n" % (session, number, waiting, check, block(content))


def numbers(values: NDArray[Any], order: Order) -> bytes:
    """An array of any shape as a block of REAL,64 numbers in this byte order, row by row."""
    return block(values.astype(f"{order}f8").tobytes())


def flags(values: NDArray[np.bool_]) -> bytes:
    """A mask of any shape as a block of bytes 0 and 1, row by row."""
    return block(values.astype(np.uint8).tobytes())


def readout(values: Readout, order: Order) -> bytes:
    """Codes or amperes as ``<type>,<block>[,<block of range indices>]``."""
    name = _NAMES[f"{values.values.dtype.kind}{values.values.dtype.itemsize}"]
    codes = values.values.astype(values.values.dtype.newbyteorder(order))
    parts = [name.encode(), block(codes.tobytes())]
    if values.ranges is not None:
        parts.append(block(values.ranges.tobytes()))
    return b",".join(parts)


def parse_readout(data: bytes, shape: tuple[int, ...], order: Order) -> Readout:
    """The readout of shape `shape` in the answer that `readout` made.

    Raises:
        LinkCorrupt: another type or length.
    """
    name, _, rest = data.partition(b",")
    code = _TYPES.get(name.decode("ascii", "replace"))
    if code is None:
        raise LinkCorrupt(f"SCPI array: readings of type {name[:16]!r}, known are {', '.join(_TYPES)}")
    blocks = parse_blocks(rest)
    dtype = np.dtype(f"{order}{code}")
    count = int(np.prod(shape))
    lengths = [len(part) for part in blocks]
    if lengths not in ([count * dtype.itemsize], [count * dtype.itemsize, count]):
        raise LinkCorrupt(
            f"SCPI array: blocks of {lengths} bytes, {count} readings of {name.decode()} were asked for"
        )
    values = np.frombuffer(blocks[0], dtype).astype(dtype.newbyteorder("=")).reshape(shape)
    ranges = np.frombuffer(blocks[1], np.uint8).reshape(shape) if len(blocks) > 1 else None
    return Readout(values, ranges)


def parse_blocks(data: bytes) -> list[bytes]:
    """The contents of definite-length blocks that commas part.

    >>> parse_blocks(b"#13a,b,#0"[:-3] + b",#11c")
    [b'a,b', b'c']

    Raises:
        LinkCorrupt: anything else.
    """
    parts, at = [], 0
    while True:
        digits = data[at + 1 : at + 2]
        length = data[at + 2 : at + 2 + int(digits)] if digits.isdigit() else b""
        start = at + 2 + len(length)
        if data[at : at + 1] != b"#" or not length.isdigit() or start + int(length) > len(data):
            raise LinkCorrupt(f"SCPI array: a block was expected, got {data[at : at + 16]!r}")
        end = start + int(length)
        parts.append(data[start:end])
        if end == len(data):
            return parts
        if data[end : end + 1] != b",":
            raise LinkCorrupt(f"SCPI array: a comma was expected after a block, got {data[end : end + 16]!r}")
        at = end + 1
