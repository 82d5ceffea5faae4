"""Pictures of a deployment. Every function returns a matplotlib `Figure` of its own and touches no global state.

Colours are those of Okabe and Ito (Color Universal Design, 2008), maps are cividis and PuOr: all can be told apart
by colour-blind readers and in grey print. Conductances come in S and are drawn in µS.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from imssa_lab.array_types import FloatArray
from imssa_lab.s4d.bundle import wilson_interval

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#7F7F7F"
_BAR_COLOURS = {"on arrays": BLUE, "null control": ORANGE}


def conductance_maps(target: FloatArray, achieved: FloatArray, tolerance: float, title: str = "") -> Figure:
    """Target, achieved and error of one array, side by side.

    Args:
        target, achieved: S, (rows, cols), NaN (white) where not programmed.
        tolerance: S; the error scale ends at three of it.
    """
    figure = Figure(figsize=(12, 3.7), layout="constrained")
    axes = figure.subplots(1, 3, sharex=True, sharey=True)
    both = 1e6 * np.concatenate([target, achieved])
    low, high = float(np.nanmin(both)), float(np.nanmax(both))
    for axis, values in zip(axes, (target, achieved), strict=False):
        image = axis.imshow(1e6 * values, cmap="cividis", vmin=low, vmax=high, interpolation="nearest")
    figure.colorbar(image, ax=axes[1], label="conductance (µS)", shrink=0.85)
    errors = _error_panel(axes[2], achieved - target, tolerance)
    figure.colorbar(errors, ax=axes[2], label="error (µS)", shrink=0.85, extend="both")
    for axis, name in zip(axes, ("target", "achieved, by re-read", "achieved - target"), strict=True):
        axis.set(title=name, xlabel="bit line")
    axes[0].set_ylabel("word line")
    figure.suptitle(title)
    return figure


def error_maps(targets: Sequence[FloatArray], achieved: Sequence[FloatArray], tolerance: float) -> Figure:
    """Error maps of all arrays in one picture, so that bad lines and regions show.

    Args:
        targets, achieved: per array, S, (rows, cols), NaN where not programmed; tolerance: S.
    """
    across = min(5, len(targets))
    down = -(-len(targets) // across)
    figure = Figure(figsize=(max(2.1 * across, 3.6) + 0.8, 2.25 * down + 0.4), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False)
    for number, axis in enumerate(axes.flat):
        if number < len(targets):
            image = _error_panel(axis, achieved[number] - targets[number], tolerance)
            axis.set(title=f"array {number}", xticks=[], yticks=[])
        else:
            axis.set_axis_off()
    figure.colorbar(image, ax=axes, label="error (µS)", extend="both")
    return figure


def error_histogram(targets: Sequence[FloatArray], achieved: Sequence[FloatArray], tolerance: float) -> Figure:
    """Errors of all programmed cells, the tolerance marked.

    Args:
        targets, achieved: per array, S, (rows, cols), NaN where not programmed; tolerance: S.
    """
    error = np.concatenate([(a - t)[np.isfinite(t)] for t, a in zip(targets, achieved, strict=True)])
    reach = 4.0 * tolerance
    figure, axis = _one_axis()
    axis.hist(1e6 * np.clip(error, -reach, reach), bins=81, range=(-1e6 * reach, 1e6 * reach), color=BLUE, log=True)
    for edge in (-tolerance, tolerance):
        axis.axvline(1e6 * edge, color=ORANGE, linestyle="--")
    inside = 100 * float(np.mean(np.abs(error) <= tolerance))
    axis.set_title(f"{inside:.2f} % of {error.size} cells within ±{1e6 * tolerance:g} µS (dashed)", fontsize=10)
    axis.set(xlabel="achieved - target (µS); the outermost bins hold all beyond", ylabel="cells")
    return figure


def kernel_overlay(impulses: Sequence[tuple[FloatArray, FloatArray]], kernel_nrmse: FloatArray) -> Figure:
    """Impulse responses on the arrays over the exact ones: best, median, 90th percentile and worst kernel.

    Args:
        impulses: per layer (on the arrays, exact), each (steps, channels).
        kernel_nrmse: (all kernels,), layer after layer; ranks the kernels.
    """
    owner = [(layer, channel) for layer, pair in enumerate(impulses) for channel in range(pair[0].shape[1])]
    order = np.argsort(kernel_nrmse, kind="stable")
    ranks = {"best": 0.0, "median": 0.5, "90th percentile": 0.9, "worst": 1.0}
    figure = Figure(figsize=(10, 2.8), layout="constrained")
    for axis, (name, share) in zip(figure.subplots(1, 4, sharex=True), ranks.items(), strict=True):
        kernel = int(order[round(share * (len(order) - 1))])
        layer, channel = owner[kernel]
        measured, exact = (values[:, channel] for values in impulses[layer])
        axis.plot(exact, color=GREY, linewidth=4, alpha=0.6, label="exact")
        axis.plot(measured, color=BLUE, marker="o", markersize=3, linewidth=1, label="on arrays")
        axis.set_title(
            f"{name}: layer {layer}, channel {channel}\nNRMSE {kernel_nrmse[kernel]:.3f} on real input", fontsize=9
        )
        axis.set_xlabel("time step")
        axis.grid(alpha=0.3)
    figure.axes[0].set_ylabel("output")
    figure.axes[0].legend(fontsize=8)
    return figure


def accuracy_bars(accuracies: Sequence[tuple[str, float]], tests: int) -> Figure:
    """Accuracies by name (fractions) with their 95 % intervals for `tests` test sequences."""
    figure, axis = _one_axis()
    names = [name for name, _ in accuracies]
    values = np.array([100 * value for _, value in accuracies])
    edges = 100 * np.array([wilson_interval(round(value * tests), tests) for _, value in accuracies])
    axis.bar(names, values, color=[_BAR_COLOURS.get(name, GREY) for name in names], width=0.6)
    axis.errorbar(names, values, yerr=np.abs(edges.T - values), fmt="none", ecolor="black", capsize=4, linewidth=1)
    for place, value in enumerate(values):
        axis.annotate(f"{value:.1f}", (place, edges[place, 1] + 1.5), ha="center", fontsize=9)
    axis.set(ylabel="test accuracy (%)", ylim=(0, 112), yticks=range(0, 101, 20))
    axis.set_title(f"{tests} test sequences, 95 % intervals", fontsize=10)
    return figure


def nrmse_histogram(kernel_nrmse: FloatArray, bound: float) -> Figure:
    """NRMSE of every kernel on real input, (all kernels,), with their median and the bound of that."""
    figure, axis = _one_axis()
    top = max(float(kernel_nrmse.max()), bound) * 1.05
    median = float(np.median(kernel_nrmse))
    axis.hist(kernel_nrmse, bins=30, range=(0, top), color=BLUE)
    axis.axvline(median, color="black", label=f"median {median:.3f}")
    axis.axvline(bound, color=ORANGE, linestyle="--", label=f"bound of the median {bound:g}")
    axis.legend(fontsize=8)
    axis.set(xlabel="NRMSE on real input", ylabel="kernels")
    axis.set_title(f"{kernel_nrmse.size} kernels in closed loop", fontsize=10)
    return figure


def _error_panel(axis: Axes, error: FloatArray, tolerance: float) -> AxesImage:
    """Errors in S as a map, grey where nothing was programmed, full colour at three tolerances."""
    edge = 3e6 * tolerance
    axis.set_facecolor("#bbbbbb")
    return axis.imshow(1e6 * error, cmap="PuOr", vmin=-edge, vmax=edge, interpolation="nearest")


def _one_axis() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.2, 3.3), layout="constrained")
    axis = figure.subplots()
    axis.spines[["top", "right"]].set_visible(False)
    return figure, axis
