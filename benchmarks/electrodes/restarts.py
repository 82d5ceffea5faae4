"""A hundred restarts of each instrument behind a connection that is kept, at random moments."""

from __future__ import annotations

from collections import Counter

from benchmarks.bars import Bars
from trials.electrodes.bench_restarts import Restarts, smu_restarts, supert_restarts
from trials.electrodes.instrument_restarts import MOMENTS, scpi_restarts


def restarts(bars: Bars) -> None:
    """Random products, reads and pulses on a superT A0, an SCPI array tester, and benches of meters and matrices."""
    count = bars.size(100, smoke=4)
    _judge(bars, "superT A0", supert_restarts(count, seed=21), count)
    _scpi(bars, count)
    # two meters and a matrix on each of three benches: a hundred of each generation of meters, and of matrices
    _judge(bars, "meters and matrices", smu_restarts(bars.size(306, smoke=9), seed=21), bars.size(300, smoke=9))


def _judge(bars: Bars, name: str, seen: Restarts, least: int) -> None:
    bars.check(f"restarts, {name}", seen.count.total(), ">=", least, f"{_listed(seen.count)}; {_listed(seen.failed)}")
    bars.check(f"wrong answers and silent pulses after them, {name}", seen.wrong, "==", 0, f"{seen.good} right ones")
    bars.check(f"restarts that nobody noticed, {name}", seen.unnoticed, "==", 0)


def _scpi(bars: Bars, count: int) -> None:
    outcome = scpi_restarts(count, seed=21)
    moments = ", ".join(f"{moment} {outcome.count[moment]}" for moment in MOMENTS)
    note = f"{moments}; {_listed(outcome.failed)}"
    bars.check("restarts, SCPI array tester", outcome.count.total(), ">=", count, note)
    bars.check("answers of the new session given as the old one's", outcome.foreign, "==", 0)
    bars.check(
        "wrong answers and silent pulses after them, SCPI", outcome.wrong, "==", 0, f"{outcome.good} right ones"
    )
    bars.check("electrodes driven in the new session by an array of the old one", outcome.driven, "==", 0)
    bars.check("restarts that nobody noticed, SCPI", outcome.unnoticed, "==", 0)
    control = scpi_restarts(max(count // 5, 4), seed=21, remembers=True)
    bars.check("null control, session kept: answers of the new session", control.foreign, ">=", 1)


def _listed(counted: Counter[str]) -> str:
    return ", ".join(f"{what} {count}" for what, count in sorted(counted.items()))
