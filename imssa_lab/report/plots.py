"""Pictures of a deployment; each function returns a matplotlib Figure. Conductances are shown in uS."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imssa_lab.hal import FloatArray
from protocols.deploy import Deployment

# Okabe and Ito's colours, distinct for every kind of colour vision
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#999999"


def conductance_maps(target: FloatArray, achieved: FloatArray, title: str = "") -> Figure:
    """Target, achieved and error of one array; maps (rows, cols) in S, NaN (white) where nothing is programmed."""
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    top = float(np.nanmax(target)) * 1e6
    error = (achieved - target) * 1e6
    bound = max(float(np.nanquantile(np.abs(error), 0.99)), 1e-9)
    pictures = (
        ("target", target * 1e6, "viridis", 0.0, top),
        ("achieved, re-read", achieved * 1e6, "viridis", 0.0, top),
        ("achieved - target", error, "PuOr", -bound, bound),
    )
    for axis, (name, values, colours, low, high) in zip(axes, pictures, strict=True):
        image = axis.imshow(values, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
        axis.set(title=name, xlabel="bit line")
        figure.colorbar(image, ax=axis, label="µS", shrink=0.85)
    axes[0].set_ylabel("word line")
    figure.suptitle(title)
    return figure


def error_histogram(targets: list[FloatArray], achieved: list[FloatArray], tolerance: float) -> Figure:
    """Programming errors of all cells by independent re-read, with the tolerance (S)."""
    errors = 1e6 * np.concatenate([(a - t)[np.isfinite(t)] for a, t in zip(achieved, targets, strict=True)])
    figure = Figure(figsize=(5, 3.2), layout="constrained")
    axis = figure.subplots()
    reach = 4 * tolerance * 1e6
    axis.hist(np.clip(errors, -reach, reach), bins=81, range=(-reach, reach), color=BLUE, log=True)
    for edge in (-tolerance, tolerance):
        axis.axvline(edge * 1e6, color=ORANGE, linestyle="--", label="tolerance" if edge > 0 else None)
    axis.set(xlabel="achieved - target (µS); the outermost bins hold all beyond", ylabel="cells")
    axis.legend(frameon=False)
    return _plain(figure, axis)


def kernel_overlay(deployment: Deployment, count: int = 6) -> Figure:
    """Impulse responses on the arrays over the exact ones, from the best kernel to the worst."""
    widths = np.cumsum([0, *(exact.shape[1] for _, exact in deployment.impulses)])
    order = np.argsort(deployment.kernel_nrmse)
    chosen = order[np.linspace(0, len(order) - 1, min(count, len(order))).astype(int)]
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    for axis, kernel in zip(figure.subplots(2, -(-len(chosen) // 2)).flat, chosen, strict=False):
        layer = int(np.searchsorted(widths, kernel, side="right")) - 1
        channel = int(kernel - widths[layer])
        measured, exact = deployment.impulses[layer]
        axis.plot(exact[:, channel], color=GREY, linewidth=4, label="exact")
        axis.plot(measured[:, channel], color=BLUE, marker=".", label="on the array")
        axis.set_title(f"layer {layer}, channel {channel}: NRMSE {deployment.kernel_nrmse[kernel]:.2f}", fontsize=9)
        _plain(figure, axis)
    figure.axes[0].legend(frameon=False, fontsize=8)
    figure.supxlabel("time step")
    figure.supylabel("response to an impulse")
    return figure


def kernel_nrmse(deployment: Deployment) -> Figure:
    """NRMSE of every kernel on real input."""
    figure = Figure(figsize=(5, 3.2), layout="constrained")
    axis = figure.subplots()
    axis.hist(deployment.kernel_nrmse, bins=24, color=GREEN)
    axis.axvline(float(np.median(deployment.kernel_nrmse)), color=ORANGE, linestyle="--", label="median")
    axis.set(xlabel="NRMSE on real input", ylabel="kernels")
    axis.legend(frameon=False)
    return _plain(figure, axis)


def accuracy_bars(accuracies: Mapping[str, float]) -> Figure:
    """Accuracies (fractions) by name, in per cent."""
    figure = Figure(figsize=(5, 3.2), layout="constrained")
    axis = figure.subplots()
    colours = [ORANGE if "null" in name else BLUE for name in accuracies]
    bars = axis.bar(list(accuracies), [100 * value for value in accuracies.values()], color=colours)
    axis.bar_label(bars, fmt="%.1f")
    axis.set(ylabel="accuracy (%)", ylim=(0, 108))
    return _plain(figure, axis)


def _plain(figure: Figure, axis: Axes) -> Figure:
    axis.spines[["top", "right"]].set_visible(False)
    return figure
