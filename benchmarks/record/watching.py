"""A second process that follows the file: how soon it sees a record, and what it costs the writer."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.bars import Bars
from benchmarks.record.instrument import Instrument
from imssa_lab.log import RunLog
from imssa_lab.log.read.follower import Follower

_POLL = 0.1


def _follow(path: Path) -> None:
    """Tell the age of every record when it is first seen, until the file is closed."""
    os.nice(1)
    with Follower(path, last=0) as follower:
        os.write(1, b"r")
        while True:
            fresh = follower.new()
            now = time.time()
            if fresh:
                ages = [now - record.wall_time for record in fresh]
                os.write(1, struct.pack(f"<{len(ages)}d", *ages))
            if follower.ended:
                return
            time.sleep(_POLL)


def watching(bars: Bars, folder: Path) -> None:
    """Latency at a bench's pace, slowing at full speed."""
    codes = np.random.default_rng(1).normal(3000, 50, (1, 64, 64)).astype(np.int16)
    values = {
        "array": 0,
        "mask": np.ones((64, 64), dtype=np.bool_),
        "value": codes,
        "range": np.zeros((1, 64, 64), dtype=np.uint8),
    }

    def run(name: str, seconds: float, pause: float, watched: bool) -> tuple[float, list[float]]:
        path = folder / name
        told: list[bytes] = []
        follower = None
        with RunLog.create(path, [Instrument()], {}) as log:
            if watched:
                follower = subprocess.Popen(
                    [sys.executable, "-m", "benchmarks.record.watching", str(path)], stdout=subprocess.PIPE
                )
                pipe = follower.stdout
                assert pipe is not None
                assert pipe.read(1) == b"r"
                drain = threading.Thread(target=lambda: told.append(pipe.read()))
                drain.start()
            start, count = time.perf_counter(), 0
            while time.perf_counter() - start < seconds:
                log.append("read_conductances", {**values, "device_time": count * 1e-3})
                count += 1
                if pause:
                    time.sleep(pause)
            rate = count / (time.perf_counter() - start)
            time.sleep(0.3 if watched else 0)
        ages: list[float] = []
        if follower is not None:
            drain.join()
            ages = list(struct.unpack(f"<{len(told[0]) // 8}d", told[0]))
            assert follower.wait() == 0
        path.unlink()
        return rate, ages

    seconds = bars.size(15.0, quick=3.0, smoke=0.5)
    rate, ages = run("seen.h5", seconds, 0.004, watched=True)
    share = float(np.mean(np.array(ages) <= 0.5)) if ages else 0.0
    note = f"{len(ages)} records seen, median {median(ages) if ages else 0:.3f} s, {rate:.0f} records/s"
    bars.check("records seen by a second process within 0.5 s", share, ">=", 0.99, note)
    alone, watched = [], []
    for turn in range(bars.size(5, quick=2, smoke=1)):
        alone.append(run(f"alone{turn}.h5", seconds / 5, 0.0, watched=False)[0])
        watched.append(run(f"watched{turn}.h5", seconds / 5, 0.0, watched=True)[0])
    slower = 1 - median(watched) / median(alone)
    bars.check(
        "slowing by a second process", slower, "<=", 0.1, f"{median(alone):.0f}, {median(watched):.0f} records/s"
    )


if __name__ == "__main__":
    _follow(Path(sys.argv[1]))
