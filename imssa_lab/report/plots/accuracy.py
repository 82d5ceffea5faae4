"""What a model gets right, and what that depends on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray
from matplotlib.figure import Figure

from imssa_lab.report.plots.style import BLUE, CYCLE, GREY, INK, MARKS, MICRO, ORANGE, legend_below, one_axis
from imssa_lab.s4d.bundle import wilson_interval

_BAR_COLOURS = {"on arrays": BLUE, "null control": ORANGE}
_AXES = {
    "bits": ("bits of a weight", 1.0),
    "sigma": ("programming error σ (µS)", MICRO),
    "stuck": ("stuck cells (%)", 100.0),
    "time": ("time since programming (s)", 1.0),
}


def accuracy_bars(
    accuracies: Sequence[tuple[str, float]], tests: int, least: float | None = None, chance: float | None = None
) -> Figure:
    """Accuracies by name (fractions) with their 95 % intervals for `tests` test sequences.

    Args:
        least: that passes; chance: of a guess; both fractions, drawn as lines where they are known.
    """
    figure, axis = one_axis(3.1)
    names = [name.replace(" ", "\n") for name, _ in accuracies]
    values = np.array([100 * value for _, value in accuracies])
    edges = 100 * np.array([wilson_interval(round(value * tests), tests) for _, value in accuracies])
    axis.bar(names, values, color=[_BAR_COLOURS.get(name, GREY) for name, _ in accuracies], width=0.6)
    axis.errorbar(names, values, yerr=np.abs(edges.T - values), fmt="none", ecolor=INK, capsize=4, linewidth=1)
    for place, value in enumerate(values):
        axis.annotate(f"{value:.1f}", (place, edges[place, 1] + 1.5), ha="center")
    for value, line, words in ((least, "--", "least that passes"), (chance, ":", "chance")):
        if value is not None:
            axis.axhline(100 * value, color=INK, linestyle=line, linewidth=1, label=f"{words}: {100 * value:.1f} %")
    axis.set(ylabel="test accuracy (%)", ylim=(0, 112), yticks=range(0, 101, 20))
    axis.set_title(f"{tests} test sequences, 95 % intervals")
    legend_below(axis, columns=2)
    return figure


def accuracy_against(data: xarray.Dataset, along: str, title: str = "") -> Figure:
    """Mean accuracy against bits, programming error, stuck cells or time; every repetition as a dot.

    Args:
        data: `accuracy` (a fraction) with the dimension `along` and, as there are, `curve` (its coordinate names the
            curves) and `repeat` (chips or seeds).
        along: bits, sigma (S), stuck (a fraction) or time (s).

    Raises:
        ValueError: another name, or `accuracy` lacks that dimension.
    """
    if along not in _AXES or along not in data["accuracy"].dims:
        raise ValueError(f"accuracy_against {along!r}: choose one of {', '.join(_AXES)} that accuracy has")
    label, scale = _AXES[along]
    accuracy = data["accuracy"]
    for name in ("curve", "repeat"):
        accuracy = accuracy if name in accuracy.dims else accuracy.expand_dims(name)
    accuracy = accuracy.transpose("curve", along, "repeat")
    figure, axis = one_axis(3.2)
    x = scale * data[along].values.astype(float)
    names = [str(name) for name in data["curve"].values] if "curve" in data.coords else [""] * accuracy.sizes["curve"]
    for place, name in enumerate(names):
        colour, mark = CYCLE[place % len(CYCLE)], MARKS[place % len(MARKS)]
        values = 100 * accuracy.values[place]
        axis.plot(x, np.nanmean(values, axis=1), marker=mark, color=colour, label=name or None)
        if values.shape[1] > 1:
            axis.plot(np.repeat(x, values.shape[1]), values.ravel(), ".", color=colour, alpha=0.4)
    if along == "time":
        axis.set_xscale("symlog", linthresh=1.0)
    if any(names):
        legend_below(axis)
    axis.set(xlabel=label, ylabel="accuracy (%)", title=title)
    axis.grid(alpha=0.3)
    return figure
