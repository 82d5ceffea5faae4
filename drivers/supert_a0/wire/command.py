"""What every command has, and the two without effect: one to know the board, one to wait for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from imssa_lab.contract.errors import LimitError, LinkCorrupt

LONGEST = 511
"""Bytes of a command: it is one USB transfer."""
LONGEST_DELAY = 21_470_000
"""us; the firmware's wait compares signed ticks of 10 ns, a longer one returns at once."""
ACKNOWLEDGE = b"0"
PATTERN = b"".join((100_000 * number).to_bytes(4, "little") for number in range(64))
"""What `Handshake` is answered with."""


def within(what: str, value: int, low: int, high: int) -> None:
    """LimitError unless low <= value <= high."""
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
        return self._encoded

    @cached_property
    def _encoded(self) -> bytes:
        texts = [str(value) for name, value in vars(self).items() if name not in _RAW]  # fields alone, in order
        head = ",".join([str(self.number), *texts]).encode()
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


def check_acknowledged(reply: bytes, number: int) -> None:
    """LinkCorrupt unless `reply` acknowledges."""
    if reply != ACKNOWLEDGE:
        raise LinkCorrupt(f"superT A0: command {number} was answered {reply!r} instead of {ACKNOWLEDGE!r}; repeat it")


def check_barrier(reply: bytes) -> None:
    """LinkCorrupt unless `reply` can be the 13 pins that `Barrier` reads."""
    if int.from_bytes(reply, "little") >= 1 << 13:
        raise LinkCorrupt(f"superT A0: the barrier was answered {reply.hex(' ')}; replies are out of step, ask again")
