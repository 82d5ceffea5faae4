"""Pictures of the origin's experiment."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.report.plots.style import BLUE, GREEN, GREY, PANEL, legend_below, nothing_to_show, one_axis
from imssa_lab.report.study_figure import ARM_COLOURS, draw_published
from imssa_lab.studies.origin_summary import OriginModel, OriginRow
from imssa_lab.studies.trials import ARM_WORDS, PUBLISHED

Spikes = tuple[str, NDArray[np.float64], NDArray[np.int64]]
"""A recording's class in words, the times of its spikes, s, and their channels."""


def stuck_words(stuck: float | None) -> str:
    """The fraction of stuck cells, in words."""
    return "board as measured" if stuck is None else f"{100 * stuck:g} % stuck"


def accuracy_figure(rows: Sequence[OriginRow], models: Sequence[OriginModel], *, published: bool) -> Figure:
    """Accuracy of every chip as a dot, the mean with its interval; software and null control as lines."""
    figure, axis = one_axis(4.2, columns=2)
    names = []
    for place, row in enumerate(rows):
        colour, count = ARM_COLOURS[row.arm], len(row.accuracies)
        across = place - 0.22 + 0.1 * np.linspace(-1, 1, count) if count > 1 else np.array([place - 0.22])
        axis.plot(across, 100 * row.accuracies, ".", color=colour, alpha=0.6)
        mean = 100 * float(row.accuracies.mean())
        low, high = (100 * end for end in row.interval)
        axis.errorbar(
            place + 0.1, mean, [[max(0.0, mean - low)], [max(0.0, high - mean)]], fmt="o", color=colour, capsize=4
        )
        axis.annotate(f"{mean:.1f}", (place + 0.18, mean - 1.2), va="top", fontsize=9, color=colour)
        names.append("\n".join(fill(words, 14) for words in (ARM_WORDS[row.arm], stuck_words(row.stuck))))
    for values, colour, line, words in (
        ([model.software[0] for model in models], GREEN, "-", "software"),
        ([model.null[0] for model in models], GREY, ":", "control\nwithout memory"),
    ):
        value = 100 * float(np.mean(values))
        axis.axhline(value, color=colour, linewidth=1.2, linestyle=line, zorder=1)
        label = f"{words}\n{value:.1f} %"
        axis.annotate(label, (1.01, value), xycoords=("axes fraction", "data"), va="center", fontsize=8, color=colour)
    if published:
        draw_published(axis)
    axis.set_xticks(range(len(rows)), names, fontsize=8)
    axis.set_xlim(-0.6, len(rows) - 0.4)
    axis.set_ylim(min(40.0, *(100 * float(row.accuracies.min()) - 4 for row in rows)) if rows else 0.0, 104)
    axis.set_ylabel("test accuracy (%)")
    return figure


def accuracy_in_rows(rows: Sequence[OriginRow], models: Sequence[OriginModel], *, published: bool) -> Figure:
    """The same for a narrow page: a line for each way of deploying, accuracies to the right."""
    figure, axis = one_axis(1.9 + 0.5 * len(rows) + 0.4 * published)
    names = []
    for place, row in enumerate(rows):
        colour, count = ARM_COLOURS[row.arm], len(row.accuracies)
        axis.plot(100 * row.accuracies, place - 0.15 + 0.08 * np.linspace(-1, 1, count), ".", color=colour, alpha=0.6)
        mean = 100 * float(row.accuracies.mean())
        low, high = (100 * end for end in row.interval)
        reach = [[max(0.0, mean - low)], [max(0.0, high - mean)]]
        axis.errorbar(mean, place + 0.15, xerr=reach, fmt="o", color=colour, capsize=4)
        names.append("\n".join(fill(words, 18) for words in (ARM_WORDS[row.arm], stuck_words(row.stuck))))
    lines = [("software", [model.software[0] for model in models], GREEN, "-")]
    lines.append(("control without memory", [model.null[0] for model in models], GREY, ":"))
    for words, values, colour, style in lines:
        value = 100 * float(np.mean(values))
        axis.axvline(value, color=colour, linewidth=1.2, linestyle=style, zorder=1, label=f"{words}: {value:.1f} %")
    for value, style, where in zip(PUBLISHED, ("--", "-."), ("in software", "on the chip"), strict=True):
        if published:
            axis.axvline(value, color=GREY, linewidth=1, linestyle=style, label=f"published, {where}: {value} %")
    axis.set_yticks(range(len(rows)), names)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_xlim(min(40.0, *(100 * float(row.accuracies.min()) - 4 for row in rows)) if rows else 0.0, 104)
    axis.set_xlabel("test accuracy (%)")
    legend_below(axis)
    return figure


def nrmse_figure(arms: Sequence[tuple[str, str, FloatArray]]) -> Figure:
    """How far the kernels' outputs stray from the exact ones: share of kernels below an error, by arm.

    Args:
        arms: words, colour and NRMSE of every kernel on every chip, (n,).
    """
    figure, axis = one_axis()
    if not arms:
        nothing_to_show(axis, "no chip is through yet")
        return figure
    for words, colour, errors in arms:
        kept = np.sort(errors[np.isfinite(errors)])
        axis.step(kept, np.arange(1, len(kept) + 1) / len(errors), where="post", color=colour, label=words)
    axis.set(xscale="log", xlabel="NRMSE of a kernel on real input", ylabel="share of kernels", ylim=(0, 1.02))
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="lower right")
    return figure


def spikes_figure(recordings: Sequence[Spikes], channels: int, *, narrow: bool = False) -> Figure:
    """One recording of each class, a dot a spike; side by side, or one below the other on a narrow page."""
    count, width = len(recordings), PANEL[0] * (1 if narrow else 2)
    figure = Figure(figsize=(width, 2.4 * count if narrow else 2.9), layout="constrained")
    axes = figure.subplots(*((count, 1) if narrow else (1, count)), sharey=True, squeeze=False).ravel()
    for axis, (words, times, units) in zip(axes, recordings, strict=True):
        some = slice(None, None, max(1, len(times) // 6000))
        axis.plot(times[some], units[some], ",", color=BLUE, alpha=0.5, rasterized=True)
        axis.set_title(words, fontsize=10)
        axis.set(xlabel="time (s)", ylim=(0, channels))
    axes[0].set_ylabel("channel of the cochlea")
    return figure
