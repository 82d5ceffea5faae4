"""Scripts stopped in the middle, on instruments that do not help: the ground by their journals."""

from __future__ import annotations

import numpy as np

from benchmarks.bars import Bars
from trials.stops import CODES, WATCHDOG, Stops, kills, stops

_SLOWEST = {"scpi": 1.0, "superT": 1.0, "smu and matrix": 3.0}
"""s; a meter has relays to open."""
_EACH = 105
"""Trials for an instrument: 15 for each way."""


def stopped_scripts(bars: Bars) -> None:
    """Signals, an exception, a closed terminal, another thread, at random moments of programming; and kill -9."""
    rng = np.random.default_rng(18)
    trials = 0
    for kind, slowest in _SLOWEST.items():
        outcome = stops(kind, bars.size(_EACH, smoke=2), rng)
        trials += outcome.trials
        _grounded(bars, outcome, kind, slowest)
        strange = "; ".join(outcome.strange)
        bars.check(f"other exit codes, or threads that went on, {kind}", len(outcome.strange), "==", 0, strange)
    bars.check("scripts stopped, in all", trials, ">=", 300, ", ".join(CODES))
    killed = kills(bars.size(30, smoke=2), rng)
    _grounded(bars, killed, f"kill -9 and frozen scripts, watchdog of {WATCHDOG:g} s", WATCHDOG + 0.1)


def _grounded(bars: Bars, outcome: Stops, what: str, slowest: float) -> None:
    bars.check(f"outputs not at 0 V and grounded, {what}", outcome.ungrounded, "==", 0, f"{outcome.trials} trials")
    bars.check(f"slowest way there, s, {what}", outcome.slowest, "<=", slowest)
