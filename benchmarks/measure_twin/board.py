"""The profile `supert-a0` against what was measured on the superT A0 board."""

from __future__ import annotations

import numpy as np

from benchmarks.bars import Bars
from imssa_lab.contract.hal import BoolArray, FloatArray
from protocols.characterisation.column_calibration import calibrate_columns
from protocols.programmers.hysteretic import WriteVerify
from twin import DigitalTwin, TwinProfile

PROFILE = "supert-a0"
SEEDS = (0, 1, 2, 3, 4)
LOW, HIGH = 2e-6, 100e-6
"""S, the window of the board's one-sided pairs."""


def measure(bars: Bars) -> None:
    """Every bar of the board, each by its median over five chips."""
    profile = TwinProfile.load(PROFILE)
    chips = [programmed(profile, seed, pair_targets(seed)) for seed in SEEDS]
    inner, outer = np.median([within(twin, target) for twin, target in chips], axis=0)
    note = "full array, one-sided pairs over 2-100 uS, own recipe, one independent read; median of 5 chips"
    between(bars, "write-verify, inside 4 uS, %", 100 * inner, 84, 90, note)
    between(bars, "write-verify, inside 10 uS, %", 100 * outer, 92, 97, note)
    gains = [column_gains(twin) for twin, _ in chips]
    note = "calibrate_columns, bit lines that work; median of 5 chips"
    between(bars, "column gain, mean", float(np.median([gain.mean() for gain in gains])), 1.1, 1.3, note)
    between(bars, "column gain, sd", float(np.median([gain.std() for gain in gains])), 0.14, 0.20, note)
    errors = [product_error(twin, target, seed) for seed, (twin, target) in zip(SEEDS, chips, strict=True)]
    note = "64 word lines, one-bit inputs, 400 vectors, ideal from targets; median of 5 chips"
    between(bars, "products after column correction, uS rms", 1e6 * float(np.median(errors)), 65, 74, note)
    print(f"     by chip: {', '.join(f'{1e6 * error:.1f}' for error in errors)} uS")
    eight = [product_error(twin, target, seed, bits=8) for seed, (twin, target) in zip(SEEDS, chips, strict=True)]
    print(f"     with 8-bit inputs: {1e6 * float(np.median(eight)):.1f} uS")
    nonzero = [programmed(profile, seed, uniform_targets(seed), averages=3, max_steps=220) for seed in SEEDS]
    inner, outer = np.median([within(twin, target, ~twin.cells.stuck, 3) for twin, target in nonzero], axis=0)
    note = "board: 80.3-84.2 and 99.2-99.5 % in blocks of 355-365 targets above zero; verified by means of 3 reads"
    print(f"     cells that are not stuck, uniform 2-100 uS: {100 * inner:.1f}, {100 * outer:.1f} %  {note}")
    uniform = [programmed(profile, seed, uniform_targets(seed)) for seed in SEEDS]
    inner, outer = np.median([within(twin, target) for twin, target in uniform], axis=0)
    print(f"     full array, uniform 2-100 uS, own recipe, one read: {100 * inner:.1f}, {100 * outer:.1f} %")


def between(bars: Bars, what: str, measured: float, low: float, high: float, note: str) -> None:
    """Check both ends."""
    bars.check(what, measured, ">=", low, note)
    bars.check(what, measured, "<=", high)


def pair_targets(seed: int, shape: tuple[int, int] = (64, 64)) -> FloatArray:
    """Weights uniform in -1 to 1 as the board's one-sided pairs, even columns +, odd -: half are at the bottom."""
    weights = np.random.default_rng([seed, 1]).uniform(-1, 1, (shape[0], shape[1] // 2))
    pairs = np.stack([np.maximum(weights, 0.0), np.maximum(-weights, 0.0)], axis=-1)
    return np.asarray(LOW + (HIGH - LOW) * pairs.reshape(shape))


def uniform_targets(seed: int, shape: tuple[int, int] = (64, 64)) -> FloatArray:
    """Targets uniform over the same window, none of them at the bottom."""
    return np.random.default_rng([seed, 2]).uniform(LOW, HIGH, shape)


def programmed(profile: TwinProfile, seed: int, target: FloatArray, **recipe: int) -> tuple[DigitalTwin, FloatArray]:
    """A chip after its own recipe, keys of which may be replaced, and the target."""
    twin = DigitalTwin(profile, (target.shape[0], target.shape[1]), seed)
    twin.program_conductances(
        target, programmer=WriteVerify.model_validate({**profile.recipe.model_dump(), **recipe})
    )
    return twin, target


def within(
    twin: DigitalTwin, target: FloatArray, mask: BoolArray | None = None, averages: int = 1
) -> tuple[float, float]:
    """Fractions of cells (of the mask) within 4 and 10 uS of their targets by an independent read."""
    error = np.abs(twin.read_conductances(averages=averages) - target)[... if mask is None else mask]
    return float(np.mean(error <= 4e-6)), float(np.mean(error <= 10e-6))


def column_gains(twin: DigitalTwin) -> FloatArray:
    """a of corrected = a measured + b for bit lines that are not dead; the chip carries no calibration afterwards."""
    gain = calibrate_columns(twin).gain
    twin.set_calibration(None)
    return np.asarray(gain[~twin.cells.faults.bits])


def product_error(twin: DigitalTwin, target: FloatArray, seed: int, bits: int = 1) -> float:
    """Rms error of products in S (current over read voltage) after the least-squares line of every bit line.

    400 vectors of random numbers of so many bits on all word lines; ideal is the target matrix times the numbers, as
    the board's laboratory took it; bit lines that are dead are left out.
    """
    top = 2**bits - 1
    numbers = np.random.default_rng([seed, 3]).integers(0, top + 1, (400, target.shape[0])) / top
    volt = twin.profile.read_voltage
    measured, ideal = twin.read_mvm(volt * numbers) / volt, numbers @ target
    squares = []
    for col in np.flatnonzero(~twin.cells.faults.bits):
        slope, offset = np.polyfit(measured[:, col], ideal[:, col], 1)
        squares.append(np.mean((slope * measured[:, col] + offset - ideal[:, col]) ** 2))
    return float(np.sqrt(np.mean(squares)))
