"""Kills at random moments, and the repair after them."""

from __future__ import annotations

import os
import signal
import struct
import time
from pathlib import Path

import h5py
import numpy as np

from benchmarks.bars import Bars
from benchmarks.record.instrument import Instrument, step
from imssa_lab.contract.errors import LogError, ReplayMismatch
from imssa_lab.log import RunLog, open_run, record
from imssa_lab.log.care.repair import repair
from imssa_lab.log.run import Run

_SHAPE = (32, 32)


def _message(number: int) -> bytes:
    return f"message {number} ".encode() * (1 + number % 40)


def _work(path: Path, told: int) -> None:
    """Calls and wire bytes without end; tells (steps done, messages known to be in the file) after each step."""
    with record(path, [Instrument(_SHAPE)], {}) as (array,):
        wire = array.log.wire("link")
        safe = number = 0
        while True:
            (wire.received if number % 2 else wire.sent)(_message(number), time.time())
            step(array, number)
            number += 1
            if number % 40 == 0:
                wire.flush()
                safe = number
            os.write(told, struct.pack("<II", number, safe))


def kills(bars: Bars, folder: Path) -> None:
    """SIGKILL anywhere, then: opens at once, nothing acknowledged missing, nothing wrong, plain after repair."""
    random = np.random.default_rng(3)
    count = bars.size(200, quick=20, smoke=2)
    lost = bad = unopened = unrepaired = lost_bytes = taken_back = records = 0
    for turn in range(count):
        path = folder / "killed.h5"
        path.unlink(missing_ok=True)
        steps, safe = _killed(path, float(random.uniform(0.0, 0.25)))
        try:
            with open_run(path) as run, h5py.File(path, "r", swmr=True):
                missing, wrong = _compare(run, steps)
                lost, bad = lost + missing, bad + wrong
                lost_bytes += _lost_bytes(run, safe)
        except LogError as error:
            unopened += 1
            print(f"     kill {turn}: {error}")
        try:
            done = repair(path)
            records += done.records
            taken_back += len(done.taken_back)
            with h5py.File(path, "r") as plain, open_run(path) as run:
                whole = plain["waits/seq"].shape[0] == done.by_table["waits"]
                missing, wrong = _compare(run, steps)
                good = done.verification is not None and done.verification.good
            unrepaired += not (whole and good and missing == wrong == 0)
        except (LogError, OSError) as error:
            unrepaired += 1
            print(f"     kill {turn}: {error}")
    note = f"{records} records in all, {taken_back} chunks taken back"
    bars.check(f"acknowledged records lost in {count} kills", lost, "==", 0, note)
    bars.check("acknowledged wire messages lost", lost_bytes, "==", 0)
    bars.check("bad records", bad, "==", 0)
    bars.check("files that a SWMR reader did not open at once", unopened, "==", 0)
    bars.check("files not plain and whole after repair", unrepaired, "==", 0)


def _killed(path: Path, after: float) -> tuple[int, int]:
    """Steps and messages that were acknowledged when the writer was killed `after` s past its first step."""
    source, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(source)
        try:
            _work(path, told)
        finally:
            os._exit(1)
    os.close(told)
    os.read(source, 0)
    with os.fdopen(source, "rb") as pipe:
        data = pipe.read(8)
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
        data += pipe.read()
    os.waitpid(child, 0)
    data = data[: len(data) // 8 * 8]
    steps, safe = struct.unpack("<II", data[-8:])
    return steps, safe


def _compare(run: Run, steps: int) -> tuple[int, int]:
    """Acknowledged steps that do not replay, and answers that are not what the instrument gave."""
    (array,) = run.arrays()
    truth = Instrument(_SHAPE)
    wrong = number = 0
    while array.calls_left:
        try:
            wrong += step(array, number) != step(truth, number)
        except ReplayMismatch:
            break
        except LogError:
            wrong += 1
            break
        number += 1
    return max(steps - number, 0), wrong


def _lost_bytes(run: Run, safe: int) -> int:
    there = run.records("wire")
    data = run.column("wire", "data").tobytes()
    offsets, lengths = run.column("wire", "offset").tolist(), run.column("wire", "length").tolist()
    wrong: int = sum(
        data[at : at + size] != _message(number)
        for number, (at, size) in enumerate(zip(offsets, lengths, strict=True))
    )
    return max(safe - there, 0) + wrong


def large_repair(bars: Bars, folder: Path) -> None:
    """Repair of a file of 1 GB that a kill left behind."""
    path = folder / "large.h5"
    size = bars.size(1_000_000_000, quick=50_000_000, smoke=1_000_000)
    child = os.fork()
    if child == 0:
        log = RunLog.create(path, [Instrument()], {})
        codes = np.random.default_rng(1).normal(3000, 50, (8, 64, 64)).astype(np.int16)
        values = {"mask": np.ones((64, 64), dtype=np.bool_), "range": np.zeros((8, 64, 64), dtype=np.uint8)}
        number = 0
        while path.stat().st_size < size:
            log.append("read_conductances", {"array": 0, "device_time": number * 1e-3, "value": codes, **values})
            number += 1
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    real = path.stat().st_size
    start = time.perf_counter()
    done = repair(path)
    seconds = time.perf_counter() - start
    good = done.verification is not None and done.verification.good
    bars.check("repair of a 1 GB file, s", seconds * 1e9 / real, "<=", 10, f"{real / 1e6:.0f} MB, {done}")
    bars.check("the repaired file verifies", float(good), "==", 1)
    path.unlink()
