"""Which cells a deployment pulses, what it then holds of them, and when it programs again or arranges kernels."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from imssa_lab.contract.hal import (
    BoolArray,
    CellOutcome,
    CrossbarArray,
    FloatArray,
    ProgrammingReport,
    PulseKind,
    Pulses,
)
from imssa_lab.mapping import Reach, map_bundle
from imssa_lab.s4d.inference import layer_inputs
from protocols.deployment.choices import DeploymentChoices
from protocols.deployment.fault_errors import error_by_faults
from protocols.deployment.journal import ArrayState, Standing, read_journal
from protocols.deployment.mapping_programmer import ProgrammedMapping
from protocols.deployment.mending.kernels_around_faults import _split
from protocols.deployment.mending.taking_back import copied
from protocols.deployment.predict import Predictor, reachable
from protocols.deployment.verification import Bounds
from protocols.wrappers.budget import Account, Budget
from protocols.wrappers.metered import Metered
from trials import tiny
from trials.untrained import untrained_bundle, varied_sequences
from twin import DigitalTwin

SHAPE, TOLERANCE = (16, 24), 5e-6
BOUNDS = Bounds(tolerance=TOLERANCE / 148e-6)  # of the window of the ideal twin, 2 to 150 uS


class Bench:
    """The tiny bundle on one exact twin, whose programmer sets cells to their targets plus `error`, S (rows, cols).

    `outcome` is what it says of each cell; `asked` are the masks that it was called with. A cell gets two pulses.
    """

    def __init__(self, state: ArrayState | None = None) -> None:
        bundle = tiny.bundle()
        self.array = DigitalTwin("ideal", SHAPE, seed=0)
        self.array.cells.conductance[:] = self.array.info.window.low
        self.error = np.zeros(SHAPE)
        self.outcome = np.full(SHAPE, CellOutcome.REACHED, dtype=np.uint8)
        self.asked: list[BoolArray] = []
        self.notes: list[dict[str, Any]] = []
        self.account = Account(Budget())
        mapping = map_bundle(bundle, SHAPE, self.array.info.window, 1)
        predictor = Predictor(bundle, self.array.info, layer_inputs(bundle, tiny.sequences()[0]))
        choices = DeploymentChoices(bounds=BOUNDS, programmer=self.program)
        self.run = ProgrammedMapping(
            [self.array],
            self.account,
            Standing(mapping, [] if state is None else [state]),
            predictor,
            choices,
            lambda done, total: None,
            lambda text: self.notes.append(json.loads(text)),
        )
        self.target = mapping.target(0)[0]
        self.mask = np.isfinite(self.target)

    def program(self, array: CrossbarArray, target: FloatArray, mask: BoolArray) -> ProgrammingReport:
        self.asked.append(mask.copy())
        assert np.isfinite(target[mask]).all()
        self.array.cells.conductance[mask] = (target + self.error)[mask]
        return ProgrammingReport(
            target=np.where(mask, target, np.nan),
            achieved=np.where(mask, target + self.error, np.nan),
            pulses=2 * mask.astype(np.int32),
            outcome=np.where(mask, self.outcome, CellOutcome.NOT_SELECTED).astype(np.uint8),
            tolerance=TOLERANCE,
            seconds=1.0,
            reads=1,
        )

    def cell(self, number: int = 0) -> tuple[int, int]:
        """A cell that is wanted above the lowest conductance, so that a pulse is due."""
        row, col = np.argwhere(self.mask & (np.nan_to_num(self.target) > 20e-6))[number]
        return int(row), int(col)


def test_what_is_in_place_gets_no_pulse_and_what_was_programmed_is_finished() -> None:
    """A cell counts as in place within 0.4 of the tolerance: a pulse could only move it away."""
    bench = Bench()
    near, far = bench.cell(0), bench.cell(1)
    bench.array.cells.conductance[near] = bench.target[near] + 0.39 * TOLERANCE
    bench.array.cells.conductance[far] = bench.target[far] + 0.41 * TOLERANCE
    low = np.abs(bench.array.cells.conductance - bench.target) <= 0.4 * TOLERANCE
    bench.run.program()
    (asked,) = bench.asked
    assert asked[far]
    assert not asked[near]
    assert np.array_equal(asked, bench.mask & ~low)
    state = bench.run.states[0]
    assert np.array_equal(state.finished, bench.mask)
    assert not state.stuck.any()
    assert bench.run.held[0][near] == pytest.approx(bench.target[near] + 0.39 * TOLERANCE, abs=1e-8)
    assert bench.run.held[0][far] == pytest.approx(bench.target[far])
    assert np.isnan(bench.run.held[0][~bench.mask]).all()
    last = [note for note in bench.notes if note["kind"] == "array"][-1]
    assert last["pulses"] == 2 * asked.sum() == sum(report.pulses.sum() for report in bench.run.reports)


def test_finished_cells_and_stuck_ones_are_left_alone() -> None:
    fresh = Bench()
    done, stuck = fresh.cell(0), fresh.cell(5)
    state = ArrayState.fresh(SHAPE)
    state.finished[done] = True
    state.stuck[stuck], state.standing[stuck] = True, fresh.target[stuck]
    bench = Bench(state)
    bench.run.program()
    assert not any(asked[done] or asked[stuck] for asked in bench.asked)
    assert np.array_equal(bench.run.states[0].finished, bench.mask & ~state.stuck)
    before = len(bench.asked)
    bench.run.program()
    assert len(bench.asked) == before  # all is done: no cell is asked for again


def test_the_partner_of_a_cell_that_turns_out_stuck_takes_over_the_difference_at_once() -> None:
    bench = Bench()
    cell = bench.cell()
    partner = cell[0], cell[1] ^ 1
    bench.error[cell], bench.outcome[cell] = 12e-6, CellOutcome.STUCK_HIGH
    bench.run.program()
    state = bench.run.states[0]
    assert np.argwhere(state.stuck).tolist() == [list(cell)]
    assert state.standing[cell] == pytest.approx(bench.target[cell] + 12e-6)
    assert np.isnan(np.delete(state.standing.ravel(), cell[0] * SHAPE[1] + cell[1])).all()
    assert bench.run.targets[0][partner] == pytest.approx(bench.target[partner] + 12e-6)
    assert not state.finished[cell]
    assert state.finished[partner]
    assert [np.argwhere(asked).tolist() for asked in bench.asked[1:]] == [[list(partner)]]


def test_a_cell_that_was_given_up_within_its_tolerance_is_finished_and_not_stuck() -> None:
    bench = Bench()
    inside, outside, reached = bench.cell(0), bench.cell(3), bench.cell(6)
    for cell, error in ((inside, 0.99), (outside, 1.01), (reached, 1.01)):
        bench.error[cell] = error * TOLERANCE
        bench.outcome[cell] = CellOutcome.GAVE_UP
    bench.outcome[reached] = CellOutcome.REACHED  # its re-read says otherwise, twice
    bench.run.program()
    state = bench.run.states[0]
    assert [bool(state.stuck[cell]) for cell in (inside, outside, reached)] == [False, True, True]
    assert [bool(state.finished[cell]) for cell in (inside, outside, reached)] == [True, False, False]


def test_once_the_budget_is_spent_nothing_more_is_programmed() -> None:
    bench = Bench()
    bench.account.refused = True
    bench.run.program()
    assert bench.asked == []
    assert bench.run.reports == []
    assert not bench.run.states[0].finished.any()


def harmed(bench: Bench, at: float | None = None) -> ArrayState:
    """Of the largest positive weight of the first kernel, the cell that should hold least, stuck at `at` or high."""
    kernel = bench.run.mapping.kernels[0]
    word, pair = np.unravel_index(np.abs(kernel.weights).argmax(), kernel.weights.shape)
    cols = 2 * kernel.pairs[pair], 2 * kernel.pairs[pair] + 1
    row = kernel.word_lines[word]
    col = min(cols, key=lambda one: float(bench.target[row, one]))
    state = ArrayState.fresh(SHAPE)
    state.stuck[row, col] = True
    state.standing[row, col] = bench.array.info.window.high if at is None else at
    return state


def damage(run: ProgrammedMapping) -> float:
    """Squared error of all differences of pairs, in units of the window, that stuck cells leave."""
    span = run.mapping.window.span
    target, held = run.mapping.target(0)[0], reachable(run.mapping, run.states)[0]
    wrong = (held[:, ::2] - held[:, 1::2]) - (target[:, ::2] - target[:, 1::2])
    return float(np.nansum((wrong / span) ** 2))


def test_before_the_first_pulse_a_harmed_kernel_is_arranged_around_the_fault_and_others_stay() -> None:
    state = harmed(Bench())
    bench = Bench(state)
    first, before = bench.run.mapping, damage(bench.run)
    assert before > 0.5
    assert bench.run.plan_around() == 1
    assert damage(bench.run) < 0.01 * before
    assert bench.run.mapping.kernels[0].channel == first.kernels[0].channel
    others = [first.kernels.index(kernel) for kernel in first.kernels if kernel in bench.run.mapping.kernels]
    assert len(others) == len(first.kernels) - 1
    assert bench.asked == []
    assert bench.run.plan_around() == 0  # nothing is harmed any more


def test_a_fault_that_its_partner_takes_over_or_that_hardly_shows_changes_no_kernel() -> None:
    for state in (ArrayState.fresh(SHAPE), harmed(Bench(), Bench().array.info.window.low + 1e-6)):
        bench = Bench(state)
        first = bench.run.mapping
        assert bench.run.plan_around() == 0
        assert bench.run.mapping is first


def test_a_remedy_that_is_taken_back_leaves_places_knowledge_and_cells_as_they_were() -> None:
    """Cells get back their target where they had reached it, and else what they held, wrong as that may be."""
    bench = Bench()
    wrong, moved, found = bench.cell(0), bench.cell(4), bench.cell(8)
    bench.error[wrong] = -2 * TOLERANCE  # and it does not move twice alike, so that it is not stuck
    bench.run.program()
    bench.error[wrong] = 0
    bench.run.states[0].stuck[wrong], bench.run.states[0].standing[wrong] = False, np.nan
    mapping, before = bench.run.mapping, bench.array.cells.conductance.copy()
    mark = bench.run.mark([np.where(bench.mask, before, np.nan)])
    known = copied(bench.run.states)[0]

    line = int(mapping.kernels[0].bit_lines[0])
    dead = np.arange(SHAPE[1]) == line
    bench.run.give_up_lines(0, dead, before)
    bench.run.mapping = replace(mapping, kernels=mapping.kernels[:-1], abandoned=((0, 0),))
    bench.run._run(0, np.full(SHAPE, 100e-6), _cells(wrong, moved))
    bench.run.states[0].stuck[found], bench.run.states[0].standing[found] = True, before[found]  # by programming

    asked = len(bench.asked)
    assert bench.run.take_back(mark) == 2
    assert bench.run.mapping is mapping
    state = bench.run.states[0]
    assert np.argwhere(state.stuck & ~known.stuck).tolist() == [list(found)]  # what was found out stays known
    assert np.array_equal(state.finished, known.finished & ~_cells(found))
    assert np.argwhere(bench.asked[asked]).tolist() == sorted([list(wrong), list(moved)])
    assert bench.array.cells.conductance == pytest.approx(before, abs=1e-9)
    assert abs(before[wrong] - bench.target[wrong]) > TOLERANCE  # null control: it was not brought to its target
    told = read_journal([json.dumps(note) for note in bench.notes], tiny.bundle(), 1)
    assert [k.channel for k in told.mapping.kernels] == [k.channel for k in mapping.kernels]
    assert np.array_equal(told.arrays[0].stuck, state.stuck)


def test_cells_that_a_remedy_did_not_ask_for_get_no_pulse_when_it_is_taken_back() -> None:
    bench = Bench()
    bench.run.program()
    mark = bench.run.mark([np.where(bench.mask, bench.array.cells.conductance, np.nan)])
    bench.array.cells.conductance[bench.cell()] += 4 * TOLERANCE  # moved by itself
    asked = len(bench.asked)
    assert bench.run.take_back(mark) == 0
    assert len(bench.asked) == asked


def test_places_are_taken_back_where_the_budget_refused_every_pulse() -> None:
    """As in a check that may send none: kernels must not stay where no cell was programmed."""
    bench = Bench(harmed(Bench()))
    mapping, mark = bench.run.mapping, bench.run.mark([np.full(SHAPE, np.nan)])
    bench.account.refused = True
    bench.run.mapping = replace(mapping, abandoned=((0, 0),))
    bench.run.program()
    assert bench.run.asked == 0
    assert bench.run.take_back(mark) == 0
    assert bench.run.mapping is mapping
    assert bench.asked == []


def test_cells_that_the_budget_refused_from_the_start_were_not_asked() -> None:
    bench = Bench()
    account = Account(Budget(pulses=0))

    def by_pulses(array: CrossbarArray, target: FloatArray, mask: BoolArray) -> ProgrammingReport:
        array.apply_pulses(Pulses.on(mask, PulseKind.SET, 1.0, 1.0, 1e-6))
        return bench.program(array, target, mask)

    bench.run._arrays, bench.run._account = [Metered(bench.array, account)], account
    bench.run._programmer = by_pulses
    bench.run.mark([np.full(SHAPE, np.nan)])
    bench.run.program()
    assert bench.run.spent
    assert bench.run.asked == 0
    bench.run._arrays, bench.run._account = [bench.array], Account(Budget())  # null control: without a limit
    bench.run.program()
    assert bench.run.asked > 0


@pytest.mark.parametrize("rounds", [0, 1, 2])
def test_a_budget_that_ends_while_the_arrays_are_looked_at_counts_what_was_sent(rounds: int) -> None:
    """Five cells are high; each would get three pulses."""
    bench, account = Bench(), Account(Budget(pulses=5 * rounds + 4))
    bench.run._arrays, bench.run._account = [Metered(bench.array, account)], account
    bench.array.cells.conductance[0, :5] = 120e-6
    bench.run.look_ahead()
    assert bench.run.spent
    assert bench.run.surveyed == account.pulses == 5 * rounds
    assert not bench.run.states[0].stuck.any()  # so few pulses show nothing
    bench.run.give_up_lines(0, np.zeros(SHAPE[1], dtype=bool), np.zeros(SHAPE))  # an entry of the journal
    assert bench.notes[-1]["pulses"] == 5 * rounds


def test_only_the_kernels_that_are_named_are_arranged_for_their_outputs() -> None:
    bench = Bench(harmed(Bench()))
    kernel, other = bench.run.mapping.kernels[:2]
    before = damage(bench.run)
    assert bench.run.arrange_for_outputs({(other.layer, other.channel)}) == 0
    assert bench.asked == []
    assert bench.run.arrange_for_outputs({(kernel.layer, kernel.channel)}) == 1
    assert damage(bench.run) < 0.01 * before
    assert bench.asked  # it was programmed there


def test_programming_finer_asks_for_the_cells_of_these_kernels_that_are_off_though_in_tolerance() -> None:
    bench = Bench()
    kernel, other = bench.run.mapping.kernels[:2]
    bench.error[:] = 0.8 * TOLERANCE
    bench.run.program()
    bench.error[:] = 0
    bench.asked.clear()
    off = bench.mask & (np.abs(bench.array.cells.conductance - bench.target) > 0.4 * TOLERANCE)
    assert bench.run.program_finer({(kernel.layer, kernel.channel)}) == np.count_nonzero(bench.asked[0])
    (asked,) = bench.asked
    mine = np.zeros(SHAPE, dtype=bool)
    mine[kernel.cells] = True
    assert asked.any()
    assert np.array_equal(asked, off & mine)
    theirs = np.zeros(SHAPE, dtype=bool)
    theirs[other.cells] = True
    assert (off & theirs).any()  # null control
    assert bench.run.program_finer({(kernel.layer, kernel.channel)}) == 0


def _cells(*cells: tuple[int, int]) -> BoolArray:
    mask = np.zeros(SHAPE, dtype=np.bool_)
    for cell in cells:
        mask[cell] = True
    return mask


@pytest.mark.parametrize(("times", "changes"), [(0.8, 0), (1.25, 1)])
def test_a_kernel_is_arranged_where_faults_add_more_than_a_tenth_to_its_nrmse(times: float, changes: int) -> None:
    """Squares of the errors of its weights, each weighed by what it does to the outputs, against 0.1 squared.

    The cell stands so far below what its partner cannot make up for that the sum is `times` as large.
    """
    bench = Bench(harmed(Bench()))
    mapping, reaches = bench.run.mapping, bench.run._reaches()
    (kernel,) = (k for k in mapping.kernels if error_by_faults(mapping, k, reaches).any())
    (importance,) = bench.run._predictor.importance([kernel])
    row, col = np.unravel_index(np.abs(kernel.weights).argmax(), kernel.weights.shape)
    error = 0.1 * np.sqrt(times / importance[row, col])
    assert error < 0.9
    weight, window = abs(float(kernel.weights[row, col])), bench.array.info.window
    # the partner goes to the end of the window: the difference of the pair is the weight less the error
    state = harmed(Bench(), window.high - (weight - error) * window.span)
    assert Bench(state).run.plan_around() == changes


@pytest.mark.parametrize("states", [2, 3])
def test_a_kernel_that_is_split_has_each_of_its_states_in_one_of_two_parts(states: int) -> None:
    """Its place does not answer; two free ones do."""
    bundle, shape, size = untrained_bundle(channels=2, states=states, layers=1), (70, 14), 2 * states + 1
    window = Bench().array.info.window
    mapping = map_bundle(bundle, shape, window, 1)
    stuck = np.zeros(shape, dtype=bool)
    stuck[:size] = True
    reach = Reach.whole(shape, window).with_stuck(stuck, np.full(shape, window.low))
    info = DigitalTwin("ideal", shape).info
    predictor = Predictor(bundle, info, layer_inputs(bundle, varied_sequences(5)[:4]))
    found, count = _split(mapping, predictor, mapping.kernels[:1], np.array([1.0]), [reach])
    assert count == 1
    parts = [kernel.block.states for kernel in found.kernels if kernel.channel == mapping.kernels[0].channel]
    assert len(parts) == 2
    assert sorted(state for part in parts for state in part) == list(range(states))
