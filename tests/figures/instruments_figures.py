"""What virtual instruments answer: every command that each knows, with values inside and beyond what it takes.

After each message the event register and the code of the error are read, and where a command has a query, so is what
it set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from drivers.openmena.wire import LINES
from imssa_lab.virtual.bench_twin import BenchTwin
from imssa_lab.virtual.electrode_journal import Entry
from imssa_lab.virtual.virtual_openmena import OpenMenaBoard
from imssa_lab.virtual.virtual_scpi_array import ScpiArrayTester
from trials.electrodes.smu_bench import SmuBench, one_cell

VALUES = (
    *("", "0", "1", "-1", "0.5", "2.5", "1e-3", "1e-5", "-300", "1e9", "7", "nan", "MIN", "MAX", "DEF", "ON", "off"),
    *("VOLT", "CURRent", "'RES'", '"CURR:DC"', "IMM", "NEXT", "MEAN", "ZERO", "AUTO", "FRONT", "LIST", "SWE", "x"),
    *("1,0", "0.1,0.2,0.3", "1 V", "1,2,3,4,5,6,7,8,9,10,11,12,13", '"defbuffer1"', '"mine",10', "1,2,'defbuffer1'"),
    *("(@1!1)", "(@1!1!1)", "(@1!2!3,2!4!10)", "(@3!1!1)", "(@ALL)", "ALL", "#14\x00\x00\x00\x00"),
)
ASKED = (
    "",
    "MIN",
    "MAX",
    "DEF",
    "1",
    "x",
    "'RES'",
    '"defbuffer1"',
    "1,2,'defbuffer1'",
    "(@1!1)",
    "(@1!1!1)",
    "1,2,3",
)
"""Of these, what a query is given."""
LINES_707A = (
    *("U0X", "U1X", "U2,0X", "CA1X", "U2,0X", "CB12,H72X", "U2,0X", "NA1X", "U2,0X", "CA73X", "U1X", "U1X", "CI1X"),
    *(
        "U1X",
        "E5X",
        "U0X",
        "CC3,D4X",
        "U2,5X",
        "U2,0X",
        "E0X",
        "P5X",
        "U2,0X",
        "P0X",
        "U2,0X",
        "P101X",
        "U1X",
        "E101X",
    ),
    *("U1X", "CA1", "U1X", "U3X", "U1X", "U2,x", "ZX", "U1X", "*IDN?", "X", "CA1XCA2XU2,0X", "E100X", "U0X"),
    *(
        "P100X",
        "CA1,A2,A3,A4,A5,A6,A7,A8,A9,A10,A11,A12,B1,B2,B3,B4,B5,B6,B7,B8,B9,B10,B11,B12,C1,C2X",
        "U1X",
        "U2,100X",
    ),
)
COUNT = "print(errorqueue.count, errorqueue.next())"
CLOSED = 'print(channel.getclose("allslots"))'
LINES_707B = (
    *("*IDN?", "*OPC?", COUNT, CLOSED, 'channel.close("1A01")', CLOSED, 'channel.close("2H12,6D10")', CLOSED),
    *('channel.open("1A01")', CLOSED, 'channel.exclusiveclose("3B02")', CLOSED, 'channel.open("allslots")', CLOSED),
    *('channel.close("7A01")', COUNT, 'channel.close("1A13")', COUNT, 'channel.close("1I01")', COUNT, "print(a)"),
    *("a = 3", "print(a)", "a=-2.5 print(a, b)", "channel.shut()", COUNT, COUNT, "print(localnode.model)"),
    *("x y", "x z", "errorqueue.clear()", COUNT, "channel.close('1A01') channel.close('1A02')", CLOSED, "reset()"),
    *(CLOSED, "", "print()"),
)
FULL = " ".join(["2048"] * LINES)
LINES_OPENMENA = (
    *("INFEREMULTIPLE:", "INFEREMULTIPLE:0", f"INFEREMULTIPLE:1 {FULL}", f"INFEREMULTIPLE:2 {FULL}"),
    *(f"INFEREMULTIPLE:2 {FULL} {FULL}", "INFEREMULTIPLE:1 0 4095 5000 -5 2000 2100 x 2400", "HELLO", ""),
    *("SETVOLTAGES:1", "SETVOLTAGES:0.1 0.2 0.3 0.4 0.5 0.6 0.7 1.6 0.8", "SETVOLTAGES:a b c d e f g h i"),
    *("WEIGHTMODIF:0 0 1 1", "WEIGHTMODIF:8 0 1 1 1 1 1 1 10", "WEIGHTMODIF:0 0 2 1 1 1 1 1 10"),
    *("WEIGHTMODIF:2 3 1 4 1.4 0.6 0.6 1.4 100", "WEIGHTMODIF:2 3 -1 2 1.4 0.6 0.6 1.4 100"),
    *("WEIGHTMODIF:7 7 1 1 1.6 0.6 0.6 1.4 100", "WEIGHTMODIF:7 7 1 1 1.4 0.6 0.6 1.4 0", f"INFEREMULTIPLE:1 {FULL}"),
)


def answered(instrument: Any, message: str) -> str:
    """What goes back, with every number a word of its own."""
    said = b"".join(instrument.receive(message.encode("latin-1") + b"\n")).decode("latin-1")
    return re.sub(r"([,;\t\r\n()])", r" \1 ", said).replace("\r", "").replace("\n", "").strip()


def seen(entry: Entry) -> str:
    """What happened at the electrodes, and the largest voltage there."""
    there = np.abs(entry.voltage[np.isfinite(entry.voltage)])
    return f"{entry.what} {there.max(initial=0.0):.6e}"


def headers(instrument: Any) -> list[str]:
    """One way of writing every command, the shortest."""
    found: dict[int, str] = {}
    for header, (handler, _, _) in instrument._tree.handlers.items():
        known = found.get(id(handler), header)
        found[id(handler)] = min(header, known, key=lambda one: (len(one), one))
    return sorted(found.values())


def told(make: Callable[[], Any], without: Sequence[str] = (), only: Sequence[str] = ("",)) -> dict[str, list[str]]:
    """By command, what the instrument says to which values; each command to a new instrument, its values in turn.

    Beside it: seconds that passed, and what was seen at the electrodes with the largest voltage.
    """
    result: dict[str, list[str]] = {}
    for header in headers(make()):
        if header in without or not header.startswith(tuple(only)):
            continue
        instrument = make()
        query = instrument._tree.handlers.get(f"{header}?", (None, 1, 1))
        outcomes: dict[str, list[str]] = {}
        for value in ASKED if header.endswith("?") else VALUES:
            bench = instrument.bench
            began, noted = bench.time, len(bench.journal.entries)
            said = answered(instrument, f"{header} {value}".strip())
            took = f"{bench.time - began:.6e} s " + " ".join(map(seen, bench.journal.entries[noted:][-4:]))
            event, error = (answered(instrument, asked).partition(" ")[0] for asked in ("*ESR?", "SYST:ERR?"))
            kept = answered(instrument, f"{header}?") if query[1] == 0 else ""
            outcomes.setdefault(f"says {said} error {error} event {event} keeps {kept} {took}", []).append(value)
        result[header] = [f" {' '.join(map(repr, values))} {outcome} " for outcome, values in outcomes.items()]
    return result


def meter(which: str, kinds: tuple[str, str, str]) -> Any:
    """A meter with a cell between its terminals, or the one at the gates, or the matrix."""
    bench = SmuBench(kinds, line=60.0)
    bench.twin.cells.stick(one_cell(), 50e-6)
    if which == "matrix":
        return bench.matrix
    bench.wiring.switch({(0, 2), (1, 4 + 1), (2, 4 + 3 + 2)})
    for one, volts in ((bench.gate, 5.0), (bench.source, 0.2)):
        answered(one, f":SOUR:VOLT {volts};:OUTP ON")
    return getattr(bench, which)


def on_fixed_ranges() -> Any:
    """A 2400 whose ranges follow nothing, of a cell that it sources current to as well."""
    bench = meter("source", KEITHLEY[0])
    answered(bench, ":SOUR:VOLT:RANG 2;:SENS:CURR:PROT 5e-5;:SENS:CURR:RANG 1e-5;:SOUR:CURR:RANG 1e-4;:SYST:AZER OFF")
    return bench


def in_another_language() -> list[str]:
    instrument = meter("source", KEITHLEY[1])
    words = (
        "*LANG?",
        "*LANG TSP",
        "*LANG?",
        ":SOUR:VOLT 0.5",
        ":SOUR:VOLT?",
        "SYST:ERR?",
        "*ESR?",
        "*LANG x",
        "*LANG SCPI",
    )
    before = in_turn(instrument, words[:4])
    instrument.restart()
    then = in_turn(instrument, words)
    instrument.restart()
    return [*before, *then, *in_turn(instrument, ("SYST:ERR:COUN?", "SYST:ERR?", "SYST:ERR?", *words[3:6]))]


def scpi() -> ScpiArrayTester:
    return ScpiArrayTester(BenchTwin("supert-a0-easy", (3, 2), seed=5))


def in_turn(instrument: Any, lines: Iterable[str], *state: str) -> list[str]:
    """Answers to lines, one after the other, and what the instrument remembers then."""
    said = [f" {line.encode()!r} gives {answered(instrument, line)} " for line in lines]
    return [*said, *(repr(getattr(instrument, name)) for name in state)]


def openmena() -> dict[str, object]:
    bench = BenchTwin("supert-a0-easy", (LINES, LINES), seed=5)
    lines = in_turn(OpenMenaBoard(bench), LINES_OPENMENA)
    return {"lines": lines, "cells": np.asarray(bench.cells.conductance), "time": bench.time}


KEITHLEY = (("2400", "2450", "707A"), ("2450", "2400", "707B"), ("2400", "2400", "7001"))
CASES: dict[str, Callable[[], object]] = {
    "2400 at the cells": partial(told, partial(meter, "source", KEITHLEY[0])),
    "2450 at the cells": partial(told, partial(meter, "source", KEITHLEY[1])),
    "2400 on fixed ranges": partial(
        told, on_fixed_ranges, (), ("SOUR:VOLT", "SOUR:CURR", "SENS:CURR", "READ?", "OUTP")
    ),
    "2450 in another language": in_another_language,
    "7001": partial(told, partial(meter, "matrix", KEITHLEY[2])),
    "707A": lambda: in_turn(meter("matrix", KEITHLEY[0]), LINES_707A, "pointer"),
    "707B": lambda: in_turn(meter("matrix", KEITHLEY[1]), LINES_707B),
    "OpenMENA": openmena,
    "SCPI array": partial(told, scpi, ("SYST:SESS?", "SYST:DESC?", "SYST:CALL")),
}
