"""Stuck cells and dead lines from the map of a characterisation: what strong SETs and RESETs do to every cell."""

from __future__ import annotations

import numpy as np
from scipy import stats

from imssa_lab.contract.errors import DataError
from twin.fitting.fit_outcome import Outcome, Parameter
from twin.fitting.session.session_tables import Named


def fit_window_map(table: Named) -> Outcome:
    """Fractions of cells stuck high and low and of dead lines, with exact binomial intervals.

    Cells on dead lines say nothing of themselves and are not counted among the others.

    Args:
        table: row, col, state, low, high of every cell, as `protocols.characterisation.experiments.stuck_map` gives.

    Raises:
        DataError: all cells are on dead lines.
    """
    outcome = Outcome("stuck cells and windows")
    state = table["state"].astype(str)
    low, high = (np.asarray(table[name], dtype=np.float64) for name in ("low", "high"))
    on_line = np.char.startswith(state, "dead")
    judged = ~on_line
    if not judged.any():
        raise DataError(f"stuck cells and windows: all {state.size} cells are on dead lines; check the connections")
    middle = 0.5 * (low + high)
    section: dict[str, float] = {}
    for name, key in (("stuck high", "on"), ("stuck low", "off")):
        at = state == name
        section[f"{key}_fraction"] = _share(outcome, f"fraction {name}", int(at.sum()), int(judged.sum()))
        where = middle[at] if at.any() else np.array([np.median(high if key == "on" else low)])
        section[f"{key}_conductance"] = float(np.median(np.maximum(where, 1e-9)))
        if key == "on" and at.sum() > 1:
            section["on_spread"] = float(np.log(np.maximum(where, 1e-9)).std(ddof=1))
        if not at.any():
            outcome.undetermined.append(f"where cells are that are {name}: none is")
    outcome.sections["stuck"] = section
    _lines(table, state, middle, outcome)
    good = judged & ~np.char.startswith(state, "stuck")
    for name, values in (("low", low[good]), ("high", high[good])):
        ends = "no cell moves"
        if values.size:
            ends = f"{' / '.join(f'{1e6 * part:.3g}' for part in np.quantile(values, [0.05, 0.5, 0.95]))} uS"
        outcome.facts[f"{name} end of the windows, 5 / 50 / 95 %"] = ends
    for name in ("limited low", "limited high"):
        outcome.facts[f"cells {name}"] = f"{np.count_nonzero(state == name)} of {judged.sum()}"
    outcome.facts["cells"] = str(state.size)
    outcome.undetermined.append("cells of a chip that was never pulsed: the first reading is after a SET")
    return outcome


def _lines(
    table: Named,
    state: np.ndarray[tuple[int, ...], np.dtype[np.str_]],
    middle: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    outcome: Outcome,
) -> None:
    found: dict[str, float] = {}
    dead = False
    for kind, axis, key in (("dead word line", "row", "word"), ("dead bit line", "col", "bit")):
        number, at = np.asarray(table[axis], dtype=np.int64), state == kind
        lines = np.unique(number[at]).size
        found[f"{key}_fraction"] = _share(outcome, f"fraction of {kind}s", lines, np.unique(number).size)
        where = np.maximum(middle[at], 1e-9) if at.any() else np.array([1e-6])
        found[f"{key}_conductance"] = float(np.median(where))
        if key == "word":
            found["word_spread"] = float(np.log(where).std()) if where.size > 1 else 0.0
        dead = dead or bool(lines)
    if dead:
        outcome.sections["lines"] = found


def _share(outcome: Outcome, name: str, found: int, of: int) -> float:
    interval = stats.binomtest(found, of).proportion_ci(0.9, "exact")
    value = found / of
    low, high = float(interval.low), float(interval.high)
    outcome.parameters.append(Parameter(name, value, low, high, "1", upper_limit=found == 0))
    return value
