"""What other instruments measured during a run."""

from __future__ import annotations

import numpy as np
import xarray
from matplotlib.figure import Figure

from imssa_lab.log.run import Run
from imssa_lab.report.measured.other_instruments import other_instruments as measured
from imssa_lab.report.plots.style import BLUE, PANEL, nothing_to_show, one_axis

_HOUR = 3600.0


def other_instruments(source: Run | xarray.Dataset) -> Figure:
    """Each quantity over the time since the first reading of any, on an axis of its own.

    Args:
        source: a run, or what `measured.other_instruments` made of it.
    """
    data = source if isinstance(source, xarray.Dataset) else measured(source)
    names = [str(name) for name in data.data_vars]
    if not names:
        figure, axis = one_axis()
        nothing_to_show(axis, "no other instrument was read")
        return figure
    start = min(data[f"{name} time"].values.min() for name in names)
    figure = Figure(figsize=(PANEL[0], 0.8 + 1.5 * len(names)), layout="constrained")
    axes = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    for axis, name in zip(axes, names, strict=True):
        hours = (data[f"{name} time"].values - start) / np.timedelta64(1, "s") / _HOUR
        axis.plot(hours, data[name].values, ".-", color=BLUE, linewidth=1, markersize=4)
        axis.set_ylabel(f"{name}\n({data[name].attrs['units']})")
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("time since the first reading (h)")
    return figure
