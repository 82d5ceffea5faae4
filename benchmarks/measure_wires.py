"""make measure-wires: instruments on wires, their stops and speed (25 minutes)."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

import numpy as np

from benchmarks.bars import Bars
from benchmarks.parts import Part, measure
from benchmarks.wires.requests import same_bits, threads
from benchmarks.wires.speed import speed
from benchmarks.wires.whole import contract, demos, traps
from trials.stops import WATCHDOG, kills, stops


def stopping(bars: Bars) -> None:
    """Exception, Ctrl-C and SIGTERM at random moments, and kill -9."""
    rng = np.random.default_rng(15)
    for kind, many in (("scpi", 100), ("superT", 100), ("smu and matrix", 30)):
        trials = bars.size(many, quick=6, smoke=1)
        outcome = stops(kind, trials, rng)
        bars.check(f"stops in the middle of programming, {kind}", outcome.trials, ">=", trials)
        bars.check(f"outputs not at 0 V and grounded after them, {kind}", outcome.ungrounded, "==", 0)
        bars.check(f"slowest way to 0 V and ground, s, {kind}", outcome.slowest, "<=", 1.0)
    outcome = kills(bars.size(30, quick=3, smoke=1), rng)
    bars.check("kill -9 and frozen scripts: outputs not grounded, scpi", outcome.ungrounded, "==", 0)
    bars.check(f"slowest, s, with a watchdog of {WATCHDOG:g} s", outcome.slowest, "<=", WATCHDOG + 0.1)


def _part(run: Callable[[Bars], None], cells: str, array: str, seeds: str, profile: str = "supert-a0-easy") -> Part:
    """By default the easy board: it is the wire that is measured."""
    return Part(lambda bars, given: run(bars), profile, cells, array, seeds)


_BOTH = "drivers of superT A0 and SCPI, virtual instruments"
PARTS = {
    "contract": _part(contract, "pulses", "every kind of tests/contract", "5"),
    "traps": _part(traps, "pulses", "drivers, virtual instruments", "those of the tests"),
    "bits": _part(same_bits, "pulses", f"{_BOTH}, beside the twin in process", "1, 5, 6"),
    "threads": _part(threads, "none", "driver of SCPI, virtual instrument", "1"),
    "stopping": _part(stopping, "pulses", "drivers of superT A0, SCPI and SMU with matrix, virtual", "0, 3, 15"),
    "speed": _part(speed, "pulses", _BOTH, "0, 1"),
    "demos": _part(demos, "pulses", _BOTH, "0", "supert-a0"),
}

if __name__ == "__main__":
    logging.disable(logging.WARNING)  # that links get back in step thousands of times
    sys.exit(measure(__doc__, PARTS, quick=True))
