"""Gain and offset of every bit line, from probe vectors against the cells' own conductances."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from imssa_lab.hal import BoolArray, ColumnCalibration, CrossbarArray
from protocols.probes import probe_voltages
from protocols.recurrence import read_signed


def calibrate_columns(array: CrossbarArray, vectors: int = 256, averages: int = 16) -> ColumnCalibration:
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
    array.set_calibration(None)
    measured, ideal = read_signed(array, voltages), voltages @ conductance
    m_mean, i_mean = measured.mean(axis=0), ideal.mean(axis=0)
    variance = ((measured - m_mean) ** 2).sum(axis=0)
    answers: BoolArray = variance > 0
    slope = ((measured - m_mean) * (ideal - i_mean)).sum(axis=0) / np.where(answers, variance, 1.0)
    gain = np.where(answers, slope, 1.0)  # a dead line stays as it is; verification names it
    offset = i_mean - gain * m_mean
    residual = np.sqrt(np.mean((gain * measured + offset - ideal) ** 2, axis=0))
    calibration = ColumnCalibration(gain, offset, residual, datetime.now(UTC).isoformat(timespec="seconds"))
    array.set_calibration(calibration)
    return calibration
