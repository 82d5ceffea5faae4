"""What the log costs a write-verify run of a superT A0 over the pty."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bars import Bars
from benchmarks.record.days import supert
from imssa_lab.contract.hal import (
    BoolArray,
    CrossbarArray,
    FloatArray,
    Programmer,
    ProgrammingReport,
    Pulses,
    Readout,
)
from imssa_lab.log import Recorded, RunLog

_STRETCH = 10  # calls: what a record leaves behind in the processor's caches is paid for within it

# A decorator of the contract acts on the backend half of the array inside it.
# ruff: noqa: SLF001


def overhead(bars: Bars, folder: Path) -> None:
    """Runs of which every other stretch is recorded; what one run records the next leaves out.

    Whole runs differ by a tenth from one to the next, however idle the machine; neighbouring stretches of a run do
    not. On one core: board and driver share an interpreter, so that one of them runs at a time, and where the system
    puts their threads makes a run half as long again.
    """
    turns = []
    for turn in range(bars.size(6, quick=1, smoke=1)):
        taken = np.zeros(2)
        for phase in (0, 1):
            with one_core(), supert(bars.size(64, smoke=6)) as (stream, connect), connect(stream) as array:
                target = np.linspace(5e-6, 100e-6, array.info.rows * array.info.cols).reshape(array.info.shape)
                with RunLog.create(folder / f"overhead{turn}{phase}.h5", [array], {}) as log:
                    taken += InStretches(array, log, phase).program(target)
        turns.append(taken)
    without, recorded = np.sum(turns, axis=0)
    each = ", ".join(f"{logged / bare - 1:.3f}" for bare, logged in turns)
    note = f"{without / len(turns):.2f} s a run without; turns {each}"
    bars.check("log overhead on write-verify over the superT A0's pty", recorded / without - 1, "<=", 0.1, note)


class InStretches(Recorded):
    """Records its calls for a stretch, and leaves the next stretch out; adds up what either takes.

    A call's time lasts until the next one begins. In phase 0 the whole run is recorded as such as well, in phase 1 it
    is not: what comes before the first call and what ends the run counts accordingly.
    """

    def __init__(self, array: CrossbarArray, log: RunLog, phase: int) -> None:
        super().__init__(array, log)
        self._phase = phase
        self._calls = 0
        self._taken = np.zeros(2)
        self._recording = phase == 0
        self._since = 0.0

    def program(self, target: FloatArray) -> FloatArray:
        """Write-verify of the whole array; gives the seconds of what was not recorded, and of what was."""
        self._since = time.perf_counter()
        self.program_conductances(target)
        self._switch(True)
        return self._taken

    def _program(self, programmer: Programmer | None, target: FloatArray, mask: BoolArray) -> ProgrammingReport:
        if self._phase == 0:
            return super()._program(programmer, target, mask)
        return CrossbarArray._program(self, programmer, target, mask)

    def _switch(self, recording: bool) -> None:
        now = time.perf_counter()
        self._taken[int(self._recording)] += now - self._since
        self._recording, self._since = recording, now

    def _next_call(self) -> None:
        self._switch((self._calls // _STRETCH + self._phase) % 2 == 1)
        self._calls += 1

    def _append(self, table: str, values: Mapping[str, Any], device_time: float) -> int:
        if table == "program":
            self._switch(True)
        return super()._append(table, values, device_time)

    def _read_conductances(self, mask: BoolArray, averages: int) -> Readout:
        self._next_call()
        if self._recording:
            return super()._read_conductances(mask, averages)
        return self._array._read_conductances(mask, averages)

    def _apply_pulses(self, pulses: Pulses) -> None:
        self._next_call()
        if self._recording:
            super()._apply_pulses(pulses)
        else:
            self._array._apply_pulses(pulses)

    def _time(self) -> float:
        return super()._time() if self._recording else self._array._time()


@contextmanager
def one_core() -> Iterator[None]:
    """Threads that are started inside run on one processor; where the system cannot do that, on all."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(all_of_them)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_of_them)
