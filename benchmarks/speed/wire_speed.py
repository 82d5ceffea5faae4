"""The effective matrix of an array with wires, reads with it, and its update."""

from __future__ import annotations

import statistics
import time

import numpy as np

from benchmarks.bars import Bars
from benchmarks.speed.reads import without_wires
from benchmarks.timing import exponent, seconds, side_by_side
from imssa_lab.contract.hal import FloatArray
from twin import DigitalTwin
from twin.wires.nodal import LinearCells, solve
from twin.wires.wire_resistance import WiredCells, Wires, effective_matrix

WIRES = Wires(r_word=1.0, r_bit=1.0, r_in=10.0, r_out=10.0)


def measure(bars: Bars) -> None:
    """First read, error against the nodal solution, later reads, one cell changed."""
    full = ((64, 14.0), (128, 130.0), (256, 1200.0))
    times, sizes = [], bars.size(full, smoke=((8, 14.0), (16, 130.0), (24, 1200.0)))
    for size, required in sizes:
        cells = np.random.default_rng(0).uniform(2e-6, 150e-6, (size, size))
        times.append(seconds(lambda g=cells: effective_matrix(g, WIRES), bars.size(3, smoke=1)))  # type: ignore[misc]
        bars.check(f"effective matrix {size}x{size}, ms", 1e3 * times[-1], "<=", required)
    bars.check("exponent of the rows", exponent([size for size, _ in sizes], times), "<=", 4.1, "elimination: 4")
    cells = np.random.default_rng(0).uniform(2e-6, 150e-6, (64, 64))
    voltages = np.random.default_rng(1).uniform(-0.2, 0.2, (8, 64))
    exact = solve(LinearCells(cells), WIRES, voltages).current
    error = np.abs(voltages @ effective_matrix(cells, WIRES) - exact).max() / np.abs(exact).max()
    bars.check("error against the nodal solution, relative", float(error), "<=", 1e-9)
    later_reads(bars)
    for size in bars.size([64, 128, 256], smoke=[16]):
        gain, error = one_cell_changed(size)
        bars.check(f"one cell changed, {size}x{size}, times cheaper than a full computation", gain, ">=", 5)
        bars.check("error after 8 such changes, of the largest element", error, "<=", 1e-9)


def later_reads(bars: Bars) -> None:
    """What wires add to a read once their matrix is there, plus one product, in units of a product."""
    matrix = np.random.default_rng(0).uniform(2e-6, 150e-6, (64, 64))
    drive = np.random.default_rng(1).uniform(-0.2, 0.2, (1024, 64))
    bare, wired = (DigitalTwin(without_wires().model_copy(update={"wires": w})) for w in (None, WIRES))
    for twin in (bare, wired):
        twin.cells.conductance = matrix
    works = [lambda: drive @ matrix, lambda: bare.read_mvm(drive), lambda: wired.read_mvm(drive)]
    dense, without, whole = side_by_side(works, bars.size(300, smoke=2)).T
    product = float(np.median(dense))
    extra = 1.0 + float(np.median(whole - without)) / product
    note = f"a read is {1e3 * np.median(whole):.2f} ms, a product {1e3 * product:.2f} ms"
    bars.check("a read with wires, beyond one without, times a dense product", extra, "<=", 1.2, note)


def one_cell_changed(size: int) -> tuple[float, float]:
    """How many times cheaper the view is after one cell has changed, medians; error of the matrix after 8 changes."""
    cells, rng = np.random.default_rng(0).uniform(2e-6, 150e-6, (size, size)), np.random.default_rng(1)
    anew = statistics.median(took(WiredCells(WIRES), cells) for _ in range(3))
    kept, updates = WiredCells(WIRES), []
    kept.view(cells)
    for _ in range(8):
        cells[rng.integers(size), rng.integers(size)] = rng.uniform(2e-6, 150e-6)
        updates.append(took(kept, cells))
    matrix = effective_matrix(cells, WIRES)
    return anew / statistics.median(updates), float(np.abs(kept.view(cells).matrix - matrix).max() / matrix.max())


def took(view: WiredCells, cells: FloatArray) -> float:
    """Seconds of one look at the cells."""
    started = time.perf_counter()
    view.view(cells)
    return time.perf_counter() - started
