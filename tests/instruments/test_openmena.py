"""OpenMENA: the contract on a virtual board, its bytes against the published firmware, and trouble on its wire."""

import numpy as np
import pytest

from drivers.openmena import Cells, OpenMenaArray, open_openmena, wire
from drivers.serial_stream import open_serial
from drivers.wire_record import RecordingStream, ReplayingStream
from imssa_lab.contract.array_types import PulseKind, Pulses, Window
from imssa_lab.contract.errors import (
    ConfigError,
    ImssaError,
    InstrumentError,
    LimitError,
    LinkCorrupt,
    LinkError,
    WrongInstrument,
)
from imssa_lab.contract.testing import ContractSuite
from imssa_lab.log import RunLog, open_run
from imssa_lab.log.replay.replayed_wire import ReplayedWire
from imssa_lab.virtual.bench_twin import BenchTwin
from imssa_lab.virtual.server import TcpPort
from imssa_lab.virtual.virtual_openmena import GAIN, OpenMenaBoard
from imssa_lab.virtual.virtual_smu_matrix import meter_profile
from imssa_lab.virtual.wire_faults import parse_faults

CELLS = Cells(0.95, 2.5, Window(low=2e-6, high=150e-6), GAIN)
ADDRESS = {"gain": str(GAIN), "set": "0.95", "reset": "2.5", "low": "2e-6", "high": "150e-6"}


def virtual_board(**given):
    return OpenMenaBoard(BenchTwin(meter_profile("supert-a0-easy"), (8, 8), seed=5), **given)


def said_by(board, line):
    return b"".join(board.receive(line))


class TestContract(ContractSuite):
    set_pulse = (0.95, 1.0, 1e-3)
    reset_pulse = (1.6, 1.0, 1e-3)
    simulated_time = True

    @pytest.fixture
    def run(self):
        def run(script):
            board = virtual_board()
            self.journal = board.bench.journal
            with TcpPort(board) as port:
                array = OpenMenaArray(open_serial(port.resource, wire.BAUD), CELLS, sleep=board.bench.wait)
                with array:
                    result = script(array)
            assert board.bench.journal.grounded
            return result

        return run

    def reads_seen(self, array):
        # word lines at rest stand half a code beside the virtual ground
        reads = [entry.voltage for entry in self.journal.entries if entry.what == "mvm"]
        return [float(np.abs(voltage).max()) - wire.STEP / 2 for voltage in reads]

    def seen(self, array):
        return len(self.journal.entries), self.journal.grounded


def test_the_bytes_of_a_session_are_those_of_the_published_program():
    """Lines as `memristor_main.py` writes them, and as `memristor_rev.ino` reads them."""
    assert wire.read(np.array([[2048] * 7 + [2184]])) == b"INFEREMULTIPLE: 1 " + b"2048 " * 7 + b"2184\n"
    assert wire.at_rest() == b"SETVOLTAGES: 0.75 0.75 0.75 0.75 0.75 0.75 0.75 0.75 0.75\n"
    fields = wire.pulse(3, 5, True, 0.4, 250).split()
    assert fields[:5] == [b"WEIGHTMODIF:", b"3", b"5", b"1", b"1"]
    assert fields[-1] == b"250"
    assert len(fields) == 10


@pytest.mark.parametrize("forward", [True, False])
def test_a_pulse_is_never_stronger_than_asked_and_hardly_weaker(forward):
    """By the firmware's own arithmetic, worked out here in exact fractions of its codes."""
    most = wire.strongest()[not forward]
    for magnitude in np.random.default_rng(1).uniform(0.01, most, 2000):
        fields = [float(field) for field in wire.pulse(0, 0, forward, magnitude, 10).split()[5:9]]
        word, bit = fields[:2] if forward else fields[2:]
        codes = int(word * 4095 / 1.5), int((bit - 0.545) / 0.665 * 4095 / 3.3)
        assert 0 <= min(codes)
        assert max(codes) <= 4095
        across = (codes[0] * 1.5 / 4095 - (0.545 + 0.665 * codes[1] * 3.3 / 4095)) * (1 if forward else -1)
        assert magnitude - 0.95e-3 < across <= magnitude + 1e-9


def test_the_virtual_board_prints_what_the_firmware_prints():
    board = virtual_board()
    assert said_by(board, b"INFEREMULTIPLE: 0\n") == b"Error: INFEREMULTIPLE requires N > 0\r\n"
    assert said_by(board, b"INFEREMULTIPLE: 3 1 2\n") == b"Error: Expected 24 DAC values after N.\r\n"
    assert said_by(board, b"WEIGHTMODIF: 8 0 1 1 .8 .7 .7 .8 5\n").startswith(b"Invalid arguments. Indices 0")
    assert said_by(board, b"WEIGHTMODIF: 1 0 1 1 0.8 0.7\n") == b""  # what it would do is undefined
    assert said_by(board, b"HELLO\n") == b""
    assert board.bench.journal.entries == []
    assert said_by(board, wire.at_rest()).startswith(b"Voltages updated:\r\nAD5593R DAC0: 0.750 V\t")
    assert said_by(board, wire.at_rest()).endswith(b"Due DAC1: 0.308 V\r\n")
    lines = said_by(board, wire.read(np.full((2, 8), 2200))).split(b"\r\n")
    assert lines[0] == b"Running inference for 2 input vectors..."
    assert lines[1] == b"INFEREMULTIPLE ADC Averages:"
    assert all(line.count(b"\t") == 8 for line in lines[2:4])
    assert lines[4:] == [b"INFEREMULTIPLE complete.", b""]
    assert board.receive(b"INFEREMULT") == []
    assert board.unfinished
    assert said_by(board, b"IPLE: 0\n") != b""


def test_opening_puts_lines_to_rest_that_somebody_left_driven(monkeypatch):
    board, heard = virtual_board(), []
    said_by(board, b"SETVOLTAGES: 1.4 1.4 1.4 1.4 1.4 1.4 1.4 1.4 1.9\n")
    execute = board.receive
    monkeypatch.setattr(board, "receive", lambda data: (heard.append(data), execute(data))[1])
    with TcpPort(board) as port, open_openmena(port.resource, ADDRESS):
        assert wire.at_rest() in b"".join(heard)


def test_a_pulse_moves_its_cell_alone_and_in_its_direction():
    board = virtual_board()
    with TcpPort(board) as port, OpenMenaArray(open_serial(port.resource), CELLS, board.bench.wait) as array:
        before = array.read_conductances(averages=4)
        cell = np.zeros((8, 8), bool)
        cell[2, 6] = True
        array.apply_pulses(Pulses.on(cell, PulseKind.SET, 0.9, 1.0, 100e-6))
        assert board.bench.journal.grounded  # while it is open: between operations no cell sees a voltage
        after = array.read_conductances(averages=4)
        pulses = [entry for entry in board.bench.journal.entries if entry.what in ("SET", "RESET")]
    assert after[2, 6] - before[2, 6] > 100e-6
    assert np.abs((after - before)[~cell]).max() < 15e-6
    (pulse,) = pulses
    assert pulse.what == "SET"
    assert np.argwhere(np.isfinite(pulse.voltage)).tolist() == [[2, 6]]
    assert 0.899 < np.nanmax(pulse.voltage) <= 0.9
    assert pulse.width == pytest.approx(100e-6)


def test_what_is_no_whole_microsecond_or_fills_the_converter_is_refused():
    board = virtual_board(gain=2e6)
    with TcpPort(board) as port, OpenMenaArray(open_serial(port.resource), CELLS, board.bench.wait) as array:
        cell = np.ones((8, 8), bool)
        noted = len(board.bench.journal.entries)
        with pytest.raises(LimitError, match="whole microseconds"):
            array.apply_pulses(Pulses.on(cell, PulseKind.SET, 0.5, 1.0, 1.5e-6))
        assert len(board.bench.journal.entries) == noted
        array.apply_pulses(Pulses.on(cell, PulseKind.SET, 0.95, 1.0, 1e-3))
        with pytest.raises(ImssaError, match="end of its converter"):
            array.read_mvm(np.full(8, 0.05))


def test_a_refused_pulse_is_noticed_although_pulses_have_no_answer(monkeypatch):
    board = virtual_board()
    with TcpPort(board) as port, OpenMenaArray(open_serial(port.resource), CELLS, board.bench.wait) as array:
        monkeypatch.setattr(wire, "pulse", lambda *_: b"WEIGHTMODIF: 9 0 1 1 0.8 0.7 0.7 0.8 5\n")
        with pytest.raises(InstrumentError, match="Invalid arguments"):
            array.apply_pulses(Pulses.on(np.ones((8, 8), bool), PulseKind.SET, 0.5, 1.0, 1e-3))


@pytest.mark.parametrize("kind", ["silent", "truncated", "twice", "drip"])
def test_a_bad_wire_ends_in_an_error_or_the_right_value(kind, monkeypatch):
    monkeypatch.setattr("drivers.openmena.openmena_array._PATIENCE", 0.3)
    monkeypatch.setattr("drivers.openmena.openmena_array._VECTOR", 0.02)
    board, quiet = virtual_board(), virtual_board()
    exact = quiet.bench.cells.conductance
    trouble = 0
    with TcpPort(board, faults=parse_faults(f"{kind}@0.2/0.01", 4)) as port:
        for _ in range(3):
            try:
                with OpenMenaArray(open_serial(port.resource), CELLS, board.bench.wait) as array:
                    for _ in range(5):
                        try:
                            read = array.read_conductances(averages=2)
                            assert np.median(np.abs(read - exact)) < 3e-6
                        except (LinkError, InstrumentError):  # where half a command arrives, the shield complains
                            trouble += 1
            except (LinkError, InstrumentError):
                trouble += 1
    assert trouble or kind in ("drip", "twice")


def test_its_wire_replays(tmp_path):
    def script(array):
        array.program_conductances(np.full((8, 8), 60e-6), np.eye(8, dtype=bool))
        return array.read_conductances()

    board = virtual_board()
    with TcpPort(board) as port:
        stream = open_serial(port.resource)
        with RunLog.create(tmp_path / "run.h5", [virtual_board().bench], {}) as log:
            recording = RecordingStream(stream, log.wire(stream.name))
            with OpenMenaArray(recording, CELLS, board.bench.wait) as array:
                seen = script(array)
    with open_run(tmp_path / "run.h5") as run:
        player = ReplayedWire(run)
        with OpenMenaArray(ReplayingStream(player), CELLS, lambda seconds: None) as array:
            np.testing.assert_array_equal(script(array), seen)
        assert player.messages_left == 0


def test_an_address_says_what_the_chip_takes_or_is_refused():
    board = virtual_board()
    with TcpPort(board) as port, open_openmena(port.resource, ADDRESS) as array:
        assert array.info.limits.set.voltage_max == 0.95
        assert array.info.window.high == 150e-6
    for change, words in (
        ({"gain": None}, "'gain' is missing"),
        ({"speed": "1"}, "unknown option 'speed'"),
        ({"set": "1.2"}, r"SET up to 0\.955 V and RESET up to 2\.74 V"),
        ({"reset": "-1"}, "RESET up to"),
        ({"reset": "0"}, "RESET up to"),
        ({"set": "0"}, "RESET up to"),
        ({"low": "a lot"}, "write numbers"),
        ({"high": "1e-6"}, "must lie below"),
        ({"read": "0.9"}, r"read=0\.9 V"),
    ):
        options = {name: text for name, text in {**ADDRESS, **change}.items() if text is not None}
        with pytest.raises(ConfigError, match=words):
            open_openmena("nowhere", options)


def test_who_is_no_openmena_is_not_driven(monkeypatch):
    board = virtual_board()
    monkeypatch.setattr(board, "_command", lambda line: ["who is there?"] * 600)
    with TcpPort(board) as port, pytest.raises(WrongInstrument, match="not as an OpenMENA"):
        OpenMenaArray(open_serial(port.resource), CELLS)


@pytest.mark.parametrize("line", [b"1 2 3", b"x " * 8, b"1.03\t" * 8, b"-1 " * 8, b"5000 " * 8, b"nan " * 8])
def test_means_that_no_board_prints_are_refused(line):
    with pytest.raises(LinkCorrupt):
        wire.averages(line)
