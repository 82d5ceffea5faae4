"""What a 2400 and a 2450 remember, by the tables of their manuals: limits, what *RST brings, the words that exist."""

from functools import cache

import numpy as np
import pytest

from drivers.keithley.dialects import DIALECTS
from trials.electrodes.smu_bench import SmuBench

# command, MIN, MAX, DEF
NUMBERS_OF_BOTH = """
SOUR:VOLT -210 210 0
SOUR:CURR -1.05 1.05 0
SENS:RES:RANG 0 2.1e8 2.1e5
"""
NUMBERS_2400 = """
SENS:CURR:PROT -1.05 1.05 1.05e-4
SENS:VOLT:PROT -210 210 21
SOUR:DEL 0 9999.999 1e-3
ARM:COUN 1 2500 1
TRIG:COUN 1 2500 1
TRIG:DEL 0 999.9999 0
ARM:TIM 1e-3 99999.99 0.1
ARM:ILIN 1 4 1
ARM:OLIN 1 4 2
TRIG:ILIN 1 4 1
TRIG:OLIN 1 4 2
SENS:AVER:COUN 1 100 10
SOUR:VOLT:STAR -210 210 0
SOUR:VOLT:STOP -210 210 0
SOUR:SWE:POIN 2 2500 2500
TRAC:POIN 1 2500 100
STAT:MEAS:ENAB 0 65535 0
SENS:CURR:NPLC 0.01 10 1
SENS:VOLT:NPLC 0.01 10 1
SENS:RES:NPLC 0.01 10 1
"""
NUMBERS_2450 = """
SOUR:VOLT:ILIM -1.05 1.05 1.05e-4
SOUR:CURR:VLIM -210 210 21
SENS:CURR:NPLC 0.01 10 1
SENS:VOLT:NPLC 0.01 10 1
SENS:RES:NPLC 0.01 10 1
SENS:CURR:AVER:COUN 1 100 10
SENS:RES:DEL:USER5 0 1e4 0
SOUR:CURR:DEL 0 1e4 0
SOUR:VOLT:DEL:USER1 0 1e4 0
SENS:COUN 1 300000 1
"""
WHOLE = ("COUN", "LIN", "POIN", "ENAB")


def test_status_bits_are_those_of_the_manuals() -> None:
    """2400S-900-01, status word of a reading: 0 overflow, 3 compliance, 4 overvoltage, 16 compliance by the range,
    22 four wires. 2450-901-01, source status: 4 overvoltage, 16 over temperature, 32 limit, 64 four wires."""
    bits = {model: (dialect.limited, dialect.wrong) for model, dialect in DIALECTS.items()}
    assert bits == {"2400": (0x1 + 0x8 + 0x10000, 0x10 + 0x400000), "2450": (32, 4 + 16 + 64)}


# command, what *RST brings, other words
WORDS_OF_BOTH = """
SOUR:FUNC VOLT CURR
ROUT:TERM FRON REAR
"""
WORDS_2400 = """
SOUR:VOLT:MODE FIX LIST SWE
SOUR:CURR:MODE FIX LIST SWE
SENS:AVER:TCON MOV REP
SENS:RES:MODE MAN AUTO
FORM ASC REAL SRE
ARM:SOUR IMM TLIN TIM MAN BUS NST PST
TRIG:SOUR IMM TLIN
TRIG:OUTP NONE SOUR DEL SENS
ARM:OUTP NONE TENT TEX
OUTP:SMOD NORM HIMP ZERO GUAR
TRAC:FEED SENS CALC CALC2
TRAC:FEED:CONT NEV NEXT
CALC3:FORM MEAN SDEV MAX MIN PKPK
SOUR:SWE:SPAC LIN LOG
SOUR:SWE:RANG BEST AUTO FIX
SOUR:SWE:CAB NEV EARL LATE
"""
WORDS_2450 = """
FORM ASC REAL SRE
SENS:VOLT:AVER:TCON REP MOV
OUTP:CURR:SMOD NORM HIMP ZERO GUAR
OUTP:VOLT:SMOD NORM HIMP ZERO GUAR
"""
# command, what *RST brings
FLAGS_OF_BOTH = (
    "SYST:LFR:AUTO 1, DISP:ENAB 1, OUTP 0, SOUR:VOLT:RANG:AUTO 1, SOUR:CURR:RANG:AUTO 1, SENS:CURR:RANG:AUTO 1, "
    "SENS:VOLT:RANG:AUTO 1, SENS:RES:RANG:AUTO 1, "
)
FLAGS_2400 = "SYST:RSEN 0, SOUR:DEL:AUTO 1, SOUR:CLE:AUTO 0, SENS:FUNC:CONC 1, SENS:AVER 0, SYST:AZER 1"
FLAGS_2450 = (
    "SENS:CURR:AZER 1, SENS:VOLT:RSEN 0, SENS:RES:AVER 0, SOUR:VOLT:DEL:AUTO 1, SOUR:CURR:READ:BACK 1, "
    "SOUR:VOLT:READ:BACK 1"
)


def lines(table: str) -> list[list[str]]:
    return [line.split() for line in table.splitlines() if line]


@cache
def bench(model: str) -> SmuBench:
    return SmuBench((model, model, "707A"))


class Meter:
    """One for all tests of a model, as `*RST` leaves it."""

    def __init__(self, model: str) -> None:
        self._meter = bench(model).source
        self("*RST;*CLS")

    def __call__(self, message: str) -> str:
        return b"".join(self._meter.receive(message.encode() + b"\n")).decode().strip()

    def error(self) -> int:
        return int(self(":SYST:ERR?").split(",")[0])


MODELS = {
    "2400": (NUMBERS_OF_BOTH + NUMBERS_2400, WORDS_OF_BOTH + WORDS_2400, FLAGS_OF_BOTH + FLAGS_2400),
    "2450": (NUMBERS_OF_BOTH + NUMBERS_2450, WORDS_OF_BOTH + WORDS_2450, FLAGS_OF_BOTH + FLAGS_2450),
}
BOTH_NUMBERS = [(model, *row) for model, (numbers, _, _) in MODELS.items() for row in lines(numbers)]
BOTH_WORDS = [(model, row) for model, (_, words, _) in MODELS.items() for row in lines(words)]
BOTH_FLAGS = [(model, *each.split()) for model, (_, _, flags) in MODELS.items() for each in flags.split(", ")]


@pytest.mark.parametrize(("model", "command", "low", "high", "usual"), BOTH_NUMBERS)
def test_a_number_has_the_limits_and_the_default_of_the_manual(
    model: str, command: str, low: str, high: str, usual: str
) -> None:
    meter = Meter(model)
    for question, expected in (("?", usual), ("? MIN", low), ("? MAX", high), ("? DEF", usual)):
        assert float(meter(f":{command}{question}")) == pytest.approx(float(expected), rel=1e-6), question
    for word, expected in (("MAX", high), ("MIN", low), (high, high), (low, low), ("DEF", usual)):
        meter(f":{command} {word}")
        assert float(meter(f":{command}?")) == pytest.approx(float(expected), rel=1e-6), word
    assert meter.error() == 0
    for beyond in (float(high) * 1.001 + 0.001, float(low) - abs(float(low)) * 0.001 - 0.001):
        meter(f":{command} {beyond:.9g}")
        assert meter.error() == -222
    assert float(meter(f":{command}?")) == pytest.approx(float(usual))
    meter(f":{command} {high}")
    meter("*RST")
    assert float(meter(f":{command}?")) == pytest.approx(float(usual))


@pytest.mark.parametrize(
    ("model", "command", "low"),
    [row[:3] for row in BOTH_NUMBERS if row[1].split(":")[-1].startswith(WHOLE)],
)
def test_a_count_is_a_whole_number(model: str, command: str, low: str) -> None:
    meter = Meter(model)
    meter(f":{command} {float(low) + 1.4}")
    assert meter(f":{command}?") == str(int(low) + 1)


@pytest.mark.parametrize(("model", "row"), BOTH_WORDS)
def test_a_setting_takes_the_words_of_the_manual(model: str, row: list[str]) -> None:
    meter = Meter(model)
    command, usual, *others = row
    assert meter(f":{command}?") == meter(f":{command}? DEF") == usual
    for word in (*others, usual):
        meter(f":{command} {word}")
        assert meter(f":{command}?") == word
    assert meter.error() == 0
    meter(f":{command} {others[-1]}")
    meter(f":{command} TEAPOT")
    assert (meter.error(), meter(f":{command}?")) == (-141, others[-1])
    meter("*RST")
    assert meter(f":{command}?") == usual


@pytest.mark.parametrize(("model", "command", "usual"), BOTH_FLAGS)
def test_a_switch_is_on_or_off(model: str, command: str, usual: str) -> None:
    meter = Meter(model)
    assert meter(f":{command}?") == usual
    for word, expected in (("ON", "1"), ("OFF", "0"), ("1", "1"), ("0", "0")):
        meter(f":{command} {word}")
        assert meter(f":{command}?") == expected
    assert meter.error() == 0
    meter(f":{command} {1 - int(usual)}")
    meter("*RST")
    assert meter(f":{command}?") == usual


@pytest.mark.parametrize("model", ["2400", "2450"])
@pytest.mark.parametrize(
    ("command", "asked", "range_"),
    [
        ("SOUR:VOLT:RANG", "0.2", 0.2),
        ("SOUR:VOLT:RANG", "5", 20),
        ("SOUR:VOLT:RANG", "21", 20),
        ("SOUR:VOLT:RANG", "21.01", 200),
        ("SOUR:VOLT:RANG", "-1.5", 2),
        ("SENS:VOLT:RANG", "0.3", 2),
        ("SENS:VOLT:RANG", "MAX", 200),
        ("SENS:CURR:RANG", "2e-5", 1e-4),
        ("SENS:CURR:RANG", "0.02", 0.1),
        ("SOUR:CURR:RANG", "0", 1e-6),
        ("SOUR:CURR:RANG", "-0.03", 0.1),
    ],
)
def test_a_range_is_the_smallest_that_holds_the_value_with_a_twentieth_above(
    model: str, command: str, asked: str, range_: float
) -> None:
    meter = Meter(model)
    meter(f":{command} {asked}")
    assert float(meter(f":{command}?")) == pytest.approx(range_)
    assert (meter(f":{command}:AUTO?"), meter.error()) == ("0", 0)
    most = "210" if "VOLT" in command else "1.05"
    assert [float(meter(f":{command}? {word}")) for word in ("MIN", "MAX")] == [-float(most), float(most)]
    for beyond in (f"{most}1", f"-{most}1"):
        meter(f":{command} {beyond}")
        assert meter.error() == -222
    assert float(meter(f":{command}?")) == pytest.approx(range_)
    meter("*RST")
    assert meter(f":{command}:AUTO?") == "1"


# command of a 2450, the least and the most that it takes in the place of {}
COUNTS_2450 = [
    ("TRAC:MAKE 'mine', {}", 10, 11_000_020),
    ("TRAC:POIN {}, 'defbuffer1'", 10, 11_000_020),
    ("SOUR:SWE:VOLT:LIN 0, 0.1, {}, 0", 2, 1_000_000),
    ("SOUR:SWE:VOLT:LIN 0, 0.1, 2, 0, {}", 1, 268_435_455),
    ("SOUR:SWE:VOLT:LIST {}, 0", 1, 1),
    ("SOUR:SWE:VOLT:LIST 1, 0, {}", 1, 268_435_455),
]


@pytest.mark.parametrize(("command", "low", "high"), COUNTS_2450)
def test_counts_of_a_2450_have_the_limits_of_the_manual(
    command: str, low: int, high: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(np, "tile", lambda levels, count: levels)  # a sweep repeated so often takes gigabytes
    meter = Meter("2450")
    for count, error in ((low, 0), (high, 0), (low - 1, -222), (high + 1, -222), ("MIN", 0), ("MAX", 0)):
        meter(f":{command.format(count)}")
        assert meter.error() == error, count
