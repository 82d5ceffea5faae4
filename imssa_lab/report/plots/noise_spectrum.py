"""Noise of readings."""

from __future__ import annotations

import numpy as np
import xarray
from matplotlib.figure import Figure

from imssa_lab.log.run import Run
from imssa_lab.report.measured.repeats import repeats
from imssa_lab.report.plots.style import CYCLE, GREY, MICRO, bands, legend_below, nothing_to_show, one_axis

_FEWEST = 16


def noise_spectra(source: Run | xarray.Dataset, array: int = 0) -> Figure:
    """Power spectral density of readings repeated at even times, the median over cells, in bands of conductance.

    Estimated with a Hann window (Harris, Proc. IEEE 66, 51, 1978) of each cell's readings less their line; white
    noise is flat, 1/f noise follows the dotted slope.

    Args:
        source: a run, or what `measured.repeats` made of it; array: which one of a run.
    """
    data = source if isinstance(source, xarray.Dataset) else repeats(source, array)
    figure, axis = one_axis(3.4)
    even = _even_part(data["device_time"].values)
    if even is None:
        nothing_to_show(axis, f"fewer than {_FEWEST} readings at even times")
        return figure
    part, step = even
    values = MICRO * data["conductance"].values[part]
    count = len(values)
    place = np.arange(count) - (count - 1) / 2
    slope = place @ values / (place @ place)
    residual = values - values.mean(axis=0) - place[:, None] * slope
    window = np.hanning(count + 1)[:-1]
    power = 2 * step * np.abs(np.fft.rfft(window[:, None] * residual, axis=0)) ** 2 / np.sum(window**2)
    frequency = np.fft.rfftfreq(count, step)[1:-1]
    power, level = power[1:-1], values.mean(axis=0) / MICRO
    for colour, (name, mine) in zip(CYCLE, bands(level), strict=False):
        axis.loglog(frequency, np.median(power[:, mine], axis=1), color=colour, label=name)
    middle = float(np.median(power))
    axis.loglog(frequency, middle * np.median(frequency) / frequency, color=GREY, linestyle=":", label="slope of 1/f")
    axis.set(xlabel="frequency (Hz)", ylabel="density (µS²/Hz)")
    axis.set_title(f"array {data.attrs['array']}: {count} readings, {step:.3g} s apart")
    legend_below(axis)
    axis.grid(alpha=0.3, which="both")
    return figure


def _even_part(time: np.ndarray) -> tuple[slice, float] | None:
    """The longest part of readings that follow each other at the same distance, and that distance in s."""
    best: tuple[slice, float] | None = None
    steps = np.diff(time)
    start = 0
    for end in range(1, len(steps) + 1):
        if end == len(steps) or not np.isclose(steps[end], steps[start], rtol=0.02, atol=0.0):
            if steps[start] > 0 and end + 1 - start > max(_FEWEST - 1, (best[0].stop - best[0].start) if best else 0):
                best = (slice(start, end + 1), float(steps[start]))
            start = end
    return best
