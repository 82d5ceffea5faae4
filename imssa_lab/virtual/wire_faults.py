"""What goes wrong on wires, injected by seed between an instrument and its port; docs/faults.md has the recipes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
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
    """A bit that was turned: bit `bit` of byte `at` of `data`."""

    data: bytes
    at: int
    bit: int

    @property
    def now(self) -> bytes:
        """The data with it turned."""
        return self.data[: self.at] + bytes([self.data[self.at] ^ 1 << self.bit]) + self.data[self.at + 1 :]


@dataclass(frozen=True)
class Damage:
    """A request that was changed on its way: `sent`, what `arrived` of it, and what was sent next."""

    sent: bytes
    arrived: bytes
    following: bytes = b""


@dataclass
class Faults:
    """Draws, message by message, whether something goes wrong and what.

    Args:
        kinds: which of `KINDS`, with equal chances.
        rate: share of messages that meet a fault.
        rng: draws everything.
        seconds: how long "late", "stalled" and "drip" take.
        identity: what "identity" looks for in answers, and what it puts there.
        flips: the bits of answers that were turned so far; damage: the requests that came otherwise than sent.
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
    damage: list[Damage] = field(default_factory=list)
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
        if self.damage and not self.damage[-1].following:
            self.damage[-1] = replace(self.damage[-1], following=data)
        self._now = ""
        others = [kind for kind in self.kinds if kind != "refused"]
        if others and self._seen > self.after and self.rng.random() < self.rate:
            self._now = others[int(self.rng.integers(len(others)))]
            self.injected[self._now] += 1
        if self._now == "stalled":
            port.pause(self.seconds)
        if self._now == "request-flip":
            self.damage.append(Damage(data, self._flipped(data).now))
        elif self._now == "request-truncated":
            self.damage.append(Damage(data, data[: int(self.rng.integers(len(data)))]))
        else:
            return data
        return self.damage[-1].arrived

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
            self.flips.append(self._flipped(data))
            data = self.flips[-1].now
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

    def _flipped(self, data: bytes) -> Flip:
        return Flip(data, int(self.rng.integers(len(data))), int(self.rng.integers(8)))


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
