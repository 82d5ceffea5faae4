"""The statistics that were published of the superT A0 board, taken of a twin in the board's own way."""

from __future__ import annotations

import numpy as np

from imssa_lab.contract.hal import BoolArray, FloatArray
from protocols.characterisation.column_calibration import calibrate_columns
from protocols.programmers.hysteretic import WriteVerify
from twin import DigitalTwin, TwinProfile

LOW, HIGH = 2e-6, 100e-6
"""S, the window of the board's one-sided pairs."""


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
