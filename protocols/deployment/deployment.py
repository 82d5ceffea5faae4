"""Deploy and verify: program a kernel bundle into arrays, and test whether it works there.

Plan, program, mend around stuck cells, calibrate the columns, verify cells and products, correct the outputs, verify
kernels and task; where a level fails, the cheapest remedy that can mend it, within a budget. Every step goes through
the contract, so the same code serves a chip, a twin, a recorded or a replayed session.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.cell_classes import CellMap, CellShares
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.errors import DeploymentError
from imssa_lab.contract.hal import CrossbarArray, FloatArray, ProgrammingReport
from imssa_lab.contract.notebook import facts_html
from imssa_lab.mapping import Mapping, fitting_packing, map_bundle, reads_a_step
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.inference import dense_inputs, layer_inputs, run_network
from imssa_lab.s4d.scores import Goal, Wanted, answers, nrmse_of
from protocols.corrections.correction import FIRST, Corrections
from protocols.cost.inference_counts import InferenceCounts, inference_counts
from protocols.deployment.choices import DeploymentChoices
from protocols.deployment.journal import ArrayState, Standing, done_entry, plan_entry, read_journal
from protocols.deployment.mapping_programmer import ProgrammedMapping
from protocols.deployment.mending.remedied import Remedied
from protocols.deployment.outcomes import KernelEnd, cell_ends, kernel_ends
from protocols.deployment.predict import Predictor, reachable
from protocols.deployment.remedies import Loop
from protocols.deployment.sequences import Sequences
from protocols.deployment.verification import Bounds, LevelResult, impulse_responses, judge_task
from protocols.wrappers.budget import Account
from protocols.wrappers.metered import Metered

_log = logging.getLogger(__name__)
Progress = Callable[[str, int, int], None]
_PREDICTED = 8
"""Sequences that predictions are made with."""
_SIGMA = 0.03
"""Error of a weight that the choice between delta and direct expects, in units of the largest weight."""


@dataclass(frozen=True)
class Deployment(FrozenArrays):
    """Results of a deployment, and whether it passed.

    Attributes:
        mapping: the places of the kernels.
        targets, achieved: per array, S, (rows, cols), NaN outside the blocks; achieved by independent re-read.
        reports: the programming reports, in order; more than one per array where cells had to be mended.
        levels: the four verification levels, and "dense" where arrays hold such layers; bounds: what judged them.
        kernel_nrmse: (kernels,), on real input; dense_nrmse: by dense layer, (outputs,), NaN of constant outputs.
        impulses: per layer (on the arrays, exact), each (steps, channels).
        accuracy, software_accuracy, null_accuracy: fractions on the test set; the last None if not given. Of a net
            that gives values, the share of their variance that is explained, see `imssa_lab.s4d.scores`.
        predictions: (n,), classes that the arrays chose, or (n, values) that they gave; goal: which of the two.
        seconds: device time, summed over the arrays.
        predicted_accuracy: from the known faults alone, before the first pulse; None where none were known.
        remedies: what was tried where a level failed, in order, and whether it was kept; mended: kernels that faults
            made move or change.
        cell_ends: per array, `CellOutcome` values, REACHED only where the last re-read says so.
        cell_maps: per array, what the cells level judged; cell_shares: by class, None before there is any.
        kernel_ends: by kernel in words; spent: the budget ended the deployment.
        clock_leaps: times that a device clock went back, or a day ahead.
        product_reads: vectors that the kernels read in closed loop, and dense layers.
        surveyed: pulses by which stuck cells were found before anything was placed, see `survey`.
        reads_a_step: products of one time step of the network, as first planned and as mended.
        inference: what one test sequence asks of arrays and of the digital side, as first planned and as mended.
        corrections: of the outputs as verified, with which `DeployedNetwork` runs new sequences.
    """

    mapping: Mapping
    targets: list[FloatArray]
    achieved: list[FloatArray]
    reports: list[ProgrammingReport]
    levels: list[LevelResult]
    bounds: Bounds
    kernel_nrmse: FloatArray
    impulses: list[tuple[FloatArray, FloatArray]]
    accuracy: float
    software_accuracy: float
    null_accuracy: float | None
    predictions: Wanted
    seconds: float
    corrections: Corrections
    predicted_accuracy: float | None = None
    remedies: list[Remedied] = field(default_factory=list)
    mended: int = 0
    cell_ends: list[NDArray[np.uint8]] = field(default_factory=list)
    cell_maps: list[CellMap] = field(default_factory=list)
    cell_shares: CellShares | None = None
    kernel_ends: dict[str, KernelEnd] = field(default_factory=dict)
    spent: bool = False
    clock_leaps: int = 0
    product_reads: int = 0
    surveyed: int = 0
    reads_a_step: tuple[int, int] = (0, 0)
    inference: tuple[InferenceCounts, InferenceCounts] | None = None
    dense_nrmse: dict[str, FloatArray] = field(default_factory=dict)
    goal: Goal = "classes"

    @property
    def passed(self) -> bool:
        """True only if every level passed."""
        return all(level.passed for level in self.levels)

    @property
    def pulses(self) -> int:
        """Programming pulses sent."""
        return self.surveyed + sum(int(report.pulses.sum()) for report in self.reports)

    def shown(self, score: float) -> str:
        """An accuracy in percent, or of a net that gives values the NRMSE behind their explained share."""
        return f"{100 * score:.1f} %" if self.goal == "classes" else f"{nrmse_of(score):.4f}"

    def _repr_html_(self) -> str:
        """For notebooks: the verdict of every level, accuracies, what it took."""
        facts = [(f"level {level.level}", str(level).partition(": ")[2]) for level in self.levels]
        facts += [
            *(
                (f"{'accuracy' if self.goal == 'classes' else 'NRMSE'} {where}", self.shown(score))
                for where, score in (("on the arrays", self.accuracy), ("in software", self.software_accuracy))
            ),
            ("kernels, arrays", f"{len(self.mapping.kernels)} on {self.mapping.arrays}"),
            ("pulses, device time", f"{self.pulses}, {self.seconds:.1f} s"),
        ]
        return facts_html(f"deployment {'verified' if self.passed else 'NOT verified'}", facts, self.passed)

    def __str__(self) -> str:
        verdict = "verified" if self.passed else "NOT verified"
        return "\n".join([f"deployment {verdict}", *(f"  {level}" for level in self.levels)])


def deploy(
    bundle: KernelBundle,
    arrays: Sequence[CrossbarArray],
    sequences: Sequences,
    choices: DeploymentChoices | None = None,
    *,
    faults: Sequence[ArrayState] | None = None,
    resume: Sequence[str] | None = None,
    journal: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> Deployment:
    """Deploy `bundle` on `arrays` and verify it on four levels, and dense layers if they are on arrays.

    Args:
        arrays: of one shape and window; the first ones are used, the others are spare.
        sequences: 2 or more for calibration, of which half correct the outputs and half verify the kernels; the
            test sequences are for the task level, "null" of the reference is what the lower end of its interval must
            exceed.
        choices: how it goes; None for `DeploymentChoices()`.
        faults: per array, what is known of its cells beforehand; the conductance of a stuck one is read if it is NaN.
        journal: takes short texts that say how far it came; resume: those of a deployment that was cut off,
            whose finished cells get no pulse, or of one that ended: cells that left their window get pulses again.
        progress: called with (stage, done, total).

    Raises:
        DeploymentError: too few arrays, arrays of different kinds, or inputs of the wrong shape; nothing pulsed.
    """
    _check(bundle, arrays, sequences)
    choices, tell = choices or DeploymentChoices(), progress or (lambda stage, done, total: None)
    choices = replace(choices, bounds=choices.bounds.of(bundle))
    test_inputs, test_labels = sequences.test_inputs, sequences.test_labels
    bounds, null_accuracy = choices.bounds, sequences.reference.get("null")
    account = Account(choices.budget)
    half = len(sequences.calibration_inputs) // 2
    calibrating = sequences.calibration_inputs
    exact, dense = layer_inputs(bundle, calibrating), dense_inputs(bundle, calibrating)
    few = min(half, _PREDICTED)
    predictor = Predictor(
        bundle, arrays[0].info, [u[:few] for u in exact], {name: x[:half] for name, x in dense.items()}
    )
    standing = _plan(bundle, arrays, predictor, choices, faults, resume)
    planned = standing.mapping
    known = None if faults is None else _predicted(predictor, standing, sequences)
    started = [array.time for array in arrays]
    metered = list(arrays) if account.budget.endless else [Metered(array, account) for array in arrays]
    programmed = ProgrammedMapping(
        metered,
        account,
        standing,
        predictor,
        choices,
        lambda done, total: tell("program the arrays", done, total),
        journal or (lambda text: None),
    )
    mended = 0
    if resume is None and choices.mending:
        tell("look at the arrays", 0, 1)
        programmed.look_ahead()
        tell("look at the arrays", 1, 1)
        mended += programmed.plan_around() + programmed.arrange_ahead()
    if resume is None:
        programmed.program()
    elif standing.done:
        programmed.refresh()
    else:
        programmed.go_on()
    if choices.mending:
        mended += programmed.mend()
    loop = Loop(bundle, metered, programmed, exact, dense, choices, tell)
    if choices.mending:
        loop.look()
        loop.improve()
    else:
        loop.measure()
    software = answers(bundle.goal, run_network(bundle, test_inputs))

    def judged() -> tuple[LevelResult, Wanted]:
        n, steps, _ = test_inputs.shape
        with loop.runner.watched("run the task", n, steps, tell):
            got = answers(bundle.goal, run_network(bundle, test_inputs, loop.runner, loop.dense.products))
        return judge_task(got, software, test_labels, bounds, null_accuracy, sequences.test_units), got

    task, predictions = loop.for_task(judged, choices.mending)
    levels = [*loop.levels, task]
    for level in levels:
        _log.info("%s", level)
    if journal is not None:
        journal(done_entry(all(level.passed for level in levels)))
    mapping, spent = programmed.mapping, programmed.spent

    def counted(which: Mapping) -> InferenceCounts:
        return inference_counts(bundle, which, arrays[0].info, test_inputs.shape[1], choices.averages)

    seconds = [array.time - start for array, start in zip(arrays, started, strict=True)]
    return Deployment(
        mapping=mapping,
        targets=programmed.targets,
        achieved=loop.achieved,
        reports=programmed.reports,
        levels=levels,
        bounds=bounds,
        kernel_nrmse=loop.kernel_nrmse,
        impulses=impulse_responses(bundle, loop.runner, sequences.calibration_inputs.shape[1]),
        accuracy=task.figures["on_array"],
        software_accuracy=task.figures["software"],
        null_accuracy=null_accuracy,
        predictions=predictions,
        seconds=sum(seconds),
        corrections=Corrections.of(
            loop.runner, arrays[: mapping.arrays], plan_entry(mapping, bundle.digest()), FIRST, loop.dense
        ),
        predicted_accuracy=known,
        remedies=loop.tried,
        mended=mended + loop.mended,
        cell_ends=cell_ends(programmed.cell_maps(loop.achieved), programmed.states, loop.shares.tolerance, spent),
        cell_maps=programmed.cell_maps(loop.achieved),
        cell_shares=loop.shares,
        kernel_ends=kernel_ends(mapping, loop.kernel_nrmse, bounds.number("kernel"), spent),
        spent=spent,
        clock_leaps=account.leaps + sum(second < 0 for second in seconds),
        product_reads=loop.reads,
        surveyed=programmed.surveyed,
        reads_a_step=(reads_a_step(planned), reads_a_step(mapping)),
        inference=(counted(planned), counted(mapping)),
        dense_nrmse=loop.dense_nrmse,
        goal=bundle.goal,
    )


def _plan(
    bundle: KernelBundle,
    arrays: Sequence[CrossbarArray],
    predictor: Predictor,
    choices: DeploymentChoices,
    faults: Sequence[ArrayState] | None,
    resume: Sequence[str] | None,
) -> Standing:
    """Where kernels and dense layers go, and what is known of the arrays."""
    if resume is not None:
        return read_journal(resume, bundle, len(arrays))
    info = arrays[0].info
    packing = choices.packing or fitting_packing(bundle, info.shape, len(arrays), choices.layers)
    forms = predictor.forms(_SIGMA)
    mapping = map_bundle(bundle, info.shape, info.window, len(arrays), forms, choices.layers, packing)
    if faults is not None and len(faults) != len(arrays):
        raise DeploymentError(f"{len(arrays)} arrays and known faults of {len(faults)} given; give as many of each")
    return Standing(mapping, [_standing(*pair) for pair in zip(arrays, faults or [], strict=False)])


def _standing(array: CrossbarArray, state: ArrayState) -> ArrayState:
    """A state in which the stuck cells are known."""
    unknown = state.stuck & np.isnan(state.standing)
    if not unknown.any():
        return state
    read = array.read_conductances(unknown, 8)
    return replace(state, standing=np.where(unknown, read, state.standing))


def _predicted(predictor: Predictor, standing: Standing, sequences: Sequences) -> float:
    within_reach = reachable(standing.mapping, standing.arrays)
    return predictor.accuracy(standing.mapping, within_reach, sequences.test_inputs, sequences.test_labels)


def _check(bundle: KernelBundle, arrays: Sequence[CrossbarArray], sequences: Sequences) -> None:
    if not arrays:
        raise DeploymentError("no array given; open at least one with open_array(...)")
    first = arrays[0].info
    for array in arrays[1:]:
        if array.info.shape != first.shape or array.info.window != first.window:
            raise DeploymentError(
                f"{array.info.name} ({array.info.serial}) has another shape or window than {first.name}; "
                "deploy on arrays of one kind"
            )
    for name in ("calibration_inputs", "test_inputs"):
        values = getattr(sequences, name)
        if values.ndim != 3 or not np.isfinite(values).all():
            raise DeploymentError(f"{name} must be finite and of shape (n, steps, inputs), got {values.shape}")
    if len(sequences.calibration_inputs) < 2:
        raise DeploymentError("calibration_inputs: at least 2 sequences, half correct the outputs, half verify")
    tests, labels = len(sequences.test_inputs), sequences.test_labels
    if bundle.goal != sequences.goal:
        raise DeploymentError(
            f"the bundle gives {bundle.goal}, the test sequences have {sequences.goal}; deploy with the "
            "sequences.npz that was written beside the bundle"
        )
    if bundle.goal == "values" and labels.shape[1] != len(bundle.labels):
        raise DeploymentError(f"the bundle gives {len(bundle.labels)} values, the sequences have {labels.shape[1]}")
    if len(labels) != tests or labels.ndim != (1 if bundle.goal == "classes" else 2) or not tests:
        raise DeploymentError(f"{tests} test inputs need as many labels, got {labels.shape}")
