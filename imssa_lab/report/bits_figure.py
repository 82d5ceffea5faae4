"""Accuracy against precision, from a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from imssa_lab.report.plots.style import BLUE, ORANGE

if TYPE_CHECKING:
    from imssa_lab.s4d.train.bit_sweep import SweepPoint


def accuracy_against_bits(points: Sequence[SweepPoint], title: str = "") -> Figure:
    """Mean test accuracy over seeds of every precision, trained for it and only rounded to it; all seeds as dots.

    Args:
        points: of one task, in the order of the precisions.
    """
    words = list(dict.fromkeys(point.precision for point in points))
    places = [words.index(point.precision) for point in points]
    figure = Figure(figsize=(max(4.5, 0.9 * len(words) + 1.8), 3.6), layout="constrained")
    axis = figure.subplots()
    for name, colour, marker, values in (
        ("trained for it (QAT)", BLUE, "o", [100 * point.trained for point in points]),
        ("only rounded (PTQ)", ORANGE, "s", [100 * point.rounded for point in points]),
    ):
        means = np.bincount(places, values) / np.bincount(places)
        axis.plot(range(len(words)), means, marker=marker, color=colour, label=name)
        axis.plot(places, values, marker=".", linestyle="none", color=colour, alpha=0.5)
    axis.set(title=title, ylabel="test accuracy (%)", xticks=range(len(words)), xticklabels=words)
    axis.tick_params(axis="x", labelrotation=20 if max(map(len, words)) > 8 else 0)
    axis.grid(axis="y", alpha=0.3)
    axis.legend(loc="lower left")
    return figure
