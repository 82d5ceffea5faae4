"""The figure of a study: accuracy against stuck cells and programming error, naive against our loop."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imssa_lab.report.plots.style import BLUE, GREY, ORANGE
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.studies.trials import PUBLISHED, PUBLISHED_CLASSES, PUBLISHED_TASK, StudyPoint

_MARKS = ("o", "s", "^", "D", "v")


def stuck_figure(points: Sequence[StudyPoint], bundle: KernelBundle) -> Figure:
    """Mean accuracies over the chips with every chip as a dot; the published loss where this is the task it is of."""
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axis = figure.subplots()
    sigmas = sorted({point.sigma for point in points})
    for mending, colour, name in ((True, BLUE, "our loop"), (False, ORANGE, "naive")):
        for mark, sigma in zip(_MARKS, sigmas, strict=False):
            chosen = [point for point in points if point.mending == mending and point.sigma == sigma]
            x = [100 * point.stuck for point in chosen]
            label = f"{name}, σ {1e6 * sigma:g} µS"
            axis.plot(x, [100 * point.mean for point in chosen], color=colour, marker=mark, label=label)
            for at, point in zip(x, chosen, strict=True):
                axis.plot(
                    [at] * len(point.accuracies),
                    [100 * value for value in point.accuracies],
                    ".",
                    color=colour,
                    alpha=0.4,
                )
    if bundle.task == PUBLISHED_TASK and len(bundle.labels) == PUBLISHED_CLASSES:
        _draw_published(axis)
    axis.set(xlabel="stuck cells (%)", ylabel="test accuracy (%)", title=f"{bundle.task}, {bundle.precision}")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize=8)
    return figure


def _draw_published(axis: Axes) -> None:
    for value, words in zip(PUBLISHED, ("published, in software", "published, on the chip"), strict=True):
        axis.axhline(value, color=GREY, linestyle="--", linewidth=1)
        axis.annotate(
            f"{words}: {value} %",
            (1, value),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
            fontsize=8,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
        )


def write_table(path: Path, points: Sequence[StudyPoint]) -> None:
    """The numbers of the figure as CSV; conductances in S."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["stuck_fraction", "sigma_S", "loop", "software", "mean", "chips"])
        for point in points:
            chips = " ".join(f"{value:.4f}" for value in point.accuracies)
            name = "ours" if point.mending else "naive"
            writer.writerow([point.stuck, point.sigma, name, point.software, round(point.mean, 4), chips])
