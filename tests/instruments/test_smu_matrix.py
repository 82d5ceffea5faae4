"""Source-measure units and a switch matrix: the driver against a twin that is wired to them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

from drivers.keithley.instruments import RAMP_STEP, SourceMeter, Switch707, Switch7001, open_switch
from drivers.keithley.smu_matrix import COMPLIANCE, SmuMatrixArray, open_smu_matrix
from drivers.visa_stream import open_visa
from drivers.wire_record import RecordingStream
from imssa_lab.contract.errors import ConfigError, ImssaError, InstrumentError, LinkError, WrongInstrument
from imssa_lab.contract.hal import Pulses
from twin.instruments.bench_twin import BenchTwin
from twin.instruments.server import TcpPort
from twin.instruments.virtual_smu_matrix import Matrix707, Matrix7001, Meter, Wiring, meter_profile
from twin.instruments.wire_faults import Faults

SHAPE = (4, 3)


class Notes:
    def __init__(self) -> None:
        self.messages: list[str] = []

    def sent(self, data: bytes, time: float) -> None:
        self.messages += data.decode().split("\n")

    def received(self, data: bytes, time: float) -> None:
        pass


class Bench:
    """A bench with its three instruments; `connect` opens the driver."""

    def __init__(
        self,
        stack: ExitStack,
        models: tuple[str, str] = ("2400", "2450"),
        switch: str = "707",
        open_line: int = -1,
        faults: Faults | None = None,
    ) -> None:
        self.twin = BenchTwin(meter_profile("supert-a0-easy"), SHAPE, seed=5)
        wiring = Wiring(self.twin, frozenset({open_line}))
        self.source, self.gate = Meter(wiring, models[0]), Meter(wiring, models[1], gates=True)
        self._switch = switch
        matrix = Matrix707(wiring) if switch == "707" else Matrix7001(wiring)
        faulty = stack.enter_context(TcpPort(self.source, faults=faults))
        self.ports = [faulty, *(stack.enter_context(TcpPort(each)) for each in (self.gate, matrix))]
        self.notes = Notes()

    def connect(self, timeout: float = 2.0) -> SmuMatrixArray:
        with ExitStack() as stack:
            streams = []
            for port in self.ports:
                streams.append(open_visa(port.resource, 2.0))
                stack.callback(streams[-1].close)
            smu, gate, matrix = streams
            array = SmuMatrixArray(
                SourceMeter(RecordingStream(smu, self.notes), COMPLIANCE, timeout),
                SourceMeter(gate, COMPLIANCE, 2.0),
                open_switch(self._switch, matrix, 2.0),
                SHAPE,
                sleep=self.twin.wait,
            )
            stack.pop_all()
        return array

    @property
    def address(self) -> tuple[str, dict[str, str]]:
        smu, gate, matrix = (port.resource for port in self.ports)
        return smu, {"gate": gate, "matrix": matrix, "switch": self._switch, "shape": "4x3"}


@pytest.fixture
def make() -> Iterator[Callable[..., Bench]]:
    with ExitStack() as stack:
        yield lambda **options: Bench(stack, **options)


@pytest.mark.parametrize("models", [("2400", "2450"), ("2450", "2400"), ("2461", "2410")])
@pytest.mark.parametrize("switch", ["707", "7001"])
def test_cells_are_where_the_driver_says(make: Any, models: tuple[str, str], switch: str) -> None:
    bench = make(models=models, switch=switch)
    resource, options = bench.address
    with open_smu_matrix(resource, options) as array:
        one = np.zeros(SHAPE, dtype=bool)
        one[2, 1] = True
        array.apply_pulses(Pulses.on(one, "SET", 2.0, 1.2, 1e-3))
        true = bench.twin.cells.conductance
        assert true[2, 1] > 20 * np.median(true)
        assert array.read_conductances() == pytest.approx(true, abs=6e-6)
        inputs = np.array([0.2, -0.1, 0.15, 0.0])
        assert array.read_mvm(inputs) == pytest.approx(inputs @ true, abs=2e-6)
        array.apply_pulses(Pulses.on(one, "RESET", 2.0, 5.0, 1e-3))
        assert bench.twin.cells.conductance[2, 1] < 0.5 * true[2, 1] or true[2, 1] < 60e-6
    pulsed = [entry for entry in bench.twin.journal.entries if entry.what in ("SET", "RESET")]
    assert [np.argwhere(~np.isnan(entry.voltage)).tolist() for entry in pulsed] == [[[2, 1]]] * 2
    assert bench.twin.journal.grounded
    assert (bench.source.on, bench.gate.on, bench.gate.level) == (False, False, 0.0)


def test_compliance_is_set_before_the_output_goes_on(make: Any) -> None:
    bench = make()
    with bench.connect() as array:
        array.read_conductances()
    said = "\n".join(bench.notes.messages)
    assert 0 <= said.index(f":SENS:CURR:PROT {COMPLIANCE!r}") < said.index(":OUTP ON")
    assert bench.source.compliance == COMPLIANCE


def test_levels_are_ramped(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make()
    levels: list[float] = [0.0]
    real = Meter._set

    def noted(meter: Meter, level: float) -> None:
        if meter is bench.gate:
            levels.append(level)
        real(meter, level)

    monkeypatch.setattr(Meter, "_set", noted)
    with bench.connect() as array:
        array.apply_pulses(Pulses.on(np.ones(SHAPE, dtype=bool), "RESET", 1.0, 5.5, 1e-3))
    assert max(levels) == 5.5
    assert np.abs(np.diff(levels)).max() <= RAMP_STEP + 1e-9
    assert levels[-1] == 0.0


def test_an_output_left_on_is_ramped_down_before_anything_else(make: Any) -> None:
    bench = make()
    bench.source.on, bench.source.level = True, 1.0
    bench.connect().close()
    changes = [m for m in bench.notes.messages if "OUTP O" in m or "SOUR:VOLT " in m or ":SOUR:VOLT?" in m]
    assert changes[0] == ":SOUR:VOLT?"
    assert changes[1].split(";") == [f":SOUR:VOLT {level}" for level in (0.75, 0.5, 0.25, 0.0)]
    assert changes[2] == ":OUTP OFF"


def test_lines_without_a_contact_are_named(make: Any) -> None:
    with make().connect() as array:
        assert array.open_lines == []
    with make(open_line=1).connect() as array:
        assert array.open_lines == ["word line 1"]
    with make(open_line=4 + 2).connect() as array:
        assert array.open_lines == ["bit line 2"]


def test_a_chip_that_is_not_there(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make()
    monkeypatch.setattr(Wiring, "currents", lambda wiring, levels, hold: np.zeros(len(levels)))
    resource, options = bench.address
    with pytest.raises(ImssaError, match="in its socket"):
        open_smu_matrix(resource, options)
    assert bench.twin.journal.grounded


def test_a_short_is_no_conductance(make: Any) -> None:
    bench = make()
    with bench.connect() as array:
        bench.twin.cells.conductance[1, 1] = 1.0
        with pytest.raises(ImssaError, match=r"word line 1, bit line 1 draws 0\.01 A"):
            array.read_conductances()
        mask = np.ones(SHAPE, dtype=bool)
        mask[1, 1] = False
        assert np.isfinite(array.read_conductances(mask)[mask]).all()


def test_limits_are_checked_in_the_instrument_too(make: Any) -> None:
    bench = make()
    with bench.connect() as array:
        before = len(bench.twin.journal.entries)
        array._drive()
        array._lead([0], [0])
        array._gate.go_to(1.0)
        with pytest.raises(InstrumentError, match="-222"):
            array._smu.sweep([3.6, 0.0], 1e-3)
        assert [entry.what for entry in bench.twin.journal.entries[before:]] == ["on"]


def test_a_driver_for_something_else(make: Any) -> None:
    bench = make()
    resource, options = bench.address
    with pytest.raises(LinkError):
        open_smu_matrix(resource, options | {"gate": options["matrix"], "timeout": "0.3"})
    with pytest.raises(LinkError):
        Switch707(open_visa(bench.ports[0].resource, 0.3), 0.3)


def test_a_7001_in_the_place_of_a_source(make: Any) -> None:
    bench = make(switch="7001")
    with pytest.raises(WrongInstrument, match="7001"):
        SourceMeter(open_visa(bench.ports[2].resource, 2.0), COMPLIANCE, 2.0)
    with pytest.raises(InstrumentError, match="-222"):
        Switch7001(open_visa(bench.ports[2].resource, 2.0), 2.0).only([(0, 20)])


@pytest.mark.parametrize("kind", ["silent", "late", "truncated", "request-truncated", "eof", "stalled", "drip"])
def test_faults_give_typed_errors_and_no_wrong_answer(kind: str) -> None:
    """Not `answer-flip`: plain SCPI has no checksums, a digit that was changed passes (docs/smu_matrix.md)."""
    faults = Faults((kind,), 0.03, np.random.default_rng(6), seconds=0.3)
    rng = np.random.default_rng(7)
    good, failed = 0, 0
    with ExitStack() as stack:
        bench = Bench(stack, faults=faults)
        array: SmuMatrixArray | None = None
        for _ in range(40):
            try:
                if array is None or array._smu.link.closed:
                    if array is not None:
                        array._close()
                    array = None
                    array = bench.connect(0.2)
                mask = np.zeros(SHAPE, dtype=bool)
                mask[tuple(rng.integers(SHAPE))] = True
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
        assert kind == "drip" or failed


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "'gate' is missing"),
        ({"gate": "g", "matrix": "m", "shape": "4x3", "volts": "1"}, "unknown option 'volts'"),
        ({"gate": "g", "matrix": "m", "shape": "4"}, "write for example shape=8x8"),
        ({"gate": "g", "matrix": "m", "shape": "4x3", "compliance": "1"}, "at most 0.1 A"),
    ],
)
def test_options(options: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        open_smu_matrix("TCPIP::127.0.0.1::1::SOCKET", options)


def test_an_array_larger_than_the_matrix(make: Any) -> None:
    resource, options = make(switch="7001").address
    with pytest.raises(ConfigError, match="24 lines, the matrix 20 columns"):
        open_smu_matrix(resource, options | {"shape": "8x8"})
