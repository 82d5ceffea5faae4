"""The closed loop: kernels with all noise and converters, one read a step, free and recorded."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.bars import Bars
from benchmarks.speed.reads import without_wires
from benchmarks.timing import exponent, on_processor
from imssa_lab.contract.hal import CrossbarArray, FloatArray
from imssa_lab.log import record
from imssa_lab.mapping import Mapping, map_bundle
from protocols.recurrence import KernelRunner
from trials.untrained import untrained_bundle
from twin import DigitalTwin, TwinProfile

BARS = {"supert-a0-easy": (4.0, 90.0), "supert-a0": (25.0, 1400.0)}
"""Required of 1,000 steps with one sequence and with 64, ms."""


def one_bank(profile: TwinProfile) -> tuple[Mapping, DigitalTwin]:
    """Three kernels of four complex states, side by side in one bank of a 64x64 array."""
    bundle = untrained_bundle(channels=3, states=4, layers=1)
    twin = DigitalTwin(profile, seed=0)
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
    """One sequence and 64, free and recorded, on both profiles, and how the time grows with the steps."""
    for name, required in BARS.items():
        on_profile(bars, name, required)
    mapping, twin = one_bank(without_wires())
    length = bars.size(1000, smoke=64)
    steps = [length // part for part in (8, 4, 2, 1)]
    inputs = np.random.default_rng(0).uniform(-0.5, 0.5, (8, length, 3))
    times = [run([twin], mapping, inputs[:, :count]) for count in steps]
    bars.check("exponent of the steps", exponent(steps, times), "<=", 1.1)


def on_profile(bars: Bars, name: str, required: tuple[float, float]) -> None:
    """One profile's loops beside its bars, ms; the processor time of the best pass beside the wall."""
    mapping, twin = one_bank(without_wires() if name == "supert-a0-easy" else TwinProfile.load(name))
    length, passes = bars.size(1000, smoke=64), bars.size(10, smoke=1)
    for n, most in zip((1, 64), required, strict=True):
        inputs = np.random.default_rng(0).uniform(-0.5, 0.5, (n, length, 3))
        free = best([twin], mapping, inputs, passes)
        least = on_processor(lambda given=inputs: run([twin], mapping, given), bars.size(3, smoke=1))  # type: ignore[misc]
        note = f"{1e3 * least:.1f} ms of processor"
        bars.check(f"{name}: closed loop, {length} steps, batch {n}, ms", 1e3 * free, "<=", most, note)
        with tempfile.TemporaryDirectory() as folder, record(Path(folder) / "run.h5", [twin], {}) as recorded:
            logged = best(recorded, mapping, inputs, passes)
        what = f"{name}: the same recorded, batch {n}, ms"
        bars.check(what, 1e3 * logged, "<=", 1.5 * most, f"{logged / free:.2f} times")
