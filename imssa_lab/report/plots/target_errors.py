"""How far cells are from their targets."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imssa_lab.contract.array_types import BoolArray, FloatArray
from imssa_lab.log.run import Run
from imssa_lab.report.measured.programmed import inside, programmed
from imssa_lab.report.plots.style import (
    BLUE,
    GREY,
    INK,
    MICRO,
    ORANGE,
    curve_colours,
    edges_over,
    legend_below,
    nothing_to_show,
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


def error_by_level(source: Run | xarray.Dataset) -> Figure:
    """Share of the cells that had to move which are nearer to their target than so much, by level of the target.

    Dotted are the same cells on a chip that was never programmed.

    Args:
        source: a run, or what `measured.programmed` made of it.
    """
    data = source if isinstance(source, xarray.Dataset) else programmed(source)
    figure, axis = one_axis(3.9)
    error = MICRO * np.abs(data["achieved"].values - data["target"].values)
    never = MICRO * np.abs(data["target"].values - data["bottom"].values[:, None, None])
    moved = data["level"].values >= 0
    if not moved.any():
        nothing_to_show(axis, "no cell had to move")
        return figure
    for words, colour, mine in _levels(data):
        _cumulated(axis, error[mine], color=colour, label=words)
    _cumulated(axis, never[moved], color=INK, linestyle=":", label="never programmed")
    tolerance = MICRO * float(data["tolerance"].max())
    axis.axvline(tolerance, color=ORANGE, linestyle="--", label=f"tolerance {tolerance:.3g} µS")
    axis.set(xlabel="|achieved - target| (µS)", ylabel="cells (%)", xlim=(0, 4 * tolerance), ylim=(0, 102))
    beyond = int(np.sum(~(error[moved] <= 4 * tolerance)))
    axis.set_title(f"{moved.sum()} cells that had to move, {beyond} beyond the edge")
    axis.grid(alpha=0.3)
    legend_below(axis)
    return figure


def conductance_by_level(source: Run | xarray.Dataset) -> Figure:
    """What the programmed cells hold, by level of the target; those apart that only had to stay where they were.

    Args:
        source: a run, or what `measured.programmed` made of it.
    """
    data = source if isinstance(source, xarray.Dataset) else programmed(source)
    figure, axis = one_axis(3.9)
    achieved, level = MICRO * data["achieved"].values, data["level"].values
    known = np.isfinite(achieved)
    groups = [(words, colour, achieved[mine & known]) for words, colour, mine in _levels(data)]
    stayed = achieved[(level < 0) & known]
    if stayed.size:
        groups.insert(0, (f"to stay at the bottom, {stayed.size} cells", GREY, stayed))
    if not groups:
        nothing_to_show(axis, "no programmed cell was read")
        return figure
    edges = edges_over(0.0, max(float(values.max(initial=0.0)) for _, _, values in groups))
    for words, colour, values in groups:
        axis.hist(values, bins=edges, color=colour, alpha=0.35, log=True)
        axis.hist(values, bins=edges, color=colour, histtype="step", linewidth=1.2, log=True, label=words)
    axis.set(xlabel="conductance, last reading (µS)", ylabel="cells", ylim=(0.7, None))
    axis.set_title(f"{known.sum()} programmed cells by target")
    legend_below(axis)
    return figure


def _levels(data: xarray.Dataset) -> list[tuple[str, str, BoolArray]]:
    """Words, colour and cells, (array, row, col), of every level that has cells."""
    ranges = MICRO * data["ranges"].values[0] if data.sizes["array"] else []
    found = []
    for place, ((low, high), colour) in enumerate(zip(ranges, curve_colours(len(ranges)), strict=True)):
        mine = data["level"].values == place
        if mine.any():
            found.append((f"to {low:.0f}-{high:.0f} µS, {mine.sum()} cells", colour, mine))
    return found


def _cumulated(axis: Axes, values: FloatArray, **more: Any) -> None:
    """The share of all of them that is not above a value; without a reading counts as above all."""
    ordered = np.sort(values[np.isfinite(values)])
    axis.step(ordered, 100 * np.arange(1, ordered.size + 1) / values.size, where="post", **more)


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
