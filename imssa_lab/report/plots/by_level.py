"""Cells that had to move and those that had not, by level of their target."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imssa_lab.contract.array_types import BoolArray, FloatArray
from imssa_lab.log.run import Run
from imssa_lab.report.measured.programmed import programmed
from imssa_lab.report.plots.style import (
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
