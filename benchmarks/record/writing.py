"""How fast records and wire bytes are written, how large the file gets, and whether memory stays flat."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

import h5py
import numpy as np

from benchmarks.bars import Bars
from benchmarks.record.instrument import Instrument
from imssa_lab.contract.operating_system import POSITIONED
from imssa_lab.log import RunLog
from imssa_lab.log.schema import LIBVER

_CODES = 64 * 64 * 2


def writing(bars: Bars, folder: Path) -> None:
    """Records a second beside plain h5py, wire bytes a second, file size."""
    count = bars.size(4000, quick=1000, smoke=50)
    ours, plain, direct = [], [], []
    for turn in range(3):  # in turns, so that other work on the machine falls on all alike
        ours.append(_ours(folder / f"ours{turn}.h5", count))
        plain.append(_plain(folder / f"plain{turn}.h5", count))
        direct.append(_direct(folder / f"direct{turn}.h5", count))
    rate = median(ours)
    least = 5000 if POSITIONED else 1000
    bars.check("records/s of one 64x64 read, each flushed, SWMR", rate, ">=", least)
    print(f"     the same in plain h5py appends: {median(plain):.0f} records/s")
    if POSITIONED:
        bars.check("records/s over those of plain h5py appends", rate / median(plain), ">=", 0.7)
    print(f"     bare write_direct_chunk of the codes alone: {median(direct):.0f} records/s, for information")
    size = (folder / "ours0.h5").stat().st_size
    bars.check("file size over raw payload, 64x64 reads", size / (count * _CODES), "<=", 1.1)
    _wire(bars, folder, bars.size(200, quick=50, smoke=1))


def _arguments(number: int, codes: np.ndarray[tuple[int, ...], np.dtype[np.int16]]) -> dict[str, object]:
    return {
        "array": 0,
        "device_time": number * 1e-3,
        "mask": np.ones((64, 64), dtype=np.bool_),
        "value": codes[number % len(codes)],
        "range": np.zeros((1, 64, 64), dtype=np.uint8),
    }


def _codes() -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    return np.random.default_rng(1).normal(3000, 50, (64, 1, 64, 64)).astype(np.int16)


def _ours(path: Path, count: int) -> float:
    codes = _codes()
    with RunLog.create(path, [Instrument()], {}) as log:
        start = time.perf_counter()
        for number in range(count):
            log.append("read_conductances", _arguments(number, codes))
        return count / (time.perf_counter() - start)


def _plain(path: Path, count: int) -> float:
    """The codes and one time stamp, appended as the h5py book shows it, flushed, SWMR."""
    codes = _codes()
    with h5py.File(path, "x", libver=LIBVER) as file:
        options = {"fletcher32": True}
        values = file.create_dataset(
            "value", (0, 64, 64), "i2", maxshape=(None, 64, 64), chunks=(1, 64, 64), **options
        )
        times = file.create_dataset("time", (0,), "f8", maxshape=(None,), chunks=(256,), **options)
        file.swmr_mode = True
        start = time.perf_counter()
        for number in range(count):
            values.resize(number + 1, axis=0)
            values[number] = codes[number % 64, 0]
            times.resize(number + 1, axis=0)
            times[number] = number * 1e-3
            values.flush()
            times.flush()
        return count / (time.perf_counter() - start)


def _direct(path: Path, count: int) -> float:
    codes = [code.tobytes() + b"0000" for code in _codes()]
    with h5py.File(path, "x", libver=LIBVER) as file:
        shape = (64, 64)
        values = file.create_dataset(
            "value", (0, *shape), "i2", maxshape=(None, *shape), chunks=(1, *shape), fletcher32=True
        )
        file.swmr_mode = True
        start = time.perf_counter()
        for number in range(count):
            if number % 64 == 0:
                values.resize(number + 64, axis=0)
            values.id.write_direct_chunk((number, 0, 0), codes[number % 64])
            values.id.flush()
        return count / (time.perf_counter() - start)


def _wire(bars: Bars, folder: Path, megabytes: int) -> None:
    for size in (4096, 64):
        message = np.random.default_rng(2).bytes(size)
        path = folder / f"wire{size}.h5"
        count = megabytes * 1_000_000 // size // (1 if size > 1000 else 10)
        with RunLog.create(path, [Instrument()], {}) as log:
            wire = log.wire("bench")
            start = time.perf_counter()
            for number in range(count):
                (wire.received if number % 2 else wire.sent)(message, time.time())
            wire.flush()
            seconds = time.perf_counter() - start
        rate = count * size / seconds / 1e6
        if size == 4096:
            bars.check("wire bytes, MB/s, messages of 4 KiB", rate, ">=", 20)
            bars.check("file size over raw payload, wire", path.stat().st_size / (count * size), "<=", 1.1)
        else:
            ratio = path.stat().st_size / (count * size)
            print(f"     messages of {size} bytes: {rate:.1f} MB/s, file {ratio:.2f}x, for information")


def memory(bars: Bars, folder: Path) -> None:
    """Resident memory between a tenth and the whole of a million records."""
    total = bars.size(1_000_000, quick=100_000, smoke=1000)
    codes = np.ones((1, 8, 8), dtype=np.int16)
    read = {
        "array": 0,
        "device_time": 0.0,
        "mask": np.ones((8, 8), dtype=np.bool_),
        "range": np.zeros((1, 8, 8), dtype=np.uint8),
    }
    early = 0.0
    with RunLog.create(folder / "many.h5", [Instrument((8, 8))], {}) as log:
        for number in range(total):
            if number % 10 == 0:
                log.append("read_conductances", {**read, "value": codes * (number % 1000)})
            else:
                log.append("waits", {"array": 0, "device_time": number * 1e-3, "seconds": 1.0})
            if number == total // 10:
                early = _resident()
        late = _resident()
    (folder / "many.h5").unlink()
    note = f"{early:.0f} MB after {total // 10}, {late:.0f} MB after {total}"
    bars.check(f"memory growth over {total} records, MB", late - early, "<=", 20, note)


def _resident() -> float:
    with Path("/proc/self/status").open() as status:
        line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1000
