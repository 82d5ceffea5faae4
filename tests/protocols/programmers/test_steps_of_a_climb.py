"""A write-verify loop step by step, against rules worked out by hand: windows, doubt, retries, ladders, budget."""

import numpy as np
import pytest

from imssa_lab.contract.hal import PulseKind, Pulses
from protocols.programmers.ladder import Ladder
from protocols.programmers.ladder_state import Climb, Rules

INNER, OUTER = 4e-6, 10e-6
GATES = (0.5, 0.7, 0.1)  # V: three rungs, 0.5, 0.6 and 0.7
VOLTS = (1.0, 1.2, 0.1)


def climb(cells: int, begin: list[float] | None = None, **changes: object) -> Climb:
    rules = {"inner": INNER, "outer": OUTER, "retries": 2, "budget": None, "step_back": None, "centre": False}
    ladders = (
        Ladder.of(PulseKind.SET, (2.0, 2.0, 1.0), GATES, 1e-6),
        Ladder.of(PulseKind.RESET, VOLTS, (5.0, 5.0, 1.0), 1e-6),
    )
    mask = np.ones((1, cells), dtype=bool)
    start = None if begin is None else np.array([begin])
    return Climb(Rules(**{**rules, **changes}), ladders, mask, start)  # type: ignore[arg-type]


def errors(*microsiemens: float) -> np.ndarray:  # type: ignore[type-arg]
    return np.array([microsiemens]) * 1e-6


def gates(batches: list[Pulses]) -> list[float]:
    """Gate voltages of the SET cells, V."""
    (batch,) = (one for one in batches if one.kind is PulseKind.SET)
    return [round(float(value), 3) for value in batch.gate[batch.mask]]


def volts(batches: list[Pulses]) -> list[float]:
    """Voltages of the RESET cells, V."""
    (batch,) = (one for one in batches if one.kind is PulseKind.RESET)
    return [round(float(value), 3) for value in batch.voltage[batch.mask]]


def test_a_cell_is_judged_by_the_inner_window_while_it_climbs_and_by_the_outer_one_after() -> None:
    """The window is also what a sequential test of reads decides against: neither list, one list, the other."""
    state = climb(3)
    assert state.limit().tolist() == [[INNER] * 3]  # all are on both lists at the start
    state.verify(errors(0, -20, 20), 0.0)
    assert state.to_set.tolist() == [[False, True, False]]
    assert state.to_reset.tolist() == [[False, False, True]]
    assert state.limit().tolist() == [[OUTER, INNER, INNER]]


@pytest.mark.parametrize("sign", [-1, 1])
def test_doubt_narrows_the_window_by_itself_and_by_half_at_most(sign: int) -> None:
    """Doubt of 1 uS makes 4 uS to 3 uS; one of 3 uS or more leaves 2 uS; the outer window stays as it is."""
    for doubt, inside, outside in ((0.0, 3.9, 4.1), (1e-6, 2.9, 3.1), (3e-6, 1.9, 2.1), (1.0, 1.9, 2.1)):
        state = climb(3)
        state.verify(sign * errors(inside, outside, 20), doubt)
        assert state.listed.tolist() == [[False, True, True]], doubt
    state = climb(2)
    state.verify(errors(0, 0), 0.0)
    state.verify(sign * errors(9.9, 10.1), 3e-6)
    assert state.listed.tolist() == [[False, True]]


def test_doubt_may_be_of_each_cell() -> None:
    state = climb(3)
    state.verify(errors(-3, -3, -3), np.array([[0.0, 0.5e-6, 1.5e-6]]))
    assert state.to_set.tolist() == [[False, False, True]]


def test_ladders_rise_by_a_rung_and_a_cell_that_was_let_go_begins_again_at_the_bottom() -> None:
    state = climb(2)
    state.verify(errors(-20, 20), 0.0)
    for gate, volt in ((0.5, 1.0), (0.6, 1.1), (0.7, 1.2), (0.7, 1.2)):
        batches = state.next_pulses()
        assert [batch.kind for batch in batches] == [PulseKind.SET, PulseKind.RESET]
        assert (gates(batches), volts(batches)) == ([gate], [volt])
        state.verify(errors(-20, 20), 0.0)
    state.verify(errors(0, 0), 0.0)
    assert state.next_pulses() == []
    state.verify(errors(-20, 20), 0.0)
    batches = state.next_pulses()
    assert (gates(batches), volts(batches)) == ([0.5], [1.0])
    assert state.pulses.tolist() == [[5, 5]]


@pytest.mark.parametrize(("back", "gate"), [(0, 0.7), (1, 0.6), (2, 0.5), (5, 0.5), (None, 0.5)])
def test_a_cell_that_comes_back_climbs_from_so_many_rungs_below_its_last(back: int | None, gate: float) -> None:
    state = climb(1, step_back=back)
    state.verify(errors(-20), 0.0)
    for _ in range(3):
        state.next_pulses()  # up to 0.7 V
    state.verify(errors(0), 0.0)
    state.verify(errors(-20), 0.0)
    assert gates(state.next_pulses()) == [gate]


def test_the_first_gate_may_be_given_for_each_cell() -> None:
    state = climb(4, begin=[0.0, 0.55, 0.6, 9.0])
    state.verify(errors(-20, -20, -20, -20), 0.0)
    assert gates(state.next_pulses()) == [0.5, 0.6, 0.6, 0.7]
    assert gates(state.next_pulses()) == [0.6, 0.7, 0.7, 0.7]


def test_a_cell_is_given_up_after_so_many_more_pulses_at_the_top() -> None:
    """Three rungs and two retries: five pulses, then none; it stays on its list, so that it counts as a failure."""
    state = climb(2, retries=2)
    for pulse in range(5):
        state.verify(errors(-20, 20), 0.0)
        assert len(state.next_pulses()) == 2, pulse
        assert not state.given_up.any()
    state.verify(errors(-20, 20), 0.0)
    assert state.next_pulses() == []
    assert state.given_up.all()
    assert state.pulses.tolist() == [[5, 5]]
    assert not state.open.any()
    assert not state.listed.any()
    state.verify(errors(0, 0), 0.0)
    assert (state.to_set.tolist(), state.to_reset.tolist()) == ([[True, False]], [[False, True]])


def test_retries_are_counted_from_the_last_time_that_a_cell_was_let_go() -> None:
    state = climb(1, retries=2, step_back=0)
    for _ in range(3):
        state.verify(errors(-20), 0.0)
        for _ in range(4 if not state.pulses.any() else 2):  # to the top, and one or two retries
            state.next_pulses()
            assert not state.given_up.any()
        state.verify(errors(0), 0.0)


def test_a_budget_ends_pulses_and_gives_nobody_up() -> None:
    state = climb(2, budget=2)
    for _ in range(4):
        state.verify(errors(-20, 0), 0.0)
        state.next_pulses()
    assert state.pulses.tolist() == [[2, 0]]
    assert state.spent.tolist() == [[True, False]]
    assert state.listed.tolist() == [[True, False]]
    assert not state.given_up.any()
    assert not climb(2).spent.any()


@pytest.mark.parametrize("kind", [PulseKind.SET, PulseKind.RESET])
def test_centring_learns_from_cells_that_a_pulse_of_that_kind_brought_across_the_edge(kind: PulseKind) -> None:
    """Steps of 2 uS: cells that begin within one step outside come in at -4 to -2 uS; let go when the mean is 0.

    They would stay 3 uS on the side they come from. Let go 3 uS further in, they end with a mean of 0.
    Cells that got no pulse teach nothing.
    """
    sign = -1.0 if kind is PulseKind.SET else 1.0
    cells, step = 64, 2.0
    state = climb(cells, centre=True)
    outside = sign * (4.0 + step * (np.arange(cells) + 0.5) / cells)
    state.verify(errors(*outside), 0.0)
    state.next_pulses()
    state.verify(errors(*(outside - sign * step)), 0.0)
    assert listed_by(state, kind).all()  # within 4 uS of their targets, but not yet within 1 uS
    state.next_pulses()
    state.verify(errors(*(outside - 2 * sign * step)), 0.0)
    left = np.abs(outside - 2 * sign * step)
    assert listed_by(state, kind)[left > 0.85].all()  # half of them crossed with 0 to 1 uS, so 3.2 uS by now
    assert not listed_by(state, kind)[left < 0.7].any()
    still = climb(cells, centre=True)
    still.verify(errors(*outside), 0.0)
    still.verify(errors(*(outside - sign * step)), 0.0)  # no pulse: noise brought them in
    assert not still.listed.any()


def listed_by(state: Climb, kind: PulseKind) -> np.ndarray:  # type: ignore[type-arg]
    return (state.to_set if kind is PulseKind.SET else state.to_reset)[0]
