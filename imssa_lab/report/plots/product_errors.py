"""Matrix-vector products against the sums that they should be."""

from __future__ import annotations

import numpy as np
import xarray
from matplotlib.figure import Figure

from imssa_lab.log.run import Run
from imssa_lab.report.measured.products import products
from imssa_lab.report.plots.style import BLUE, GREY, MICRO, ORANGE, nothing_to_show, one_axis

_MOST_DOTS = 5000
_UNKNOWN = "no product of cells that were all read"


def mvm_scatter(source: Run | xarray.Dataset) -> Figure:
    """Measured currents over the sums of voltage times conductance as last read.

    Args:
        source: a run, or what `measured.products` made of it.
    """
    data = source if isinstance(source, xarray.Dataset) else products(source)
    figure, axis = one_axis()
    expected, measured = (MICRO * data[name].values.ravel() for name in ("expected", "measured"))
    known = np.isfinite(expected)
    if not known.any():
        nothing_to_show(axis, _UNKNOWN)
        return figure
    expected, measured = expected[known], measured[known]
    every = slice(None, None, max(1, -(-expected.size // _MOST_DOTS)))
    edges = [float(min(expected.min(), measured.min())), float(max(expected.max(), measured.max()))]
    axis.plot(edges, edges, color=GREY, linewidth=1)
    axis.plot(expected[every], measured[every], ".", color=BLUE, markersize=3, alpha=0.4, rasterized=True)
    error = measured - expected
    scale = float(np.sqrt(np.mean(expected**2)))
    relative = f",\n{100 * np.sqrt(np.mean(error**2)) / scale:.1f} % of the rms current" if scale else ""
    axis.set_title(f"{expected.size} currents; rms error {np.sqrt(np.mean(error**2)):.3g} µA{relative}")
    axis.set(xlabel="voltage times conductance (µA)", ylabel="measured (µA)")
    return figure


def column_residuals(source: Run | xarray.Dataset) -> Figure:
    """Mean and spread of measured minus expected current, column by column: bad columns stand out.

    Args:
        source: a run, or what `measured.products` made of it.
    """
    data = source if isinstance(source, xarray.Dataset) else products(source)
    figure, axis = one_axis()
    error = MICRO * (data["measured"].values - data["expected"].values)
    known = np.isfinite(error).any(axis=0) if len(error) else np.zeros(data.sizes["col"], np.bool_)
    if not known.any():
        nothing_to_show(axis, _UNKNOWN)
        return figure
    column = np.flatnonzero(known)
    mean, spread = np.nanmean(error[:, known], axis=0), np.nanstd(error[:, known], axis=0)
    axis.axhline(0, color=GREY, linewidth=1)
    axis.errorbar(column, mean, yerr=spread, fmt=".", color=BLUE, ecolor="#9cc3dd", markersize=5, linewidth=1)
    far = np.abs(mean) > 3 * np.median(spread)
    axis.plot(column[far], mean[far], "s", color=ORANGE, fillstyle="none", label="further off than 3 spreads")
    if far.any():
        axis.legend()
    axis.set(xlabel="bit line", ylabel="measured - expected (µA)")
    axis.set_title("mean and standard deviation of every column")
    return figure
