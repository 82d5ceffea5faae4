"""Switch matrices 7001, 707A and 707B at the lines of a `Wiring`."""

from __future__ import annotations

import re

from imssa_lab.virtual.bench_twin import BenchTwin
from imssa_lab.virtual.keithley.terminal_wiring import Wiring
from imssa_lab.virtual.keithley.virtual_meter import WireInstrument
from imssa_lab.virtual.scpi_message import ScpiError

_ROWS_707, _COLUMNS_707, _PER_SLOT = 8, 72, 12
_MOST_707A = 25
"""Crosspoints that a command of a 707A takes."""


class Matrix7001(WireInstrument):
    """A 7001 with two 4x10 cards."""

    kind = "switch matrix 7001"

    def __init__(self, wiring: Wiring) -> None:
        super().__init__(wiring, "KEITHLEY INSTRUMENTS INC.,MODEL 7001,1,B08")
        tree = self._tree
        for root in ("ROUTe:", ""):
            tree.add(f"{root}OPEN", self._open, 1)
            tree.add(f"{root}OPEN:ALL", lambda: self._wiring.switch(set()))
            tree.add(f"{root}CLOSe", lambda points: self._wiring.switch(self._wiring.closed | _channels(points)), 1)
            tree.add(f"{root}CLOSe?", lambda points: self._asked(points, True), 1)
            tree.add(f"{root}OPEN?", lambda points: self._asked(points, False), 1)
            tree.add(f"{root}CLOSe:STATe?", self._state)
        tree.add("*RST", lambda: self._wiring.switch(set()))

    def restart(self) -> None:
        """As `WireInstrument`: relays open."""
        super().restart()
        self._wiring.switch(set())

    def _open(self, argument: bytes) -> None:
        every = argument.strip().upper() in (b"ALL", b"(@ALL)")
        self._wiring.switch(set() if every else self._wiring.closed - _channels(argument))

    def _asked(self, argument: bytes, closed: bool) -> bytes:
        points = _channels_in_order(argument)
        return b",".join(b"%d" % ((point in self._wiring.closed) == closed) for point in points)

    def _state(self) -> bytes:
        channels = sorted((column // 10 + 1, row + 1, column % 10 + 1) for row, column in self._wiring.closed)
        return b"(@" + b",".join(b"%d!%d!%d" % channel for channel in channels) + b")"


def _channels(argument: bytes) -> set[tuple[int, int]]:
    return set(_channels_in_order(argument))


def _channels_in_order(argument: bytes) -> list[tuple[int, int]]:
    text = argument.strip()
    if not (text.startswith(b"(@") and text.endswith(b")")):
        raise ScpiError(-170, "Expression error; channels are written (@1!1!1)")
    points = []
    for part in text[2:-1].split(b","):
        try:
            slot, row, column = (int(field) for field in part.split(b"!"))
        except ValueError as error:
            raise ScpiError(-170, f"Expression error; {part[:20]!r}") from error
        if not (1 <= slot <= 2 and 1 <= row <= 4 and 1 <= column <= 10):
            raise ScpiError(-222, f"Parameter data out of range; channel {part[:20]!r}")
        points.append((row - 1, 10 * (slot - 1) + column - 1))
    return points


class _Matrix707:
    """What both have in common."""

    watchdog = 0.0
    paced = False
    incomplete_after = 0.25
    kind = "switch matrix 707"

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._data = bytearray()

    @property
    def bench(self) -> BenchTwin:
        """The twin behind it."""
        return self._wiring.bench

    def transfers(self, data: bytes) -> list[bytes]:
        """All of it: a client writes message by message."""
        return [data]

    @property
    def unfinished(self) -> bool:
        """Whether part of a line waits for the rest."""
        return bool(self._data)

    def forget(self) -> None:
        """Drop part of a line."""
        self._data.clear()

    def make_safe(self) -> None:
        """Nothing: it does not notice that its client goes."""

    def restart(self) -> None:
        """Off and on again: relays open."""
        self._data.clear()
        self._wiring.switch(set())

    def receive(self, data: bytes) -> list[bytes]:
        """The answers to all lines that are complete with these bytes."""
        self._data += data
        *lines, rest = bytes(self._data).split(b"\n")
        self._data = bytearray(rest)
        return [answer for line in lines if (answer := self.execute(line))]

    def execute(self, message: bytes) -> bytes:
        """The answer to one line."""
        raise NotImplementedError


class Matrix707A(_Matrix707):
    """A 707A with six 8x12 cards: device-dependent commands, which act where the edit pointer points.

    Attributes:
        pointer: 0 for the relays, otherwise a stored setup that commands change instead; an E moves it.
    """

    kind = "switch matrix 707A"

    def __init__(self, wiring: Wiring, pointer: int = 0) -> None:
        super().__init__(wiring)
        self.pointer = pointer
        self._setups: dict[int, set[tuple[int, int]]] = {}
        self._error = ""

    def restart(self) -> None:
        """As `_Matrix707`; the stored setups are kept."""
        super().restart()
        self.pointer, self._error = 0, ""

    def fail(self) -> None:
        """The next error status says so."""
        self._error = "hardware"

    def execute(self, message: bytes) -> bytes:
        """As `_Matrix707`. Without an X nothing is executed."""
        line = message.strip()
        if line == b"*IDN?":
            return b"707A03\n"
        *commands, rest = line.split(b"X")
        answers = [answer for command in commands if (answer := self._run(command.strip()))]
        if rest.strip():
            self._error = self._error or "no X"
        return b"".join(answers[-1:])

    def _run(self, command: bytes) -> bytes:
        letter, rest = command[:1], command[1:]
        if letter == b"U":
            return self._told(rest)
        if letter == b"E" and rest.isdigit() and int(rest) <= 100:
            self.pointer = int(rest)
        elif letter == b"P" and rest.isdigit() and int(rest) <= 100:
            self._wiring.switch(set() if not int(rest) else set(self._setups.get(int(rest), set())))
        elif letter in (b"C", b"N") and (points := self._points(rest)) is not None:
            before = self._wiring.closed if not self.pointer else self._setups.get(self.pointer, set())
            after = before | points if letter == b"C" else before - points
            if self.pointer:
                self._setups[self.pointer] = after
            else:
                self._wiring.switch(after)
        elif command:
            self._error = self._error or f"invalid command {command[:10]!r}"
        return b""

    def _told(self, rest: bytes) -> bytes:
        if rest == b"0":
            return b"707A 000%d\n" % self.pointer
        if rest == b"1":
            error, self._error = self._error, ""
            return b"707A %d00000000\n" % bool(error)
        if rest.startswith(b"2,") and rest[2:].isdigit():
            setup = int(rest[2:])
            points = self._wiring.closed if not setup else self._setups.get(setup, set())
            return ",".join(f"{chr(ord('A') + row)}{column + 1}" for row, column in sorted(points)).encode() + b"\n"
        self._error = self._error or "invalid option"
        return b""

    def _points(self, text: bytes) -> set[tuple[int, int]] | None:
        found = [re.fullmatch(rb"([A-H])(\d{1,2})", point) for point in text.split(b",")]
        points = {(each[1][0] - ord("A"), int(each[2]) - 1) for each in found if each}
        if len(found) > _MOST_707A or None in found or any(column >= _COLUMNS_707 for _, column in points):
            return None
        return points


class Matrix707B(_Matrix707):
    """A 707B with six 8x12 cards: as much of its language (TSP) as its channels need."""

    kind = "switch matrix 707B"
    _statement = re.compile(
        r"\s*(?:(?P<call>channel\.(?:close|open|exclusiveclose))\((?P<quote>[\"'])(?P<list>[^\"']*)(?P=quote)\)"
        r"|(?P<clear>errorqueue\.clear\(\))|(?P<name>[A-Za-z_]\w*)\s*=\s*(?P<value>-?\d+(?:\.\d*)?)"
        r"|print\((?P<print>.*)\)|(?P<reset>reset\(\)))\s*"
    )
    _channel = re.compile(r"([1-6])([A-H])(0[1-9]|1[0-2])")

    def __init__(self, wiring: Wiring) -> None:
        super().__init__(wiring)
        self._globals: dict[str, float] = {}
        self._errors: list[tuple[int, str]] = []

    def restart(self) -> None:
        """As `_Matrix707`: globals are gone too."""
        super().restart()
        self._globals.clear()
        self._errors.clear()

    def fail(self) -> None:
        """An entry in the error queue."""
        self._errors.append((-240, "Hardware error"))

    def execute(self, message: bytes) -> bytes:
        """As `_Matrix707`."""
        text = message.decode("ascii", "replace").strip()
        if text == "*IDN?":
            return b"KEITHLEY INSTRUMENTS INC.,MODEL 707B,1,01.23\n"
        if text == "*OPC?":
            return b"1\n"
        at, answer = 0, b""
        while at < len(text):
            found = self._statement.match(text, at)
            if found is None:
                self._errors.append(
                    (-285, f"TSP Syntax error at line 1: unexpected symbol near `{text[at : at + 10]}'")
                )
                return b""
            answer = self._do(found) or answer
            at = found.end()
        return answer

    def _do(self, found: re.Match[str]) -> bytes:
        if found["call"]:
            self._switch(found["call"].removeprefix("channel."), found["list"])
        elif found["clear"]:
            self._errors.clear()
        elif found["name"]:
            self._globals[found["name"]] = float(found["value"])
        elif found["reset"]:
            self._wiring.switch(set())
        else:
            return "\t".join(self._value(each.strip()) for each in found["print"].split(", ")).encode() + b"\n"
        return b""

    def _value(self, name: str) -> str:
        if name == "localnode.model":
            return "707B"
        if name == "errorqueue.count":
            return f"{len(self._errors):.5e}"
        if name == "errorqueue.next()":
            code, text = self._errors.pop(0) if self._errors else (0, "Queue Is Empty")
            return f"{code:.5e}\t{text}\t0.00000e+00\t1.00000e+00"
        if name == 'channel.getclose("allslots")':
            return ";".join(map(self._name, sorted(self._wiring.closed))) or "nil"
        return f"{self._globals[name]:.5e}" if name in self._globals else "nil"

    @staticmethod
    def _name(point: tuple[int, int]) -> str:
        row, column = point
        return f"{column // _PER_SLOT + 1}{chr(ord('A') + row)}{column % _PER_SLOT + 1:02d}"

    def _switch(self, what: str, channels: str) -> None:
        if what == "open" and channels == "allslots":
            self._wiring.switch(set())
            return
        points = set()
        for part in channels.split(","):
            found = self._channel.fullmatch(part.strip())
            if found is None:
                self._errors.append((1121, f"Parameter 1: channel {part[:10]} does not exist"))
                return
            points.add((ord(found[2]) - ord("A"), (int(found[1]) - 1) * _PER_SLOT + int(found[3]) - 1))
        closed = self._wiring.closed
        self._wiring.switch({"close": closed | points, "open": closed - points, "exclusiveclose": points}[what])
