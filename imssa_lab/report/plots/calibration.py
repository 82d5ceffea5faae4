"""How well columns are calibrated."""

from __future__ import annotations

import numpy as np
import xarray
from matplotlib.figure import Figure

from imssa_lab.log.run import Run
from imssa_lab.report.measured.calibrated import calibrated
from imssa_lab.report.plots.style import BLUE, GREY, MICRO, ORANGE, nothing_to_show, panels


def column_calibration(source: Run | xarray.Dataset, *, narrow: bool = False) -> Figure:
    """Gain, offset and what the fit leaves of every column, over all arrays; columns far from the others stand out.

    Args:
        source: a run, or what `measured.calibrated` made of it; narrow: its parts one below the other.
    """
    data = source if isinstance(source, xarray.Dataset) else calibrated(source)
    figure, axes = panels(3, narrow=narrow)
    parts = (("gain", "gain", 1.0), ("offset", "offset (µA)", MICRO), ("residual", "rms left over (µA)", MICRO))
    for axis, (name, label, scale) in zip(axes, parts, strict=True):
        values = scale * data[name].values
        if not values.size:
            nothing_to_show(axis, "no column was calibrated")
            continue
        columns = np.broadcast_to(np.arange(values.shape[1]), values.shape)
        median = float(np.median(values))
        spread = float(np.median(np.abs(values - median))) * 1.4826
        far = np.abs(values - median) > 5 * spread
        axis.plot(columns[~far], values[~far], ".", color=BLUE, markersize=4)
        axis.plot(columns[far], values[far], "s", color=ORANGE, fillstyle="none", label="5 σ from the others")
        axis.axhline(median, color=GREY, linewidth=1)
        axis.set(xlabel="bit line", ylabel=label)
        axis.set_title(f"median {median:.4g}, robust σ {spread:.2g}")
        if far.any():
            axis.legend()
    return figure
