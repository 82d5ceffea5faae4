"""Deployments that are cut off, run out of budget, or meet a chip that breaks under them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from imssa_lab.contract.errors import DeploymentError, LinkLost
from imssa_lab.contract.hal import CellOutcome, Pulses
from imssa_lab.mapping import Packing
from protocols.deployment.choices import DeploymentChoices
from protocols.deployment.deployment import Deployment, deploy
from protocols.deployment.journal import plan_entry, read_journal
from protocols.deployment.outcomes import KernelEnd
from protocols.deployment.sequences import Sequences
from protocols.deployment.verification import Bounds
from protocols.wrappers.budget import Account, Budget
from trials import tiny
from twin import DigitalTwin, TwinProfile

SHAPE = (16, 24)
BOUNDS = Bounds(cells=0.9, mvm=0.3, kernel=0.5, task_loss=0.2)


class Counting(DigitalTwin):
    """A twin that counts every cell's pulses and loses its link after so many calls."""

    def __init__(self, seed: int = 3, calls: int | None = None) -> None:
        profile = TwinProfile.load("supert-a0-easy")
        changes = {"stuck": profile.stuck.model_copy(update={"on_fraction": 0.0, "off_fraction": 0.0})}
        changes |= {name: None for name in ("lines", "weak") if hasattr(profile, name)}
        super().__init__(profile.model_copy(update=changes), SHAPE, seed)
        self.sent = np.zeros(SHAPE, dtype=int)
        self.left = calls

    def _apply_pulses(self, pulses: Pulses) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise LinkLost("the cable is out")
        self.sent += pulses.mask
        super()._apply_pulses(pulses)


def deployed(
    array: DigitalTwin,
    *more: DigitalTwin,
    budget: Budget | None = None,
    packing: Packing | None = None,
    **known: Any,
) -> Deployment:
    choices = DeploymentChoices(bounds=BOUNDS, budget=budget or Budget(), packing=packing)
    return deploy(tiny.bundle(), [array, *more], Sequences(*tiny.sequences()), choices, **known)


@pytest.mark.parametrize(
    ("calls", "packing"), [(0, None), (1, None), (7, None), (20, None), (30, None), (1, "area"), (20, "area")]
)
def test_a_lost_link_is_gone_on_with_and_no_finished_cell_is_pulsed_again(
    calls: int, packing: Packing | None
) -> None:
    """Whatever packing is asked for when it goes on, kernels stay where they were."""
    whole = deployed(Counting(), packing=packing)
    array, journal = Counting(calls=calls), []
    with pytest.raises(LinkLost):
        deployed(array, journal=journal.append, packing=packing)
    known = read_journal(journal, tiny.bundle(), 1)
    before, array.left = array.sent.copy(), None
    result = deployed(array, journal=journal.append, resume=list(journal))
    assert result.mapping.packing == (packing or "time")
    assert (array.sent[known.arrays[0].finished] == before[known.arrays[0].finished]).all()
    assert result.passed == whole.passed


def test_cells_that_a_later_plan_wants_otherwise_are_not_finished() -> None:
    array, journal = Counting(), []
    deployed(array, journal=journal.append)
    done = read_journal(journal, tiny.bundle(), 1)
    kernel = done.mapping.kernels[0]
    turned = replace(kernel, row_signs=-kernel.row_signs)
    later = done.mapping.replaced([(kernel, [turned])])
    known = read_journal([*journal, plan_entry(later, tiny.bundle().digest())], tiny.bundle(), 1)
    differ = later.target(0)[0][kernel.cells] != done.mapping.target(0)[0][kernel.cells]
    assert differ.any()
    assert done.done
    assert not known.done
    assert not known.arrays[0].finished[kernel.cells][differ].any()
    assert (known.arrays[0].finished == done.arrays[0].finished)[kernel.cells][~differ].all()  # null control


def test_a_finished_deployment_checked_again_pulses_only_what_left_its_window() -> None:
    array, journal = Counting(), []
    deployed(array, journal=journal.append)
    before = array.sent.copy()
    target = np.isfinite(deployed(array, resume=list(journal)).targets[0])
    settled = array.sent.copy()
    assert np.count_nonzero((settled - before)[target]) <= 0.05 * target.sum()
    row, col = np.argwhere(target)[0]
    array.cells.conductance[row, col] += 60e-6  # it drifted away
    again = deployed(array, resume=list(journal), journal=journal.append)
    assert array.sent[row, col] > settled[row, col]
    assert again.cell_ends[0][row, col] == CellOutcome.REACHED


@pytest.mark.parametrize("budget", [Budget(pulses=0), Budget(seconds=0.0), Budget(pulses=50)])
def test_a_budget_is_kept_and_the_rest_is_named(budget: Budget) -> None:
    array = Counting()
    result = deployed(array, budget=budget)
    assert array.sent.sum() <= (budget.pulses or 0)
    assert result.spent
    assert not result.passed
    assert np.count_nonzero(result.cell_ends[0] == CellOutcome.BUDGET)
    assert KernelEnd.BUDGET in result.kernel_ends.values()


def test_no_budget_gives_the_same_as_one_that_is_never_reached() -> None:
    free, limited = deployed(Counting()), deployed(Counting(), budget=Budget(pulses=10**9))
    assert np.array_equal(free.achieved[0], limited.achieved[0], equal_nan=True)
    assert not limited.spent


def test_a_clock_that_jumps_spends_nothing() -> None:
    account = Account(Budget(seconds=100.0))
    for seconds in (1.0, -3600.0, 1e9, 2.0):
        account.passed(seconds)
    assert account.seconds == 3.0
    assert account.leaps == 2


def test_unusable_budgets_are_refused() -> None:
    for number in (-1, float("nan")):
        with pytest.raises(DeploymentError, match="budget"):
            Budget(seconds=number)


def test_a_bit_line_that_dies_after_programming_is_left() -> None:
    """Kernels move away from it; the deployment holds as before."""
    array, journal = Counting(), []
    first = deployed(array, Counting(4), journal=journal.append)
    line = int(first.mapping.kernels[0].bit_lines[0])
    mask = np.zeros(SHAPE, dtype=bool)
    mask[:, line] = True
    array.cells.stick(mask, 0.8e-6)
    result = deployed(array, Counting(4), journal=journal.append, resume=list(journal))
    assert result.mended
    assert result.levels[2].passed, str(result)


def test_a_journal_of_another_bundle_is_refused() -> None:
    with pytest.raises(DeploymentError, match="no plan"):
        read_journal([], tiny.bundle(), 1)
    with pytest.raises(DeploymentError, match="another bundle"):
        read_journal(['{"kind": "plan", "bundle": "00"}'], tiny.bundle(), 1)
