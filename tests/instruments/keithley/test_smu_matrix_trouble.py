"""Source-measure units and a switch matrix in trouble: damaged requests, restarts, errors, wrong instruments, TCP."""

from contextlib import ExitStack

import numpy as np
import pytest

from drivers.keithley.matrices import open_switch
from drivers.keithley.meters import SourceMeter
from drivers.keithley.smu_matrix import COMPLIANCE, SmuMatrixArray, open_smu_matrix
from imssa_lab.contract.errors import (
    ConfigError,
    ImssaError,
    InstrumentError,
    LinkCorrupt,
    LinkError,
    LinkLost,
    WrongInstrument,
)
from imssa_lab.virtual.server import TcpPort
from imssa_lab.virtual.wire_faults import Faults
from trials.electrodes.smu_bench import KINDS, SHAPE, SmuBench, one_cell, pulse
from trials.electrodes.strict_488 import StrictWire

# ---- damaged requests, restarts, errors

DAMAGE = [
    (0, b"LIST:VOLT 2.0,", b"LIST:VOLT 2.6,"),
    (1, b":SOUR:VOLT 1.2\n", b":SOUR:VOLT 1.9\n"),
]


@pytest.mark.parametrize(("wire", "sent", "arrived"), DAMAGE)
def test_a_damaged_set_point_is_found_before_the_pulse(
    bench: SmuBench, wire: int, sent: bytes, arrived: bytes
) -> None:
    with bench.connect() as array:
        bench.wires[wire].at = lambda message: message.replace(sent, arrived)
        with pytest.raises(LinkCorrupt):
            pulse(array)
        bench.wires[wire].at = lambda message: None
        assert bench.entries("SET") == []
        pulse(array)
        assert len(bench.entries("SET")) == 1


@pytest.mark.parametrize(
    ("sent", "arrived"),
    [(b":SOUR:DEL ", b":SOUR:DEL 1"), (b":TRIG:COUN 2", b":TRIG:COUN 4"), (b"PROT 0.01", b"PROT 0.91")],
)
def test_a_damaged_delay_count_or_compliance_of_a_2400(sent: bytes, arrived: bytes) -> None:
    bench = SmuBench()
    with bench.connect() as array:
        bench.wires[0].at = lambda message: message.replace(sent, arrived)
        with pytest.raises(ImssaError):
            pulse(array)
        bench.wires[0].at = lambda message: None
        assert bench.entries("SET") == []


def test_relays_that_do_not_close_are_found_before_anything_is_driven(
    bench: SmuBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bench.connect() as array:
        switch = type(bench.wiring).switch
        stuck = (1, 4 + 1)
        monkeypatch.setattr(type(bench.wiring), "switch", lambda wiring, closed: switch(wiring, closed - {stuck}))
        driven = len(bench.twin.journal.entries)
        with pytest.raises(LinkCorrupt, match="nothing was driven"):
            pulse(array)
        what = {entry.what for entry in bench.twin.journal.entries[driven:]}
        assert what <= {"on", "zero", "ground"}


def test_somebody_else_at_the_matrix_is_noticed(bench: SmuBench) -> None:
    with bench.connect() as array:
        bench.wires[0].at = lambda message: (
            bench.wiring.closed.add((0, 3)) if b"READ?" in message or b":INIT" in message else None
        )
        with pytest.raises(LinkLost, match="does somebody else use it"):
            array.read_conductances()
        with pytest.raises(LinkLost, match="does somebody else use it"):
            pulse(array)
        bench.wires[0].at = lambda message: None


def test_an_edit_pointer_that_points_elsewhere() -> None:
    bench = SmuBench()
    bench.matrix.pointer = 7
    with bench.connect() as array:
        assert array.read_conductances() == pytest.approx(bench.twin.cells.conductance, abs=6e-6)


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("kinds", KINDS)
def test_a_restart_at_any_message_gives_no_wrong_answer_and_no_silent_pulse(
    kinds: tuple[str, str, str], which: int
) -> None:
    """The connection is kept, as by a gateway; 34 moments for each of three benches."""
    rng = np.random.default_rng(which)
    for at in rng.permutation(150)[:34]:
        bench = SmuBench(kinds)
        array = bench.connect()
        seen = len(bench.wires[which].sent) + int(at) % 25

        def off_and_on(message: bytes, bench: SmuBench = bench, seen: int = seen) -> None:
            if len(bench.wires[which].sent) == seen:
                bench.instruments[which].restart()

        bench.wires[which].at = off_and_on
        try:
            before = len(bench.entries("SET"))
            pulse(array)
            assert len(bench.entries("SET")) == before + 1
            assert bench.entries("SET")[-1].gate[2, 1] == 1.2
            assert array.read_conductances(one_cell())[2, 1] == pytest.approx(
                bench.twin.cells.conductance[2, 1], abs=6e-6
            )
        except ImssaError:
            if bench.matrix.kind.endswith("707A") and which == 2:
                continue  # what is open again has lost nothing
            with pytest.raises(ImssaError):  # it stays so until it is opened again
                pulse(array)
        else:  # a 707A at rest has nothing to lose: its relays are open anyway
            assert len(bench.wires[which].sent) <= seen or bench.matrix.kind.endswith("707A")


def test_an_error_is_reported_by_its_number(bench: SmuBench) -> None:
    with bench.connect() as array:
        bench.source.fail()
        with pytest.raises(InstrumentError, match="-240"):
            pulse(array)
        pulse(array)  # the queue is empty again


def test_an_error_queue_that_is_damaged_behind_its_first_entry_is_no_error_queue() -> None:
    bench = SmuBench()
    array = bench.connect()
    entries = iter([b'-113,"Undefined header"', b"nonsense"])
    bench.source._tree.add("SYSTem:ERRor[:NEXT]?", lambda: next(entries, b'0,"No error"'))
    with pytest.raises(LinkCorrupt, match="'nonsense' is no entry of an error queue"):
        array._smu.ask(":SOUR:FUNC?")
    assert array._smu.ask(":SOUR:FUNC?") == "VOLT"
    array.close()


def test_a_query_that_fails_is_silent_and_the_queue_says_why(bench: SmuBench) -> None:
    """The rest of a message after an invalid command is ignored, a query in it too: no answer comes."""
    with bench.connect() as array:
        cleared = bench.wires[0].cleared
        with pytest.raises(InstrumentError, match="-113"):
            array._smu.ask(":SENS:NONSENSE?")
        assert bench.wires[0].cleared == cleared + 1
        assert array._smu.ask(":SOUR:FUNC?") == "VOLT"


def test_a_2400_whose_output_is_off_says_so() -> None:
    bench = SmuBench()
    with bench.connect() as array:
        bench.wires[0].at = lambda message: bench.source._switch_off() if b"READ?" in message else None
        bench.source._switch_off = lambda: bench.source.receive(b":OUTP OFF\n") and None
        with pytest.raises(InstrumentError, match="803"):
            array.read_conductances()
        bench.wires[0].at = lambda message: None


def test_a_gate_supply_that_gives_up_during_an_operation(bench: SmuBench) -> None:
    with bench.connect() as array:
        bench.wires[0].at = lambda message: (
            bench.gate.receive(b":OUTP OFF\n") and None if b"READ?" in message or b":INIT" in message else None
        )
        with pytest.raises(ImssaError, match="its output has gone off"):
            pulse(array)
        bench.wires[0].at = lambda message: None


@pytest.mark.parametrize("which", [0, 1, 2])
def test_making_safe_goes_on_where_one_instrument_fails(bench: SmuBench, which: int) -> None:
    array = bench.connect()
    array._drive(array._smu.prepare_to_pulse)
    array._lead([1], [1], 1.0)

    def broken(message: bytes) -> None:
        raise LinkError("broken")

    bench.wires[which].at = broken
    with pytest.raises(LinkError):
        array.make_safe()
    still = (bench.source.on, bench.gate.on, bool(bench.wiring.closed))
    assert still == tuple(at == which and (bench.kinds[0] == "2400" or at != 0 or still[0]) for at in range(3))
    bench.wires[which].at = lambda message: None
    array.make_safe()
    assert bench.safe


def test_making_safe_does_not_trust_what_it_remembers(bench: SmuBench) -> None:
    array = bench.connect()
    bench.gate.receive(b":SOUR:VOLT 3;:OUTP ON\n")
    bench.source.receive(b":OUTP ON\n")
    array.close()
    assert bench.safe
    assert any(message.startswith(b":SOUR:VOLT 2.5;:SOUR:VOLT 2.0;") for message in bench.wires[1].sent)


@pytest.mark.parametrize("which", [0, 1])
def test_an_output_that_does_not_go_off_is_reported(bench: SmuBench, which: int) -> None:
    array = bench.connect()
    bench.wires[which].at = lambda message: message.replace(b";:OUTP OFF", b";:OUTP ON")
    with pytest.raises(LinkCorrupt, match="after it was switched off"):
        array.make_safe()


# ---- what is opened


def test_a_2450_in_another_language() -> None:
    bench = SmuBench(KINDS[1])
    bench.source.language = "TSP"
    with pytest.raises(WrongInstrument, match="set to the language TSP"):
        bench.connect()


def test_instruments_in_each_others_place() -> None:
    bench = SmuBench(KINDS[2])
    source, _, matrix = bench.wires
    with pytest.raises(WrongInstrument, match="7001"):
        SourceMeter(matrix, COMPLIANCE, 2.0)
    for model in ("7001", "707A", "707B"):
        with pytest.raises(LinkError):
            open_switch(model, source, 0.3)
    with pytest.raises(ConfigError, match="7001, 707A, 707B"):
        open_switch("7002", source, 0.3)
    with pytest.raises(LinkError):
        open_switch("707A", StrictWire(SmuBench(KINDS[1]).matrix), 0.3)


def test_a_channel_that_the_matrix_has_not() -> None:
    with pytest.raises(InstrumentError, match="-222"):
        open_switch("7001", SmuBench(KINDS[2]).wires[2], 2.0).only([(0, 20)])
    with pytest.raises(InstrumentError, match="1121"):
        open_switch("707B", SmuBench(KINDS[1]).wires[2], 2.0).only([(0, 72)])
    with pytest.raises(LinkCorrupt, match="closed are"):
        open_switch("707A", SmuBench(KINDS[0]).wires[2], 2.0).only([(0, 72)])


@pytest.mark.parametrize("model", ["707A", "707B"])
def test_more_crosspoints_than_a_command_takes(model: str) -> None:
    bench = SmuBench(KINDS[0] if model == "707A" else KINDS[1])
    points = {(row, column) for row in range(3) for column in range(20)}
    open_switch(model, bench.wires[2], 2.0).only(points)
    assert bench.wiring.closed == points


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "'gate' is missing"),
        ({"gate": "g", "matrix": "m", "shape": "4x3", "volts": "1"}, "unknown option 'volts'"),
        ({"gate": "g", "matrix": "m", "shape": "4"}, "write for example shape=8x8"),
        ({"gate": "g", "matrix": "m", "shape": "4x3", "compliance": "1"}, "at most 0.1 A"),
        ({"gate": "g", "matrix": "m", "shape": "4x3", "compliance": "1e-9"}, "at least 1 uA"),
        ({"gate": "g", "matrix": "m", "shape": "4x3", "terminals": "side"}, "write front or rear"),
    ],
)
def test_options(options: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        open_smu_matrix("TCPIP::127.0.0.1::1::SOCKET", options)


# ---- on TCP


def test_over_tcp_and_a_meter_that_does_not_notice_that_its_client_goes() -> None:
    with ExitStack() as stack:
        bench = SmuBench()
        resource, options = bench.serve(stack)
        with open_smu_matrix(resource, options) as array:
            assert array.read_conductances() == pytest.approx(bench.twin.cells.conductance, abs=6e-6)
            array._smu.switch_on()
            array._smu.link.close()
            array._gate.link.close()
        assert bench.source.on
        with open_smu_matrix(resource, options) as array:  # and the next one finds it as it was left
            pulse(array)
        assert bench.safe


def test_an_array_larger_than_the_matrix() -> None:
    with ExitStack() as stack:
        resource, options = SmuBench(KINDS[2]).serve(stack)
        with pytest.raises(ConfigError, match="24 lines, the matrix 20 columns"):
            open_smu_matrix(resource, options | {"shape": "8x8"})


@pytest.mark.parametrize(
    "kind", ["silent", "late", "truncated", "request-truncated", "eof", "stalled", "drip", "twice"]
)
def test_faults_give_typed_errors_and_no_wrong_answer(kind: str) -> None:
    """Not `answer-flip`: plain SCPI has no checksums, a digit that was changed passes (docs/smu_matrix.md)."""
    faults = Faults((kind,), 0.04, np.random.default_rng(6), seconds=0.3)
    rng = np.random.default_rng(7)
    good, failed = 0, 0
    with ExitStack() as stack:
        bench = SmuBench()
        bench.serve(stack, faults)
        array: SmuMatrixArray | None = None
        for _ in range(40):
            try:
                if array is None or array._smu.link.closed:
                    if array is not None:
                        array._close()
                    array = None
                    array = bench.connect_to_ports(0.2)
                mask = one_cell(*rng.integers(SHAPE))
                seen = array.read_conductances(mask)
            except ImssaError:
                failed += 1
                continue
            row, col = np.argwhere(mask)[0]
            entry = [e for e in bench.twin.journal.tail(8) if e.what == "mvm"][-1]
            assert np.flatnonzero(entry.voltage[0]).tolist() == [row]
            assert seen[row, col] * 0.2 == pytest.approx(bench.twin.readout.values[0, col], rel=1e-5)
            good += 1
        if array is not None:
            array._close()
    assert good > 5
    assert (
        kind in ("drip", "twice") or failed
    )  # what comes twice is often drained before it can be taken for an answer


def test_one_instrument_for_both() -> None:
    with ExitStack() as stack:
        bench = SmuBench()
        resource, options = bench.serve(stack)
        with TcpPort(bench.gate), pytest.raises(ImssaError):
            open_smu_matrix(resource, options | {"gate": resource, "timeout": "0.5"})
