"""Copies of a running log at random moments, half of them while a chunk is half written."""

from __future__ import annotations

import os
import signal
import struct
import time
from pathlib import Path

import numpy as np

from benchmarks.bars import Bars
from benchmarks.record.instrument import Instrument, step
from imssa_lab.contract.errors import LogError, ReplayMismatch
from imssa_lab.contract.operating_system import write_at
from imssa_lab.log import Replayed, open_run, record
from imssa_lab.log.care.snapshot import snapshot
from imssa_lab.log.write import shared_chunks

_SHAPE = (16, 16)
_EACH = 5  # copies of one run, which grows meanwhile: of 20 the last took minutes
_TORN = 0.004  # s between the two halves of a chunk


def snapshots(bars: Bars, folder: Path) -> None:
    """Each copy verifies, holds what was acknowledged before it, and replays as the instrument answered."""
    random = np.random.default_rng(13)
    count = bars.size(200, quick=20, smoke=2)
    bad = missing = wrong = 0
    for number in range(count):
        if number % _EACH == 0:
            path = folder / f"running{number}.h5"
            child, told = _writer(path, torn=number // _EACH % 2 == 1)
        time.sleep(float(random.uniform(0.0, 0.05)))
        acknowledged = _last(told)
        to = folder / "copy.h5"
        try:
            taken = snapshot(path, to)
            bad += not taken.verification.good
            with open_run(to) as run:
                lost, differ = _compared(run.arrays()[0], acknowledged)
            missing, wrong = missing + lost, wrong + differ
        except LogError as error:
            bad += 1
            print(f"     copy {number}: {error}")
        to.unlink(missing_ok=True)
        if number % _EACH == _EACH - 1 or number == count - 1:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(told)
            path.unlink()
    bars.check(f"copies of a running log that do not verify, of {count}", bad, "==", 0, "half of a torn writer's")
    bars.check("records acknowledged before a copy and missing in it", missing, "==", 0)
    bars.check("answers in a copy that are not the instrument's", wrong, "==", 0)


def _writer(path: Path, torn: bool) -> tuple[int, int]:
    """A process that records without end, and a pipe with the number of steps done; `torn`: chunks in two halves."""
    source, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(source)
        if torn:
            whole = write_at

            def halves(handle: int, data: bytes | memoryview, offset: int) -> int:
                half = len(data) // 2
                done = whole(handle, data[:half], offset)
                time.sleep(_TORN)
                return done + whole(handle, data[half:], offset + half)

            vars(shared_chunks)["write_at"] = halves
        with record(path, [Instrument(_SHAPE)], {}) as (array,):
            number = 0
            while True:
                step(array, number)
                number += 1
                os.write(told, struct.pack("<I", number))
                time.sleep(0.001)
    os.close(told)
    while len(os.read(source, 4)) < 4:
        pass
    os.set_blocking(source, False)
    return child, source


def _last(source: int) -> int:
    """The last number that is in the pipe."""
    data = b""
    for _ in range(100):
        try:
            data += os.read(source, 1 << 16)
            return int(struct.unpack("<I", data[-4:])[0])
        except BlockingIOError:
            time.sleep(0.01)
    return 0


def _compared(array: Replayed, acknowledged: int) -> tuple[int, int]:
    """Steps that are missing, and answers that differ."""
    truth, number, wrong = Instrument(_SHAPE), 0, 0
    while array.calls_left:
        try:
            wrong += step(array, number) != step(truth, number)
        except ReplayMismatch:
            break
        number += 1
    return max(acknowledged - number, 0), wrong
