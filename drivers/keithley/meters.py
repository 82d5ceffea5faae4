"""Source-measure units of Keithley's 2400 series and of the generation after it, as far as a crossbar needs them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from drivers.keithley.dialects import (
    DIALECTS,
    FAMILY,
    PULSE_CYCLES,
    READ_COMPLIANCE,
    READ_CYCLES,
    READ_RANGE,
    SWEEP_POINTS,
    Setting,
    current_range,
)
from drivers.keithley.scpi_instrument import ScpiInstrument
from drivers.links import Stream
from imssa_lab.contract.array_types import BoolArray, FloatArray
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.errors import ImssaError, LimitError, LinkCorrupt, WrongInstrument

RAMP_STEP = 0.5
"""V; no level is left or reached by a larger step, except by a pulse."""
_SETTLE = 1e-3  # s at a level before it is measured in a read
_SOURCE_RANGES = {"read": 2.0, "pulse": 20.0}  # V
_MODEL = re.compile(r"MODEL (\d+)")
_TOLERANCE = 1e-3  # V that a level read back may differ by: steps of the 20 V range are half of that
_OVERFLOW, _NO_NUMBER = 9.9e37, 9.91e37


@dataclass(frozen=True)
class Points(FrozenArrays):
    """What was measured at some levels, arrays (n,).

    Attributes:
        current: A; limited: where it was limited, so that less than the level stood at the terminals.
    """

    current: FloatArray
    limited: BoolArray


class SourceMeter(ScpiInstrument):
    """A source of voltage that measures current, put into a known state at opening.

    An output that was on is ramped to 0 V and switched off before the reset, which would drop it from where it is.

    Args:
        compliance: A, the largest current; set before the output is on. Reads are held to `READ_COMPLIANCE`.
        terminals: "front" or "rear", where the cables are.
        gates: whether it holds levels, as for gates, rather than being read and pulsed with: it is set up for
            20 V at once and never reads.

    Raises:
        WrongInstrument: no such meter, or one that speaks another language.
    """

    def __init__(
        self, stream: Stream, compliance: float, timeout: float, terminals: str = "front", gates: bool = False
    ) -> None:
        super().__init__(stream, timeout)
        self.compliance = compliance
        self._on, self._level = False, float("nan")
        self._mode = ""
        self._loaded: tuple[tuple[float, ...], float] | None = None
        try:
            self._dialect = DIALECTS[self._family()]
            self._let_down()
            self.tell("*RST;*CLS")
            self._put(self._dialect.known, terminals="FRON" if terminals == "front" else "REAR")
            self._level = 0.0
            self._cycle = 1.0 / self._number(self.ask(":SYST:LFR?"))
            self._use("pulse" if gates else "read")
        except BaseException:
            self.link.close()
            raise

    def _family(self) -> str:
        model = _MODEL.search(self.identity.upper())
        if model is None or model[1] not in FAMILY:
            raise WrongInstrument(f"{self.identity!r} is no source-measure unit of the series {', '.join(FAMILY)}")
        family = FAMILY[model[1]]
        if family == "2450" and (language := self._language()) != "SCPI":
            raise WrongInstrument(
                f"{self.identity!r} is set to the language {language}; choose SCPI in its menu, or send "
                "*LANG SCPI, then switch it off and on"
            )
        return family

    def _language(self) -> str:
        """Asked without the error queue, which another language has no words for."""
        with self.link.exchange() as talk:
            talk.send(b"*LANG?\n")
            return talk.line().decode("ascii", "replace").strip()

    def _let_down(self) -> None:
        if self.ask(":OUTP?").strip() == "0":
            return
        if self.ask(":SOUR:FUNC?").strip().upper().startswith("VOLT"):
            self.go_to(0.0)
        self.tell(":OUTP OFF")

    # ---- settings

    def _put(self, settings: Sequence[Setting], **values: object) -> None:
        """Set and read back.

        Raises:
            LinkCorrupt: something is not as it was set.
        """
        answers = self.tell(
            ";".join(setting.command.format(**values) for setting in settings),
            *(setting.query for setting in settings),
        )
        for setting, answer in zip(settings, answers, strict=True):
            wanted = setting.answer.format(**values)
            if not _same(answer, wanted):
                raise LinkCorrupt(
                    f"{self.link.name}: {setting.query} answers {answer[:40]!r} after "
                    f"{setting.command.format(**values)!r} was sent; nothing is driven, open it again"
                )

    def _use(self, mode: str) -> None:
        """Ranges, compliance and integration time to read or to pulse; the output is at 0 V while they change."""
        if mode == self._mode:
            return
        self._mode, self._loaded = "", None
        reading = mode == "read"
        compliance = min(self.compliance, READ_COMPLIANCE) if reading else self.compliance
        cycles = READ_CYCLES if reading else PULSE_CYCLES
        measured = min(READ_RANGE, current_range(self.compliance)) if reading else current_range(self.compliance)
        limit = Setting(self._dialect.compliance.format(compliance), self._dialect.compliance_query, f"{compliance}")
        ranges = Setting(self._dialect.current_range.format(measured), self._dialect.range_query, f"{measured}")
        source = _SOURCE_RANGES[mode]
        self._put(
            (
                # never a compliance above the range that measures it
                *((limit, ranges) if reading else (ranges, limit)),
                Setting(f":SENS:CURR:NPLC {cycles}", ":SENS:CURR:NPLC?", f"{cycles}"),
                Setting(f":SOUR:VOLT:RANG {source}", ":SOUR:VOLT:RANG?", f"{source}"),
            )
        )
        self._mode = mode

    def prepare_to_read(self) -> None:
        """Ranges and integration time to read, with a fresh zero; no relay that leads to a cell may be closed."""
        self._use("read")
        self.tell(self._dialect.zero)

    def prepare_to_pulse(self) -> None:
        """Ranges and integration time to pulse; no relay that leads to a cell may be closed."""
        self._use("pulse")

    # ---- times

    @property
    def shortest(self) -> float:
        """The shortest pulse, s: what a level of a list takes with no delay."""
        return self._dialect.overhead + PULSE_CYCLES * self._cycle

    @property
    def reading_time(self) -> float:
        """s that a level takes in a read."""
        return self._dialect.overhead + READ_CYCLES * self._cycle + _SETTLE

    def require_width(self, width: float) -> None:
        """Whether a pulse of this width, s, can be made.

        Raises:
            LimitError: it cannot.
        """
        self._delay(width)

    def _delay(self, width: float) -> float:
        """What to ask for, s, so that a level lasts `width`.

        Raises:
            LimitError: the meter cannot make it.
        """
        delay = width - self.shortest
        if delay < -1e-9:
            raise LimitError(
                f"{self.link.name}: a pulse of {width:g} s asked, the shortest that this meter makes is "
                f"{self.shortest:.3g} s"
            )
        delay = round(max(delay, 0.0), 9)
        if 0.0 < delay < self._dialect.shortest_delay:
            raise LimitError(
                f"{self.link.name}: a pulse of {width:g} s asked; this meter makes {self.shortest:.3g} s, and "
                f"{self.shortest + self._dialect.shortest_delay:.3g} s or longer"
            )
        return delay

    # ---- levels that stay

    def go_to(self, level: float) -> None:
        """A level in V that stays, by steps of at most `RAMP_STEP`, read back.

        Raises:
            LinkCorrupt: it is not at that level; ImssaError: the output has gone off.
        """
        if not np.isfinite(self._level):
            self._level = self._number(self.ask(":SOUR:VOLT?"))
        steps = max(int(np.ceil(abs(level - self._level) / RAMP_STEP - 1e-9)), 0)
        if not steps:
            return
        levels = np.linspace(self._level, level, steps + 1)[1:]
        self._level = float("nan")
        message = ";".join(f":SOUR:VOLT {round(float(step), 6)!r}" for step in levels)
        self._confirm(self.tell(message, ":SOUR:VOLT?", ":OUTP?"), level)
        self._level = level

    def _confirm(self, answers: Sequence[str], level: float) -> None:
        there, on = self._number(answers[0]), answers[1]
        if abs(there - level) > _TOLERANCE:
            raise LinkCorrupt(f"{self.link.name}: it is at {there:g} V, {level:g} V was set; nothing was driven")
        if self._on and on != "1":
            raise ImssaError(
                f"{self.link.name}: its output has gone off; an interlock, or somebody at its front panel?"
            )

    def switch_on(self) -> None:
        """Output on, at 0 V."""
        if not self._on:
            self.go_to(0.0)
            (on,) = self.tell(":OUTP ON", ":OUTP?")
            if on != "1":
                raise LinkCorrupt(f"{self.link.name}: its output stays off; an interlock?")
            self._on = True

    def switch_off(self) -> None:
        """Down to 0 V, then output off, whatever this side believes about it."""
        self._on, self._loaded, self._level = False, None, float("nan")
        self.tell(self._dialect.idle)
        self.go_to(0.0)
        level, on = self.tell(":SOUR:VOLT 0;:OUTP OFF", ":SOUR:VOLT?", ":OUTP?")
        if self._number(level) != 0.0 or on != "0":
            raise LinkCorrupt(f"{self.link.name}: output {on!r} at {level!r} V after it was switched off")

    # ---- lists of levels

    def read(self, levels: Sequence[float] | FloatArray) -> Points:
        """Currents at these levels (V), after `prepare_to_read`; the level that stays is 0 V."""
        parts = [
            self._list(levels[start : start + SWEEP_POINTS - 1], _SETTLE, self.reading_time)
            for start in range(0, len(levels), SWEEP_POINTS - 1)
        ]
        return Points(
            np.concatenate([part.current for part in parts]), np.concatenate([part.limited for part in parts])
        )

    def pulse(self, level: float, width: float) -> Points:
        """One pulse (V, s) after `prepare_to_pulse`, and what flowed at its end.

        Raises:
            LimitError: the meter cannot make it; nothing was sent.
        """
        delay = self._delay(width)
        return self._list([level], delay, width)

    def _list(self, levels: Sequence[float] | FloatArray, delay: float, seconds: float) -> Points:
        """The levels, then 0 V."""
        wanted = (*(round(float(level), 9) for level in levels), 0.0)
        if self._loaded != (wanted, delay):
            self._load(wanted, delay)
        self._on = self._on and self._dialect.stays_on
        answer = self.ask(self._dialect.run.format(count=len(wanted)), len(wanted) * seconds)
        voltage, current, status = self._numbers(answer, 3 * len(wanted)).reshape(-1, 3).T
        if np.abs(voltage - wanted).max() > _TOLERANCE:
            raise LinkCorrupt(f"{self.link.name}: it has driven {voltage.tolist()} V instead of {list(wanted)}")
        bits = status.astype(np.int64)
        if (bits & self._dialect.wrong).any():
            raise ImssaError(
                f"{self.link.name}: status {bits.max():#x} of a reading says overvoltage, over temperature or sense "
                "by four wires; look at the instrument, then open it again"
            )
        limited = (bits & self._dialect.limited != 0) | (np.abs(current) >= _OVERFLOW)
        return Points(current[:-1], limited[:-1])

    def _load(self, levels: tuple[float, ...], delay: float) -> None:
        self._loaded = None
        values = {"levels": ",".join(map(repr, levels)), "delay": repr(delay), "count": len(levels)}
        there, *others = self.tell(self._dialect.load.format(**values), *self._dialect.load_checks)
        back = self._numbers(there, len(levels))
        if np.abs(back - levels).max() > _TOLERANCE or not all(
            _same(answer, wanted.format(**values))
            for answer, wanted in zip(others, self._dialect.load_answers, strict=True)
        ):
            raise LinkCorrupt(f"{self.link.name}: its list is {there[:60]!r}, {others}; {values} were sent")
        self._loaded = (levels, delay)

    def _number(self, answer: str) -> float:
        return float(self._numbers(answer, 1)[0])

    def _numbers(self, answer: str, count: int) -> FloatArray:
        """Infinity and not-a-number, which SCPI writes 9.9E37 and 9.91E37, are none; an overflow may pass."""
        try:
            numbers = np.array([float(part) for part in answer.split(",")])
        except ValueError as error:
            raise LinkCorrupt(f"{self.link.name}: {answer[:40]!r} are no numbers; measure again") from error
        if len(numbers) != count:
            raise LinkCorrupt(f"{self.link.name}: {len(numbers)} numbers came, {count} were asked for")
        if not np.isfinite(numbers).all() or (np.abs(numbers) >= 0.9999 * _NO_NUMBER).any():
            raise LinkCorrupt(f"{self.link.name}: {answer[:60]!r} holds a value that is not a number; measure again")
        return numbers


def _same(answer: str, wanted: str) -> bool:
    """Whether a setting was answered: a number to its printed digits, or a word by its beginning."""
    try:
        return abs(float(answer) - float(wanted)) <= 1e-4 * abs(float(wanted)) + 1e-9
    except ValueError:
        return answer.strip("\"' ").upper().startswith(wanted)
