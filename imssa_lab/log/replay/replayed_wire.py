"""`ReplayedWire`: the recorded bytes of one link in place of the instrument, for a real driver to talk to."""

from __future__ import annotations

import numpy as np

from imssa_lab.contract.errors import ConfigError, ReplayMismatch
from imssa_lab.log.replay.divergence import columns
from imssa_lab.log.run import Run
from imssa_lab.log.write.wire_log import SENT

_SHOWN = 24
_READ_AHEAD = 1 << 20
"""Bytes; a read of the file checks whole chunks, so one for every message would be slow."""


class ReplayedWire:
    """The conversation of link number `link`. What is sent must be what was sent, byte for byte, in the same order.

    Sends and receives may be cut into other pieces than when they were recorded: a wire has no messages. Bytes
    come when all that was sent before them has been sent again; until then `receive` gives nothing.
    """

    def __init__(self, run: Run, link: int = 0) -> None:
        links = run.column("wire", "link") if "link" in run.file["wire"] else np.zeros(run.records("wire"), np.uint16)
        self._rows = np.flatnonzero(links == link)
        if not self._rows.size:
            raise ConfigError(f"{run.path} holds no bytes of link {link}")
        self._run = run
        self._link = link
        self._directions, self._offsets, self._lengths, self._times = (
            run.column("wire", name)[self._rows] for name in ("direction", "offset", "length", "t_ns")
        )
        self._end = int(self._offsets[-1]) + int(self._lengths[-1])
        self._next = 0  # message under way
        self._done = 0  # bytes of it
        self._ahead, self._ahead_from = memoryview(b""), 0

    @property
    def messages_left(self) -> int:
        """Recorded messages of which bytes are left."""
        return len(self._rows) - self._next

    @property
    def time(self) -> float:
        """When the message under way, or the last one, was recorded: s since the start of the run."""
        return float(self._times[min(self._next, len(self._rows) - 1)]) * 1e-9

    def send(self, data: bytes) -> None:
        """Bytes to the instrument.

        Raises:
            ReplayMismatch: other bytes were sent, the instrument was speaking, or the record is at its end.
        """
        while data:
            message = self._left(data)
            if self._directions[self._next] != SENT:
                raise ReplayMismatch(self._both("the instrument was speaking, the script sends", message, data))
            part, data = data[: len(message)], data[len(message) :]
            if part != message[: len(part)]:
                raise ReplayMismatch(self._both("other bytes were sent", message, part + data))
            self._advance(len(part), len(message))

    def receive(self, limit: int) -> bytes:
        """At most `limit` bytes from the instrument; empty while it waits for something to be sent."""
        found = b""
        while len(found) < limit and self._next < len(self._rows) and self._directions[self._next] != SENT:
            message = self._left(b"")
            part = message[: limit - len(found)]
            found += part
            self._advance(len(part), len(message))
        return found

    def _left(self, asked: bytes) -> bytes:
        if self._next == len(self._rows):
            raise ReplayMismatch(f"link {self._link}: the record ends here, the script sends {asked[:_SHOWN]!r}")
        start = int(self._offsets[self._next])
        stop = start + int(self._lengths[self._next])
        if not self._ahead_from <= start <= stop <= self._ahead_from + len(self._ahead):
            ahead = self._run.column("wire", "data", slice(start, min(max(stop, start + _READ_AHEAD), self._end)))
            self._ahead_from, self._ahead = start, memoryview(ahead.tobytes())
        return bytes(self._ahead[start + self._done - self._ahead_from : stop - self._ahead_from])

    def _advance(self, count: int, of: int) -> None:
        self._done += count
        if count == of:
            self._next, self._done = self._next + 1, 0

    def _both(self, what: str, logged: bytes, asked: bytes) -> str:
        differ = (at for at, (one, two) in enumerate(zip(logged, asked, strict=False)) if one != two)
        at = next(differ, min(len(logged), len(asked)))
        start = max(at - 4, 0)
        here, there = logged[start : start + _SHOWN], asked[start : start + _SHOWN]
        rows = [("", "log", "script"), ("hex", here.hex(" "), there.hex(" ")), ("text", repr(here), repr(there))]
        place = f"link {self._link}, message {int(self._rows[self._next])}, byte {self._done + at}"
        return f"{place}: {what}\n{columns(rows)}"
