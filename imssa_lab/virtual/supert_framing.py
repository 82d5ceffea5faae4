"""How the superT A0's firmware finds commands in bytes: by their content, as a pseudo-terminal has no packets."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

_HEAD = re.compile(rb"\s*([+-]?\d*)")
_LONGEST_HEAD = 64
_LONGEST = 511
_PACKET = 256
# text fields between the number and the marker, and where the payload's length comes from
_BINARY: dict[int, tuple[int, Callable[[list[int]], int]]] = {
    215: (2, lambda f: f[1]),
    219: (2, lambda f: f[1]),
    303: (2, lambda f: f[1]),
    403: (4, lambda f: 8 * f[1]),
    405: (3, lambda f: _PACKET),
    407: (5, lambda f: _PACKET),
}


class Received(NamedTuple):
    """A command as the firmware understood it; `values` are its `texts` as numbers."""

    number: int
    values: list[int]
    texts: list[bytes]
    payload: bytes


class Framing:
    """Takes bytes in any pieces and gives whole commands."""

    def __init__(self) -> None:
        self._data = bytearray()

    @property
    def unfinished(self) -> bool:
        """Whether part of a command waits for the rest."""
        return bool(self._data)

    def add(self, data: bytes) -> None:
        """Bytes that came."""
        self._data += data

    def forget(self) -> None:
        """A USB transfer that ended early is dropped."""
        self._data.clear()

    def split(self, data: bytes) -> list[bytes]:
        """The bytes of the commands that are complete with these, one by one."""
        self.add(data)
        pieces: list[bytes] = []
        while True:
            before = bytes(self._data)
            if self.next() is None:
                return pieces
            pieces.append(before[: len(before) - len(self._data)])

    def next(self) -> Received | None:
        """The next command, None while it is not complete."""
        while self._data[:1] == b"\0":
            del self._data[:1]
        comma, nul = self._data.find(b","), self._data.find(b"\0")
        if nul < 0 and comma < 0:
            return None
        number = _integer(bytes(self._data[: min(x for x in (comma, nul) if x >= 0)]))
        if number in _BINARY:
            return self._binary(number)
        if nul < 0:
            return None
        texts = [part for part in bytes(self._data[:nul]).split(b",")[1:] if part]
        del self._data[: nul + 1]
        return Received(number, [_integer(text) for text in texts], texts, b"")

    def _binary(self, number: int) -> Received | None:
        count, length_of = _BINARY[number]
        parts = bytes(self._data[:_LONGEST_HEAD]).split(b",", count + 2)
        if len(parts) < count + 3:
            if len(self._data) > _LONGEST_HEAD:
                self.forget()
            return None
        texts = parts[1 : count + 1]
        values = [_integer(text) for text in texts]
        start = sum(len(part) + 1 for part in parts[: count + 1]) + 2
        length = length_of(values)
        if not 0 <= length <= _LONGEST:
            self.forget()
            return None
        if len(self._data) < start + length + 1:
            return None
        payload = bytes(self._data[start : start + length])
        del self._data[: start + length + 1]
        return Received(number, values, texts, payload)


def _integer(text: bytes) -> int:
    """As the firmware's number parser: blanks, a sign, digits, then whatever."""
    found = _HEAD.match(text)
    digits = found[1] if found else b""
    return int(digits) if digits.strip(b"+-") else 0
