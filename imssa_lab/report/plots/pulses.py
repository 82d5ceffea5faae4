"""How cells got where they are, pulse by pulse."""

from __future__ import annotations

import numpy as np
import xarray
from matplotlib.figure import Figure

from imssa_lab.log.run import Run
from imssa_lab.report.measured.programmed import inside, programmed
from imssa_lab.report.measured.trajectory import trajectory
from imssa_lab.report.plots.style import BLUE, GREEN, GREY, MICRO, ORANGE, PURPLE, one_axis

_KINDS = {"SET": (BLUE, "^"), "RESET": (ORANGE, "v"), "FORM": (PURPLE, "s")}


def pulse_trajectory(
    source: Run | xarray.Dataset,
    cell: tuple[int, int, int] | None = None,
    target: float | None = None,
    tolerance: float | None = None,
) -> Figure:
    """What one cell held after every pulse, above the pulses that it got.

    Args:
        source: a run, or what `measured.trajectory` made of it.
        cell: array, row (word line), column (bit line); needed with a run.
        target, tolerance: S, drawn as a band if given.
    """
    if isinstance(source, xarray.Dataset):
        data = source
    elif cell is None:
        raise ValueError("pulse_trajectory of a run: name the cell as (array, row, col)")
    else:
        data = trajectory(source, *cell)
    figure = Figure(figsize=(9.0, 4.0), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    kinds, step = data["kind"].values, np.arange(data.sizes["step"])
    reads = kinds == "read"
    above.plot(step[reads], MICRO * data["conductance"].values[reads], ".-", color=GREY, linewidth=1, markersize=4)
    if target is not None:
        above.axhline(MICRO * target, color=GREEN, linewidth=1, label="target")
        if tolerance is not None:
            band = (MICRO * (target - tolerance), MICRO * (target + tolerance))
            above.axhspan(*band, color=GREEN, alpha=0.15, label="tolerance")
        above.legend(fontsize=8)
    for kind, (colour, mark) in _KINDS.items():
        here = kinds == kind
        if here.any():
            below.plot(step[here], data["voltage"].values[here], mark, color=colour, markersize=4, label=kind)
            below.plot(step[here], data["gate"].values[here], mark, color=colour, markersize=4, fillstyle="none")
    above.set_ylabel("conductance (µS)")
    below.set(xlabel="step (reading or pulse)", ylabel="pulse (V)\ngate hollow")
    if not reads.all():
        below.legend(fontsize=8, ncols=3, loc="lower right", bbox_to_anchor=(1, 1), frameon=False, borderaxespad=0)
    where = tuple(data.attrs[name] for name in ("array", "row", "col"))
    above.set_title("array {}, word line {}, bit line {}".format(*where), fontsize=10)
    for axis in (above, below):
        axis.grid(alpha=0.3)
    return figure


def yield_by_pulse(source: Run | xarray.Dataset) -> Figure:
    """Share of cells that are within tolerance by re-read, against the pulses that it took, for every array.

    Args:
        source: a run, or what `measured.programmed` made of it.
    """
    data = source if isinstance(source, xarray.Dataset) else programmed(source)
    figure, axis = one_axis()
    top, reached = 1, inside(data)
    for place in range(data.sizes["array"]):
        one = data.isel(array=place)
        chosen = np.isfinite(one["target"].values)
        good = reached[place]
        needed = np.sort(one["pulses"].values[good])
        top = max(top, int(one["pulses"].values[chosen].max()))
        share = 100 * np.arange(1, needed.size + 1) / max(int(chosen.sum()), 1)
        label = "an array each" if place == 0 and data.sizes["array"] > 1 else None
        axis.step(needed, share, where="post", color=BLUE, alpha=0.5 if data.sizes["array"] > 1 else 1, label=label)
    total = _all_arrays(data)
    if data.sizes["array"] > 1:
        axis.step(*total, where="post", color="black", linewidth=2, label="all")
        axis.legend(fontsize=8, loc="lower right")
    axis.set(xlabel="pulses to a cell", ylabel="cells within tolerance (%)", ylim=(0, 102), xlim=(0, top))
    axis.set_title(f"{total[1][-1] if len(total[1]) else 0:.2f} % in the end", fontsize=10)
    axis.grid(alpha=0.3)
    return figure


def _all_arrays(data: xarray.Dataset) -> tuple[np.ndarray, np.ndarray]:
    good = inside(data)
    chosen = int(np.isfinite(data["target"].values).sum())
    needed = np.sort(data["pulses"].values[good])
    return needed, 100 * np.arange(1, needed.size + 1) / max(chosen, 1)
