"""Programmers against their rule written out for one cell after the other, with plain numbers."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from imssa_lab.contract.hal import CellOutcome, FloatArray, PulseKind
from protocols.programmers import BothSides, Incremental, SequentialTest, WriteVerify
from protocols.programmers.sequential_reading import SequentialReader
from tests.protocols.programmers.pliant import PULSE_S, READ_S, RECIPE, SHAPE, OneCell, Pliant

CELLS = SHAPE[0] * SHAPE[1]
MASK = np.ones(SHAPE, dtype=bool)
MASK[1, 2] = MASK[2, 4] = False
TARGET = np.linspace(30e-6, 110e-6, CELLS).reshape(SHAPE)
IN, OUT = RECIPE.tolerance_in, RECIPE.tolerance_out


def selected(array: Pliant) -> list[tuple[OneCell, float]]:
    """The cells of the mask with their targets, S."""
    return [(cell, float(TARGET.flat[cell.number])) for cell in array.cells if MASK.flat[cell.number]]


def rungs(recipe: WriteVerify, kind: PulseKind) -> list[tuple[float, float]]:
    """(voltage, gate) from the weakest to the strongest: all voltages at the first gate, then at the next."""

    def steps(start: float, stop: float, step: float) -> list[float]:
        return [start + step * index for index in range(round((stop - start) / step) + 1)]

    name = kind.value.lower()
    voltages, gates = steps(*getattr(recipe, f"{name}_voltage")), steps(*getattr(recipe, f"{name}_gate"))
    return [(voltage, gate) for gate in gates for voltage in voltages]


def incremental(cell: OneCell, target: float, rule: Incremental) -> CellOutcome:
    """One epoch of one cell, as the programmer's description says."""
    recipe = rule.recipe
    kind, rung, turns, at_top, inside_before = None, -1, 0, 0, False
    for _ in range(recipe.max_steps):
        error = cell.read(recipe.averages) - target
        if abs(error) <= recipe.tolerance_in:
            if inside_before:
                return CellOutcome.REACHED
            inside_before = True
            continue
        inside_before = False
        wanted = PulseKind.SET if error < 0 else PulseKind.RESET
        ladder = rungs(recipe, wanted)
        if wanted is not kind:
            kind, rung, at_top, turns = wanted, -1, 0, turns + 1
            if turns > rule.rounds:
                return CellOutcome.GAVE_UP
        if rung == len(ladder) - 1:
            at_top += 1
            if at_top > recipe.max_retries:
                return CellOutcome.GAVE_UP
        else:
            rung += 1
        if recipe.pulse_budget is not None and cell.pulses >= recipe.pulse_budget:
            return CellOutcome.BUDGET
        cell.pulse(kind, *ladder[rung])
    return CellOutcome.BUDGET


@pytest.mark.parametrize(
    ("changes", "rounds", "noise"),
    [
        ({}, 20, 0.0),
        ({}, 2, 1e-6),
        ({"pulse_budget": 4}, 20, 0.5e-6),
        ({"max_steps": 6}, 20, 0.5e-6),
        ({"averages": 1, "max_retries": 0}, 20, 2e-6),
        ({"set_gate": (0.5, 0.5, 0.1), "max_retries": 1}, 20, 0.5e-6),
    ],
)
def test_incremental_pulses_cell_by_cell(changes: dict[str, object], rounds: int, noise: float) -> None:
    rule = Incremental(recipe=RECIPE.model_copy(update=changes), epochs=1, rounds=rounds)
    array, alone = Pliant(noise), Pliant(noise)
    report = array.program_conductances(TARGET, MASK, rule)
    before = {cell.number: cell.held for cell in alone.cells}
    for cell, target in selected(alone):
        end = incremental(cell, target, rule)
        assert report.pulses.flat[cell.number] == cell.pulses, cell.number
        read = cell.read(rule.recipe.verify_averages)
        assert report.achieved.flat[cell.number] == pytest.approx(read, rel=1e-9)
        if cell.number == 4 and end is CellOutcome.GAVE_UP:
            end = CellOutcome.STUCK_LOW if read < target else CellOutcome.STUCK_HIGH
        elif end is CellOutcome.GAVE_UP and abs(cell.held - before[cell.number]) < 2 * OUT:
            continue  # what it read while it climbed decides whether it counts as stuck
        assert report.outcome.flat[cell.number] == end, cell.number
    assert [one.held for one in array.cells] == pytest.approx([one.held for one in alone.cells])
    assert report.reads == array.reads
    assert report.seconds == pytest.approx(array.reads * READ_S + len(array.sent) * PULSE_S)
    assert (report.outcome[~MASK] == CellOutcome.NOT_SELECTED).all()
    assert report.tolerance == OUT


@pytest.mark.parametrize("relaxes", [-8e-6, 8e-6, 1e-6])
def test_epochs_take_up_what_a_wait_moved_out_and_wait_no_longer_than_asked(relaxes: float) -> None:
    """8 uS lead out of the outer window whatever the inner one left, 1 uS does not; three epochs have two waits."""
    rule = Incremental(recipe=RECIPE, epochs=3, wait=11.0)
    array = Pliant(relaxes=relaxes)
    report = array.program_conductances(TARGET, MASK, rule)
    moved = abs(relaxes) > OUT
    waits = 2 if moved else 1
    assert report.seconds == pytest.approx(11.0 * waits + array.reads * READ_S + len(array.sent) * PULSE_S)
    assert report.reads == array.reads
    alone = Pliant(relaxes=relaxes)
    for cell, target in selected(alone):
        ends = [incremental(cell, target, rule)]
        for _ in range(waits):
            cell.held += relaxes
            if moved and ends[-1] is CellOutcome.REACHED:
                ends.append(incremental(cell, target, rule))
        assert report.pulses.flat[cell.number] == cell.pulses, cell.number
        assert (report.outcome.flat[cell.number] == CellOutcome.REACHED) == (ends[-1] is CellOutcome.REACHED)


def test_both_sides_lifts_every_second_cell_that_is_not_above_its_window_gate_by_gate() -> None:
    """Five gates, at the highest voltage; a cell is left alone once it lies above its outer window."""
    array, alone = Pliant(), Pliant()
    array.program_conductances(TARGET, MASK, BothSides(recipe=RECIPE.model_copy(update={"max_steps": 1}), lifts=3))
    gates, top = (0.5, 0.6, 0.7), 1.5
    for cell, target in selected(alone):
        row, col = divmod(cell.number, SHAPE[1])
        if (row + col) % 2 == 0:
            for gate in gates:
                if cell.held - target > OUT:
                    break
                cell.pulse(PulseKind.SET, top, gate)
    lifted = np.array([cell.pulses for cell in alone.cells])
    assert 0 < np.count_nonzero(lifted) < CELLS / 2 + 1
    assert set(lifted.tolist()) >= {0, 3}
    seen = [batch for batch in array.sent if batch.kind is PulseKind.SET and np.nanmax(batch.voltage) == top]
    assert np.array_equal(np.sum([batch.mask for batch in seen], axis=0).ravel(), lifted)
    assert [round(float(np.nanmax(batch.gate)), 3) for batch in seen] == list(gates)
    assert {batch.width for batch in seen} == {RECIPE.set_width}


@pytest.mark.parametrize("budget", [None, 0, 2, 40])
def test_both_sides_counts_lifts_as_pulses_and_within_the_budget(budget: int | None) -> None:
    array = Pliant()
    started = array.now
    rule = BothSides(recipe=RECIPE.model_copy(update={"pulse_budget": budget}))
    report = array.program_conductances(TARGET, MASK, rule)
    assert report.pulses.ravel().tolist() == [cell.pulses for cell in array.cells]
    assert report.reads == array.reads
    assert report.seconds == pytest.approx(array.now - started)
    if budget is not None:
        assert report.pulses.max() <= budget


def write_verify(cells: list[tuple[OneCell, float]], recipe: WriteVerify) -> dict[int, CellOutcome]:
    """All cells in lockstep, until none wants a pulse that it may have."""
    kinds = (PulseKind.SET, PulseKind.RESET)
    ladders = {kind: rungs(recipe, kind) for kind in kinds}
    listed = {(cell.number, kind): True for cell, _ in cells for kind in kinds}
    rung = dict.fromkeys(listed, -1)
    retries = {cell.number: 0 for cell, _ in cells}
    seen: dict[int, list[float]] = {cell.number: [] for cell, _ in cells}
    given_up: set[int] = set()

    def spent(cell: OneCell) -> bool:
        return recipe.pulse_budget is not None and cell.pulses >= recipe.pulse_budget

    for _ in range(recipe.max_steps):
        still = [(cell, target) for cell, target in cells if cell.number not in given_up]
        for cell, target in still:
            seen[cell.number].append(cell.read(recipe.averages))
            error = seen[cell.number][-1] - target
            was = [kind for kind in kinds if listed[cell.number, kind]]
            for kind, off in ((PulseKind.SET, -error), (PulseKind.RESET, error)):
                limit = recipe.tolerance_in if kind in was else recipe.tolerance_out
                listed[cell.number, kind] = off > limit
                if kind in was and off <= limit:
                    back = recipe.step_back
                    last = rung[cell.number, kind]
                    rung[cell.number, kind] = -1 if back is None or last < 0 else max(last - back, 0) - 1
            if was and not any(listed[cell.number, kind] for kind in kinds):
                retries[cell.number] = 0
        if not any(listed[cell.number, kind] and not spent(cell) for cell, _ in still for kind in kinds):
            break
        for kind in kinds:
            for cell, _ in cells:
                if not listed[cell.number, kind] or cell.number in given_up or spent(cell):
                    continue
                if rung[cell.number, kind] == len(ladders[kind]) - 1:
                    retries[cell.number] += 1
                    if retries[cell.number] > recipe.max_retries:
                        given_up.add(cell.number)
                        continue
                else:
                    rung[cell.number, kind] += 1
                cell.pulse(kind, *ladders[kind][rung[cell.number, kind]])
        if len(given_up) == len(cells):
            break
    ends = {}
    for cell, _ in cells:
        low, high = (listed[cell.number, kind] for kind in kinds)
        if cell.number in given_up:
            moved = max(seen[cell.number]) - min(seen[cell.number])
            stuck = CellOutcome.STUCK_LOW if low else CellOutcome.STUCK_HIGH
            ends[cell.number] = stuck if moved <= 2 * recipe.tolerance_out else CellOutcome.GAVE_UP
        else:
            ends[cell.number] = CellOutcome.BUDGET if low or high else CellOutcome.REACHED
    return ends


@pytest.mark.parametrize(
    ("changes", "noise"),
    [
        ({}, 0.0),
        ({"averages": 1, "max_retries": 0}, 1e-6),
        ({"averages": 1, "step_back": 0}, 3e-6),
        ({"averages": 3, "step_back": 2, "tolerance_in": 5e-6}, 3e-6),
        ({"pulse_budget": 5}, 0.5e-6),
        ({"max_steps": 4}, 0.5e-6),
        ({"set_gate": (0.5, 0.5, 0.1), "max_retries": 1}, 0.5e-6),
    ],
)
def test_write_verify_pulses_and_reads_as_its_rule_says(changes: dict[str, object], noise: float) -> None:
    recipe = RECIPE.model_copy(update=changes)
    array, alone = Pliant(noise), Pliant(noise)
    report = array.program_conductances(TARGET, MASK, recipe)
    ends = write_verify(selected(alone), recipe)
    for cell, _ in selected(alone):
        assert report.pulses.flat[cell.number] == cell.pulses, cell.number
        assert report.outcome.flat[cell.number] == ends[cell.number], cell.number
        read = cell.read(recipe.verify_averages)
        assert report.achieved.flat[cell.number] == pytest.approx(read, rel=1e-9)
        assert array.cells[cell.number].reads == cell.reads
    assert [one.held for one in array.cells] == pytest.approx([one.held for one in alone.cells])
    assert report.reads == array.reads
    assert report.seconds == pytest.approx(array.reads * READ_S + len(array.sent) * PULSE_S)
    assert report.tolerance == recipe.tolerance_out
    assert np.isnan(report.achieved[~MASK]).all()


# ---- reading until the decision is closed


class Reads:
    """Noise of a cell by its number and the number of the read, S."""

    def __init__(self, sd: Callable[[int], float]) -> None:
        self.sd, self.count = sd, [0] * CELLS

    def next(self, number: int) -> float:
        self.count[number] += 1
        return self.sd(number) * math.sin(1.7 * number + 2.3 * self.count[number])


def estimate(
    test: SequentialTest, known: list[tuple[float, float]], draw: Reads, held: FloatArray, limit: FloatArray
) -> dict[int, tuple[float, float, int]]:
    """Mean, doubt and reads by cell; `known`, renewed, holds (squares, freedom) of each."""
    cells = [number for number in range(CELLS) if MASK.flat[number]]
    values: dict[int, list[float]] = {number: [] for number in cells}
    due, learning = set(cells), test.read_sd is None and not any(freedom for _, freedom in known)

    def squares(number: int) -> float:
        mean = sum(values[number]) / len(values[number])
        return sum((value - mean) ** 2 for value in values[number])

    def sd(number: int) -> float:
        own = {n: (known[n][0] + squares(n), known[n][1] + len(values[n]) - 1) for n in cells}
        pooled = sum(square for square, _ in own.values()) / max(sum(freedom for _, freedom in own.values()), 1.0)
        if test.read_sd is not None:
            pooled = test.read_sd**2
        square, freedom = own[number]
        return math.sqrt((4.0 * pooled + square) / (4.0 + freedom))

    count = 0
    while due and count < test.most:
        count += 1
        for number in due:
            values[number].append(float(held.flat[number]) + draw.next(number))
        if count == 1 and learning:
            continue
        closed = set()
        for number in due:
            mean = sum(values[number]) / len(values[number])
            error = sd(number) / math.sqrt(len(values[number]))
            beyond = abs(mean - float(TARGET.flat[number])) - float(limit.flat[number])
            if beyond > test.reject * error if beyond > 0 else -beyond > test.accept * error:
                closed.add(number)
        due -= closed
    found = {
        number: (
            sum(values[number]) / len(values[number]),
            test.guard * sd(number) / math.sqrt(len(values[number])) if number in due else 0.0,
            len(values[number]),
        )
        for number in cells
    }
    for number in cells:
        known[number] = known[number][0] + squares(number), known[number][1] + len(values[number]) - 1
    return found


@pytest.mark.parametrize(
    "test",
    [
        SequentialTest(),
        SequentialTest(read_sd=1.5e-6),
        SequentialTest(accept=3.0, reject=2.0, guard=0.5, most=4),
        SequentialTest(accept=0.5, reject=0.0, guard=2.0, most=2),
    ],
)
def test_a_sequential_reader_decides_each_cell_by_its_reads_and_what_it_knows_of_all(
    test: SequentialTest,
) -> None:
    """Three visits with other limits: what was learned of the noise stays."""
    array = Pliant(stuck=None)
    draw = Reads(lambda number: (0.2 + 0.3 * number) * 1e-6)
    own = Reads(draw.sd)
    held = TARGET + np.linspace(-9e-6, 9e-6, CELLS).reshape(SHAPE)
    for cell in array.cells:
        cell.held = float(held.flat[cell.number])
        cell.one_read = lambda cell=cell: cell.held + draw.next(cell.number)  # type: ignore[method-assign]
    look = SequentialReader(test, SHAPE)
    known = [(0.0, 0.0)] * CELLS
    for limit in (2e-6, 6e-6, 5e-6):
        limits = np.full(SHAPE, limit) + np.arange(CELLS).reshape(SHAPE) * 0.1e-6
        seen = look.read(array, MASK, TARGET, limits)
        expected = estimate(test, known, own, held, limits)
        for number, (mean, doubt, _) in expected.items():
            assert seen.conductance.flat[number] == pytest.approx(mean, rel=1e-9), number
            assert np.asarray(seen.doubt).flat[number] == pytest.approx(doubt, abs=1e-15), number
        assert draw.count == own.count
        assert seen.reads == max(reads for _, _, reads in expected.values())
        assert np.isnan(seen.conductance[~MASK]).all()
