"""An SCPI array tester that restarts behind a connection that a gateway keeps."""

import logging
from collections.abc import Iterator

import numpy as np
import pytest

from drivers.scpi import open_scpi
from imssa_lab.contract.errors import (
    InstrumentRestarted,
    LinkLost,
)
from imssa_lab.contract.hal import Pulses
from imssa_lab.virtual.bench_twin import BenchTwin
from imssa_lab.virtual.server import TcpPort
from imssa_lab.virtual.virtual_scpi_array import ScpiArrayTester
from tests.instruments.test_scpi_array import say
from trials.electrodes.instrument_restarts import MOMENTS, scpi_restarts

SHAPE = (4, 3)


@pytest.fixture
def tester() -> ScpiArrayTester:
    return ScpiArrayTester(BenchTwin("supert-a0-easy", SHAPE, seed=3))


@pytest.fixture
def port(tester: ScpiArrayTester) -> Iterator[TcpPort]:
    with TcpPort(tester) as running:
        yield running


class TestRestarts:
    """The instrument restarts, the connection stays, as behind a gateway (docs/scpi.md, calls)."""

    def test_no_answer_of_the_new_session_and_no_silent_pulse(self) -> None:
        outcome = scpi_restarts(24, seed=5)
        assert set(outcome.count) == set(MOMENTS)
        assert (outcome.foreign, outcome.wrong, outcome.driven, outcome.unnoticed) == (0, 0, 0, 0)
        assert outcome.good > 12
        assert outcome.failed["InstrumentRestarted"] == outcome.count.total() == 24

    def test_an_instrument_that_keeps_its_session_is_not_noticed(self) -> None:
        """The null control."""
        outcome = scpi_restarts(6, seed=5, remembers=True)
        assert outcome.foreign > 0
        assert outcome.driven > 0
        assert outcome.unnoticed == 6

    def test_the_array_is_of_no_use_until_it_is_opened_again(self, port: TcpPort, tester: ScpiArrayTester) -> None:
        array = open_scpi(port.resource, {})
        array.read_conductances()
        tester.restart()
        seen = len(tester.bench.journal.entries)
        with pytest.raises(InstrumentRestarted, match="has restarted since it was opened"):
            array.apply_pulses(Pulses.on(np.ones(SHAPE, dtype=bool), "SET", 2.0, 1.0, 1e-5))
        for request in (array.read_conductances, lambda: array.time, lambda: array.wait(0.0)):
            with pytest.raises(LinkLost, match=r"restarted.*open it again"):
                request()
        array.close()
        assert len(tester.bench.journal.entries) == seen
        with open_scpi(port.resource, {}) as again:
            again.read_conductances()

    def test_a_restart_is_a_power_cycle(self, tester: ScpiArrayTester) -> None:
        conductance = tester.bench.cells.conductance.copy()
        say(tester, "OUTP ON;:FORM:BORD SWAP;:SYST:WAIT 5;WATC 9;*ESR?;nonsense")
        session = say(tester, "SYST:SESS?")
        tester.receive(b"SYST:CA")
        tester.restart()
        assert (
            say(tester, "*ESR?;:OUTP?;:FORM:BORD?;:SYST:TIME?;WATC?;:SYST:ERR?") == '128;0;NORM;0.0;2.0;0,"No error"'
        )
        assert say(tester, "SYST:SESS?") != session
        assert np.array_equal(tester.bench.cells.conductance, conductance)

    @pytest.mark.parametrize("reset", ["*RST", "FORM:BORD NORM", "OUTP OFF"])
    def test_what_a_request_depends_on_goes_with_it(self, port: TcpPort, tester: ScpiArrayTester, reset: str) -> None:
        """Somebody at the front panel, or another client of a gateway."""
        volts = np.full((2, 4), 0.1)
        mask = np.ones(SHAPE, dtype=bool)
        with open_scpi(port.resource, {}) as array:
            say(tester, reset)
            assert np.array_equal(array.read_mvm(volts), tester.bench.readout.current(array.info.adc))
            assert np.array_equal(tester.bench.journal.entries[-1].voltage, volts)
            say(tester, reset)
            array.apply_pulses(Pulses.on(mask, "SET", 2.0, 1.0, 1e-5))
            assert np.array_equal(tester.bench.journal.entries[-1].voltage, np.full(SHAPE, 2.0))
            say(tester, reset)
            cells = array.read_conductances()
            assert np.array_equal(cells, tester.bench.readout.current(array.info.adc)[0] / array.info.read_voltage)

    def test_the_tail_of_a_call_drives_nothing(self, tester: ScpiArrayTester) -> None:
        """The rest of a message comes first, to an instrument that was off while its beginning came."""
        tail = b":OUTP ON;:FORM:BORD SWAP;:READ:MVM? 1,#232" + np.full(4, 0.1).tobytes() + b"\n"
        tester.restart()
        before = len(tester.bench.journal.entries)
        assert tester.receive(tail) == []
        assert len(tester.bench.journal.entries) == before
        assert tester.receive(b"SYST:ERR?\n")[0].startswith(b"-221")
        assert tester.receive(tail) != []  # and the same is a message like any afterwards


def test_errors_that_wait_in_an_instrument_are_named_when_it_is_opened(
    tester: ScpiArrayTester, caplog: pytest.LogCaptureFixture
) -> None:
    with TcpPort(tester) as port, caplog.at_level(logging.WARNING, "drivers"):
        open_scpi(port.resource, {}).close()
        assert caplog.records == []
        tester.receive(b"nonsense\n")
        open_scpi(port.resource, {}).close()
    (record,) = caplog.records
    assert "errors from before: -113," in record.getMessage()
