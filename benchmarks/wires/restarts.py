"""Restarts of an instrument behind a connection that is kept."""

from __future__ import annotations

from benchmarks.bars import Bars
from trials.electrodes.instrument_restarts import MOMENTS, scpi_restarts


def restarts(bars: Bars) -> None:
    """An SCPI array tester restarts at random moments over products, reads and pulses, beside its null control."""
    count = bars.size(100, quick=24, smoke=4)
    outcome = scpi_restarts(count, seed=21)
    failed = ", ".join(f"{kind} {times}" for kind, times in sorted(outcome.failed.items()))
    moments = ", ".join(f"{moment} {outcome.count[moment]}" for moment in MOMENTS)
    bars.check("restarts of an SCPI tester", outcome.count.total(), ">=", count, f"{moments}; {failed}")
    bars.check("answers of the new session given as the old one's", outcome.foreign, "==", 0)
    bars.check("wrong answers and silent pulses", outcome.wrong, "==", 0, f"{outcome.good} right ones")
    bars.check("electrodes driven in the new session by an array of the old one", outcome.driven, "==", 0)
    bars.check("restarts after which the array was still of use", outcome.unnoticed, "==", 0)
    control = scpi_restarts(max(count // 5, 4), seed=21, remembers=True)
    bars.check("null control, session kept: answers of the new session", control.foreign, ">=", 1)
