"""The pilot and the tries of a gate start against their rule written out for one cell after the other."""

from statistics import median

import numpy as np
import pytest

from imssa_lab.contract.hal import PulseKind
from protocols.programmers import GateStart
from protocols.programmers.gate_start import Tries
from protocols.programmers.sequential_reading import Estimate
from tests.protocols.programmers.pliant import RECIPE, SHAPE, OneCell, Pliant

CELLS = SHAPE[0] * SHAPE[1]
MASK = np.ones(SHAPE, dtype=bool)
MASK[0, 3] = MASK[2, 1] = False
TARGET = np.linspace(115e-6, 25e-6, CELLS).reshape(SHAPE)
GATES = (0.5, 0.6, 0.7, 0.8, 0.9)
SET_V, RESET_V, RESET_GATE = 1.5, 1.1, 4.0


class Alone:
    """The rule for the cells of `array`, one after the other."""

    def __init__(self, rule: GateStart, array: Pliant) -> None:
        self.rule, self.budget = rule, rule.recipe.pulse_budget
        self.cells = [cell for cell in array.cells if MASK.flat[cell.number]]
        self.reads = 0

    def target(self, cell: OneCell) -> float:
        return float(TARGET.flat[cell.number])

    def spent(self, cell: OneCell) -> bool:
        return self.budget is not None and cell.pulses >= self.budget

    def reset(self, cell: OneCell) -> None:
        if not self.spent(cell):
            cell.pulse(PulseKind.RESET, RESET_V, RESET_GATE)

    def set(self, cell: OneCell, gate: float) -> None:
        if not self.spent(cell):
            cell.pulse(PulseKind.SET, SET_V, gate)

    def pilot(self) -> tuple[list[float], list[float]]:
        chosen = sorted(self.cells, key=lambda cell: -self.target(cell))[: self.rule.pilot]
        beyond = max(map(self.target, self.cells)) + RECIPE.tolerance_out
        gates: list[float] = []
        levels: list[float] = []
        for cell in chosen:
            self.reset(cell)
        for gate in GATES:
            for cell in chosen:
                self.set(cell, gate)
            if all(map(self.spent, chosen)):
                break
            self.reads += 1
            gates.append(gate)
            now = median(cell.one_read() for cell in chosen)
            levels.append(max([now, *levels]))
            if now > beyond:
                break
        return (gates, levels) if levels else (list(GATES[:1]), [0.0])

    def tries(self, gates: list[float], levels: list[float]) -> dict[int, tuple[bool, float]]:
        """By cell whether it is still outside, and the gate of its last SET; every cell as often as any is tried."""
        rule, averages = self.rule, RECIPE.averages
        outside, gate, lead, tried, high = {}, {}, {}, {}, {}
        for cell in self.cells:
            error = cell.read(averages) - self.target(cell)
            outside[cell.number] = abs(error) > RECIPE.tolerance_in
            high[cell.number] = error > 0
            gate[cell.number], lead[cell.number], tried[cell.number] = GATES[0], 0.0, 0
        self.reads += averages
        off = [cell for cell in self.cells if outside[cell.number] and self.target(cell) >= levels[0]]
        for _ in range(rule.tries):
            for cell in off:
                if high[cell.number]:
                    self.reset(cell)
            for cell in self.cells:
                wanted = float(np.interp(self.target(cell), levels, gates))
                shift = lead[cell.number] / max(tried[cell.number] + rule.scatter, 1e-9)
                gate[cell.number] = min(max(wanted - shift, GATES[0]), GATES[-1])
            for cell in off:
                self.set(cell, gate[cell.number])
                tried[cell.number] += 1
            for cell in off:
                read = cell.read(averages)
                lead[cell.number] += float(np.interp(read, levels, gates)) - gate[cell.number]
                outside[cell.number] = abs(read - self.target(cell)) > RECIPE.tolerance_in
                high[cell.number] = read > self.target(cell)
            self.reads += averages
            off = [cell for cell in off if outside[cell.number]]
            if all(map(self.spent, off)):
                break
        return {number: (outside[number], gate[number]) for number in outside}


@pytest.mark.parametrize(
    ("changes", "budget", "noise"),
    [
        ({}, None, 0.0),
        ({"tries": 2, "pilot": 3}, None, 1e-6),
        ({"tries": 3, "scatter": 0.0, "pilot": 5}, None, 0.5e-6),
        ({"scatter": 2.0, "pilot": 4}, 9, 0.5e-6),
        ({"pilot": 6}, 3, 0.0),
        ({"pilot": 6}, 1, 0.0),
        ({"pilot": 6}, 0, 0.0),
    ],
)
def test_pilot_and_tries_pulse_and_read_as_the_rule_says(
    changes: dict[str, float], budget: int | None, noise: float
) -> None:
    rule = GateStart(recipe=RECIPE.model_copy(update={"pulse_budget": budget}), **changes)  # type: ignore[arg-type]
    array, single = Pliant(noise), Pliant(noise)
    run, alone = Tries(rule, array, TARGET, MASK), Alone(rule, single)
    gates, levels = run.pilot()
    expected_gates, expected_levels = alone.pilot()
    assert gates == pytest.approx(expected_gates)
    assert levels == pytest.approx(expected_levels)
    off = run.tries(gates, levels)
    for number, (outside, gate) in alone.tries(expected_gates, expected_levels).items():
        assert bool(off.flat[number]) == outside, number
        assert run.gate.flat[number] == pytest.approx(gate), number
    assert not off[~MASK].any()
    assert run.pulses.ravel().tolist() == [cell.pulses for cell in single.cells]
    assert [cell.held for cell in array.cells] == pytest.approx([cell.held for cell in single.cells])
    assert run.reads == alone.reads == array.reads
    widths = {batch.kind: batch.width for batch in array.sent}
    assert widths.get(PulseKind.SET, RECIPE.set_width) == RECIPE.set_width
    assert widths.get(PulseKind.RESET, RECIPE.reset_width) == RECIPE.reset_width


def test_what_the_tries_leave_goes_to_write_verify_from_below_the_gate_that_they_found() -> None:
    """All cells that can move end inside; the report counts the reads, pulses and time of both stages."""
    array = Pliant(stuck=None)
    started = array.now
    report = array.program_conductances(TARGET, MASK, GateStart(recipe=RECIPE, tries=1, pilot=4, back=0.15))
    assert report.pulses.ravel().tolist() == [cell.pulses for cell in array.cells]
    assert report.reads == array.reads
    assert report.seconds == pytest.approx(array.now - started)
    assert (report.selected == MASK).all()
    run = Tries(GateStart(recipe=RECIPE, tries=1, pilot=4), again := Pliant(stuck=None), TARGET, MASK)
    off = run.tries(*run.pilot())
    first = next(batch for batch in array.sent[len(again.sent) :] if batch.kind is PulseKind.SET)
    assert off[first.mask].all()
    for gate, found in zip(first.gate[first.mask], run.gate[first.mask], strict=True):
        assert gate == pytest.approx(next(one for one in GATES if one >= found - 0.15 - 1e-9))


@pytest.mark.parametrize("doubt", [0.0, 0.5e-6, 0.9e-6, 3e-6])
def test_a_cell_read_with_doubt_is_outside_a_window_that_is_narrower_by_it_and_by_half_at_most(doubt: float) -> None:
    half = 2e-6
    edge = half - min(doubt, 1e-6)
    run = Tries(GateStart(recipe=RECIPE), Pliant(), TARGET, MASK)
    errors = np.tile([-edge - 1e-8, -edge + 1e-8, 0.0, edge - 1e-8, edge + 1e-8], (3, 1))

    class Look:
        def read(self, *asked: object) -> Estimate:
            return Estimate(TARGET + errors, np.full(SHAPE, doubt), 3)

    run._look = Look()  # type: ignore[assignment]
    outside, error, _ = run._verify(MASK, np.full(SHAPE, half))
    assert np.array_equal(outside, MASK & (np.arange(5) % 4 == 0))
    assert error == pytest.approx(errors, abs=1e-12)
    assert run.reads == 3
