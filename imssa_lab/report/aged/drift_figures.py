"""Pictures and table of a study of aging chips."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.report.plots.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    MICRO,
    ORANGE,
    PANEL,
    curve_colours,
    legend_below,
    nothing_to_show,
    one_axis,
    panels,
)
from imssa_lab.studies.aged_chips import ROWS, in_words
from imssa_lab.studies.drift_summary import DriftStudy
from protocols.deployment.verification import Bounds

_BESIDE = 12.0
"""Times as long or as short as the outermost: where what belongs to no time is drawn."""


def drift_figure(study: DriftStudy) -> Figure:
    """Accuracy, and below it errors of kernels and cells out of tolerance, against time; a dot for every chip."""
    figure, (above, below) = panels(2, height=3.2)
    figure.set_figwidth(2 * PANEL[0])
    _accuracies(above, study)
    _errors(below, study)
    above.set_title(study.name)
    for axis in (above, below):
        axis.legend(fontsize=8)
    return figure


def accuracy_by_time(study: DriftStudy, *, narrow: bool = False) -> Figure:
    """Accuracy of every chip at every time, before and after recalibration, beside software, no memory and chance."""
    figure, axis = one_axis(4.6 if narrow else 4.2, columns=1 if narrow else 2)
    _accuracies(axis, study)
    legend_below(axis, columns=1 if narrow else 2)
    return figure


def errors_by_time(study: DriftStudy, *, narrow: bool = False) -> Figure:
    """Errors of kernels and cells out of tolerance, a dot for every chip, beside what a deployment may have."""
    figure, axis = one_axis(3.9 if narrow else 3.3, columns=1 if narrow else 2)
    _errors(axis, study)
    legend_below(axis, columns=1 if narrow else 2)
    return figure


def moved_by_level(study: DriftStudy, *, narrow: bool = False) -> Figure:
    """How far the cells of each level have moved: median, half and 90 % of them, means over the chips."""
    shown = [place for place in range(len(study.levels)) if len(study.moved) and study.of_level[:, place].any()]
    figure, axes = panels(max(1, len(shown)), narrow=narrow, share=True)
    if not shown:
        nothing_to_show(axes[0], "no chip is through yet")
        return figure
    colours = [GREY, *curve_colours(len(study.levels) - 1)]
    # a chip whose level has no cell has no quantile there
    quantiles, times = MICRO * np.nanmean(study.moved[:, :, shown], axis=0), study.times
    for place, (level, axis) in enumerate(zip(shown, axes, strict=True)):
        low, lower, middle, upper, high = quantiles[:, place].T
        axis.fill_between(times, low, high, color=colours[level], alpha=0.2, linewidth=0)
        axis.fill_between(times, lower, upper, color=colours[level], alpha=0.4, linewidth=0)
        axis.plot(times, middle, color=colours[level], marker="o", markersize=4)
        for side in (-1, 1):
            axis.axhline(side * MICRO * study.tolerance, color=ORANGE, linestyle="--", linewidth=1)
        cells = study.of_level[:, level].mean()
        axis.set_title(f"{study.levels[level]}: {cells:.0f} cells a chip")
        axis.set(xscale="log")
        _times(axis, study)
        if place % (1 if narrow else 2) == 0:
            axis.set_ylabel("moved by (µS)")
    return figure


def _accuracies(axis: Axes, study: DriftStudy) -> None:
    if not len(study.at_once):
        nothing_to_show(axis, "no chip is through yet")
        return
    first, last = study.times[0] / _BESIDE, study.times[-1] * _BESIDE
    times = np.concatenate([[first], study.times])

    def curve(values: FloatArray, colour: str, mark: str, label: str) -> None:
        axis.plot(times, 100 * values.mean(axis=0), color=colour, marker=mark, label=label)
        axis.plot(times, 100 * values.T, mark, color=colour, alpha=0.3, markersize=4)

    for name, colour, mark, label in (
        ("deployed", ORANGE, "o", "as deployed, mean of the chips"),
        ("recalibrated", BLUE, "s", "outputs recalibrated, where that helps"),
    ):
        curve(np.column_stack([study.at_once, study.rows[name]]), colour, mark, label)
    axis.plot(np.full(len(study.refreshed), last), 100 * study.refreshed, "^", color=GREEN, alpha=0.4, markersize=4)
    axis.plot([last], [100 * study.refreshed.mean()], "^", color=GREEN, label="cells re-programmed after the last")
    lines = ((study.software, GREEN, "-", "software"), (study.null, INK, "--", "control without memory"))
    for value, colour, line, words in (*lines, (study.chance, GREY, ":", "chance")):
        if value is not None:
            axis.axhline(
                100 * value, color=colour, linestyle=line, linewidth=1, label=f"{words}: {100 * value:.1f} %"
            )
    lowest = min(100 * study.chance, 100 * float(study.rows["deployed"].min()), 100 * (study.null or 1.0))
    axis.set(ylabel="test accuracy (%)", xscale="log", ylim=(max(0.0, lowest - 5), 102))
    _times(axis, study, {first: "at once", last: "re-programmed"})


def _errors(axis: Axes, study: DriftStudy) -> None:
    if not len(study.at_once):
        nothing_to_show(axis, "no chip is through yet")
        return
    for values, colour, mark, label in (
        (study.rows["nrmse"], ORANGE, "o", "NRMSE of kernels, median"),
        (1 - study.rows["cells"], BLUE, "s", "cells out of tolerance, worst class"),
    ):
        axis.plot(study.times, values.mean(axis=0), color=colour, marker=mark, label=label)
        axis.plot(study.times, values.T, mark, color=colour, alpha=0.3, markersize=4)
    for value, colour, words in (
        (study.nrmse_bound, ORANGE, "a deployment's kernels"),
        (1 - Bounds().cells, BLUE, "a deployment's cells"),
    ):
        axis.axhline(value, color=colour, linestyle="--", linewidth=1, label=f"at most, {words}: {value:.2g}")
    axis.set(ylabel="error; share of cells", xscale="log", ylim=(0, None))
    _times(axis, study)


def _times(axis: Axes, study: DriftStudy, more: dict[float, str] | None = None) -> None:
    """The times of the study as the marks of the axis, in words, and what else is beside them."""
    marks = {float(time): in_words(float(time)) for time in study.times} | (more or {})
    axis.set_xticks(list(marks), list(marks.values()), rotation=30, ha="right", rotation_mode="anchor")
    axis.minorticks_off()
    axis.set_xlabel("time since the deployment")


def write_drift_table(path: Path, study: DriftStudy) -> None:
    """Every chip at every time as a line of CSV; times in s, accuracies as fractions."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["chip", "time_s", *(f"{name}_s" if name == "age" else name for name in ROWS), "software"])
        for chip in range(len(study.at_once)):
            for place, time in enumerate(study.times.tolist()):
                values = [float(study.rows[name][chip, place]) for name in ROWS]
                writer.writerow([chip, time, *values, study.software])
