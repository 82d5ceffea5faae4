"""Programming a whole mapping: cells, then partners of stuck cells, then kernels that stay damaged.

In order of cost: a stuck cell's healthy partner takes over the difference; a kernel that cells between kernels
disturb is read alone; a damaged kernel is rearranged within its place; it moves to a free place, or changes places
with another damaged one; it is split over two free places.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import numpy as np

from imssa_lab.contract.cell_classes import CellMap, made_up_for
from imssa_lab.contract.errors import DeploymentError
from imssa_lab.contract.hal import BoolArray, CrossbarArray, FloatArray, Programmer, ProgrammingReport
from imssa_lab.mapping import Reach, compensate
from protocols.deployment.choices import DeploymentChoices
from protocols.deployment.company import SPOILT, Company
from protocols.deployment.fault_errors import reaches_of
from protocols.deployment.journal import ArrayState, Standing, array_entry, plan_entry
from protocols.deployment.mending import kernels_around_faults as around_faults
from protocols.deployment.mending.kernels_around_faults import HARM, WORTH
from protocols.deployment.mending.taking_back import Mark, copied, known_after, to_hold
from protocols.deployment.misses import Misses
from protocols.deployment.predict import Predictor
from protocols.deployment.survey import VERIFY, in_place, survey, unfinished_report
from protocols.deployment.tile_faults import arranged_tiles
from protocols.wrappers.budget import Account
from protocols.wrappers.metered import Metered

_PLANNED = 0.95  # of `WORTH`, before anything was pulsed, when it costs nothing
_ROUNDS = {"time": 2, "area": 4}
"""Of mending; packed for area there is hardly a free place, so that damage is mended by turns within places."""
_TURNS = 3  # runs of an array: its cells, what missed, partners of what turned out stuck by that
_TINY = 1e-12


class ProgrammedMapping:
    """Arrays with a mapping on them.

    Args:
        arrays: those that may be used; account: what pulses and time are booked on.
        standing: the mapping, and what is known of the arrays.
        predictor: of the bundle, judges kernels by what their cells are found to hold.
        choices: their programmer and tolerance (in which a cell counts as finished) are used here; without mending,
            partners of stuck cells are left at their own targets.
        tell: called with (arrays done, arrays) during the first round.
        note: takes the journal's entries as they are made.

    Attributes:
        mapping: as it is now; targets: per array, S, (rows, cols), NaN where nothing is programmed: the mapping's,
            with a partner's moved target where it was moved on purpose, so that a stuck cell counts as the failure
            it is.
        reports: every programming run, in order; surveyed: pulses that `look_ahead` sent, which are in none of them.
        states: per array, what is known of its cells.
    """

    def __init__(
        self,
        arrays: Sequence[CrossbarArray],
        account: Account,
        standing: Standing,
        predictor: Predictor,
        choices: DeploymentChoices,
        tell: Callable[[int, int], None],
        note: Callable[[str], None],
    ) -> None:
        self.mapping = standing.mapping
        self.states = standing.arrays or [ArrayState.fresh(standing.mapping.shape) for _ in arrays]
        self.reports: list[ProgrammingReport] = []
        self.surveyed = 0
        self._arrays = arrays
        self._account = account
        self._digest = predictor.bundle.digest()
        self._misses = [Misses(standing.mapping.shape) for _ in arrays]
        self._company = Company(predictor, HARM**2)
        self._predictor = predictor
        self._programmer = choices.programmer
        self._tolerance = choices.bounds.tolerance_in(standing.mapping.window)
        self._tell = tell
        self._note = note
        self._sent = standing.pulses
        self._compensating = choices.mending
        self._asked: list[BoolArray] = [np.zeros(self.mapping.shape, np.bool_) for _ in arrays]
        self._given_up: list[BoolArray] = [np.zeros(self.mapping.shape, np.bool_) for _ in arrays]
        self._held: list[FloatArray] = [np.full(self.mapping.shape, np.nan) for _ in arrays]
        self._wanted: list[FloatArray] = [np.full(self.mapping.shape, np.nan) for _ in arrays]

    @property
    def targets(self) -> list[FloatArray]:
        """Per array in use, see above."""
        return [self._target(index) for index in range(self.mapping.arrays)]

    def cell_maps(self, achieved: Sequence[FloatArray]) -> list[CellMap]:
        """Per array in use its cells as they are judged, `achieved` by an independent re-read, S, (rows, cols)."""
        return [
            CellMap(
                self._target(index),
                read,
                self.mapping.kernel_cells(index),
                made_up_for(self.mapping.target(index)[0], read, self.states[index].stuck, self._tolerance),
            )
            for index, read in enumerate(achieved)
        ]

    @property
    def held(self) -> list[FloatArray]:
        """Per array in use, what its cells held at their last independent re-read, S, NaN where never read."""
        return self._held[: self.mapping.arrays]

    @property
    def spent(self) -> bool:
        """The budget did not cover a batch of pulses; no more are asked for."""
        return self._account.refused

    def program(self) -> None:
        """Program all arrays to their targets, and the partners of stuck cells to theirs."""
        self._note(plan_entry(self.mapping, self._digest))
        for index in range(self.mapping.arrays):
            self._tell(index, self.mapping.arrays)
            self._bring(index)
        self._tell(self.mapping.arrays, self.mapping.arrays)

    def go_on(self) -> None:
        """Program what an interrupted deployment had not finished; finished cells get no pulse."""
        for index, target in enumerate(self.targets):
            self._look(index, target)
        self.program()

    def refresh(self) -> int:
        """Re-read every programmed cell and program those again that left their window; how many those were."""
        due = 0
        for index, target in enumerate(self.targets):
            read = self._look(index, target)
            state = self.states[index]
            gone = np.isfinite(target) & ~state.stuck & ~(np.abs(read - target) <= self._tolerance)
            state.finished &= ~gone
            due += int(np.count_nonzero(gone))
        self.program()
        return due

    def _look(self, index: int, target: FloatArray) -> FloatArray:
        """A re-read of the cells that have a target on an array, S, NaN elsewhere."""
        mask = np.isfinite(target)
        read = self._arrays[index].read_conductances(mask, VERIFY)
        self._held[index] = np.where(mask, read, self._held[index])
        self._wanted[index] = target
        return read

    def look_ahead(self) -> None:
        """Before anything is placed: what the arrays hold, and which of their cells do not come down."""
        for index, array in enumerate(self._arrays[: self.mapping.arrays]):
            before = self._account.pulses
            try:
                found = survey(array, self._tolerance)
            except DeploymentError:
                if not self.spent:
                    raise
                self.surveyed += (sent := self._account.pulses - before)
                self._sent += sent
                return
            state = self.states[index]
            new = found.stuck & ~state.stuck
            state.standing = np.where(new, found.held, state.standing)
            state.stuck = state.stuck | new
            self._held[index] = found.held
            self._sent += found.pulses
            self.surveyed += found.pulses

    def plan_around(self) -> int:
        """Before the first pulse: arrange kernels around the faults that are known; how many kernels changed."""
        changed = 0
        for _ in range(_ROUNDS[self.mapping.packing]):
            changed += (count := self._rearrange())
            if not count:
                break
        return changed

    def arrange_ahead(self) -> int:
        """Before the first pulse, when it costs none: arrange kernels also where faults hardly show in their outputs,
        and read apart those that others would spoil; how many kernels changed.
        """
        return self._arrange(_PLANNED) + self._separate()

    def give_up_lines(self, index: int, dead: BoolArray, held: FloatArray) -> None:
        """Bit lines (cols,) of an array that do not answer: their cells count as stuck without conductance."""
        state = self.states[index]
        lost = np.broadcast_to(dead, held.shape)
        self._given_up[index] |= lost & ~state.stuck
        state.stuck = state.stuck | lost
        state.finished = state.finished & ~lost
        state.standing = np.where(lost, 0.0, state.standing)
        self._note(array_entry(index, state, self._sent))

    def tune(self, tuner: Programmer) -> int:
        """Let a programmer that works on products refine all arrays; how many cells got pulses."""
        moved = 0
        for index, target in enumerate(self.targets):
            mask = np.isfinite(target) & ~self.states[index].stuck
            report = self._run(index, target, mask, tuner)
            moved += int(np.count_nonzero(report.pulses))
            if self.spent:
                break
        return moved

    def _target(self, index: int) -> FloatArray:
        state = self.states[index]
        target = self.mapping.target(index)[0]
        if not self._compensating:
            return target
        return compensate(target, state.stuck, state.standing, self.mapping.window)

    def _bring(self, index: int) -> None:
        misses = self._misses[index].again()
        for _ in range(_TURNS):
            state, wanted = self.states[index], self._target(index)
            mask = np.isfinite(wanted)
            new = mask & (wanted != self._wanted[index])
            if not np.isnan(self._wanted[index]).all():  # what was finished for another target is not any more
                state.finished &= ~new
            self._wanted[index] = wanted
            due = mask & ~state.finished & ~state.stuck & ~misses.out
            if self.spent or not due.any():
                return
            due &= ~self._idle(index, wanted, due)
            if due.any():
                report = self._run(index, wanted, due)
                stuck = misses.stuck(report, due, self._tolerance)
                state.stuck |= stuck
                state.standing = np.where(stuck, report.achieved, state.standing)
                state.finished |= due & (np.abs(report.error) <= self._tolerance)
                state.finished &= ~(mask & (self._target(index) != wanted))  # partners of what turned out stuck
            self._note(array_entry(index, state, self._sent))

    def _idle(self, index: int, wanted: FloatArray, mask: BoolArray) -> BoolArray:
        """See `in_place`; such cells are finished."""
        idle, read = in_place(self._arrays[index], wanted, mask, self._tolerance)
        self._held[index] = np.where(idle, read, self._held[index])
        self.states[index].finished |= idle
        return idle

    def _run(
        self, index: int, wanted: FloatArray, due: BoolArray, programmer: Programmer | None = None
    ) -> ProgrammingReport:
        """One programming run, booked; when the budget ends in it, a report of how far it came, by re-read."""
        array = self._arrays[index]
        before = array.counts.copy() if isinstance(array, Metered) else None
        started = array.time
        try:
            report = array.program_conductances(wanted, due, programmer or self._programmer)
            self._asked[index] |= due
        except DeploymentError:
            if before is None or not self.spent or not isinstance(array, Metered):
                raise
            report = unfinished_report(array, wanted, due, array.counts - before, started, self._tolerance)
            self._asked[index] |= report.pulses > 0
        self.reports.append(report)
        self._sent += int(report.pulses.sum())
        self._held[index] = np.where(due, report.achieved, self._held[index])
        return report

    # ---- kernels that faults have damaged

    def mend(self) -> int:
        """Arrange, move and split kernels until the faults that are known harm none; how many kernels changed."""
        changed = self._separate()
        for _ in range(_ROUNDS[self.mapping.packing]):
            if self.spent:
                break
            count = self._rearrange()
            if not count:
                break
            changed += count
            self.program()
            changed += self._separate()
        return changed

    def _separate(self) -> int:
        """Kernels that damaged cells between kernels act on are read apart from now on."""
        self.mapping, moved = self._company.separated(self.mapping, self._held)
        if moved:
            self._note(plan_entry(self.mapping, self._digest))
        return moved

    def read_apart(self) -> int:
        """Read kernels apart whose products others spoil, though their outputs hardly show it; how many changed."""
        self._company = replace(self._company, share=SPOILT)
        return self._separate()

    def arrange_for_products(self) -> int:
        """Arrange kernels so that faults spoil products least; how many kernels changed.

        `mend` leaves what hardly shows in the outputs of kernels; their products show it. Packed for time, kernels
        stay in their places; packed for area, they change places where that helps, so that a free one is well used.
        """
        changed = 0
        for _ in range(
            _ROUNDS[self.mapping.packing]
        ):  # cells that are programmed for the first time may turn out stuck
            count = 0 if self.spent else self._arrange(WORTH)
            if not count:
                break
            self.program()
            changed += count
        return changed

    def _arrange(self, worth: float) -> int:
        """Arrange kernels that faults touch, and dense layers, where that leaves less than `worth` of the harm."""
        arranged = around_faults.arranged_for_products(self.mapping, self._predictor, self._reaches(), worth)
        self.mapping, changed = arranged
        return changed + self._arrange_tiles(least=_TINY, worth=worth)

    def _arrange_tiles(self, *, least: float, worth: float) -> int:
        importance = self._predictor.tile_importance
        self.mapping, changed = arranged_tiles(self.mapping, self._reaches(), importance, least=least, worth=worth)
        return changed

    def _reaches(self) -> list[Reach]:
        """Per array, what its cells can take."""
        return reaches_of(self.mapping, self.states, self._held, self._tolerance)

    def _rearrange(self) -> int:
        self.mapping, changed = around_faults.mended(self.mapping, self._predictor, self._reaches())
        return changed + self._arrange_tiles(least=HARM**2, worth=WORTH)

    # ---- remedies of single kernels, and remedies that are taken back

    def arrange_for_outputs(self, owners: Collection[tuple[int, int]]) -> int:
        """Arrange the kernels of `owners` (layer, channel) for their outputs alone; how many changed.

        `mend` leaves harm alone that it predicts to be small; a kernel that is beyond its bound may not bear it.
        """
        changed = 0
        for _ in range(_ROUNDS[self.mapping.packing]):
            if self.spent:
                break
            self.mapping, count = around_faults.arranged_for_outputs(
                self.mapping, self._predictor, self._reaches(), WORTH, owners
            )
            if not count:
                break
            self.program()
            changed += count
        return changed

    def program_finer(self, owners: Collection[tuple[int, int]]) -> int:
        """Program cells of `owners` (layer, channel) again that lie off their targets, though in tolerance.

        Each has up to three tries to come as near as `in_place` asks; how many cells got pulses.
        """
        tried = 0
        for index, target in enumerate(self.targets):
            mask = np.zeros(self.mapping.shape, dtype=np.bool_)
            for kernel in self.mapping.on(index):
                mask[kernel.cells] |= (kernel.layer, kernel.channel) in owners
            due = mask & np.isfinite(target) & ~self.states[index].stuck
            for _ in range(_TURNS):
                if self.spent or not due.any() or not (due := due & ~self._idle(index, target, due)).any():
                    break
                self._run(index, target, due)
                tried += int(np.count_nonzero(due))
            self._note(array_entry(index, self.states[index], self._sent))
        return tried

    def mark(self, achieved: Sequence[FloatArray]) -> Mark:
        """What there is now, for `take_back`; `achieved` per array in use, S, (rows, cols), by a re-read."""
        reads = [*achieved, *self._held[len(achieved) :]]
        held = [np.where(np.isfinite(read), read, old) for read, old in zip(reads, self._held, strict=True)]
        for mask in (*self._asked, *self._given_up):
            mask[:] = False
        return Mark(self.mapping, self._company, copied(self.states), tuple(held), tuple(self._wanted))

    @property
    def asked(self) -> int:
        """Cells that were asked to move since `mark`; what the budget refused from the start does not count."""
        return sum(int(np.count_nonzero(asked)) for asked in self._asked)

    def take_back(self, mark: Mark) -> int:
        """Undo what was done since `mark`, see `to_hold` for the cells; how many of them had been asked to move."""
        self.mapping, self._company = mark.mapping, mark.company
        self.states = [
            known_after(old, now, given_up)
            for old, now, given_up in zip(mark.states, self.states, self._given_up, strict=True)
        ]
        self._wanted = list(mark.wanted)
        self._note(plan_entry(self.mapping, self._digest))
        before = self.asked
        for index, asked in enumerate(mask.copy() for mask in self._asked):
            wanted = to_hold(mark, index, self._target(index))
            due = asked & np.isfinite(wanted) & ~self.states[index].stuck
            if due.any() and not self.spent:
                due &= ~in_place(self._arrays[index], wanted, due, self._tolerance)[0]
            if due.any() and not self.spent:
                report = self._run(index, wanted, due)
                self.states[index].finished &= ~due | (np.abs(report.error) <= self._tolerance)
            self._note(array_entry(index, self.states[index], self._sent))
        return before
