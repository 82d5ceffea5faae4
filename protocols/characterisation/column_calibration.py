"""Gain and offset of every bit line, from probe vectors against the cells' own conductances."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from imssa_lab.contract.array_types import is_gain
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.hal import BoolArray, ColumnCalibration, CrossbarArray, FloatArray
from protocols.probes import probe_voltages
from protocols.recurrence import read_signed

VECTORS = 256
"""Products that a calibration is fitted to."""
_ANSWERS = 0.5
"""A bit line does not answer when its products miss more than this share of the rms of what they should be."""


def calibrate_columns(array: CrossbarArray, vectors: int = VECTORS, averages: int = 16) -> ColumnCalibration:
    """Measure the column calibration and let the array carry it.

    Ordinary least squares of ideal on measured current, first order, column by column. Ideal is V G with G read
    cell by cell, which does not pass through the column amplifiers' errors.

    Args:
        vectors: how many, spread over the read limit; averages: of the conductance read.

    Returns:
        The calibration that the array carries from now on.
    """
    conductance = array.read_conductances(averages=averages)
    voltages = probe_voltages(vectors, array.info.rows, array.info.limits.read_voltage)
    with _uncalibrated(array) as carries:
        calibration = fitted_columns(read_signed(array, voltages), voltages @ conductance)
        carries.afterwards = calibration
    return calibration


def fitted_columns(measured: FloatArray, ideal: FloatArray) -> ColumnCalibration:
    """Least squares of `ideal` on `measured` currents, both (n, cols), A, column by column.

    A bit line whose slope is no gain (`is_gain`), such as 0 where nothing varies, keeps gain 1.
    """
    m_mean, i_mean = measured.mean(axis=0), ideal.mean(axis=0)
    varies = np.ptp(measured, axis=0) > 0  # a variance would be above zero by rounding of the mean
    variance = ((measured - m_mean) ** 2).sum(axis=0)
    slope = ((measured - m_mean) * (ideal - i_mean)).sum(axis=0) / np.where(varies, variance, 1.0)
    # a line without answers, or without cells that conduct, stays as it is; verification names it
    gain = np.where(varies & is_gain(slope), slope, 1.0)
    offset = i_mean - gain * m_mean
    residual = np.sqrt(np.mean((gain * measured + offset - ideal) ** 2, axis=0))
    return ColumnCalibration(gain, offset, residual, datetime.now(UTC).isoformat(timespec="seconds"))


@dataclass
class _Carried:
    afterwards: ColumnCalibration | None


@contextmanager
def _uncalibrated(array: CrossbarArray) -> Iterator[_Carried]:
    """`array` without column correction; at the end, by whatever way, it carries `afterwards`."""
    carried = _Carried(array.calibration)
    array.set_calibration(None)
    try:
        yield carried
    finally:
        array.set_calibration(carried.afterwards)


@dataclass(frozen=True)
class ColumnCheck(FrozenArrays):
    """Residual errors of products against the cells' own currents, as conductance of one cell, S, rms, (cols,).

    Attributes:
        before, after: without and with the calibration that the array carries.
        ideal: rms of what they should be.
    """

    before: FloatArray
    after: FloatArray
    ideal: FloatArray

    @property
    def silent(self) -> BoolArray:
        """Bit lines (cols,) that do not answer, so that no gain and offset can make their products right."""
        return np.asarray(self.after > _ANSWERS * self.ideal)


def check_columns(array: CrossbarArray, vectors: int = 64, averages: int = 16, fitted: int = VECTORS) -> ColumnCheck:
    """Test the calibration of `array` with probe vectors and readings of cells that were not used for the fit.

    A current I counts as the conductance I / V of one cell at the read voltage V.

    Args:
        vectors: how many; averages: of the conductance read; fitted: vectors of the calibration, left out here.
    """
    conductance = array.read_conductances(averages=averages)
    voltages = probe_voltages(fitted + vectors, array.info.rows, array.info.limits.read_voltage)[fitted:]
    ideal = voltages @ conductance

    def rms(current: FloatArray) -> FloatArray:
        return np.asarray(np.sqrt(np.mean(current**2, axis=0)) / array.info.read_voltage)

    with _uncalibrated(array):
        before = rms(read_signed(array, voltages) - ideal)
    return ColumnCheck(before, rms(read_signed(array, voltages) - ideal), rms(ideal))
