"""What all pictures share: colours, one size of panels, one size of text, one number of bins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from matplotlib.text import Text

from imssa_lab.contract.array_types import BoolArray, FloatArray

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#7F7F7F"
GREEN, SKY, YELLOW, PURPLE = "#009E73", "#56B4E9", "#E69F00", "#CC79A7"
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY)
MARKS = ("o", "s", "^", "D", "v", "P")
INK, PAPER = "#1a1a1a", "#ffffff"
MICRO = 1e6
NOT_PROGRAMMED = "#bbbbbb"
BINS = 50
"""Bins of every histogram."""
PANEL = (3.6, 2.7)
"""Width and height of a panel, in: three fit on a screen side by side, one on a phone, and one into a column of a
journal."""
_DOT_DPI = 200


@dataclass(frozen=True)
class Style:
    """How large a picture is, and its text.

    Attributes:
        width: of one panel, in; text: of all words, points; line: width of axes, points.
    """

    width: float
    text: float
    line: float


PAGE = Style(PANEL[0], 9.0, 0.8)
SINGLE_COLUMN = Style(3.46, 8.0, 0.6)
"""88 mm, as most journals have it."""
DOUBLE_COLUMN = Style(3.54, 8.0, 0.6)
"""Two panels side by side are 180 mm."""


def one_axis(height: float = PANEL[1], *, columns: int = 1) -> tuple[Figure, Axes]:
    """A figure with an axis that is open to the top and the right.

    Args:
        height: in; columns: as wide as so many panels.
    """
    figure, (axis,) = panels(1, height=height)
    figure.set_figwidth(columns * PANEL[0])
    return figure, axis


def panels(
    count: int, *, narrow: bool = True, height: float = PANEL[1], opened: bool = True, share: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure of several panels, one below the other where it is to be narrow, otherwise two in a row.

    Args:
        height: of a panel, in; opened: without the lines at the top and the right; share: both axes.
    """
    across = 1 if narrow or count < 2 else 2
    down = -(-count // across)
    figure = Figure(figsize=(across * PANEL[0], down * height), layout="constrained", dpi=_DOT_DPI)
    axes = [figure.add_subplot(down, across, 1)]
    for place in range(1, count):
        shared = axes[0] if share else None
        axes.append(figure.add_subplot(down, across, place + 1, sharex=shared, sharey=shared))
    if opened:
        for axis in axes:
            axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def dress(figure: Figure, style: Style = PAGE) -> Figure:
    """The figure with all its text in one size, what is black in the colour of ink, and its panels as wide as said.

    To be called last, just before it is saved.
    """
    width, height = figure.get_size_inches()
    across = max(1, round(width / PANEL[0]))
    figure.set_size_inches(across * style.width, height * style.width / PANEL[0])
    figure.patch.set_alpha(0.0)
    for axis in figure.axes:
        axis.tick_params(which="both", labelsize=style.text, color=INK, labelcolor=INK, width=style.line)
        for spine in axis.spines.values():
            spine.set(edgecolor=INK, linewidth=style.line)
    for words in figure.findobj(Text):
        assert isinstance(words, Text)
        words.set_fontsize(style.text)
        if same_color(words.get_color(), "black"):
            words.set_color(INK)
    return figure


def edges_over(low: float, high: float) -> list[float]:
    """The edges of the bins of a histogram from `low` to `high`, one more than `BINS`."""
    edges: list[float] = np.linspace(low, high, BINS + 1).tolist()
    return edges


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


def legend_below(axis: Axes, columns: int = 1) -> None:
    """The names of what is drawn, under the picture, where they hide nothing."""
    figure = axis.get_figure()
    assert isinstance(figure, Figure)
    handles, names = axis.get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False)


def counted(number: int, name: str, plural: str = "") -> str:
    """A number and what it counts, such as "1 cell" and "2 cells"."""
    return f"{number} {name if number == 1 else plural or name + 's'}"


def nothing_to_show(axis: Axes, why: str) -> None:
    """Say in the picture itself why it is empty."""
    axis.set_axis_off()
    axis.text(0.5, 0.5, why, ha="center", va="center", transform=axis.transAxes, color=GREY, wrap=True)


def curve_colours(count: int) -> Sequence[str]:
    """Colours of an ordered family of curves, from dark to bright, that a dark page shows as well."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colour) for colour in colormaps["cividis"](np.linspace(0.35, 0.85, max(count, 1)))]
