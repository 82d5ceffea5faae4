"""The figure of a study: accuracy against stuck cells and programming error, naive against our loop."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imssa_lab.report.plots.style import BLUE, GREY, MARKS, ORANGE, YELLOW
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.studies.trials import ARM_WORDS, PUBLISHED, PUBLISHED_CLASSES, PUBLISHED_TASK, Arm, StudyPoint

ARM_COLOURS: dict[Arm, str] = {"ours": BLUE, "corrected": YELLOW, "naive": ORANGE}


def stuck_figure(points: Sequence[StudyPoint], bundle: KernelBundle) -> Figure:
    """Mean accuracies over the chips with every chip as a dot; the published loss where this is the task it is of."""
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axis = figure.subplots()
    sigmas = sorted({point.sigma for point in points}, key=lambda sigma: sigma or 0.0)
    for arm, colour in ARM_COLOURS.items():
        for mark, sigma in zip(MARKS, sigmas, strict=False):
            chosen = [point for point in points if point.arm == arm and point.sigma == sigma]
            if not chosen:
                continue
            x = [100 * (point.stuck or 0.0) for point in chosen]
            label = f"{ARM_WORDS[arm]}, by pulses" if sigma is None else f"{ARM_WORDS[arm]}, σ {1e6 * sigma:g} µS"
            axis.plot(x, [100 * point.mean for point in chosen], color=colour, marker=mark, label=label)
            for at, point in zip(x, chosen, strict=True):
                axis.plot(
                    [at] * len(point.accuracies),
                    [100 * value for value in point.accuracies],
                    ".",
                    color=colour,
                    alpha=0.4,
                )
    if published(bundle.task, len(bundle.labels)):
        draw_published(axis)
    axis.set(xlabel="stuck cells (%)", ylabel="test accuracy (%)", title=f"{bundle.task}, {bundle.precision}")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize=8)
    return figure


def published(task: str, classes: int) -> bool:
    """Whether this is the task that the published accuracies are of."""
    return task == PUBLISHED_TASK and classes == PUBLISHED_CLASSES


def draw_published(axis: Axes) -> None:
    """The published accuracies as lines across a picture of accuracies in %."""
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
    """The numbers of the figure as CSV; conductances in S, sigma empty where cells were programmed by pulses."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["stuck_fraction", "sigma_S", "arm", "software", "mean", "chips"])
        for point in points:
            chips = " ".join(f"{value:.4f}" for value in point.accuracies)
            writer.writerow([point.stuck, point.sigma, point.arm, point.software, round(point.mean, 4), chips])
