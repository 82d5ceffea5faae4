"""Write-verify of full arrays with the board's recipe."""

from __future__ import annotations

import time

import numpy as np

from benchmarks.bars import Bars
from benchmarks.speed.reads import without_wires
from benchmarks.timing import exponent
from twin import DigitalTwin, TwinProfile


def measure(bars: Bars) -> None:
    """Targets all over the lower half of the window, on both profiles, with each profile's own recipe."""
    easy, board = without_wires(), TwinProfile.load("supert-a0")
    sizes = bars.size(((64, 0.15), (256, 1.0), (1024, 15.0)), smoke=((8, 0.15), (16, 1.0), (24, 15.0)))
    times = [write_verify(bars, easy, size, required) for size, required in sizes]
    bars.check("exponent of the rows", exponent([size for size, _ in sizes], times), "<=", 2.1, "cells: 2")
    for size, required in bars.size(((64, 0.5), (256, 5.0)), smoke=((8, 0.5), (16, 5.0))):
        write_verify(bars, board, size, required)


def write_verify(bars: Bars, profile: TwinProfile, size: int, required: float) -> float:
    """Wall time of one array, s, beside its bar; the processor's beside it."""
    DigitalTwin(profile, (8, 8)).read_conductances()  # loads what is compiled
    target = np.random.default_rng(0).uniform(2e-6, 100e-6, (size, size))
    twin = DigitalTwin(profile, (size, size), seed=0)
    started, spent = time.perf_counter(), time.process_time()
    report = twin.program_conductances(target)
    took, spent = time.perf_counter() - started, time.process_time() - spent
    note = f"{spent:.2f} s of processor; {report}"
    bars.check(f"{profile.name}: write-verify {size}x{size}, s", took, "<=", required, note)
    return took
