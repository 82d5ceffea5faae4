"""Source-measure units and a switch matrix: what the electrodes of a wired twin see of the driver."""

from typing import Any

import numpy as np
import pytest

from drivers.keithley.dialects import READ_COMPLIANCE
from drivers.keithley.meters import RAMP_STEP
from drivers.keithley.smu_matrix import COMPLIANCE
from imssa_lab.contract.errors import ImssaError, LimitError, LinkCorrupt
from imssa_lab.contract.hal import Pulses
from trials.electrodes.smu_bench import KINDS, SHAPE, SmuBench, one_cell, pulse

# ---- what the cells see


def test_cells_are_where_the_driver_says(bench: SmuBench) -> None:
    with bench.connect() as array:
        pulse(array)
        true = bench.twin.cells.conductance
        assert true[2, 1] > 20 * np.median(true)
        assert array.read_conductances() == pytest.approx(true, abs=6e-6)
        inputs = np.array([0.2, -0.1, 0.15, 0.0])
        assert array.read_mvm(inputs) == pytest.approx(inputs @ true, abs=2e-6)
        pulse(array, "RESET", 2.0, 5.0)
        assert bench.twin.cells.conductance[2, 1] < 0.5 * true[2, 1]
    pulsed = bench.entries("SET", "RESET")
    assert [entry.what for entry in pulsed] == ["SET", "RESET"]
    for entry, gate in zip(pulsed, (1.2, 5.0), strict=True):
        assert np.argwhere(~np.isnan(entry.voltage)).tolist() == [[2, 1]]
        assert (entry.voltage[2, 1], entry.gate[2, 1]) == (2.0, gate)
    assert bench.safe
    assert bench.twin.journal.grounded


def test_many_vectors_go_in_lists_and_each_list_ends_at_zero(bench: SmuBench) -> None:
    with bench.connect() as array:
        inputs = np.random.default_rng(1).uniform(-0.2, 0.2, (230, 4))
        assert array.read_mvm(inputs) == pytest.approx(inputs @ bench.twin.cells.conductance, abs=3e-6)
    lists = [message for message in bench.wires[0].sent if b"LIST:VOLT " in message]
    levels = [message.split(b"LIST:VOLT ")[1].split(b";")[0].split(b",") for message in lists]
    assert all(len(each) <= 100 and float(each[-1]) == 0 for each in levels)


def test_the_width_that_is_asked_for_is_what_stands_at_the_electrodes(bench: SmuBench) -> None:
    with bench.connect() as array:
        shortest = array.info.limits.set.width_min
        for width in (shortest, 1e-3, 4e-3):
            pulse(array, width=width)
    assert [entry.width for entry in bench.entries("SET")] == pytest.approx([shortest, 1e-3, 4e-3], abs=1e-8)


def test_the_line_frequency_counts() -> None:
    for line, shortest in ((50.0, 735e-6), (60.0, 701.7e-6)):
        bench = SmuBench(line=line)
        with bench.connect() as array:
            assert array.info.limits.set.width_min == pytest.approx(shortest, rel=1e-3)
            pulse(array)
        assert bench.entries("SET")[0].width == pytest.approx(1e-3, rel=1e-6)


def test_pulses_shorter_than_the_meter_makes_are_refused_with_the_shortest(bench: SmuBench) -> None:
    with bench.connect() as array:
        sent = [len(wire.sent) for wire in bench.wires]
        with pytest.raises(LimitError, match=f"{array.info.limits.set.width_min:g} to 0.01 s"):
            pulse(array, width=100e-6)
        with pytest.raises(LimitError, match="the shortest that this meter makes"):
            array._smu.require_width(100e-6)
        if bench.kinds[0] != "2400":
            with pytest.raises(LimitError, match="this meter makes"):
                pulse(array, width=array.info.limits.set.width_min + 20e-6)
            bench.source.receive(b":SOUR:SWE:VOLT:LIST 1,2e-5,1,OFF\n")  # and what it would say
            assert bench.source.status.next_error().startswith(b"-222")
        assert [len(wire.sent) for wire in bench.wires] == sent
        assert bench.entries("SET") == []


def test_calls_take_at_most_the_time_that_the_array_announces_and_most_of_it(bench: SmuBench) -> None:
    """Dry runs and budgets add these up: a tenth of a second a cell, for relays and the ramp of the gates."""
    with bench.connect() as array:
        durations = array.info.durations
        assert durations is not None
        assert 0.02 < durations.cell_read < 0.3
        started = array.time
        array.read_conductances(np.ones(array.info.shape, dtype=bool))
        took = (array.time - started) / array.info.rows / array.info.cols
        assert 0.6 < took / durations.cell_read <= 1.0
        started = array.time
        array.read_mvm(np.full(array.info.rows, 0.1))
        assert 0.6 < (array.time - started) / durations.product <= 1.0


ODD_STATES = {
    "2400": (
        ":SYST:AZER ON;:SENS:CURR:NPLC 10;:SENS:FUNC:CONC ON;:SENS:FUNC:ALL;:SENS:AVER ON;:SENS:AVER:COUN 50;"
        ":SOUR:DEL:AUTO ON;:TRIG:DEL 0.5;:ARM:COUN 3;:FORM:ELEM RES,STAT;:SYST:RSEN ON;:SOUR:VOLT:MODE SWE;"
        ":SENS:CURR:PROT 1;:SENS:CURR:RANG 1;:SOUR:CLE:AUTO ON"
    ),
    "2450": (
        ":SENS:CURR:NPLC 10;:SENS:CURR:AZER ON;:SENS:CURR:RSEN ON;:SENS:CURR:AVER ON;:SENS:COUN 5;"
        ':SOUR:VOLT:DEL 1;:SOUR:VOLT:READ:BACK ON;:SENS:FUNC "VOLT";:SOUR:VOLT:ILIM 1;:SENS:CURR:RANG 1'
    ),
}


def test_a_meter_in_any_state_comes_to_the_known_one(bench: SmuBench) -> None:
    for meter in (bench.source, bench.gate):
        meter.receive(ODD_STATES["2450" if meter.kind[-3:] in ("450", "461") else "2400"].encode() + b"\n")
        assert meter.status.waiting == 0
    with bench.connect() as array:
        pulse(array)
        assert array.read_conductances() == pytest.approx(bench.twin.cells.conductance, abs=6e-6)
        assert bench.source.limit == (pytest.approx(READ_COMPLIANCE), False)
        pulse(array)
        assert bench.source.limit == (COMPLIANCE, False)
    assert [entry.width for entry in bench.entries("SET")] == pytest.approx([1e-3] * 2, rel=1e-6)


def test_reads_integrate_over_a_line_cycle_and_pulses_do_not(bench: SmuBench) -> None:
    with bench.connect() as array:
        array.read_conductances()
        cycles = "cycles" if "cycles" in bench.source.settings._values else "cycles CURR"
        assert bench.source.settings[cycles] == 1.0
        assert bench.source.settings["source_range"] == 2.0
        pulse(array)
        assert bench.source.settings[cycles] == 0.01
        assert bench.source.settings["source_range"] == 20.0


@pytest.mark.parametrize("gate", [0.6, 5.5])
def test_relays_move_with_source_and_gate_at_zero(bench: SmuBench, gate: float) -> None:
    with bench.connect() as array:
        array.read_conductances()
        array.apply_pulses(Pulses.on(np.ones(SHAPE, dtype=bool), "RESET", 1.0, gate, 1e-3))
    assert len(bench.wiring.moved_at) > 4 * 12
    assert set(bench.wiring.moved_at) == {(0.0, 0.0)}


def test_hot_switching_would_be_seen(bench: SmuBench) -> None:
    """The null control of the test before."""
    with bench.connect() as array:
        array._drive(array._smu.prepare_to_read)
        array._gate.go_to(1.0)
        array._switch.only([(0, 0)])
    assert set(bench.wiring.moved_at) == {(0.0, 0.0), (0.0, 1.0)}


def test_between_operations_no_cell_is_connected(bench: SmuBench) -> None:
    with bench.connect() as array:
        for operation in (array.read_conductances, lambda: pulse(array), lambda: array.read_mvm(np.full(4, 0.1))):
            operation()
            assert bench.wiring.closed == set()
            assert bench.kinds[0] != "2400" or bench.source.settings["mode"] == "FIX"
            assert (bench.wiring.gate_level, bench.wiring.level) == (0.0, 0.0)


def test_ranges_change_with_no_cell_connected(bench: SmuBench) -> None:
    closed: list[bool] = []

    def look(message: bytes) -> None:
        if b":RANG" in message or b":NPLC" in message:
            closed.append(bool(bench.wiring.closed))

    bench.wires[0].at = look
    with bench.connect() as array:
        for operation in (lambda: pulse(array), array.read_conductances):
            array._led = [(0, 0)]  # as after an operation that was broken off
            bench.wiring.closed.add((0, 0))
            operation()
    assert len(closed) > 3
    assert not any(closed)


def test_levels_are_ramped(bench: SmuBench, monkeypatch: pytest.MonkeyPatch) -> None:
    levels: list[float] = [0.0]
    put = type(bench.wiring).put_gate
    monkeypatch.setattr(
        type(bench.wiring), "put_gate", lambda wiring, level: (levels.append(level), put(wiring, level))
    )
    with bench.connect() as array:
        array.apply_pulses(Pulses.on(np.ones(SHAPE, dtype=bool), "RESET", 1.0, 5.5, 1e-3))
    assert max(levels) == 5.5
    assert np.abs(np.diff(levels)).max() <= RAMP_STEP + 1e-9
    assert levels[-1] == 0.0


def test_an_output_left_on_is_ramped_down_before_anything_else(bench: SmuBench) -> None:
    bench.source.receive(b":SOUR:VOLT 1.0;:OUTP ON\n")
    bench.connect().close()
    sent = [message for message in bench.wires[0].sent if b":SOUR:VOLT" in message or b":OUTP O" in message]
    assert sent[0] == b":SOUR:VOLT?\n"
    assert sent[1] == b":SOUR:VOLT 0.5;:SOUR:VOLT 0.0\n"
    off = next(at for at, message in enumerate(bench.wires[0].sent) if b":OUTP OFF" in message)
    assert off < bench.wires[0].sent.index(b"*RST;*CLS\n")


def test_a_current_source_left_on_is_switched_off(bench: SmuBench) -> None:
    bench.source.receive(b":SOUR:FUNC CURR;:SOUR:CURR 1e-6;:OUTP ON\n")
    with bench.connect() as array:
        assert array.read_conductances() == pytest.approx(bench.twin.cells.conductance, abs=6e-6)


def test_compliance_is_set_before_the_output_goes_on(bench: SmuBench) -> None:
    on: list[tuple[float, bool]] = []

    def look(message: bytes) -> None:
        if b":OUTP ON" in message or b":INIT" in message:
            on.append(bench.source.limit)

    bench.wires[0].at = look
    with bench.connect(compliance=2e-3) as array:
        pulse(array)
    seen = sorted({limit for limit, _ in on})
    assert seen[0] == pytest.approx(READ_COMPLIANCE)
    assert max(seen) <= 2e-3 * (1 + 1e-9)


def test_a_lowered_read_limit_lowers_all_that_is_driven(bench: SmuBench) -> None:
    with bench.connect() as array:
        before = array.read_conductances(averages=20)
        started = len(bench.twin.journal.entries)
        limits = array.info.limits.model_copy(update={"read_voltage": 0.12})
        array.lower_limits(limits)
        assert array.read_conductances(averages=20) == pytest.approx(before, abs=2e-6)
        assert array.read_mvm(np.full(4, 0.12)) == pytest.approx(0.12 * before.sum(axis=0), abs=2e-6)
        assert array.check_contacts() == []
        with pytest.raises(LimitError, match=r"at most 0\.12 V"):
            array.read_mvm(np.full(4, 0.2))
    seen = [np.nanmax(np.abs(e.voltage)) for e in bench.twin.journal.entries[started:] if e.what == "mvm"]
    assert len(seen) > 12 * 2
    assert max(seen) == pytest.approx(0.12)


# ---- contacts, terminals, compliance


def test_lines_without_a_contact_are_named() -> None:
    for line, name in ((-1, []), (1, ["word line 1"]), (4 + 2, ["bit line 2"])):
        with SmuBench(open_line=line).connect() as array:
            assert array.open_lines == name


def test_a_chip_that_is_not_there(bench: SmuBench) -> None:
    bench.wiring.drive = lambda levels, seconds, limit: _nothing(levels)  # type: ignore[method-assign]
    with pytest.raises(ImssaError, match="in its socket"):
        bench.connect()
    assert bench.twin.journal.entries == [] or bench.twin.journal.grounded or not bench.source.on


def _nothing(levels: Any) -> Any:
    from imssa_lab.virtual.keithley.terminal_wiring import Flow

    return Flow(levels.copy(), np.zeros(len(levels)), np.zeros(len(levels), dtype=bool))


def test_terminals_are_those_the_cables_are_in() -> None:
    for cables, terminals in (("FRON", "front"), ("REAR", "rear")):
        with SmuBench(cables=cables).connect(terminals=terminals) as array:
            assert array.open_lines == []
        with pytest.raises(ImssaError, match="no line carries current"):
            SmuBench(cables=cables).connect(terminals={"front": "rear", "rear": "front"}[terminals])


def test_a_short_is_no_conductance_and_is_judged_by_its_own_point(bench: SmuBench) -> None:
    with bench.connect() as array:
        bench.twin.cells.stick(one_cell(1, 1), 1.0)
        with pytest.raises(ImssaError, match=r"word line 1, bit line 1 draws 0\.000105 A or more"):
            array.read_conductances()
        mask = np.ones(SHAPE, dtype=bool)
        mask[1, 1] = False
        assert np.isfinite(array.read_conductances(mask)[mask]).all()
        inputs = np.zeros((150, 4))
        inputs[0] = 0.2  # only the first of two lists meets it, and it is over long before the last point
        with pytest.raises(ImssaError, match=r"word line 1, bit line 1"):
            array.read_mvm(inputs)


def test_a_pulse_that_was_limited_is_no_pulse_that_was_done(bench: SmuBench) -> None:
    with bench.connect(compliance=1e-3) as array:  # with more the transistor limits it first
        bench.twin.cells.stick(one_cell(), 1.0)
        with pytest.raises(
            ImssaError, match=r"word line 2, bit line 1 drew 0\.001 A, the compliance, in a SET pulse"
        ):
            pulse(array, voltage=3.0, gate=2.0)
    assert np.nanmax(bench.entries("SET")[0].voltage) < 3.0


def test_the_range_limits_too() -> None:
    """Bit 16 of a 2400's status word, which `:SENS:CURR:PROT:TRIP?` need not tell."""
    bench = SmuBench()
    with bench.connect() as array:
        pulse(array)
        array.read_conductances()
        bench.source.receive(b":SENS:CURR:RANG 1e-6\n")
        with pytest.raises(ImssaError, match=r"draws 1\.05e-06 A or more"):
            array.read_conductances()


@pytest.mark.parametrize(
    ("number", "error"), [("+9.900000E+37", "or more, where the meter limits it"), ("+9.910000E+37", "not a number")]
)
def test_overflow_and_not_a_number_are_named(bench: SmuBench, number: str, error: str) -> None:
    with bench.connect() as array:
        formatted = "_formatted" if bench.kinds[0] == "2400" else "_data"
        real = getattr(bench.source, formatted)

        def spoiled(*arguments: Any) -> bytes:
            fields = real(*arguments).split(b",")
            return b",".join([fields[0], number.encode(), *fields[2:]])

        setattr(bench.source, formatted, spoiled)
        if formatted == "_data":
            bench.source._tree.add("TRACe:DATA?", spoiled, 2, 12)
        with pytest.raises(ImssaError, match=error):
            array.read_conductances()


def test_another_level_than_asked_is_found_with_the_reading(bench: SmuBench) -> None:
    with bench.connect() as array:
        real = bench.source.measure
        bench.source.measure = lambda levels, seconds: real(0.8 * levels, seconds)
        with pytest.raises(LinkCorrupt, match="it has driven"):
            array.read_conductances()


@pytest.mark.parametrize("wires", ["four_wires", "four_wires CURR"])
def test_a_reading_by_four_wires_is_worth_nothing(wires: str) -> None:
    bench = SmuBench(KINDS[0] if wires == "four_wires" else KINDS[1])
    with bench.connect() as array:
        array.read_conductances()
        bench.source.settings.put(wires, True)
        with pytest.raises(ImssaError, match="four wires"):
            array.read_conductances()
