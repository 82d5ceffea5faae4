"""Source-measure units of Keithley's 2400 series and their switch matrices, as far as a crossbar needs them.

Messages after the maker's reference manuals: 2400 series SourceMeter (2400-900-01), 2450 (2450-901-01), 7001
(7001-901-01), 707A (707A-901-01). Tried on virtual instruments only.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from drivers.links import Exchange, Link, Stream
from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.errors import ConfigError, InstrumentError, LinkCorrupt, LinkLost, WrongInstrument

RAMP_STEP = 0.25
"""V; no level is left or reached by a larger step, except by a pulse."""
SWEEP_POINTS = 100
_ERROR = re.compile(rb'([+-]?\d+),"(.*)"')
_MODEL = re.compile(r"MODEL (\d+)")


class ScpiInstrument:
    """Plain SCPI over one link: after each message the error queue is asked, so that each is answered.

    Args:
        stream: taken over.
        timeout: s for what takes no time.

    Raises:
        LinkError: nobody answers, or somebody else (WrongInstrument).
    """

    def __init__(self, stream: Stream, timeout: float) -> None:
        self._tokens = itertools.cycle(range(1, 256))
        self.identity = ""
        self.link = Link(stream, self._handshake, timeout)

    def ask(self, message: str, seconds: float = 0.0) -> str:
        """What the instrument answers to `message`, empty for commands.

        Args:
            seconds: how long it will take.

        Raises:
            LinkError: see `Link.exchange`; InstrumentError: from the instrument's error queue.
        """
        with self.link.exchange(self.link.timeout + seconds) as talk:
            talk.send(message.encode() + b"\n:SYST:ERR?\n")
            answer = b""
            line = talk.line()
            if not _ERROR.fullmatch(line):
                answer, line = line, talk.line()
            error = _ERROR.fullmatch(line)
            if error is None:
                raise LinkCorrupt(f"{talk.name}: {line[:40]!r} is no entry of an error queue; ask again")
            if int(error[1]):
                raise InstrumentError(int(error[1]), error[2].decode("ascii", "replace"))
        return answer.decode("ascii", "replace")

    def _handshake(self, talk: Exchange) -> None:
        """A number that only this answer holds: a late answer to something else does not."""
        mark = b"%d;" % next(self._tokens)
        talk.send(b"\n*CLS;*ESE %s*ESE?;*IDN?\n" % mark)
        while not (line := talk.line()).startswith(mark):
            if line.startswith(b"BUSY"):
                raise LinkLost(f"{talk.name}: {line.decode('ascii', 'replace')}")
        identity = line.removeprefix(mark).decode("ascii", "replace")
        if self.identity and identity != self.identity:
            raise WrongInstrument(f"{identity!r} answers where {self.identity!r} did; open it again if this is right")
        self.identity = identity


@dataclass(frozen=True)
class Dialect:
    """What the two generations of the series call the same things.

    Attributes:
        prepare: to a voltage source that measures current; compliance: its largest current, A, as ``{}``.
        sweep: levels, one after another, each held for so many s, and the current in each, A; tripped: 1 where the
            compliance was reached.
    """

    prepare: str
    compliance: str
    sweep: str
    tripped: str


DIALECTS = {
    "2400": Dialect(
        prepare=':SOUR:FUNC VOLT;:SOUR:VOLT:MODE FIX;:SOUR:VOLT 0;:SENS:FUNC "CURR";:FORM:ELEM CURR',
        compliance=":SENS:CURR:PROT {}",
        sweep=(
            ":SOUR:VOLT:MODE LIST;:SOUR:LIST:VOLT {levels};:SOUR:DEL {hold};:TRIG:COUN {count};:READ?;"
            ":SOUR:VOLT:MODE FIX"
        ),
        tripped=":SENS:CURR:PROT:TRIP?",
    ),
    "2450": Dialect(
        prepare=':SOUR:FUNC VOLT;:SOUR:VOLT 0;:SENS:FUNC "CURR"',
        compliance=":SOUR:VOLT:ILIM {}",
        sweep=(
            ":TRAC:CLE;:SOUR:LIST:VOLT {levels};:SOUR:SWE:VOLT:LIST 1,{hold},1;:INIT;*WAI;"
            ':TRAC:DATA? 1,{count},"defbuffer1",READ'
        ),
        tripped=":SOUR:VOLT:ILIM:TRIP?",
    ),
}
_FAMILY = dict.fromkeys(("2400", "2401", "2410", "2420", "2425", "2430", "2440"), "2400") | dict.fromkeys(
    ("2450", "2460", "2461", "2470"), "2450"
)


class SourceMeter(ScpiInstrument):
    """A source of voltage that measures current. An output that was on is ramped to 0 V and switched off first.

    Args:
        compliance: A, the largest current; set before the output ever goes on.
    """

    def __init__(self, stream: Stream, compliance: float, timeout: float) -> None:
        super().__init__(stream, timeout)
        try:
            self._dialect = self._family()
            self._level, self._on = 0.0, False
            if self.ask(":OUTP?").strip() != "0":
                self._level = float(self.ask(":SOUR:VOLT?"))
                self.go_to(0.0)
                self.ask(":OUTP OFF")
            self.ask(f"{self._dialect.prepare};{self._dialect.compliance.format(repr(compliance))}")
        except BaseException:
            self.link.close()
            raise

    def _family(self) -> Dialect:
        model = _MODEL.search(self.identity.upper())
        if model is None or model[1] not in _FAMILY:
            raise WrongInstrument(f"{self.identity!r} is no source-measure unit of the series {', '.join(_FAMILY)}")
        return DIALECTS[_FAMILY[model[1]]]

    def go_to(self, level: float) -> None:
        """A level in V that stays, by steps of at most `RAMP_STEP`."""
        steps = max(int(np.ceil(abs(level - self._level) / RAMP_STEP - 1e-9)), 0)
        if steps:
            levels = np.linspace(self._level, level, steps + 1)[1:]
            self.ask(";".join(f":SOUR:VOLT {float(step)!r}" for step in levels))
            self._level = level

    def switch_on(self) -> None:
        """Output on, at 0 V."""
        if not self._on:
            self.ask(":OUTP ON")
            self._on = True

    def switch_off(self) -> None:
        """Down to 0 V, then output off, whatever this side believes about it."""
        self.go_to(0.0)
        self.ask(":SOUR:VOLT 0;:OUTP OFF")
        self._on = False

    def sweep(self, levels: Sequence[float] | FloatArray, hold: float) -> FloatArray:
        """Currents in A at these levels (V), each held for `hold` s; then back at the level that stays."""
        currents = []
        for start in range(0, len(levels), SWEEP_POINTS):
            some = levels[start : start + SWEEP_POINTS]
            text = ",".join(repr(float(level)) for level in some)
            message = self._dialect.sweep.format(levels=text, hold=repr(hold), count=len(some))
            answer = self.ask(message, len(some) * (hold + 0.1))
            currents += self._numbers(answer, len(some))
        return np.array(currents)

    @property
    def tripped(self) -> bool:
        """Whether the last sweep reached the compliance."""
        return self.ask(self._dialect.tripped).strip() != "0"

    def _numbers(self, answer: str, count: int) -> list[float]:
        try:
            numbers = [float(part) for part in answer.split(",")]
        except ValueError as error:
            raise LinkCorrupt(f"{self.link.name}: {answer[:40]!r} are no currents; measure again") from error
        if len(numbers) != count or not np.isfinite(numbers).all():
            raise LinkCorrupt(f"{self.link.name}: {len(numbers)} currents came, {count} were asked for")
        return numbers


class Switch(Protocol):
    """A switch matrix: rows are instruments' terminals, columns lines of the array; both count from 0."""

    link: Link
    rows: int
    columns: int

    def only(self, crosspoints: Iterable[tuple[int, int]]) -> None:
        """All relays open, then these crosspoints closed."""


class Switch7001(ScpiInstrument):
    """A 7001 with two 4x10 matrix cards whose rows are joined."""

    rows, columns = 4, 20
    _per_card = 10

    def only(self, crosspoints: Iterable[tuple[int, int]]) -> None:
        """As `Switch`."""
        channels = [f"{c // self._per_card + 1}!{row + 1}!{c % self._per_card + 1}" for row, c in crosspoints]
        self.ask(":ROUT:OPEN ALL" + (f";:ROUT:CLOS (@{','.join(channels)})" if channels else ""))


class Switch707:
    """A 707 or 707A with six 8x12 matrix cards, by its device-dependent commands: it knows no SCPI."""

    rows, columns = 8, 72

    def __init__(self, stream: Stream, timeout: float) -> None:
        self.link = Link(stream, _greet_707, timeout)

    def only(self, crosspoints: Iterable[tuple[int, int]]) -> None:
        """As `Switch`."""
        points = ",".join(f"{chr(ord('A') + row)}{column + 1}" for row, column in crosspoints)
        with self.link.exchange() as talk:
            talk.send(f"P0X{f'C{points}X' if points else ''}U1X\n".encode())
            status = talk.line()
            if not re.fullmatch(rb"707[ A]?\s*[01]+", status):
                raise LinkCorrupt(f"{talk.name}: {status[:40]!r} is no error status of a 707; ask again")
            if b"1" in status[3:]:
                raise InstrumentError(1, f"error status {status.decode()} after closing {points or 'nothing'}")


def _greet_707(talk: Exchange) -> None:
    talk.send(b"\nU0X\n")
    line = talk.line()
    if line.startswith(b"BUSY"):
        raise LinkLost(f"{talk.name}: {line.decode('ascii', 'replace')}")
    if not line.startswith(b"707") or not line[3:].strip().startswith(b"STATUS"):
        raise LinkCorrupt(f"{talk.name}: {line[:40]!r} instead of the status of a 707; is it one?")


def open_switch(model: str, stream: Stream, timeout: float) -> Switch:
    """The matrix of this model, 7001 or 707.

    Raises:
        ConfigError: no such model.
    """
    if model == "7001":
        return Switch7001(stream, timeout)
    if model == "707":
        return Switch707(stream, timeout)
    stream.close()
    raise ConfigError(f"switch matrix {model!r}; there are 7001 and 707")
