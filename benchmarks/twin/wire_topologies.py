"""Lines with other ends: 40 arrays of all topologies against Kirchhoff's current law, and the laws of circuits."""

from __future__ import annotations

import numpy as np

from benchmarks.bars import Bars
from imssa_lab.contract.hal import FloatArray
from trials.circuits.topologies import Topology, topologies
from twin.wires.nodal import CubicCells, solve
from twin.wires.selection import SelectedReads
from twin.wires.wire_resistance import Wires, effective_matrix, turned

_OTHER = {
    "drive": {"left": "right", "right": "both", "both": "left"},
    "sense": {"bottom": "top", "top": "both", "both": "bottom"},
}


def measure(bars: Bars) -> None:
    """Every bar of the topologies."""
    cases = list(topologies(bars.size(40, smoke=12), bars.size(12, smoke=5)))
    against_kirchhoff(bars, cases)
    laws(bars, cases)
    null_controls(bars, cases)


def against_kirchhoff(bars: Bars, cases: list[Topology]) -> None:
    """Products by both ways, with voltages on the bit lines too, and reads of single cells: dense solution."""
    worst = dict.fromkeys(("effective matrix", "full solve", "full solve, bit lines biased"), 0.0)
    reads: dict[str, float] = {}
    moved = 0.0
    for case in cases:
        truth, scale = case.matrix, case.scale
        rows = len(truth)
        note(worst, "effective matrix", effective_matrix(case.conductance, case.wires) - truth, scale)
        note(worst, "full solve", solve(case.conductance, case.wires, np.eye(rows)).current - truth, scale)
        got = solve(case.conductance, case.wires, case.drive[None], case.bias[None])
        into, out = case.crossbar.currents(case.drive.tolist(), case.bias.tolist())
        both = np.concatenate([got.current[0] - out, got.cell_current.sum(axis=2)[0] - into])
        note(worst, "full solve, bit lines biased", both, 0.2 * scale)
        if case.wires.selection != "ground":
            selected = SelectedReads.of(case.conductance, case.wires)
            reads.setdefault(case.wires.selection, 0.0)
            note(reads, case.wires.selection, selected.cells - case.reads(case.conductance), scale)
            change = 1e-3 * case.conductance * np.random.default_rng(0).standard_normal(case.conductance.shape)
            slope = case.reads(case.conductance + change) - case.reads(case.conductance - change)
            error = selected.after(change[None])[0] - selected.cells - slope / 2
            moved = max(moved, float(np.abs(error).max()) / scale)
    for name, error in worst.items():
        bars.check(f"topologies, {name}, worst of {len(cases)} arrays, of full scale", error, "<=", 1e-9)
    for name, error in reads.items():
        bars.check(f"topologies, reads of single cells, {name}, of full scale", error, "<=", 1e-9)
    bars.check(
        "topologies, reads after changes of .1 % of all cells, of full scale", moved, "<=", 1e-8, "first order"
    )


def laws(bars: Bars, cases: list[Topology]) -> None:
    """Reciprocity, mirrors, current and power balance, and lines without resistance, on the same arrays."""
    limits = {"reciprocity": 1e-10, "mirror": 1e-10, "KCL sum": 1e-10, "power balance": 1e-10}
    limits |= {"nonlinear residual": 1e-12, "no wires": 1e-12}
    worst = dict.fromkeys(limits, 0.0)
    for case in cases:
        cells, wires, scale = case.conductance, case.wires, case.scale
        matrix, cols = effective_matrix(cells, wires), cells.shape[1]
        back = solve(cells.T[::-1, ::-1], turned(wires), np.eye(cols)).current[::-1, ::-1].T
        note(worst, "reciprocity", back - matrix, scale)
        note(worst, "mirror", effective_matrix(*mirrored(cells, wires))[::-1, ::-1] - matrix, scale)
        got = solve(cells, wires, case.drive[None], case.bias[None])
        word, bit = got.far_current
        ends = got.word_current[:, :, 0].sum() - word.sum() - got.bit_current[:, -1].sum() - bit.sum()
        note(worst, "KCL sum", ends, 0.2 * scale * cols)
        note(worst, "power balance", got.supplied - got.dissipated, max(float(got.dissipated.max()), 1e-15))
        bent = solve(CubicCells(cells, 5.0), wires, case.drive[None], case.bias[None])
        worst["nonlinear residual"] = max(worst["nonlinear residual"], float(bent.residual.max()))
        note(worst, "power balance", bent.supplied - bent.dissipated, max(float(bent.dissipated.max()), 1e-15))
        none = Wires(r_word=0, r_bit=0, drive=wires.drive, sense=wires.sense)
        note(worst, "no wires", effective_matrix(cells, none) - cells, scale)
    for name, error in worst.items():
        bars.check(f"topologies, {name}, worst of {len(cases)} arrays", error, "<=", limits[name])


def null_controls(bars: Bars, cases: list[Topology]) -> None:
    """Arrays whose lines have all resistances, with one end taken for another: the comparison must see it."""
    seen = {"drive": np.inf, "sense": np.inf}
    for case in cases:
        wires = case.wires.model_copy(update={"r_word": 20.0, "r_bit": 20.0, "open_word": (), "open_bit": ()})
        cells = np.maximum(case.conductance, 1e-4)
        right = effective_matrix(cells, wires)
        for end in seen:
            other = wires.model_copy(update={end: _OTHER[end][getattr(wires, end)]})
            off = float(np.abs(effective_matrix(cells, other) - right).max()) / case.scale
            seen[end] = min(seen[end], off)
    for end, off in seen.items():
        bars.check(f"topologies, null control: another end in {end}, least of {len(cases)}", off, ">=", 1e-5)


def mirrored(cells: FloatArray, wires: Wires) -> tuple[FloatArray, Wires]:
    """The array seen from the other side of the page and upside down: left is right, and top is bottom."""
    swapped = {"left": "right", "right": "left", "both": "both", "bottom": "top", "top": "bottom"}
    update = {
        "drive": swapped[wires.drive],
        "sense": swapped[wires.sense],
        "open_word": tuple(-1 - line for line in wires.open_word),
        "open_bit": tuple(-1 - line for line in wires.open_bit),
    }
    for name in ("r_word", "r_bit"):
        ohm = getattr(wires, name)
        update[name] = ohm[::-1] if isinstance(ohm, tuple) else ohm
    return cells[::-1, ::-1], wires.model_copy(update=update)


def note(worst: dict[str, float], name: str, error: FloatArray | float, scale: float) -> None:
    """Keep the largest error, of this scale."""
    worst[name] = max(worst[name], float(np.abs(error).max()) / scale)
