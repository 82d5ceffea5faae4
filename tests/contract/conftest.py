"""How a contract test meets each kind of array.

A test is a script: a function of one array that returns what it saw. `every_kind` hands it every kind of array in
turn: the twin itself, the twin while it is recorded, the record of that session replayed, the same twin behind the
wires of instruments, and their drivers on the recorded bytes of such wires.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivers.arc_two import ArcTwoArray, ChannelMap
from drivers.keithley.matrices import Switch707A
from drivers.keithley.meters import SourceMeter
from drivers.keithley.smu_matrix import COMPLIANCE, SmuMatrixArray
from drivers.links import Stream
from drivers.scpi import ScpiArray, open_scpi
from drivers.scpi.scpi_array import ScpiWire
from drivers.serial_stream import open_serial
from drivers.supert_a0.controller import Board
from drivers.supert_a0.supert_array import SuperTArray
from drivers.visa_stream import open_visa
from drivers.wire_record import RecordingStream, ReplayingStream
from imssa_lab.contract.hal import ColumnCalibration, CrossbarArray
from imssa_lab.contract.testing import Run, Script
from imssa_lab.log import RunLog, open_run, record
from imssa_lab.log.replay.replayed_wire import ReplayedWire
from imssa_lab.virtual.bench_twin import BenchTwin
from imssa_lab.virtual.electrode_journal import Journal
from imssa_lab.virtual.server import PtyPort, TcpPort
from imssa_lab.virtual.virtual_scpi_array import ScpiArrayTester
from imssa_lab.virtual.virtual_smu_matrix import Matrix707A, Wiring, meter, meter_profile
from imssa_lab.virtual.virtual_supert_a0 import SuperTBoard
from protocols.chip_record import ChipRecord
from protocols.wrappers.budget import Account, Budget
from protocols.wrappers.counted import Counted
from protocols.wrappers.device_time import DeviceTimeReported
from protocols.wrappers.metered import Metered
from protocols.wrappers.progress import ProgressReported
from protocols.wrappers.recipe_override import RecipeOverride
from trials.electrodes.arc_two_stand_in import Instrument, library
from twin import DigitalTwin

SHAPE = (12, 8)
SLOW_SHAPE = (6, 8)
"""Of an array that reads one cell after another."""
JOURNALS: list[Journal] = []
"""Of the instrument that a script met last."""


def _noted(bench: BenchTwin) -> BenchTwin:
    JOURNALS[:] = [bench.journal]
    return bench


def _twin() -> DigitalTwin:
    return _noted(BenchTwin("supert-a0-easy", SHAPE, seed=5))


def _on_twin(script: Script, path: Path) -> Any:
    with _twin() as array:
        return script(array)


def _recorded(script: Script, path: Path) -> Any:
    with record(path, [_twin()], {}) as (array,), array:
        return script(array)


def _wrapped(script: Script, path: Path) -> Any:
    """In every wrapper that there is."""
    given: CrossbarArray = RecipeOverride(_twin(), None, {"max_steps": 200})
    with ChipRecord(path.with_name("chips.sqlite")) as chips:
        given = DeviceTimeReported(Counted(given, chips), lambda seconds: None)
        given = ProgressReported(given, np.full(SHAPE, 50e-6), lambda done, total: None)
        with record(path, [given], {}) as (recorded,), recorded:
            return script(Metered(recorded, Account(Budget())))


def _replayed(script: Script, path: Path) -> Any:
    _recorded(script, path)
    JOURNALS.clear()
    (array,) = open_run(path).arrays()
    with array:
        return script(array)


def _over_scpi(script: Script, path: Path) -> Any:
    tester = ScpiArrayTester(_noted(BenchTwin("supert-a0-easy", SHAPE, seed=5)))
    with TcpPort(tester) as port, open_scpi(port.resource, {}) as array:
        result = script(array)
    assert tester.bench.journal.grounded
    return result


def _over_supert(script: Script, path: Path) -> Any:
    firmware = SuperTBoard("supert-a0-easy", seed=5)
    JOURNALS[:] = [firmware.journal]
    with PtyPort(firmware) as port:
        board = Board(open_serial(port.port))
        with SuperTArray(board, 0, SHAPE, sleep=firmware.benches[0].wait) as array:
            result = script(array)
    assert firmware.journal.grounded
    return result


def _wire_replayed(script: Script, path: Path, stream: Stream, connect: Callable[[Stream], CrossbarArray]) -> Any:
    """The script through a driver whose bytes are recorded, then through the same driver on these bytes."""
    with RunLog.create(path, [_twin()], {}) as log, connect(RecordingStream(stream, log.wire(stream.name))) as array:
        script(array)
    JOURNALS.clear()
    with open_run(path) as run:
        player = ReplayedWire(run)
        with connect(ReplayingStream(player)) as array:
            result = script(array)
        assert player.messages_left == 0
    return result


def _scpi_wire_replayed(script: Script, path: Path) -> Any:
    with TcpPort(ScpiArrayTester(_noted(BenchTwin("supert-a0-easy", SHAPE, seed=5)))) as port:
        stream = open_visa(port.resource, 5.0)
        return _wire_replayed(script, path, stream, lambda wire: ScpiArray(ScpiWire(wire)))


def _supert_wire_replayed(script: Script, path: Path) -> Any:
    firmware = SuperTBoard("supert-a0-easy", seed=5)
    JOURNALS[:] = [firmware.journal]
    with PtyPort(firmware) as port:

        def connect(wire: Stream) -> CrossbarArray:
            return SuperTArray(Board(wire), 0, SHAPE, sleep=firmware.benches[0].wait)

        return _wire_replayed(script, path, open_serial(port.port), connect)


def _over_smu_and_matrix(script: Script, path: Path) -> Any:
    bench = _noted(BenchTwin(meter_profile("supert-a0-easy"), SLOW_SHAPE, seed=5))
    wiring = Wiring(bench)
    with (
        TcpPort(meter(wiring)) as smu,
        TcpPort(meter(wiring, "2450", gates=True)) as gate,
        TcpPort(Matrix707A(wiring)) as matrix,
    ):
        array = SmuMatrixArray(
            SourceMeter(open_visa(smu.resource, 5.0), COMPLIANCE, 5.0),
            SourceMeter(open_visa(gate.resource, 5.0), COMPLIANCE, 5.0, gates=True),
            Switch707A(open_visa(matrix.resource, 5.0), 5.0),
            SLOW_SHAPE,
            sleep=bench.wait,
        )
        with array:
            result = script(array)
    assert bench.journal.grounded
    return result


def _on_arc_two(script: Script, path: Path) -> Any:
    """A stand-in of the maker's library, not its wire."""
    bench = _noted(BenchTwin(meter_profile("supert-a0-easy"), SHAPE, seed=5))
    lines = ChannelMap.standard().block(*SHAPE)
    with ArcTwoArray(library(), Instrument(bench, lines), lines, sleep=bench.wait) as array:
        result = script(array)
    assert bench.journal.grounded
    return result


ARRAYS = {
    "twin": _on_twin,
    "recorded": _recorded,
    "in every wrapper": _wrapped,
    "replayed": _replayed,
    "scpi over tcp": _over_scpi,
    "superT over a pty": _over_supert,
    "scpi, its wire replayed": _scpi_wire_replayed,
    "superT, its wire replayed": _supert_wire_replayed,
    "smu and matrix over tcp": _over_smu_and_matrix,
    "ArC TWO's stand-in": _on_arc_two,
}


@pytest.fixture
def journals() -> list[Journal]:
    """That of the instrument behind the array, in a list; empty where there is none."""
    JOURNALS.clear()
    return JOURNALS


@pytest.fixture(params=ARRAYS)
def array_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def every_kind(array_kind: str, tmp_path: Path) -> Run:
    return lambda script: ARRAYS[array_kind](script, tmp_path / "run.h5")


@pytest.fixture
def bit_lines(array_kind: str) -> ColumnCalibration:
    """What corrects the amplifiers of the chip behind this kind of array, from the chip itself."""
    if array_kind.startswith("superT"):
        chip: DigitalTwin = SuperTBoard("supert-a0-easy", seed=5).benches[0]
    elif array_kind.startswith(("smu", "ArC")):
        chip = BenchTwin(meter_profile("supert-a0-easy"), SHAPE, seed=5)
    else:
        chip = _twin()
    gain, offset = chip.columns.gain[: SHAPE[1]], chip.columns.offset[: SHAPE[1]]
    return ColumnCalibration(1 / gain, -offset / gain, np.zeros(SHAPE[1]))
