"""What goes wrong on wires, injected by seed between an instrument and its port; docs/faults.md has the recipes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from imssa_lab.contract.errors import ConfigError

KINDS = {
    "refused": "the connection is closed as soon as it is made",
    "silent": "the answer never comes",
    "late": "the answer comes after `seconds`",
    "truncated": "the answer ends somewhere, the rest never comes",
    "answer-flip": "one bit of the answer is wrong",
    "request-flip": "one bit of the request is wrong",
    "request-truncated": "the request ends somewhere",
    "eof": "the connection is closed in the middle of the answer",
    "stalled": "nothing is read for `seconds`",
    "identity": "another instrument seems to answer",
    "error": "the instrument finds something wrong with itself: an entry in its error queue",
    "twice": "the answer comes twice",
    "drip": "the answer comes in small pieces over `seconds`",
}
_PIECES = 8


class Port(Protocol):
    """The instrument's end of a wire."""

    def send(self, data: bytes) -> None:
        """All of `data`, unless the client is gone."""

    def pause(self, seconds: float) -> None:
        """Let time pass, without a look at the wire."""

    def hang_up(self) -> None:
        """End the connection."""


@dataclass(frozen=True)
class Flip:
    """A bit that was turned: bit `bit` of byte `at` of `data`, on its way to the instrument or from it."""

    to_instrument: bool
    data: bytes
    at: int
    bit: int


@dataclass
class Faults:
    """Draws, message by message, whether something goes wrong and what.

    Args:
        kinds: which of `KINDS`, with equal chances.
        rate: share of messages that meet a fault.
        rng: draws everything.
        seconds: how long "late", "stalled" and "drip" take.
        identity: what "identity" looks for in answers, and what it puts there.
        flips: the bits that were turned so far; cut_short: the requests of which not all came.
        after: messages at the start that pass unharmed, so that a link can be opened.

    Raises:
        ConfigError: an unknown kind, none at all, or a rate outside 0 to 1.
    """

    kinds: tuple[str, ...]
    rate: float
    rng: np.random.Generator
    seconds: float = 1.0
    identity: tuple[bytes, bytes] = (b"imssa_lab", b"ACME_inst")
    after: int = 0
    injected: Counter[str] = field(default_factory=Counter)
    flips: list[Flip] = field(default_factory=list)
    cut_short: list[bytes] = field(default_factory=list)
    _now: str = ""
    _seen: int = 0

    def __post_init__(self) -> None:
        unknown = sorted(set(self.kinds) - set(KINDS))
        if unknown or not self.kinds:
            raise ConfigError(f"faults: {unknown or 'none'} asked for, there are {', '.join(KINDS)}")
        if not 0 <= self.rate <= 1:
            raise ConfigError(f"faults: rate {self.rate:g} asked for, 0 to 1 is possible")

    def refuses(self) -> bool:
        """Whether this connection is to be closed at once."""
        return "refused" in self.kinds and self._happens("refused")

    def request(self, data: bytes, port: Port) -> bytes:
        """What the instrument gets to see of `data`; draws the fault of this message."""
        self._seen += 1
        self._now = ""
        others = [kind for kind in self.kinds if kind != "refused"]
        if others and self._seen > self.after and self.rng.random() < self.rate:
            self._now = others[int(self.rng.integers(len(others)))]
            self.injected[self._now] += 1
        if self._now == "stalled":
            port.pause(self.seconds)
        elif self._now == "request-flip":
            return self._flipped(data, to_instrument=True)
        elif self._now == "request-truncated":
            cut = int(self.rng.integers(len(data)))
            self.cut_short.append(data)
            return data[:cut]
        return data

    @property
    def device_error(self) -> bool:
        """Whether the instrument finds a fault in itself during this message."""
        return self._now == "error"

    def answer(self, data: bytes, port: Port) -> None:
        """Send `data`, with the fault that was drawn for this message."""
        cut = int(self.rng.integers(len(data))) if self._now in ("truncated", "eof") else len(data)
        if self._now == "silent":
            return
        if self._now == "late":
            port.pause(self.seconds)
        elif self._now == "answer-flip":
            data = self._flipped(data, to_instrument=False)
        elif self._now == "identity":
            data = data.replace(*self.identity)
        if self._now == "drip":
            step = max(len(data) // _PIECES, 1)
            for start in range(0, len(data), step):
                port.send(data[start : start + step])
                port.pause(self.seconds / _PIECES)
            return
        port.send(data[:cut])
        if self._now == "twice":
            port.send(data)
        elif self._now == "eof":
            port.hang_up()

    def _happens(self, kind: str) -> bool:
        happens = bool(self.rng.random() < self.rate)
        if happens:
            self.injected[kind] += 1
        return happens

    def _flipped(self, data: bytes, to_instrument: bool) -> bytes:
        at, bit = int(self.rng.integers(len(data))), int(self.rng.integers(8))
        self.flips.append(Flip(to_instrument, data, at, bit))
        return data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]


def parse_faults(text: str, seed: int) -> Faults:
    """Faults from ``KIND[,KIND...][@RATE][/SECONDS]``, as `imssa serve --fault` takes them.

    >>> parse_faults("late,twice@0.1/0.5", 1).kinds
    ('late', 'twice')

    Raises:
        ConfigError: it cannot be read so.
    """
    head, _, seconds = text.partition("/")
    kinds, _, rate = head.partition("@")
    names = tuple(KINDS) if kinds == "all" else tuple(kinds.split(","))
    try:
        return Faults(names, float(rate or "0.1"), np.random.default_rng(seed), float(seconds or "1"))
    except ValueError as error:
        raise ConfigError(f"faults {text!r}: {error}; write for example late,twice@0.1/0.5") from error
