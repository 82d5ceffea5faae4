"""Every byte of a session in the run's log, and the same driver on the recorded bytes: the same answers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivers.links import Stream
from drivers.scpi import ScpiArray
from drivers.scpi.scpi_array import ScpiWire
from drivers.serial_stream import open_serial
from drivers.supert_a0.controller import Board
from drivers.supert_a0.supert_array import SuperTArray
from drivers.visa_stream import open_visa
from drivers.wire_record import RecordingStream, ReplayingStream
from imssa_lab.contract.errors import ReplayMismatch
from imssa_lab.contract.hal import CrossbarArray, Pulses
from imssa_lab.log import RunLog, open_run
from imssa_lab.log.replay.replayed_wire import ReplayedWire
from imssa_lab.virtual.bench_twin import BenchTwin
from imssa_lab.virtual.server import PtyPort, TcpPort
from imssa_lab.virtual.virtual_scpi_array import ScpiArrayTester
from imssa_lab.virtual.virtual_supert_a0 import SuperTBoard
from twin import DigitalTwin

SHAPE = (4, 3)


@contextmanager
def scpi() -> Iterator[Stream]:
    with TcpPort(ScpiArrayTester(BenchTwin("supert-a0-easy", SHAPE, 2))) as port:
        yield open_visa(port.resource, 2.0)


@contextmanager
def supert() -> Iterator[Stream]:
    with PtyPort(SuperTBoard("supert-a0-easy", 2)) as port:
        yield open_serial(port.port)


WIRES: dict[str, tuple[Any, Callable[[Any], CrossbarArray]]] = {
    "scpi": (scpi, lambda stream: ScpiArray(ScpiWire(stream))),
    "superT": (supert, lambda stream: SuperTArray(Board(stream), 0, SHAPE, sleep=lambda s: None)),
}


def script(array: CrossbarArray, voltage: float = 2.0) -> list[Any]:
    rng = np.random.default_rng(3)
    with array:
        seen = [array.read_conductances(averages=2)]
        array.apply_pulses(Pulses.on(rng.random(SHAPE) < 0.5, "SET", voltage, 1.0, 10e-6))
        seen += [array.read_conductances(), array.read_mvm(rng.uniform(0, 0.2, (9, 4)))]
        return [*seen, array.time]


@pytest.mark.parametrize("kind", WIRES)
def test_a_driver_on_recorded_bytes(kind: str, tmp_path: Path) -> None:
    instrument, connect = WIRES[kind]
    path = tmp_path / "run.h5"
    with RunLog.create(path, [DigitalTwin("supert-a0-easy", SHAPE)], {}) as log, instrument() as stream:
        original = script(connect(RecordingStream(stream, log.wire(stream.name))))
    with open_run(path) as run:
        player = ReplayedWire(run)
        again = script(connect(ReplayingStream(player)))
        assert player.messages_left == 0
        assert all(np.array_equal(a, b) for a, b in zip(original, again, strict=True))
    with open_run(path) as run, pytest.raises(ReplayMismatch):
        script(connect(ReplayingStream(ReplayedWire(run))), voltage=2.1)
