"""The effective matrix after cells have changed: against the full solve, and when it is computed again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin.wires.elimination import Elimination
from twin.wires.line_ends import Lines
from twin.wires.nodal import solve
from twin.wires.wire_resistance import WiredCells, WiredView, Wires, effective_matrix

WIRES = Wires(r_word=1.0, r_bit=2.0, r_in=10.0, r_out=20.0, r_access=300.0)

resistance = st.one_of(st.just(0.0), st.floats(1e-3, 200.0))
any_wires = st.builds(
    Wires, r_word=resistance, r_bit=resistance, r_in=resistance, r_out=resistance, r_access=resistance
)
conductance = st.one_of(st.just(0.0), st.floats(1e-6, 1e-3), st.just(1.0))


def lines(wires: Wires) -> tuple[Lines, Lines]:
    return wires.word_lines((8, 8)), wires.bit_lines((8, 8))


def some_cells(rows: int, cols: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(2e-6, 150e-6, (rows, cols))


def eliminated(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every elimination."""
    done: list[int] = []
    real = Elimination.__init__
    monkeypatch.setattr(Elimination, "__init__", lambda *given, **more: done.append(1) or real(*given, **more))
    return done


@settings(max_examples=100, deadline=None)
@given(st.data(), any_wires, st.integers(1, 9), st.integers(1, 9))
def test_any_sequence_of_changes_ends_at_the_full_solve(
    data: st.DataObject, wires: Wires, rows: int, cols: int
) -> None:
    """Cells that open, close, short, come back and change again, one to three at a time."""
    cells, wired = some_cells(rows, cols), WiredCells(wires)
    place = st.tuples(st.integers(0, rows - 1), st.integers(0, cols - 1), conductance)
    for changes in data.draw(st.lists(st.lists(place, min_size=1, max_size=3), min_size=1, max_size=8)):
        wired.view(cells)
        for row, col, value in changes:
            cells[row, col] = value
        truth = solve(cells, wires, np.eye(rows)).current
        assert np.abs(wired.view(cells).matrix - truth).max() <= 1e-9 * max(np.abs(truth).max(), 1e-12)


@pytest.mark.parametrize(("rows", "cols"), [(24, 24), (40, 24), (24, 40)])
def test_changes_of_single_cells_are_updates(rows: int, cols: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six cells one after the other, one back to where it was: one elimination, all of the view that of a new one."""
    cells, wired, done = some_cells(rows, cols), WiredCells(WIRES), eliminated(monkeypatch)
    wired.view(cells)
    first, rng = cells[3, 5], np.random.default_rng(1)
    for row, col in [(3, 5), (3, 7), (20, 5), (0, 0), (rows - 1, cols - 1), (3, 5)]:
        cells[row, col] = first if cells[3, 5] != first and (row, col) == (3, 5) else rng.uniform(2e-6, 150e-6)
        got, before = wired.view(cells), len(done)
        assert before == 1
        anew = WiredView.of(cells, WIRES)
        done.pop()
        for name in ("matrix", "word_share", "bit_share", "cells", "cell_share"):
            assert getattr(got, name) == pytest.approx(getattr(anew, name), rel=1e-12)
    assert cells[3, 5] == first


def test_null_control_the_matrix_before_the_change_is_another() -> None:
    cells = some_cells(24, 24)
    before = effective_matrix(cells, WIRES)
    cells[3, 5] *= 1.5
    assert np.abs(effective_matrix(cells, WIRES) - before).max() > 1e-3 * before.max()


def test_many_changes_are_worked_out_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, or one by one until more than a quarter of a line's cells have changed."""
    cells, wired, done = some_cells(16, 16), WiredCells(WIRES), eliminated(monkeypatch)
    wired.view(cells)
    wired.view(cells * 1.01)
    assert len(done) == 2
    wired.view(cells)
    assert len(done) == 3
    for index in range(5):
        assert len(done) == 3
        cells[index, 0] *= 1.1
        wired.view(cells)
    assert len(done) == 4


@pytest.mark.parametrize("short", [1e8, 1e20])
def test_rounding_that_would_show_is_worked_out_anew(short: float) -> None:
    """A cell of a stated conductance in S, opened: what its wires leave is lost in the rounding of its own."""
    cells, wires = some_cells(8, 8), Wires(r_word=1.0, r_bit=1.0)
    shorted = cells.copy()
    shorted[2, 3] = short
    base = Elimination(shorted, *lines(wires), keep=True)
    assert base.after(cells) is None
    wired = WiredCells(wires)
    wired.view(shorted)
    assert np.array_equal(wired.view(cells).matrix, effective_matrix(cells, wires))


def test_nothing_is_kept_where_it_was_not_asked_for() -> None:
    cells = some_cells(8, 8)
    assert Elimination(cells, *lines(Wires(r_word=1.0, r_bit=1.0))).after(cells) is None
