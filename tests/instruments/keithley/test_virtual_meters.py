"""The virtual meters and matrices by themselves: times of the manual, ordinary commands, and what they refuse."""

from typing import Any

import numpy as np
import pytest

from trials.electrodes.smu_bench import SmuBench, one_cell


def on_one_cell(kinds: tuple[str, str, str] = ("2400", "2400", "707A"), line: float = 60.0) -> SmuBench:
    bench = SmuBench(kinds, line=line)
    bench.twin.cells.stick(one_cell(), 50e-6)
    bench.wiring.switch({(0, 2), (1, 4 + 1), (2, 4 + 3 + 2)})
    bench.gate.receive(b":SOUR:VOLT 5;:OUTP ON\n")
    return bench


def answers(instrument: Any, message: str) -> str:
    return b"".join(instrument.receive(message.encode() + b"\n")).decode().strip()


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        (":SYST:AZER ON;:SENS:CURR:NPLC 0.01;:SOUR:DEL 0", 2.9e-3),
        (":SYST:AZER OFF;:SENS:CURR:NPLC 0.08;:SOUR:DEL 0", 1.85e-3),
        (":SYST:AZER ON;:SENS:CURR:NPLC 1;:SOUR:DEL 0", 52e-3),
        (":SYST:AZER OFF;:SENS:CURR:NPLC 0.01;:SOUR:DEL 0", 0.70e-3),
        (":SYST:AZER OFF;:SENS:CURR:NPLC 0.01;:SOUR:DEL 0.01", 10.7e-3),
    ],
)
def test_a_level_of_a_2400_stands_as_long_as_its_manual_says(settings: str, seconds: float) -> None:
    """The first two are worked examples of page A-6; the others follow from its formula."""
    bench = on_one_cell()
    answers(bench.source, f":SOUR:DEL:AUTO OFF;{settings};:SENS:CURR:RANG 0.01;:SENS:CURR:PROT 0.01;:OUTP ON")
    answers(bench.source, ":SOUR:VOLT:MODE LIST;:SOUR:LIST:VOLT 1.0,0;:TRIG:COUN 2;:READ?")
    (entry,) = bench.entries("SET")
    assert entry.width == pytest.approx(seconds, rel=0.02)
    assert (entry.voltage[2, 1], entry.gate[2, 1]) == (1.0, 5.0)


def test_what_stands_at_the_terminals_is_at_the_cells() -> None:
    bench = on_one_cell()
    answers(bench.source, ":SOUR:VOLT 1.5;:OUTP ON")
    assert [entry.voltage[2, 1] for entry in bench.entries("SET")] == [1.5]
    answers(bench.source, ":SOUR:VOLT -1.5")
    assert [entry.voltage[2, 1] for entry in bench.entries("RESET")] == [1.5]
    bench.wiring.switch(set())
    answers(bench.source, ":SOUR:VOLT 3")
    assert len(bench.entries("SET", "RESET")) == 2
    bench.wiring.switch({(0, 2), (1, 4 + 1), (2, 4 + 3 + 2)})  # hot
    assert bench.entries("SET")[-1].voltage[2, 1] == 3.0


@pytest.mark.parametrize(("gate", "share"), [(0.0, 0.0), (0.2, 0.0), (0.5, 0.8), (1.0, 0.937), (5.0, 1.0)])
def test_a_gate_lets_through_what_its_transistor_conducts(gate: float, share: float) -> None:
    bench = on_one_cell()
    answers(bench.gate, f":SOUR:VOLT {gate}")
    answers(bench.source, ":SOUR:VOLT 0.2;:SENS:CURR:RANG 1e-4;:FORM:ELEM CURR;:OUTP ON")
    assert float(answers(bench.source, ":READ?")) == pytest.approx(share * 10e-6, abs=0.6e-6)


def test_compliance_of_a_short_and_of_a_range() -> None:
    bench = on_one_cell()
    bench.wiring.closed = {(0, 2), (1, 2)}
    answers(bench.source, ":SENS:CURR:PROT 1e-3;:SOUR:VOLT 0.1;:FORM:ELEM CURR,STAT;:OUTP ON")
    current, status = map(float, answers(bench.source, ":READ?").split(","))
    assert (current, int(status) & 8, int(status) & 65536) == (pytest.approx(1e-3), 8, 0)
    answers(bench.source, ":SENS:CURR:RANG 1e-4")
    current, status = map(float, answers(bench.source, ":READ?").split(","))
    assert (current, int(status) & 8, int(status) & 65536) == (pytest.approx(1.05e-4), 0, 65536)
    assert answers(bench.source, ":SENS:CURR:PROT:TRIP?;:STAT:MEAS?") == "1;16384"


ORDINARY_2400 = """*RST|*CLS|:SOUR:FUNC VOLT|:SOUR1:VOLT:RANG 20|:SOURCE:VOLTAGE:LEVEL:IMMEDIATE:AMPLITUDE 0.1
:SENS:FUNC "CURR"|:SENS:FUNC:CONC OFF|:SENS:CURR:PROT 1e-3|:SENS:CURR:RANG 1e-3|:SENS:CURR:RANG:AUTO ON
:SENS:CURR:NPLC 0.1|:SENS:AVER OFF|:FORM:ELEM VOLT,CURR|:SYST:AZER ONCE|:SYST:RSEN OFF|:ROUT:TERM FRON
:ARM:COUN 1|:TRIG:COUN 1|:TRIG:DEL 0|:SOUR:DEL MIN
:SOUR:DEL:AUTO ON|:SOUR:CLE:AUTO OFF|:OUTP:SMOD HIMP|:SOUR:VOLT:MODE LIST|:SOUR:LIST:VOLT 1,2|:SOUR:LIST:VOLT:APP 3
:SOUR:SWE:POIN 5|:TRAC:CLE|:TRAC:FEED:CONT NEXT|:ABOR|:OUTP OFF""".replace("\n", "|").split("|")


@pytest.mark.parametrize("command", ORDINARY_2400)
def test_ordinary_commands_of_a_2400(command: str) -> None:
    meter = on_one_cell().source
    assert answers(meter, command) == ""
    assert answers(meter, ":SYST:ERR?") == '0,"No error"'


@pytest.mark.parametrize(
    ("kinds", "command", "number"),
    [
        ("2400", ':SENS:FUNC "BANANA"', -151),
        ("2400", ":FORM:ELEM TEAPOT", -141),
        ("2400", ":READ?", 803),
        ("2400", ":SENS:CURR:RANG 1;:SENS:CURR:PROT 1e-6", 822),
        ("2400", ":SENS:CURR:NPLC 100", -222),
        ("2400", ":SOUR:VOLT:RANG 2;:SOUR:VOLT 5", -222),
        ("2400", ":SOUR:VOLT:ILIM 1", -113),
        ("2400", ":SOUR:VOLT", -109),
        ("2400", ":OUTP 1,2", -108),
        ("2450", ":FORM:ELEM CURR", -113),
        ("2450", ":SOUR:LIST:VOLT 1,2;:SOUR:SWE:VOLT:LIST 1,1e-5", -222),
        ("2450", ":TRAC:CLE 'nowhere'", -224),
        ("2450", ":INIT", -221),
    ],
)
def test_what_a_meter_refuses_and_by_which_number(kinds: str, command: str, number: int) -> None:
    meter = on_one_cell((kinds, "2400", "707A")).source
    assert answers(meter, command) == ""
    assert int(answers(meter, ":SYST:ERR?").split(",")[0]) == number


def test_a_refused_range_changes_nothing_else() -> None:
    meter = on_one_cell().source
    assert answers(meter, ":SENS:CURR:RANG:AUTO ON;:SENS:CURR:PROT 1e-6;:SENS:CURR:RANG 1") == ""
    assert int(answers(meter, ":SYST:ERR?").split(",")[0]) == 822
    assert answers(meter, ":SENS:CURR:RANG:AUTO?") == "1"


def test_a_2450_stops_where_it_is_limited_unless_told_not_to() -> None:
    bench = on_one_cell(("2450", "2400", "707A"))
    answers(bench.source, ":SOUR:VOLT:ILIM 1e-6;:SOUR:LIST:VOLT 0.01,0.2,0.015,0.01;:SOUR:VOLT:READ:BACK OFF")
    for stops, count in (("ON", "2"), ("OFF", "4")):
        answers(bench.source, f":SOUR:SWE:VOLT:LIST 1,0,1,{stops};:INIT")
        assert answers(bench.source, ":TRAC:ACT?") == count
    status = answers(bench.source, ':TRAC:DATA? 1,4,"defbuffer1",SOURSTAT').split(",")
    assert [int(each) & 32 for each in status] == [0, 32, 0, 0]
    assert answers(bench.source, ":OUTP?") == "0"


def test_a_7001_by_its_short_forms() -> None:
    bench = SmuBench(("2400", "2400", "7001"))
    answers(bench.matrix, ":clos (@1!1!3, 2!2!10)")
    assert bench.wiring.closed == {(0, 2), (1, 19)}
    assert answers(bench.matrix, ":ROUT:CLOS? (@1!1!3,1!1!4)") == "1,0"
    assert answers(bench.matrix, ":CLOS:STAT?") == "(@1!1!3,2!2!10)"
    answers(bench.matrix, ":open all")
    assert answers(bench.matrix, ":CLOS:STAT?") == "(@)"
    answers(bench.matrix, ":CLOS (@3!1!1)")
    assert answers(bench.matrix, "SYST:ERR?").startswith("-222")


@pytest.mark.parametrize("command", ["CLOS", "OPEN", "CLOS?", "OPEN?"])
def test_a_7001_refuses_by_number_what_is_no_channel_and_what_it_has_not(command: str) -> None:
    bench = SmuBench(("2400", "2400", "7001"))
    answers(bench.matrix, ":CLOS (@2!4!10)")
    written_wrong = ["1!1!1", "@1!1!1", "(@1!1)", "(@a!b!c)", "(@)"]
    not_there = [f"(@1!1!1, {point})" for point in ("0!1!1", "3!1!1", "1!0!1", "1!5!1", "1!1!0", "1!1!11")]
    for points in (*written_wrong, *not_there):
        assert answers(bench.matrix, f":{command} {points}") == ""
        code = int(answers(bench.matrix, "SYST:ERR?").split(",")[0])
        assert (points, code) == (points, -170 if points in written_wrong else -222)
    assert bench.wiring.closed == {(3, 19)}


def test_a_707a_says_where_its_pointer_is_and_once_that_something_was_wrong() -> None:
    matrix = SmuBench().matrix
    assert answers(matrix, "U0X") == "707A 0000"
    assert answers(matrix, "E7XU0X") == "707A 0007"
    for wrong in ("CA1", "QX", "E101X", "P101X", "CI1X", "CA73X", "U9X"):
        assert answers(matrix, "U1X") == "707A 000000000", wrong
        answers(matrix, wrong)
        assert answers(matrix, "U1X") == "707A 100000000", wrong


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("bogus(1)", -285, "near `bogus(1)'"),
        ('channel.open("allslots") nonsense at the end', -285, "near `nonsense a'"),
        *(
            (f'channel.close("{name}")', 1121, f"channel {name} ")
            for name in ("7A01", "0A01", "1I01", "1A13", "1A00")
        ),
    ],
)
def test_a_707b_queues_what_it_did_not_understand_with_its_place(line: str, code: int, words: str) -> None:
    bench = SmuBench(("2400", "2400", "707B"))
    answers(bench.matrix, 'channel.close("6H12")')
    kept = set() if "allslots" in line else bench.wiring.closed
    answers(bench.matrix, line)
    assert bench.wiring.closed == kept
    assert answers(bench.matrix, "print(errorqueue.count)") == "1.00000e+00"
    number, text, *_ = answers(bench.matrix, "print(errorqueue.next())").split("\t")
    assert int(float(number)) == code
    assert words in text
    assert answers(bench.matrix, "print(errorqueue.next())").startswith("0.00000e+00\tQueue Is Empty")


def test_a_707a_does_nothing_before_an_x_and_nothing_to_its_relays_by_another_pointer() -> None:
    bench = SmuBench()
    answers(bench.matrix, "E0XCA1,B2")
    assert bench.wiring.closed == set()
    answers(bench.matrix, "E7XCA1,B2X")
    assert bench.wiring.closed == set()
    assert answers(bench.matrix, "U2,7X") == "A1,B2"
    answers(bench.matrix, "E0XCH72X")
    assert answers(bench.matrix, "U2,0X") == "H72"
    answers(bench.matrix, "C" + ",".join(f"A{n}" for n in range(1, 27)) + "X")
    assert len(bench.wiring.closed) == 1


def test_a_restart_is_in_the_event_register_until_it_is_read() -> None:
    meter = SmuBench().source
    assert answers(meter, "*ESR?;*ESR?") == "128;0"
    answers(meter, "*ESE 7")
    meter.restart()
    assert answers(meter, "*ESE?;*ESR?") == "0;128"
    assert np.isclose(meter.level, 0.0)


def test_the_status_word_of_a_2400_says_terminals_wires_and_functions() -> None:
    """Page 18-18 of its manual: bit 2 front, 11 to 13 functions, 14 and 15 the source, 22 four wires."""
    meter = on_one_cell().source
    answers(meter, ":FORM:ELEM STAT;:SOUR:VOLT 0.1;:OUTP ON")

    def status() -> int:
        return int(float(answers(meter, ":READ?")))

    front_amperes_volt_source = 1 << 2 | 1 << 12 | 1 << 14
    assert status() == front_amperes_volt_source
    answers(meter, ":SYST:RSEN ON;:SENS:FUNC:ALL")
    assert status() == front_amperes_volt_source | 1 << 11 | 1 << 13 | 1 << 22
    answers(meter, ":OUTP OFF;:ROUT:TERM REAR;:SYST:RSEN OFF;:SENS:FUNC:OFF:ALL;:SENS:FUNC 'CURR';:OUTP ON")
    assert status() & 1 << 2 == 0


def test_a_function_that_is_off_reads_not_a_number_and_the_source_what_was_set() -> None:
    meter = on_one_cell().source
    answers(meter, ":FORM:ELEM VOLT,CURR,RES;:SENS:FUNC:OFF:ALL;:SOUR:VOLT 0.125;:OUTP ON")
    volts, amperes, ohms = map(float, answers(meter, ":READ?").split(","))
    assert (volts, amperes, ohms) == (0.125, 9.91e37, 9.91e37)
    answers(meter, ":OUTP OFF;:SOUR:FUNC CURR;:SOUR:CURR 1e-6;:OUTP ON")
    volts, amperes, ohms = map(float, answers(meter, ":READ?").split(","))
    assert (volts, amperes, ohms) == (9.91e37, 1e-6, 9.91e37)


def test_an_event_of_the_measurement_register_is_taken_once() -> None:
    bench = on_one_cell()
    bench.wiring.closed = {(0, 2), (1, 2)}
    answers(bench.source, ":SENS:CURR:PROT 1e-3;:SOUR:VOLT 0.1;:OUTP ON;:INIT")
    assert [answers(bench.source, ":STAT:MEAS?") for _ in range(3)] == ["16384", "0", "0"]


@pytest.mark.parametrize("command", ["SYST:LOC", "SYST:REM", "TRIG:CLE", "STAT:PRES", "SYST:BEEP 2000,0.5"])
def test_commands_that_change_nothing_a_2400_knows(command: str) -> None:
    meter = on_one_cell().source
    assert answers(meter, f":{command};:SYST:ERR?") == '0,"No error"'


@pytest.mark.parametrize(("delay", "error"), [("-1", 0), ("0", 0), ("50e-6", 0), ("49e-6", -222), ("-0.5", -222)])
def test_the_delay_of_a_sweep_of_a_2450(delay: str, error: int) -> None:
    meter = on_one_cell(("2450", "2450", "707A")).source
    answers(meter, f":SOUR:SWE:VOLT:LIN 0, 0.1, 3, {delay}")
    assert int(answers(meter, ":SYST:ERR?").split(",")[0]) == error


def test_a_buffer_of_a_2450_holds_ten_readings_and_more() -> None:
    meter = on_one_cell(("2450", "2450", "707A")).source
    answers(meter, ":TRAC:MAKE 'mine', 10")
    assert answers(meter, ":SYST:ERR?;:TRAC:POIN? 'mine'") == '0,"No error;0;0 0";10'
    answers(meter, ":TRAC:MAKE 'small', 9")
    assert answers(meter, ":SYST:ERR?").startswith("-222")


def test_the_fields_of_a_reading_of_a_2450() -> None:
    """2450-901-01: status of a reading, 8 front; of the source, 8 read back, 64 four wires, 128 output on."""
    meter = on_one_cell(("2450", "2450", "707A")).source
    names = "READ,FORM,SOUR,SOURFORM,SOURSTAT,SOURUNIT,STAT,REL,UNIT".split(",")

    def fields() -> dict[str, str]:
        return dict(zip(names, answers(meter, f':READ? "defbuffer1",{",".join(names)}').split(","), strict=True))

    answers(meter, ":SOUR:VOLT 0.1;:OUTP ON")
    found = fields()
    assert float(found["READ"]) == pytest.approx(0.1 * 50e-6, rel=0.05)
    assert float(found["SOUR"]) == pytest.approx(0.1)
    assert (found["FORM"], found["SOURFORM"]) == (f"{found['READ']} A", f"{found['SOUR']} V")
    assert (found["UNIT"], found["SOURUNIT"]) == ("Amp DC", "Volt DC")
    assert [found[name] for name in ("SOURSTAT", "STAT", "REL")] == ["136", "8", "0.000000"]
    answers(meter, ":SENS:CURR:RSEN ON;:SOUR:VOLT:READ:BACK OFF")
    found = fields()
    assert [found[name] for name in ("SOURSTAT", "STAT")] == ["192", "8"]
    assert float(found["REL"]) > 0
    answers(meter, ":OUTP OFF;:ROUT:TERM REAR;:SENS:FUNC 'VOLT';:OUTP ON")
    found = fields()
    assert [found[name] for name in ("SOURSTAT", "STAT", "UNIT")] == ["128", "0", "Volt DC"]
    answers(meter, ":OUTP OFF;:SENS:FUNC 'RES';:SOUR:FUNC CURR;:OUTP ON")
    found = fields()
    assert [found[name] for name in ("UNIT", "SOURUNIT")] == ["Ohm", "Amp DC"]


def test_of_a_list_each_level_above_the_read_voltage_is_a_pulse_and_the_others_are_reads() -> None:
    bench = on_one_cell()
    levels = [0.1, 0.1, 1.5, 0.1, 0.1, 0.1, -1.5, 1.25, 0.1, 0.1]
    listed = ",".join(map(str, levels))
    answers(bench.source, f":FORM:ELEM VOLT;:OUTP ON;:SOUR:VOLT:MODE LIST;:SOUR:LIST:VOLT {listed};:TRIG:COUN 10")
    assert [float(each) for each in answers(bench.source, ":READ?").split(",")] == levels
    seen = [(entry.what, float(np.nanmax(entry.voltage))) for entry in bench.entries("SET", "RESET")]
    assert seen == [("SET", 1.5), ("RESET", 1.5), ("SET", 1.25)]
