"""Maps of arrays: what was wanted, what is there, and where the two differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.programming_report import CellOutcome
from imssa_lab.log.run import Run
from imssa_lab.report.measured.programmed import inside, programmed
from imssa_lab.report.plots.style import BLUE, GREY, MICRO, NOT_PROGRAMMED, ORANGE, PANEL, PURPLE, YELLOW, panels

ENDS = ("within tolerance", "outside", "stuck low", "stuck high", "budget spent")
MAP_HEIGHT = 3.9
"""Of a panel with a map, in."""
_END_COLOURS = ("#e8f1f8", YELLOW, BLUE, ORANGE, PURPLE)


def conductance_maps(source: Run | xarray.Dataset, array: int | None = None, *, narrow: bool = False) -> Figure:
    """Target, achieved, error and ends of the cells of one array.

    Args:
        source: a run, or what `measured.programmed` made of it.
        array: its number; None for the one with most cells out of tolerance.
        narrow: one map below the other instead of two in a row.
    """
    data = source if isinstance(source, xarray.Dataset) else programmed(source)
    index = worst_array(data) if array is None else array
    one = data.sel(array=index)
    target, achieved, tolerance = one["target"].values, one["achieved"].values, float(one["tolerance"])
    figure, axes = panels(4, narrow=narrow, height=MAP_HEIGHT, opened=False, share=True)
    both = MICRO * np.concatenate([target, achieved])
    low, high = float(np.nanmin(both)), float(np.nanmax(both))
    for axis, values in zip(axes, (target, achieved), strict=False):
        axis.set_facecolor(NOT_PROGRAMMED)
        image = axis.imshow(MICRO * values, cmap="cividis", vmin=low, vmax=high, interpolation="none")
        map_scale(figure, axis, image, "conductance (µS)")
    errors = _error_panel(axes[2], achieved - target, tolerance)
    map_scale(figure, axes[2], errors, "error (µS)", extend="both")
    kinds_panel(axes[3], ends(target, achieved, one["outcome"].values, tolerance), ENDS, _END_COLOURS)
    names = (f"target, array {index}", "achieved, by re-read", "achieved - target", "how cells ended")
    for axis, name in zip(axes, names, strict=True):
        line_labels(axis, name)
    return figure


def map_scale(figure: Figure, axis: Axes, image: AxesImage, label: str, extend: str = "neither") -> None:
    """The colours of a map, under it."""
    figure.colorbar(image, ax=axis, label=label, extend=extend, location="bottom", shrink=0.7, aspect=25)


def line_labels(axis: Axes, title: str) -> None:
    """The words beside a map of an array."""
    axis.set(title=title, xlabel="bit line", ylabel="word line")
    for each in (axis.xaxis, axis.yaxis):
        each.set_major_locator(MaxNLocator(integer=True, nbins=5))


def error_maps(source: Run | xarray.Dataset, *, narrow: bool = False) -> Figure:
    """Error maps of all arrays in one picture, so that bad lines and regions show.

    Args:
        source: a run, or what `measured.programmed` made of it; narrow: three instead of six maps in a row.
    """
    data = source if isinstance(source, xarray.Dataset) else programmed(source)
    count = data.sizes["array"]
    most, width = (3, PANEL[0]) if narrow else (6, 2 * PANEL[0])
    across = min(most, max(count, 1))
    down = max(1, -(-count // across))
    figure = Figure(figsize=(width, 1.35 * down + 0.7), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False)
    images = []
    for place, axis in enumerate(axes.flat):
        if place >= count:
            axis.set_axis_off()
            continue
        one = data.isel(array=place)
        error = one["achieved"].values - one["target"].values
        images.append(_error_panel(axis, error, float(one["tolerance"])))
        axis.set(title=f"array {int(one['array'])}", xticks=[], yticks=[])
    if images:
        figure.colorbar(
            images[-1], ax=axes, label="error (µS)", extend="both", location="bottom", shrink=0.6, aspect=30
        )
    return figure


def worst_array(data: xarray.Dataset) -> int:
    """The array with most cells out of tolerance; its number in the run."""
    outside = np.isfinite(data["target"].values) & ~inside(data)
    return int(data["array"].values[int(outside.sum(axis=(1, 2)).argmax())])


def ends(target: FloatArray, achieved: FloatArray, outcome: np.ndarray, tolerance: float) -> FloatArray:
    """Indices into `ENDS`, (rows, cols), NaN where nothing was programmed: by the re-read, then by why it stopped."""
    found = np.where(np.isfinite(target), 1.0, np.nan)
    found[np.isfinite(target) & (outcome == CellOutcome.STUCK_LOW)] = 2.0
    found[np.isfinite(target) & (outcome == CellOutcome.STUCK_HIGH)] = 3.0
    found[np.isfinite(target) & (outcome == CellOutcome.BUDGET)] = 4.0
    found[np.abs(achieved - target) <= tolerance] = 0.0
    return found


def kinds_panel(axis: Axes, found: FloatArray, names: Sequence[str], colours: Sequence[str]) -> None:
    """A map of what kind each cell is of, and under it how many there are of each.

    Args:
        found: indices into names, (rows, cols), NaN for a cell that is of none; colours: one for each name.
    """
    axis.set_facecolor(NOT_PROGRAMMED)
    norm = BoundaryNorm(np.arange(len(names) + 1) - 0.5, len(names))
    axis.imshow(found, cmap=ListedColormap(list(colours)), norm=norm, interpolation="none")
    marks = [
        Patch(facecolor=colour, edgecolor=GREY, linewidth=0.5, label=f"{name}: {int(np.sum(found == place))}")
        for place, (name, colour) in enumerate(zip(names, colours, strict=True))
        if (found == place).any()
    ]
    if marks:
        axis.legend(
            handles=marks, loc="upper center", bbox_to_anchor=(0.5, -0.17), frameon=False, handlelength=1.0, ncols=2
        )


def _error_panel(axis: Axes, error: FloatArray, tolerance: float) -> AxesImage:
    """Errors in S as a map, grey where nothing was programmed, full colour at three tolerances."""
    edge = 3 * MICRO * tolerance
    axis.set_facecolor(NOT_PROGRAMMED)
    return axis.imshow(MICRO * error, cmap="PuOr", vmin=-edge, vmax=edge, interpolation="none")
