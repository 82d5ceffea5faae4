"""Pictures of a characterisation that a run alone has no data for."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from imssa_lab.contract.array_types import BoolArray, FloatArray
from imssa_lab.report.characterised.characterised_tables import Columns, Tables, of_moving_cells, on_dead_line
from imssa_lab.report.plots.maps import kinds_panel, line_labels
from imssa_lab.report.plots.style import (
    BLUE,
    CYCLE,
    GREEN,
    GREY,
    MICRO,
    ORANGE,
    PURPLE,
    SKY,
    YELLOW,
    bands,
    edges_over,
    legend_below,
    one_axis,
    panels,
)

STATES = {
    "good": "#e8f1f8",
    "limited low": SKY,
    "limited high": YELLOW,
    "stuck low": BLUE,
    "stuck high": ORANGE,
    "dead word line": GREEN,
    "dead bit line": PURPLE,
}
"""What a cell can be, and its colour."""
FEWEST_CYCLES = 10
"""Cycles of SET and RESET from which on a picture of endurance says something."""


def stuck_map(tables: Tables) -> Figure:
    """What every cell is."""
    table, names = tables.columns["stuck"], list(STATES)
    found = np.full(tables.shape, np.nan)
    found[table["row"], table["col"]] = [names.index(state) for state in table["state"].tolist()]
    figure, axis = one_axis(4.8)
    kinds_panel(axis, found, names, list(STATES.values()))
    line_labels(axis, f"{table['cell'].size} cells by their answer to SET and RESET")
    return figure


def windows(tables: Tables) -> Figure:
    """What the strongest RESET and SET leave in the cells, two histograms over the same bins."""
    table = tables.columns["stuck"]
    kept = ~on_dead_line(table["state"])
    figure, axis = one_axis(3.4)
    low, high = (MICRO * table[name][kept] for name in ("low", "high"))
    edges = edges_over(min(0.0, float(low.min(initial=0.0))), float(high.max(initial=1.0)))
    for values, colour, words in ((low, ORANGE, "after RESET"), (high, BLUE, "after SET")):
        if not values.size:
            continue
        axis.hist(values, bins=edges, color=colour, alpha=0.35, log=True)
        name = f"{words}: median {np.median(values):.3g} µS"
        axis.hist(values, bins=edges, color=colour, histtype="step", linewidth=1.2, log=True, label=name)
    axis.set(xlabel="conductance (µS)", ylabel="cells", ylim=(0.7, None))
    axis.set_title(f"{int(kept.sum())} cells, windows of their own")
    if kept.any():
        legend_below(axis)
    return figure


def pulse_response(tables: Tables, *, narrow: bool = False) -> Figure:
    """Conductance against number, gate and voltage of pulses: the median of the cells, and half of them as a band."""
    table = tables.columns["pulses"]
    figure, axes = panels(3, narrow=narrow)
    cells = np.unique(table["cell"]).size
    along = (
        ("step", None, "number of the pulse", f"{cells} cells, every pulse"),
        ("gate", "SET", "gate (V)", f"SET at {_volts(table, 'SET', 'voltage')} V, once each"),
        ("voltage", "RESET", "RESET (V)", f"RESET, gate at {_volts(table, 'RESET', 'gate')} V, once each"),
    )
    for axis, (name, only, label, title) in zip(axes, along, strict=True):
        for kind, colour in (("SET", BLUE), ("RESET", ORANGE)):
            if only in (None, kind):
                _response(axis, table, kind, name, colour)
        axis.set(xlabel=label, ylabel="conductance (µS)", title=title)
        axis.grid(alpha=0.3)
    axes[0].legend()
    return figure


def _volts(table: Columns, kind: str, name: str) -> str:
    values = np.unique(table[name][table["kind"] == kind])
    return " to ".join(f"{value:.3g}" for value in values[:: max(1, len(values) - 1)]) if values.size else "no"


def _response(axis: Axes, table: Columns, kind: str, along: str, colour: str) -> None:
    for cycle in np.unique(table["cycle"]).tolist():
        mine = (table["kind"] == kind) & (table["cycle"] == cycle)
        x = np.unique(table[along][mine])
        if not x.size:
            continue
        held = [MICRO * table["conductance"][mine & (table[along] == value)] for value in x]
        low, middle, high = np.array([np.quantile(values, (0.25, 0.5, 0.75)) for values in held]).T
        first = cycle == table["cycle"].min()
        axis.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
        line = "-" if first else "--"
        axis.plot(x, middle, line, marker=".", color=colour, markersize=3, label=kind if first else None)


def endurance(tables: Tables) -> Figure:
    """The highest and the lowest conductance of each cycle of SET and RESET, median and half of the cells."""
    table = tables.columns["pulses"]
    cycles, cells = np.unique(table["cycle"]), np.unique(table["cell"])
    shape = cycles.size, cells.size
    highest, lowest = np.full(shape, -np.inf), np.full(shape, np.inf)
    where = np.searchsorted(cycles, table["cycle"]), np.searchsorted(cells, table["cell"])
    np.maximum.at(highest, where, table["conductance"])
    np.minimum.at(lowest, where, table["conductance"])
    figure, axis = one_axis(3.1)
    for values, colour, words in ((highest, BLUE, "highest, after SET"), (lowest, ORANGE, "lowest, after RESET")):
        low, middle, high = np.quantile(MICRO * values, (0.25, 0.5, 0.75), axis=1)
        axis.fill_between(cycles + 1, low, high, color=colour, alpha=0.25, linewidth=0)
        axis.plot(cycles + 1, middle, color=colour, label=words)
    axis.set(xlabel="cycle of SET and RESET", ylabel="conductance (µS)", title=f"{cells.size} cells: median and half")
    axis.grid(alpha=0.3)
    legend_below(axis, columns=2)
    return figure


def current_voltage(tables: Tables, *, narrow: bool = False) -> Figure:
    """Current, and conductance relative to that at the highest voltage, against voltage, in bands of conductance."""
    voltage, current = _curves(of_moving_cells(tables, "iv"))
    top = int(np.argmax(voltage))
    level = current[top] / voltage[top]
    figure, axes = panels(2, narrow=narrow, height=3.4)
    for colour, (words, mine) in zip(CYCLE, bands(level), strict=False):
        low, middle, high = np.quantile(MICRO * current[:, mine], (0.05, 0.5, 0.95), axis=1)
        axes[0].fill_between(voltage, low, high, color=colour, alpha=0.2, linewidth=0)
        axes[0].plot(voltage, middle, ".-", color=colour, label=words)
        ratio = np.median(current[:, mine] / voltage[:, None], axis=1) / np.median(level[mine])
        axes[1].plot(voltage, ratio, ".-", color=colour)
    axes[1].axhline(1.0, color=GREY, linestyle=":", label="Ohm's law")
    axes[1].legend()
    axes[0].set(xlabel="voltage (V)", ylabel="current (µA)", title=f"{level.size} cells: median and 90 %")
    title = f"median, relative to {voltage[top]:.2g} V"
    axes[1].set(xlabel="voltage (V)", ylabel="current / voltage", title=title)
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.xaxis.set_major_locator(MaxNLocator(5))
    legend_below(axes[0])
    return figure


def _curves(table: Columns) -> tuple[FloatArray, FloatArray]:
    """Voltages, V, (n,), and currents, A, (n, cells)."""
    voltages, cells = np.unique(table["voltage"]), np.unique(table["cell"])
    current = np.full((voltages.size, cells.size), np.nan)
    at = np.searchsorted(voltages, table["voltage"]), np.searchsorted(cells, table["cell"])
    current[at] = table["current"]
    whole: BoolArray = np.isfinite(current).all(axis=0)
    return voltages, current[:, whole]
