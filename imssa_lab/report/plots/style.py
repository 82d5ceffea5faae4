"""What all pictures share: colours, axes, units."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imssa_lab.contract.array_types import BoolArray, FloatArray

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#7F7F7F"
GREEN, SKY, YELLOW, PURPLE = "#009E73", "#56B4E9", "#E69F00", "#CC79A7"
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY)
MARKS = ("o", "s", "^", "D", "v", "P")
MICRO = 1e6
NOT_PROGRAMMED = "#bbbbbb"


def one_axis(width: float = 5.2, height: float = 3.3) -> tuple[Figure, Axes]:
    """A figure with one axis, width and height in inches, open to the top and the right."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axis = figure.subplots()
    axis.spines[["top", "right"]].set_visible(False)
    return figure, axis


def bands(level: FloatArray, count: int = 3) -> list[tuple[str, BoolArray]]:
    """Cells by conductance (S, one a cell): bands of equal width, each with its name; empty ones are left out."""
    edges = np.linspace(level.min(), level.max(), count + 1)
    found = []
    for place in range(count):
        last = place == count - 1
        mine = (level >= edges[place]) & ((level <= edges[place + 1]) if last else (level < edges[place + 1]))
        if mine.any():
            name = f"{MICRO * edges[place]:.0f} to {MICRO * edges[place + 1]:.0f} µS, {int(mine.sum())} cells"
            found.append((name, np.asarray(mine)))
    return found


def nothing_to_show(axis: Axes, why: str) -> None:
    """Say in the picture itself why it is empty."""
    axis.set_axis_off()
    axis.text(0.5, 0.5, why, ha="center", va="center", transform=axis.transAxes, color=GREY, wrap=True)
