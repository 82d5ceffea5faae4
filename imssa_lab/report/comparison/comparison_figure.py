"""Pictures of two runs side by side."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from imssa_lab.report.comparison.compared_arrays import ComparedArray
from imssa_lab.report.plots.maps import MAP_HEIGHT, line_labels, map_scale
from imssa_lab.report.plots.style import (
    BLUE,
    GREY,
    MICRO,
    NOT_PROGRAMMED,
    ORANGE,
    edges_over,
    nothing_to_show,
    panels,
)

_FAR = 0.99


def change_figure(compared: ComparedArray, *, narrow: bool = False) -> Figure:
    """Second over first reading of each cell, where cells changed, and by how much; stuck cells are marked.

    Args:
        narrow: one below the other instead of two in a row.
    """
    figure, axes = panels(3, narrow=narrow, height=MAP_HEIGHT)
    known = np.isfinite(compared.change)
    if not known.any():
        for axis in axes:
            nothing_to_show(axis, "no cell was read in both runs")
        return figure
    first, second = MICRO * compared.first[known], MICRO * compared.second[known]
    ends = [min(first.min(), second.min()), max(first.max(), second.max())]
    axes[0].plot(ends, ends, color=GREY, linewidth=1, label="no change")
    axes[0].plot(first, second, ".", color=BLUE, markersize=3, alpha=0.5, rasterized=True)
    stuck = compared.stuck.any(axis=0) & known
    if stuck.any():
        axes[0].plot(MICRO * compared.first[stuck], MICRO * compared.second[stuck], "x", color=ORANGE, label="stuck")
    axes[0].set(xlabel="first (µS)", ylabel="second (µS)")
    axes[0].legend()
    change = MICRO * compared.change
    reach = float(np.quantile(np.abs(change[known]), _FAR)) or 1.0
    axes[1].set_facecolor(NOT_PROGRAMMED)
    image = axes[1].imshow(change, cmap="PuOr", norm=TwoSlopeNorm(0.0, -reach, reach), interpolation="none")
    map_scale(figure, axes[1], image, "second - first (µS)", extend="both")
    axes[1].spines[["top", "right"]].set_visible(True)
    line_labels(axes[1], "where they changed")
    axes[2].hist(change[known], bins=edges_over(-reach, reach), color=BLUE)
    beyond = int(np.count_nonzero(np.abs(change[known]) > reach))
    axes[2].set(xlabel="second - first (µS)", ylabel="cells", title=f"{beyond} cells lie beyond")
    axes[0].set_title(f"array {compared.index}: {known.sum()} cells read in both")
    return figure
