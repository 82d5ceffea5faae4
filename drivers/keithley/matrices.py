"""Keithley's switch matrices 7001, 707A and 707B: crosspoints that are closed, and proof that they are.

After the maker's manuals: 7001 (7001-901-01), 707A (707A-901-01), 707B (707B-901-01), and, where the manual of the
707A could not be had, after what drivers of others send. Tried on virtual instruments only.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable
from typing import Protocol

from drivers.keithley.scpi_instrument import ScpiInstrument
from drivers.links import Exchange, Link, Stream
from imssa_lab.contract.errors import ConfigError, ImssaError, InstrumentError, LinkCorrupt, LinkLost, WrongInstrument

MODELS = ("7001", "707A", "707B")
_AT_ONCE = 25
"""Crosspoints in a command."""
_SLOTS, _PER_SLOT, _ROWS = 6, 12, 8  # of a 707 with 8x12 cards
_POINT_707 = re.compile(r"([A-H])(\d{1,2})(?!\d)")
_CHANNEL_707B = re.compile(r"([1-6])([A-H])(\d{2})(?!\d)")

Point = tuple[int, int]
"""Row and column of a crosspoint, both from 0."""


class Switch(Protocol):
    """A switch matrix: rows are instruments' terminals, columns lines of the array; both count from 0."""

    link: Link
    rows: int
    columns: int

    def only(self, crosspoints: Iterable[Point]) -> None:
        """All relays open, then these crosspoints closed, and no others by what the matrix itself says.

        Raises:
            LinkError: see `Link.exchange`; LinkCorrupt where other crosspoints are closed.
        """

    def confirm(self) -> None:
        """The crosspoints are as `only` left them.

        Raises:
            LinkError: as `only`; LinkLost where they are not: somebody else switches, or it was off.
        """


class _Remembering:
    """What was closed last; a part of each `Switch`."""

    link: Link
    rows: int
    columns: int
    _wanted: frozenset[Point] | None = None

    def _closed(self) -> frozenset[Point]:
        raise NotImplementedError

    def _switch(self, points: Collection[Point]) -> None:
        raise NotImplementedError

    def only(self, crosspoints: Iterable[Point]) -> None:
        """As `Switch`."""
        wanted = frozenset(crosspoints)
        self._wanted = None
        self._switch(sorted(wanted))
        closed = self._closed()
        if closed != wanted:
            raise LinkCorrupt(
                f"{self.link.name}: closed are {sorted(closed)}, asked were {sorted(wanted)}; nothing was driven"
            )
        self._wanted = wanted

    def confirm(self) -> None:
        """As `Switch`."""
        closed = self._closed()
        if closed != self._wanted:
            raise LinkLost(
                f"{self.link.name}: closed are {sorted(closed)}, left were {sorted(self._wanted or ())}; was it "
                "switched off, or does somebody else use it? open it again"
            )


class Switch7001(_Remembering, ScpiInstrument):
    """A 7001 with two 4x10 matrix cards whose rows are joined."""

    rows, columns = 4, 20
    _per_card = 10

    def __init__(self, stream: Stream, timeout: float) -> None:
        super().__init__(stream, timeout)
        if "MODEL 7001" not in self.identity.upper():
            self.link.close()
            raise WrongInstrument(f"{self.identity!r} is no switch matrix 7001")

    def _switch(self, points: Collection[Point]) -> None:
        channels = [f"{c // self._per_card + 1}!{row + 1}!{c % self._per_card + 1}" for row, c in points]
        self.tell(":ROUT:OPEN ALL" + (f";:ROUT:CLOS (@{','.join(channels)})" if channels else ""))

    def _closed(self) -> frozenset[Point]:
        answer = self.ask(":ROUT:CLOS:STAT?").replace(" ", "")
        inside = answer.removeprefix("(@").removesuffix(")")
        try:
            channels = [tuple(map(int, part.split("!"))) for part in inside.split(",") if part]
            return frozenset((row - 1, (slot - 1) * self._per_card + column - 1) for slot, row, column in channels)
        except ValueError as error:
            raise LinkCorrupt(f"{self.link.name}: {answer[:60]!r} is no list of channels; ask again") from error


class Switch707A(_Remembering):
    """A 707 or 707A with six 8x12 matrix cards, by its device-dependent commands: it knows no SCPI.

    Commands act on what the edit pointer points at; E0 points at the relays, and nothing moves before an X.
    """

    rows, columns = _ROWS, _SLOTS * _PER_SLOT

    def __init__(self, stream: Stream, timeout: float) -> None:
        self.link = Link(stream, _greet_707a, timeout)

    def _switch(self, points: Collection[Point]) -> None:
        names = [f"{chr(ord('A') + row)}{column + 1}" for row, column in points]
        closing = "".join(f"C{','.join(some)}X" for some in _batches(names))
        with self.link.exchange() as talk:
            talk.send(f"E0XP0X{closing}\n".encode())

    def _closed(self) -> frozenset[Point]:
        with self.link.exchange() as talk:
            talk.send(b"U2,0X\n")
            line = talk.line().decode("ascii", "replace")
        if not re.fullmatch(r"[A-H0-9,;: ]*", line):
            raise LinkCorrupt(f"{self.link.name}: {line[:60]!r} is no list of crosspoints; ask again")
        return frozenset((ord(row) - ord("A"), int(column) - 1) for row, column in _POINT_707.findall(line))


class Switch707B(_Remembering):
    """A 707B with six 8x12 matrix cards, by its own language (TSP).

    A global of its interpreter, set at opening, tells whether it was switched off: it is nil then.
    """

    rows, columns = _ROWS, _SLOTS * _PER_SLOT

    def __init__(self, stream: Stream, timeout: float) -> None:
        self._tokens = itertools.cycle(range(1, 256))
        self._token = 0
        self.identity = ""
        self.link = Link(stream, self._greet, timeout)

    def _greet(self, talk: Exchange) -> None:
        token = next(self._tokens)
        talk.send(b"print(imssa_lab_session, localnode.model)\n")
        known = self._fields(talk, 2)
        talk.send(b"imssa_lab_session = %d errorqueue.clear()\n" % token)
        talk.send(b"print(imssa_lab_session)\n")
        (back,) = self._fields(talk, 1)
        if "707B" not in known[1]:
            raise WrongInstrument(f"{talk.name}: {known[1]!r} is no switch matrix 707B")
        if not _is_number(back, token):
            raise LinkCorrupt(f"{talk.name}: {back!r} instead of {token}; ask again")
        if self.identity and not _is_number(known[0], self._token):
            raise LinkLost(f"{talk.name}: it was switched off and on, its relays are open; open it again")
        self.identity, self._token = known[1], token

    def _switch(self, points: Collection[Point]) -> None:
        names = [f"{c // _PER_SLOT + 1}{chr(ord('A') + row)}{c % _PER_SLOT + 1:02d}" for row, c in points]
        lines = [f'channel.close("{",".join(some)}")\n' for some in _batches(names)]
        with self.link.exchange() as talk:
            talk.send("".join(['channel.open("allslots")\n', *lines]).encode())

    def _closed(self) -> frozenset[Point]:
        with self.link.exchange() as talk:
            talk.send(b'print(imssa_lab_session, errorqueue.count, channel.getclose("allslots"))\n')
            token, errors, closed = self._fields(talk, 3)
            if not _is_number(token, self._token):
                raise LinkLost(f"{talk.name}: it was switched off and on, its relays are open; open it again")
            if not _is_number(errors, 0):
                talk.send(b"print(errorqueue.next())\n")
                code, text, *_ = talk.line().decode("ascii", "replace").split("\t")
                talk.send(b"errorqueue.clear()\n")
                raise InstrumentError(int(float(code)), text)
        found = _CHANNEL_707B.findall(closed)
        if closed != "nil" and len(found) != len([part for part in re.split("[;,]", closed) if part]):
            raise LinkCorrupt(f"{self.link.name}: {closed[:60]!r} is no list of channels; ask again")
        return frozenset(
            (ord(row) - ord("A"), (int(slot) - 1) * _PER_SLOT + int(column) - 1) for slot, row, column in found
        )

    @staticmethod
    def _fields(talk: Exchange, count: int) -> list[str]:
        line = talk.line()
        if line.startswith(b"BUSY"):
            raise LinkLost(f"{talk.name}: {line.decode('ascii', 'replace')}")
        fields = line.decode("ascii", "replace").split("\t")
        if len(fields) != count:
            raise LinkCorrupt(f"{talk.name}: {line[:60]!r} are not the {count} values asked for; ask again")
        return [field.strip() for field in fields]


def _batches(names: list[str]) -> list[list[str]]:
    return [names[start : start + _AT_ONCE] for start in range(0, len(names), _AT_ONCE)]


def _is_number(text: str, wanted: int) -> bool:
    try:
        return float(text) == wanted
    except ValueError:
        return False


def _greet_707a(talk: Exchange) -> None:
    talk.send(b"*IDN?\n")
    line = talk.line()
    if line.startswith(b"BUSY"):
        raise LinkLost(f"{talk.name}: {line.decode('ascii', 'replace')}")
    if not re.match(rb"70[78]A?\d*\s*$", line):
        raise LinkCorrupt(f"{talk.name}: {line[:40]!r} instead of the identity of a 707A; is it one?")


def open_switch(model: str, stream: Stream, timeout: float) -> Switch:
    """The matrix of this model: 7001, 707A (also 707) or 707B.

    Raises:
        ConfigError: no such model.
    """
    kinds = {"7001": Switch7001, "707": Switch707A, "707A": Switch707A, "707B": Switch707B}
    kind = kinds.get(model.upper())
    if kind is None:
        stream.close()
        raise ConfigError(f"switch matrix {model!r}; there are {', '.join(MODELS)}")
    try:
        return kind(stream, timeout)
    except ImssaError:
        stream.close()
        raise
