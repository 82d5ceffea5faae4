"""The closed loop: kernels with all noise and converters, one read a step, free and recorded."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.bars import Bars
from benchmarks.speed.reads import without_wires
from benchmarks.timing import exponent
from imssa_lab.contract.hal import CrossbarArray, FloatArray
from imssa_lab.log import record
from imssa_lab.mapping import Mapping, map_bundle
from protocols.recurrence import KernelRunner
from trials.untrained import untrained_bundle
from twin import DigitalTwin


def one_bank() -> tuple[Mapping, DigitalTwin]:
    """Three kernels of four complex states, side by side in one bank of a 64x64 array."""
    bundle = untrained_bundle(channels=3, states=4, layers=1)
    twin = DigitalTwin(without_wires(), seed=0)
    return map_bundle(bundle, twin.info.shape, twin.info.window, 1), twin


def run(arrays: Sequence[CrossbarArray], mapping: Mapping, inputs: FloatArray) -> float:
    """Seconds of one pass."""
    runner = KernelRunner(arrays, mapping)
    started = time.perf_counter()
    runner.raw(0, inputs)
    return time.perf_counter() - started


def best(arrays: Sequence[CrossbarArray], mapping: Mapping, inputs: FloatArray, passes: int) -> float:
    """Seconds of the best of so many passes after a short one: a shared processor is at half speed for a second."""
    run(arrays, mapping, inputs[:, :50])
    return min(run(arrays, mapping, inputs) for _ in range(passes))


def measure(bars: Bars) -> None:
    """One sequence and 64, free and recorded, and how the time grows with the steps."""
    mapping, twin = one_bank()
    length, passes = bars.size(1000, smoke=64), bars.size(10, smoke=1)
    for n, required in ((1, 4.0), (64, 90.0)):
        inputs = np.random.default_rng(0).uniform(-0.5, 0.5, (n, length, 3))
        free = best([twin], mapping, inputs, passes)
        bars.check(f"closed loop, {length} steps, batch {n}, ms", 1e3 * free, "<=", required)
        with tempfile.TemporaryDirectory() as folder, record(Path(folder) / "run.h5", [twin], {}) as recorded:
            logged = best(recorded, mapping, inputs, passes)
        bars.check(
            f"the same recorded, batch {n}, ms", 1e3 * logged, "<=", 1.5 * required, f"{logged / free:.2f} times"
        )
    steps = [length // part for part in (8, 4, 2, 1)]
    inputs = np.random.default_rng(0).uniform(-0.5, 0.5, (8, length, 3))
    times = [run([twin], mapping, inputs[:, :count]) for count in steps]
    bars.check("exponent of the steps", exponent(steps, times), "<=", 1.1)
