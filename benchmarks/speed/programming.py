"""Write-verify of full arrays with the board's recipe."""

from __future__ import annotations

import time

import numpy as np

from benchmarks.bars import Bars
from benchmarks.speed.reads import without_wires
from benchmarks.timing import exponent
from twin import DigitalTwin


def measure(bars: Bars) -> None:
    """Three sizes, targets all over the lower half of the window."""
    times = []
    DigitalTwin(without_wires(), (8, 8)).read_conductances()  # loads what is compiled
    full = ((64, 0.15), (256, 1.0), (1024, 15.0))
    sizes = bars.size(full, smoke=((8, 0.15), (16, 1.0), (24, 15.0)))
    for size, required in sizes:
        target = np.random.default_rng(0).uniform(2e-6, 100e-6, (size, size))
        twin = DigitalTwin(without_wires(), (size, size), seed=0)
        started = time.perf_counter()
        report = twin.program_conductances(target)
        times.append(time.perf_counter() - started)
        bars.check(f"write-verify {size}x{size}, s", times[-1], "<=", required, str(report))
    bars.check("exponent of the rows", exponent([size for size, _ in sizes], times), "<=", 2.1, "cells: 2")
