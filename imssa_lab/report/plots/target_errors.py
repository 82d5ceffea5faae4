"""How far cells are from their targets."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import xarray
from matplotlib.figure import Figure

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.log.run import Run
from imssa_lab.report.measured.programmed import inside, programmed
from imssa_lab.report.plots.style import (
    BLUE,
    GREY,
    MICRO,
    ORANGE,
    edges_over,
    one_axis,
)

_MOST_DOTS = 4000


def error_histogram(source: Run | xarray.Dataset) -> Figure:
    """Errors of all programmed cells, the tolerance marked.

    Args:
        source: a run, or what `measured.programmed` made of it.
    """
    error, tolerance, share = _errors(source)
    reach = 4.0 * tolerance
    figure, axis = one_axis()
    edges = (-MICRO * reach, MICRO * reach)
    axis.hist(MICRO * np.clip(error, -reach, reach), bins=edges_over(*edges), color=BLUE, log=True)
    for edge in (-tolerance, tolerance):
        axis.axvline(MICRO * edge, color=ORANGE, linestyle="--")
    axis.set_title(f"{100 * share:.2f} % of {error.size} cells\nwithin ±{MICRO * tolerance:g} µS (dashed)")
    axis.set(xlabel="achieved - target (µS)", ylabel="cells, all beyond in the last")
    return figure


def error_quantiles(source: Run | xarray.Dataset) -> Figure:
    """Errors of all programmed cells against a normal law of the same quartiles: its tails, and steps.

    Args:
        source: a run, or what `measured.programmed` made of it.
    """
    error, tolerance, _ = _errors(source)
    figure, axis = one_axis()
    shares = (np.arange(error.size) + 0.5) / error.size
    normal = NormalDist()
    quartile, median, upper = np.quantile(error, (0.25, 0.5, 0.75))
    sigma = (upper - quartile) / (2 * normal.inv_cdf(0.75))
    ordered = np.sort(error)
    places = _spread(error.size)
    law = np.array([normal.inv_cdf(float(share)) for share in shares[places]])
    reach = 4.0 * tolerance
    drawn = np.clip(ordered[places], -reach, reach)
    beyond = int(np.count_nonzero(np.abs(error) > reach))
    axis.plot(law, MICRO * (median + sigma * law), color=GREY, label=f"normal, σ {MICRO * sigma:.2f} µS")
    axis.plot(law, MICRO * drawn, ".", color=BLUE, markersize=4, label="cells", rasterized=True)
    for edge in (-tolerance, tolerance):
        axis.axhline(MICRO * edge, color=ORANGE, linestyle="--", linewidth=1)
    axis.set(xlabel="quantile of the normal law (σ)", ylabel="achieved - target (µS)")
    axis.set_title(f"{error.size} cells, {beyond} beyond the edges;\ntolerance dashed")
    axis.legend()
    return figure


def _spread(size: int) -> np.ndarray:
    """Places in an order of `size`: all of them, or every tail and an even sample of the middle."""
    if size <= _MOST_DOTS:
        return np.arange(size)
    tail = _MOST_DOTS // 4
    middle = np.linspace(tail, size - tail - 1, _MOST_DOTS // 2).astype(int)
    return np.unique(np.concatenate([np.arange(tail), middle, np.arange(size - tail, size)]))


def _errors(source: Run | xarray.Dataset) -> tuple[FloatArray, float, float]:
    """All errors in S, the widest tolerance, and the share of cells inside the tolerance of their own array."""
    data = source if isinstance(source, xarray.Dataset) else programmed(source)
    difference = data["achieved"].values - data["target"].values
    chosen = np.isfinite(difference)
    return difference[chosen], float(data["tolerance"].max()), float(inside(data)[chosen].mean())
