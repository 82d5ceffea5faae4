"""Ten thousand requests over lowered limits, through every way into an array, on every driver."""

from __future__ import annotations

from collections import Counter

from benchmarks.bars import Bars
from trials.electrodes.over_limits import DRIVERS, WAYS, over_limits


def limits(bars: Bars) -> None:
    """What the electrodes saw of them, beside an array whose limits nobody lowered."""
    each = bars.size(2500, smoke=20)
    asked = Counter[str]()
    for driver in DRIVERS:
        seen = over_limits(driver, each, seed=7)
        asked += seen.asked
        refused = ", ".join(f"{name} {count}" for name, count in sorted(seen.refused.items()))
        bars.check(
            f"entries of the journal beyond a lowered limit, {driver}",
            seen.over.total(),
            "==",
            0,
            f"of {seen.driven}; {seen.done} requests done, {refused}",
        )
        strange = "; ".join(seen.strange[:3])
        bars.check(f"errors that no caller could expect, {driver}", len(seen.strange), "==", 0, strange)
    bars.check(
        "requests over limits", asked.total(), ">=", 4 * each, ", ".join(f"{way} {asked[way]}" for way in WAYS)
    )
    control = over_limits("scpi", bars.size(200, smoke=40), seed=7, ways=("script", "threads"), lowered=False)
    bars.check("null control, limits not lowered: entries beyond", control.over.total(), ">=", 1)
