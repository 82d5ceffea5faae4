"""Maps of arrays: what was wanted, what is there, and where the two differ."""

from __future__ import annotations

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.programming_report import CellOutcome
from imssa_lab.log.run import Run
from imssa_lab.report.measured.programmed import inside, programmed
from imssa_lab.report.plots.style import BLUE, GREY, MICRO, NOT_PROGRAMMED, ORANGE, PURPLE, YELLOW

ENDS = ("within tolerance", "outside", "stuck low", "stuck high", "budget spent")
_END_COLOURS = ("#e8f1f8", YELLOW, BLUE, ORANGE, PURPLE)


def conductance_maps(source: Run | xarray.Dataset, array: int | None = None) -> Figure:
    """Target, achieved, error and ends of the cells of one array, side by side.

    Args:
        source: a run, or what `measured.programmed` made of it.
        array: its number; None for the one with most cells out of tolerance.
    """
    data = source if isinstance(source, xarray.Dataset) else programmed(source)
    index = worst_array(data) if array is None else array
    one = data.sel(array=index)
    target, achieved, tolerance = one["target"].values, one["achieved"].values, float(one["tolerance"])
    figure = Figure(figsize=(12, 3.4), layout="constrained")
    axes = figure.subplots(1, 4, sharex=True, sharey=True)
    both = MICRO * np.concatenate([target, achieved])
    low, high = float(np.nanmin(both)), float(np.nanmax(both))
    for axis, values in zip(axes, (target, achieved), strict=False):
        axis.set_facecolor(NOT_PROGRAMMED)
        image = axis.imshow(MICRO * values, cmap="cividis", vmin=low, vmax=high, interpolation="nearest")
    figure.colorbar(image, ax=axes[:2], label="conductance (µS)", shrink=0.85)
    errors = _error_panel(axes[2], achieved - target, tolerance)
    figure.colorbar(errors, ax=axes[2], label="error (µS)", shrink=0.85, extend="both")
    _ends_panel(figure, axes[3], ends(target, achieved, one["outcome"].values, tolerance))
    names = ("target", "achieved, by re-read", "achieved - target", "how cells ended")
    for axis, name in zip(axes, names, strict=True):
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("bit line")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].set_ylabel("word line")
    figure.suptitle(f"array {index}")
    return figure


def error_maps(source: Run | xarray.Dataset) -> Figure:
    """Error maps of all arrays in one picture, so that bad lines and regions show.

    Args:
        source: a run, or what `measured.programmed` made of it.
    """
    data = source if isinstance(source, xarray.Dataset) else programmed(source)
    count = data.sizes["array"]
    across = min(5, max(count, 1))
    down = max(1, -(-count // across))
    figure = Figure(figsize=(max(2.1 * across, 3.6) + 0.8, 2.25 * down + 0.4), layout="constrained")
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
        figure.colorbar(images[-1], ax=axes, label="error (µS)", extend="both")
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


def _ends_panel(figure: Figure, axis: Axes, found: FloatArray) -> None:
    axis.set_facecolor(NOT_PROGRAMMED)
    norm = BoundaryNorm(np.arange(len(ENDS) + 1) - 0.5, len(ENDS))
    image = axis.imshow(found, cmap=ListedColormap(_END_COLOURS), norm=norm, interpolation="nearest")
    bar = figure.colorbar(image, ax=axis, ticks=range(len(ENDS)), shrink=0.85)
    bar.ax.set_yticklabels([f"{name}: {int(np.sum(found == place))}" for place, name in enumerate(ENDS)], fontsize=8)


def _error_panel(axis: Axes, error: FloatArray, tolerance: float) -> AxesImage:
    """Errors in S as a map, grey where nothing was programmed, full colour at three tolerances."""
    edge = 3 * MICRO * tolerance
    axis.set_facecolor(NOT_PROGRAMMED)
    axis.tick_params(colors=GREY, labelcolor="black")
    return axis.imshow(MICRO * error, cmap="PuOr", vmin=-edge, vmax=edge, interpolation="nearest")
