"""Outputs of kernels and dense layers beside exact ones: digital corrections, and what error remains."""

from __future__ import annotations

import numpy as np

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.errors import DeploymentError


def corrected_outputs(raw: FloatArray, gain: FloatArray, offset: FloatArray) -> FloatArray:
    """Outputs (..., channels) for raw ones of the same shape.

    Args:
        gain: (channels,) a factor for each output, or (channels read, channels) a map over all of them.
        offset: (channels,).
    """
    return np.asarray((gain * raw if gain.ndim == 1 else raw @ gain) + offset)


def output_correction(layer: int, measured: FloatArray, ideal: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Least-squares gain and offset of every channel, (channels,), measured -> ideal, both (n, steps, channels).

    Raises:
        DeploymentError: a channel's output is constant; the message names the layer.
    """
    m, t = (values.reshape(-1, values.shape[-1]) for values in (measured, ideal))
    m_mean, t_mean = m.mean(axis=0), t.mean(axis=0)
    constant = np.ptp(m, axis=0) == 0  # a variance would be above zero by rounding of the mean
    if constant.any():
        raise DeploymentError(
            f"layer {layer}: channels {np.flatnonzero(constant).tolist()} give a constant output on the "
            "calibration inputs; check that the array is powered and programmed"
        )
    gain = ((m - m_mean) * (t - t_mean)).sum(axis=0) / ((m - m_mean) ** 2).sum(axis=0)
    return gain, t_mean - gain * m_mean


def nrmse(measured: FloatArray, ideal: FloatArray) -> FloatArray:
    """rms(measured - ideal) / sd(ideal) of every channel, (channels,), for arrays (n, steps, channels)."""
    spread = ideal.std(axis=(0, 1))
    error = np.sqrt(np.mean((measured - ideal) ** 2, axis=(0, 1)))
    return np.asarray(error / np.where(spread > 0, spread, np.inf))


def dense_correction(measured: FloatArray, exact: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Gain and offset of every output, (outputs,), measured -> exact, both (..., outputs).

    An output that stands still where it is measured keeps its gain; the offset brings its mean to the exact one. It
    holds nothing then, and the level says so.
    """
    m, e = (values.reshape(1, -1, values.shape[-1]) for values in (measured, exact))
    gain = np.ones(m.shape[-1])
    offset = np.asarray(e.mean(axis=(0, 1)) - m.mean(axis=(0, 1)))
    moving = np.ptp(m, axis=(0, 1)) > 0
    if moving.any():
        gain[moving], offset[moving] = output_correction(0, m[..., moving], e[..., moving])
    return gain, offset


def dense_errors(measured: FloatArray, exact: FloatArray) -> tuple[float, FloatArray]:
    """Error of a layer: pooled over all its outputs, and by output, as NRMSE = rms of the error / sd of the exact.

    Args:
        measured, exact: (..., outputs).

    Returns:
        The root of the mean squared error over the mean variance of all outputs; and (outputs,), of each, NaN where
        the exact output stands still.
    """
    m, e = (values.reshape(-1, values.shape[-1]) for values in (measured, exact))
    squared, variance = ((m - e) ** 2).mean(axis=0), e.var(axis=0)
    whole = float(variance.mean())
    each = np.sqrt(squared / np.where(variance > 0, variance, np.nan))
    return float(np.sqrt(squared.mean() / whole)) if whole > 0 else float(np.nan), np.asarray(each)
