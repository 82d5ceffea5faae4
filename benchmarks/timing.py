"""Timing of small pieces of work, one beside the other."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray


def seconds(work: Callable[[], object], repeats: int = 7, at_least: float = 0.02) -> float:
    """Median wall time of one call, each timed over as many calls as take `at_least` s; the first does not count."""
    work()
    started = time.perf_counter()
    work()
    once = time.perf_counter() - started
    calls = max(1, int(at_least / max(once, 1e-7)))
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        for _ in range(calls):
            work()
        times.append((time.perf_counter() - started) / calls)
    return statistics.median(times)


def on_processor(work: Callable[[], object], repeats: int = 7) -> float:
    """Least processor time of one call, s: what other programs on the machine spoil least."""
    work()
    least = float("inf")
    for _ in range(repeats):
        started = time.process_time()
        work()
        least = min(least, time.process_time() - started)
    return least


def side_by_side(works: Sequence[Callable[[], object]], rounds: int = 300) -> NDArray[np.float64]:
    """Wall times of single calls in s, (rounds, works), taken in turns, there and back; the first do not count.

    What slows the machine down for a while slows all of them: differences within a round are to be trusted where
    those of `seconds` are not.
    """
    for work in works:
        work()
    times = np.empty((rounds, len(works)))
    for i in range(rounds):
        for j in range(len(works)) if i % 2 else reversed(range(len(works))):
            started = time.perf_counter()
            works[j]()
            times[i, j] = time.perf_counter() - started
    return times


def exponent(sizes: Sequence[float], times: Sequence[float]) -> float:
    """Slope of ln time over ln size, least squares."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])
