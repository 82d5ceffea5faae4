"""The profile `supert-a0` against what was measured on the superT A0 board."""

from __future__ import annotations

import numpy as np

from benchmarks.bars import Bars
from trials.board_statistics import column_gains, pair_targets, product_error, programmed, uniform_targets, within
from twin import TwinProfile

PROFILE = "supert-a0"
SEEDS: tuple[int, ...] = (0, 1, 2, 3, 4)


def measure(bars: Bars) -> None:
    """Every bar of the board, each by its median over five chips."""
    profile = TwinProfile.load(PROFILE)
    seeds, shape = bars.size(SEEDS, smoke=SEEDS[:1]), bars.size((64, 64), smoke=(16, 16))
    chips = [programmed(profile, seed, pair_targets(seed, shape)) for seed in seeds]
    inner, outer = np.median([within(twin, target) for twin, target in chips], axis=0)
    note = "full array, one-sided pairs over 2-100 uS, own recipe, one independent read; median of 5 chips"
    between(bars, "write-verify, inside 4 uS, %", 100 * inner, 84, 90, note)
    between(bars, "write-verify, inside 10 uS, %", 100 * outer, 92, 97, note)
    gains = [column_gains(twin) for twin, _ in chips]
    note = "calibrate_columns, bit lines that work; median of 5 chips"
    between(bars, "column gain, mean", float(np.median([gain.mean() for gain in gains])), 1.1, 1.3, note)
    between(bars, "column gain, sd", float(np.median([gain.std() for gain in gains])), 0.14, 0.20, note)
    errors = [product_error(twin, target, seed) for seed, (twin, target) in zip(seeds, chips, strict=True)]
    note = "64 word lines, one-bit inputs, 400 vectors, ideal from targets; median of 5 chips"
    between(bars, "products after column correction, uS rms", 1e6 * float(np.median(errors)), 65, 74, note)
    print(f"     by chip: {', '.join(f'{1e6 * error:.1f}' for error in errors)} uS")
    eight = [product_error(twin, target, seed, bits=8) for seed, (twin, target) in zip(seeds, chips, strict=True)]
    print(f"     with 8-bit inputs: {1e6 * float(np.median(eight)):.1f} uS")
    nonzero = [programmed(profile, seed, uniform_targets(seed, shape), averages=3, max_steps=220) for seed in seeds]
    inner, outer = np.median([within(twin, target, ~twin.cells.stuck, 3) for twin, target in nonzero], axis=0)
    note = "uniform 2-100 uS, cells that are not stuck, 220 steps, means of 3 reads; median of 5 chips; laboratory: "
    between(bars, "targets above zero, inside 4 uS, %", 100 * inner, 80.3 - 5, 84.2 + 5, note + "80.3-84.2, 2 blocks")
    between(bars, "targets above zero, inside 10 uS, %", 100 * outer, 99.2 - 5, 100, note + "99.2-99.5, 2 blocks")
    uniform = [programmed(profile, seed, uniform_targets(seed, shape)) for seed in seeds]
    inner, outer = np.median([within(twin, target) for twin, target in uniform], axis=0)
    print(
        f"     full array, uniform 2-100 uS, own recipe, one read: {100 * inner:.1f}, {100 * outer:.1f} %; the"
        " laboratory's yields of full arrays (86-89, 93-96 %) do not say their targets"
    )


def between(bars: Bars, what: str, measured: float, low: float, high: float, note: str) -> None:
    """Check both ends."""
    bars.check(what, measured, ">=", low, note)
    bars.check(what, measured, "<=", high)
