"""What the two generations of Keithley's source-measure units call the same things, and how long each takes.

After the maker's reference manuals: 2400 series (2400S-900-01; times on pages A-3 to A-6, status words on 18-51),
2450 (2450-901-01), 2461 (2461-901-01). Tried on virtual instruments only.
"""

from __future__ import annotations

from dataclasses import dataclass

SWEEP_POINTS = 100
"""Levels that a list takes."""
READ_RANGE = 1e-4
"""A; the range that cells are read in. It holds 500 uS at 0.2 V, with an error of some nA."""
READ_COMPLIANCE = 1.05 * READ_RANGE
READ_CYCLES, PULSE_CYCLES = 1.0, 0.01
"""Integration times in cycles of the power line: to read well, and to make a pulse as short as it can be."""
_CURRENT_RANGES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)


def current_range(current: float) -> float:
    """The smallest range, A, that measures `current`."""
    return next(limit for limit in _CURRENT_RANGES if current <= limit * (1 + 1e-9))


@dataclass(frozen=True)
class Setting:
    """Something set at opening, and how it is read back.

    Attributes:
        command: sent; query: asked for it; answer: what comes then, a number or the beginning of a word.
    """

    command: str
    query: str
    answer: str


@dataclass(frozen=True)
class Dialect:
    """Messages of one generation.

    Attributes:
        known: the state that a voltage source of currents is put into; ``{terminals}`` is FRON or REAR.
        current_range, compliance: commands for A, and `compliance_query`, `range_query`.
        zero: measures the reference that currents are taken against.
        idle: ends a list that is under way.
        load: levels and what each takes beside the overhead, s; `load_checks` are asked afterwards, the first of them
            answers the levels, `load_answers` the others.
        run: through the list; answers voltage, current and status of every level.
        limited: bits of the status where the current was limited; wrong: where the point is worth nothing.
        overhead: s of a level beside its delay and the integration time.
        shortest_delay: s above 0 that a level can be delayed by.
        stays_on: whether the output is on after a list.
    """

    known: tuple[Setting, ...]
    current_range: str
    range_query: str
    compliance: str
    compliance_query: str
    zero: str
    idle: str
    load: str
    load_checks: tuple[str, ...]
    load_answers: tuple[str, ...]
    run: str
    limited: int
    wrong: int
    overhead: float
    shortest_delay: float
    stays_on: bool


_COMMON = (
    Setting(":ROUT:TERM {terminals}", ":ROUT:TERM?", "{terminals}"),
    Setting(":SOUR:FUNC VOLT", ":SOUR:FUNC?", "VOLT"),
    Setting(":SOUR:VOLT 0", ":SOUR:VOLT?", "0"),
    Setting(':SENS:FUNC "CURR"', ":SENS:FUNC?", "CURR"),
    Setting(":FORM:DATA ASC", ":FORM:DATA?", "ASC"),
)

DIALECTS = {
    "2400": Dialect(
        known=(
            Setting(":SENS:FUNC:CONC OFF", ":SENS:FUNC:CONC?", "0"),
            *_COMMON,
            Setting(":SYST:AZER OFF", ":SYST:AZER?", "0"),
            Setting(":SYST:RSEN OFF", ":SYST:RSEN?", "0"),
            Setting(":SOUR:VOLT:MODE FIX", ":SOUR:VOLT:MODE?", "FIX"),
            Setting(":SOUR:DEL:AUTO OFF", ":SOUR:DEL:AUTO?", "0"),
            Setting(":SOUR:CLE:AUTO OFF", ":SOUR:CLE:AUTO?", "0"),
            Setting(":SENS:AVER OFF", ":SENS:AVER?", "0"),
            Setting(":ARM:COUN 1", ":ARM:COUN?", "1"),
            Setting(":ARM:SOUR IMM", ":ARM:SOUR?", "IMM"),
            Setting(":TRIG:SOUR IMM", ":TRIG:SOUR?", "IMM"),
            Setting(":TRIG:DEL 0", ":TRIG:DEL?", "0"),
            Setting(":FORM:ELEM VOLT,CURR,STAT", ":FORM:ELEM?", "VOLT,CURR,STAT"),
        ),
        current_range=":SENS:CURR:RANG {}",
        range_query=":SENS:CURR:RANG?",
        compliance=":SENS:CURR:PROT {}",
        compliance_query=":SENS:CURR:PROT?",
        zero=":SYST:AZER ONCE",
        idle=":ABOR;:SOUR:VOLT:MODE FIX",
        load=":SOUR:LIST:VOLT {levels};:SOUR:DEL {delay};:TRIG:COUN {count}",
        load_checks=(":SOUR:LIST:VOLT?", ":SOUR:DEL?", ":TRIG:COUN?"),
        load_answers=("{delay}", "{count}"),
        # the list is a mode for this one message: outside it the level that stays is 0 V
        run=":SOUR:VOLT:MODE LIST;:READ?;:SOUR:VOLT:MODE FIX",
        limited=1 << 0 | 1 << 3 | 1 << 16,  # overflow, compliance, compliance by the range
        wrong=1 << 4 | 1 << 22,  # overvoltage protection, four wires
        overhead=50e-6 + 185e-6 + 300e-6,
        shortest_delay=0.0,
        stays_on=True,
    ),
    "2450": Dialect(
        known=(
            *_COMMON,
            Setting(":SENS:CURR:AZER OFF", ":SENS:CURR:AZER?", "0"),
            Setting(":SENS:CURR:RSEN OFF", ":SENS:CURR:RSEN?", "0"),
            Setting(":SOUR:VOLT:DEL 0", ":SOUR:VOLT:DEL?", "0"),
            Setting(":SOUR:VOLT:DEL:AUTO OFF", ":SOUR:VOLT:DEL:AUTO?", "0"),
            Setting(":SOUR:VOLT:READ:BACK OFF", ":SOUR:VOLT:READ:BACK?", "0"),
            Setting(":SENS:CURR:AVER OFF", ":SENS:CURR:AVER?", "0"),
            Setting(":SENS:COUN 1", ":SENS:COUN?", "1"),
        ),
        current_range=":SENS:CURR:RANG {}",
        range_query=":SENS:CURR:RANG?",
        compliance=":SOUR:VOLT:ILIM {}",
        compliance_query=":SOUR:VOLT:ILIM?",
        zero=":SENS:AZER:ONCE",
        idle=":ABOR",
        # OFF: a list continues where the current is limited, or readings would be missing
        load=":SOUR:LIST:VOLT {levels};:SOUR:SWE:VOLT:LIST 1,{delay},1,OFF",
        load_checks=(":SOUR:LIST:VOLT?",),
        load_answers=(),
        run=':TRAC:CLE;:INIT;*WAI;:TRAC:DATA? 1,{count},"defbuffer1",SOUR,READ,SOURSTAT',
        limited=32,
        wrong=4 | 16 | 64,  # overvoltage protection, over temperature, four wires
        # no figure in the manuals; from about 1,700 points a second at PULSE_CYCLES
        overhead=420e-6,
        shortest_delay=50e-6,
        stays_on=False,
    ),
}
FAMILY = dict.fromkeys(("2400", "2401", "2410", "2420", "2425", "2430", "2440"), "2400") | dict.fromkeys(
    ("2450", "2460", "2461", "2470"), "2450"
)
"""Which dialect a model speaks."""
