"""Bench days through real drivers: recorded with every byte of their wires, then replayed on both levels."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bars import Bars
from drivers.links import Stream
from drivers.scpi import ScpiArray
from drivers.scpi.scpi_array import ScpiWire
from drivers.serial_stream import open_serial
from drivers.supert_a0.controller import Board
from drivers.supert_a0.supert_array import SuperTArray
from drivers.taox_cells import RECIPE
from drivers.visa_stream import open_visa
from drivers.wire_record import RecordingStream, ReplayingStream, WaitingRecorder
from imssa_lab.cli.runs.log import replay_run
from imssa_lab.cli.shared.deployment_table import result_text
from imssa_lab.cli.shared.session import stages
from imssa_lab.contract.hal import CrossbarArray
from imssa_lab.log import Recorded, RunLog, open_run
from imssa_lab.log.replay.replayed_wire import ReplayedWire
from imssa_lab.s4d.inference import run_network
from imssa_lab.virtual.bench_twin import BenchTwin
from imssa_lab.virtual.server import PtyPort, TcpPort
from imssa_lab.virtual.virtual_scpi_array import ScpiArrayTester
from imssa_lab.virtual.virtual_supert_a0 import SuperTBoard
from protocols.characterisation.experiments import Schedule
from protocols.characterisation.protocol import Characterisation
from protocols.deployment.deployment import deploy
from protocols.deployment.sequences import Sequences
from trials.untrained import untrained_bundle, varied_sequences

Day = Callable[[CrossbarArray, Path], bytes]
Connect = Callable[[Stream], CrossbarArray]
_IMSSA = "from imssa_lab.cli import main; main()"
_SCHEDULE = Schedule(levels=4, reads=4, reads_at_once=2, times=(1.0, 100.0), averages=2)


def characterised(array: CrossbarArray, folder: Path) -> bytes:
    """All tables of a characterisation, as bytes."""
    tables = Characterisation(array, folder, schedule=_SCHEDULE, recipe=RECIPE).run()
    return b"".join(path.read_bytes() for path in tables.values())


def deployed(array: CrossbarArray, folder: Path) -> bytes:
    """The numbers of the report of a deployment of twelve kernels, as bytes."""
    bundle, inputs = untrained_bundle(), varied_sequences(1)
    labels = run_network(bundle, inputs).argmax(axis=1)
    outcome = deploy(bundle, [array], Sequences(inputs[:8], inputs[:16], labels[:16]))
    return result_text(outcome, bundle.digest(), {}).encode()


DAYS: dict[str, Day] = {"characterisation": characterised, "deployment": deployed}


@contextmanager
def scpi(side: int) -> Iterator[tuple[Stream, Connect]]:
    """An array tester on TCP: the stream to it, and its driver."""
    tester = ScpiArrayTester(BenchTwin("supert-a0-easy", (side, side), seed=3))
    with TcpPort(tester) as port:
        yield open_visa(port.resource, 10.0), lambda stream: ScpiArray(ScpiWire(stream))


@contextmanager
def supert(side: int) -> Iterator[tuple[Stream, Connect]]:
    """A superT A0 board on a pseudo-terminal; its waits move its own clocks."""
    firmware = SuperTBoard("supert-a0-easy", seed=3)
    with PtyPort(firmware) as port:
        yield (
            open_serial(port.port),
            lambda stream: SuperTArray(Board(stream), 0, (side, side), sleep=firmware.benches[0].wait),
        )


INSTRUMENTS = {"superT A0": supert, "SCPI": scpi}


def days(bars: Bars, folder: Path) -> None:
    """A characterisation and a deployment on each instrument, replayed from calls and from bytes."""
    for kind, instrument in INSTRUMENTS.items():
        for name, day in DAYS.items():
            if bars.smoke and name == "deployment":
                bars.left_out(f"{name} on {kind}, which needs a whole array")
                continue
            path = folder / f"{name}-{kind.split()[0]}.h5"
            with instrument(bars.size(64, smoke=6)) as (stream, connect):
                seen, device_time = _record(day, stream, connect, path, folder / "tables")
                started = time.perf_counter()
                from_calls = _from_calls(day, path, folder / "tables")
                seconds = time.perf_counter() - started
                from_bytes = _from_bytes(day, path, connect, folder / "tables")
            what = f"{name} on {kind}"
            bars.check(f"{what}, replayed from calls, byte-identical", float(from_calls == seen), "==", 1)
            bars.check(f"{what}, replayed from wire bytes, byte-identical", float(from_bytes == seen), "==", 1)
            note = f"{device_time:.0f} s at the instrument's own pace, {seconds:.1f} s replayed"
            bars.check(f"{what}, replay over the paced original, times", device_time / seconds, ">=", 20, note)
            path.unlink()


def _record(day: Day, stream: Stream, connect: Connect, path: Path, tables: Path) -> tuple[bytes, float]:
    """What the day gave, and how long it took by the instrument's clock, s."""
    waiting = WaitingRecorder()
    with connect(RecordingStream(stream, waiting)) as array, RunLog.create(path, [array], {}) as log:
        waiting.go_on_in(log.wire(stream.name))
        began = log.opened_at[0]
        recorded = Recorded(array, log)
        seen = _fresh(day, recorded, tables)
        took = recorded.time - began
        array.close()  # its last bytes belong to the record
    return seen, took


def _from_calls(day: Day, path: Path, tables: Path) -> bytes:
    with open_run(path) as run:
        (array,) = run.arrays()
        with array:
            seen = _fresh(day, array, tables)
        return seen if not array.calls_left else b"calls are left"


def _from_bytes(day: Day, path: Path, connect: Connect, tables: Path) -> bytes:
    """The session again, its log included, which asks for the device time of every record."""
    again = path.with_suffix(".again.h5")
    with open_run(path) as run:
        player = ReplayedWire(run)
        with connect(ReplayingStream(player)) as array, RunLog.create(again, [array], {}) as log:
            seen = _fresh(day, Recorded(array, log), tables)
            array.close()
    again.unlink()
    return seen if not player.messages_left else b"messages are left"


def _fresh(day: Day, array: CrossbarArray, tables: Path) -> bytes:
    """The day with an empty folder for its tables."""
    shutil.rmtree(tables, ignore_errors=True)
    return day(array, tables)


def demos(bars: Bars, folder: Path) -> None:
    """The whole demo through both drivers, and its deployment again from the record."""
    if bars.smoke:
        bars.left_out("whole demos")
        return
    for kind in ("supert-a0", "scpi"):
        out = folder / f"demo-{kind}"
        command = [sys.executable, "-c", "from imssa_lab.cli import main; main()"]
        subprocess.run(
            [*command, "demo", "--virtual", kind, "--out", str(out)], check=True, stdout=subprocess.DEVNULL
        )
        with open_run(out / "run.h5") as run, stages() as told:
            device_time = json.loads((out / "result.json").read_text())["device_seconds"]
            started = time.perf_counter()
            calls = replay_run(run, told)  # ReplayMismatch where a byte or a number of the report differs
            seconds = time.perf_counter() - started
        note = f"{calls} calls, {device_time:.0f} s at the instruments' own pace, {seconds:.0f} s replayed"
        bars.check(f"demo on {kind}, replay over the paced original, times", device_time / seconds, ">=", 20, note)
        shutil.rmtree(out)
