"""How cells got where they are, pulse by pulse."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from imssa_lab.log.run import Run
from imssa_lab.report.measured.programmed import inside, programmed
from imssa_lab.report.measured.trajectory import trajectory
from imssa_lab.report.plots.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    MICRO,
    ORANGE,
    PANEL,
    PURPLE,
    counted,
    legend_below,
    nothing_to_show,
    one_axis,
)

_KINDS = {"SET": (BLUE, "^"), "RESET": (ORANGE, "v"), "FORM": (PURPLE, "s")}


def pulse_trajectory(
    source: Run | xarray.Dataset,
    cell: tuple[int, int, int] | None = None,
    target: float | None = None,
    tolerance: float | None = None,
    *,
    narrow: bool = False,
) -> Figure:
    """What one cell held after every pulse, above the pulses that it got: their voltages, and those of the gate.

    Args:
        source: a run, or what `measured.trajectory` made of it.
        cell: array, row (word line), column (bit line); needed with a run.
        target, tolerance: S, drawn as a band if given; narrow: as wide as one panel instead of two.
    """
    if isinstance(source, xarray.Dataset):
        data = source
    elif cell is None:
        raise ValueError("pulse_trajectory of a run: name the cell as (array, row, col)")
    else:
        data = trajectory(source, *cell)
    figure = Figure(figsize=((1 if narrow else 2) * PANEL[0], 4.6), layout="constrained")
    above, middle, below = figure.subplots(3, 1, sharex=True, height_ratios=(5, 2, 2))
    kinds, step = data["kind"].values, np.arange(data.sizes["step"])
    reads = kinds == "read"
    above.plot(step[reads], MICRO * data["conductance"].values[reads], ".-", color=GREY, linewidth=1, markersize=4)
    if target is not None:
        above.axhline(MICRO * target, color=GREEN, linewidth=1, label="target")
        if tolerance is not None:
            band = (MICRO * (target - tolerance), MICRO * (target + tolerance))
            above.axhspan(*band, color=GREEN, alpha=0.15, label="tolerance")
        above.legend()
    for kind, (colour, mark) in _KINDS.items():
        here = kinds == kind
        if here.any():
            count = f"{kind}, {counted(int(here.sum()), 'pulse')}"
            middle.plot(step[here], data["voltage"].values[here], mark, color=colour, markersize=3, label=count)
            below.plot(step[here], data["gate"].values[here], mark, color=colour, markersize=3)
    above.set_ylabel("conductance (µS)")
    middle.set_ylabel("pulse (V)")
    below.set(xlabel="step (reading or pulse)", ylabel="gate (V)")
    legend_below(middle, columns=3 - narrow)
    where = tuple(data.attrs[name] for name in ("array", "row", "col"))
    above.set_title("array {}, word line {}, bit line {}".format(*where))
    for axis in (above, middle, below):
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def yield_by_pulse(source: Run | xarray.Dataset) -> Figure:
    """Share of the cells that had to move which are within tolerance by re-read, against the pulses that it took.

    Args:
        source: a run, or what `measured.programmed` made of it.
    """
    data = source if isinstance(source, xarray.Dataset) else programmed(source)
    figure, axis = one_axis()
    moved = data["level"].values >= 0
    good, pulses = moved & inside(data), data["pulses"].values
    if not moved.any():
        nothing_to_show(axis, "no cell had to move")
        return figure
    several = data.sizes["array"] > 1
    for place in range(data.sizes["array"]):
        if moved[place].any():
            _share(axis, pulses[place][good[place]], int(moved[place].sum()), BLUE, alpha=0.5 if several else 1)
    if several:
        axis.lines[0].set_label("an array each")
        _share(axis, pulses[good], int(moved.sum()), INK, linewidth=2, label="all")
        axis.legend(loc="lower right")
    axis.set(xlabel="pulses to a cell", ylabel="cells within tolerance (%)", ylim=(0, 102))
    axis.set_xlim(0, max(1, int(pulses[moved].max())))
    end = f"{100 * good.sum() / moved.sum():.2f} % in the end"
    axis.set_title(f"{counted(int(moved.sum()), 'cell')} that had to move; {end}")
    axis.grid(alpha=0.3)
    return figure


def _share(axis: Axes, needed: np.ndarray, of: int, colour: str, **more: Any) -> None:
    """How many of so many cells had enough after how many pulses."""
    steps = np.sort(needed)
    axis.step(steps, 100 * np.arange(1, steps.size + 1) / of, where="post", color=colour, **more)
