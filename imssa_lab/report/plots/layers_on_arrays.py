"""The arrays of a deployment, each cell in the colour of the layer that it belongs to."""

from __future__ import annotations

from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from imssa_lab.contract.errors import ConfigError
from imssa_lab.log.run import Run
from imssa_lab.report.measured.held_layers import HeldLayers, held_layers
from imssa_lab.report.plots.style import CYCLE, GREY, NOT_PROGRAMMED, PANEL, curve_colours


def layers_on_arrays(source: Run | HeldLayers, *, narrow: bool = False) -> Figure:
    """Which array holds which layer of the net, and where on it.

    Args:
        source: a run with a deployment, or what `measured.held_layers` made of it.
        narrow: three instead of six arrays in a row.

    Raises:
        ConfigError: a run without a deployment.
    """
    held = source if isinstance(source, HeldLayers) else held_layers(source)
    if held is None:
        raise ConfigError("layers_on_arrays: this run holds no plan of a deployment; give the run of `imssa deploy`")
    most, width = (3, PANEL[0]) if narrow else (6, 2 * PANEL[0])
    count = len(held.maps)
    across = min(most, count)
    down = -(-count // across)
    figure = Figure(figsize=(width, 1.35 * down + 0.3 + 0.2 * len(held.names)), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False)
    colours = CYCLE[: len(held.names)] if len(held.names) <= len(CYCLE) else curve_colours(len(held.names))
    norm = BoundaryNorm([place - 0.5 for place in range(len(colours) + 1)], len(colours))
    for place, axis in enumerate(axes.flat):
        if place >= count:
            axis.set_axis_off()
            continue
        axis.set_facecolor(NOT_PROGRAMMED)
        axis.imshow(held.maps[place], cmap=ListedColormap(list(colours)), norm=norm, interpolation="none")
        axis.set(title=f"array {place}", xticks=[], yticks=[])
    marks = [
        Patch(facecolor=colour, edgecolor=GREY, linewidth=0.5, label=name)
        for name, colour in zip(held.names, colours, strict=True)
    ]
    figure.legend(handles=marks, loc="outside lower center", frameon=False, ncols=1 if narrow else 2)
    return figure
