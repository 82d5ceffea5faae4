"""Cells that move by themselves after they were programmed."""

from __future__ import annotations

import numpy as np
import xarray
from matplotlib.figure import Figure

from imssa_lab.log.run import Run
from imssa_lab.report.measured.repeats import repeats
from imssa_lab.report.plots.style import CYCLE, MICRO, bands, legend_below, nothing_to_show, one_axis

_FANS = ((0.05, 0.95, 0.15), (0.25, 0.75, 0.3))


def relaxation_fans(source: Run | xarray.Dataset, array: int = 0) -> Figure:
    """How far cells have moved since the first reading after their last pulse: median, half and 90 % of them.

    Cells are grouped into bands by their initial conductance.

    Args:
        source: a run, or what `measured.repeats` made of it; array: which one of a run.
    """
    data = source if isinstance(source, xarray.Dataset) else repeats(source, array)
    figure, axis = one_axis(3.2)
    time = data["device_time"].values
    later = time - time[0] if time.size else time
    if not (later > 0).any():
        nothing_to_show(axis, "the cells were not read again later")
        return figure
    start = data["conductance"].values[0]
    moved = MICRO * (data["conductance"].values[1:] - start)
    for colour, (name, mine) in zip(CYCLE, bands(start), strict=False):
        for low, high, alpha in _FANS:
            reach = np.quantile(moved[:, mine], (low, high), axis=1)
            axis.fill_between(later[1:], *reach, color=colour, alpha=alpha, linewidth=0)
        axis.plot(later[1:], np.median(moved[:, mine], axis=1), color=colour, label=name)
    if later[-1] > 100 * max(later[1], 1e-9):
        axis.set_xscale("log")
    axis.set(xlabel="time since the first reading (s)", ylabel="conductance moved by (µS)")
    axis.set_title(f"array {data.attrs['array']}: median, half and 90 % of {start.size} cells")
    legend_below(axis)
    axis.grid(alpha=0.3)
    return figure
