"""`imssa deploy`: a bundle on arrays, recorded, verified on four levels, and reported."""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imssa_lab.cli.arrays.kept_twins import why_new
from imssa_lab.cli.arrays.layers_option import LAYERS, LayersOption, OnArrays
from imssa_lab.cli.shared import completion
from imssa_lab.cli.shared.dry_run import DryRunOption, LikeOption, show_dry_run
from imssa_lab.cli.shared.end_commands import reports_end
from imssa_lab.cli.shared.json_output import takes_json
from imssa_lab.cli.shared.last_report import leave_report, leave_report_unfinished
from imssa_lab.cli.shared.number_options import MaxSecondsOption
from imssa_lab.cli.shared.packing_option import PackingOption, packing_asked
from imssa_lab.cli.shared.recipe_options import ProgrammerOption, RecipeOption, recipe_changes, with_recipe
from imssa_lab.cli.shared.session import Stages, console, new_folder, provenance, stages
from imssa_lab.cli.shared.verdicts import REPORT, RESULT, next_verdict, verdicts
from imssa_lab.station.run_logs import LOG, journal_of, logs, next_log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imssa_lab.cli.arrays.before_deploying import StandIn
    from imssa_lab.cli.arrays.packed_arrays import Packed
    from imssa_lab.contract.hal import CrossbarArray
    from imssa_lab.log import RunLog
    from imssa_lab.mapping import Packing
    from imssa_lab.s4d.bundle import KernelBundle
    from protocols.deployment.choices import DeploymentChoices
    from protocols.deployment.deployment import Deployment
    from protocols.deployment.journal import ArrayState
    from protocols.deployment.sequences import Sequences
    from protocols.wrappers.dry_run_report import DryRun

LEVEL_FAILED = 3
_COSTED = 4
"""Sequences that the energy of an inference is predicted with."""
KNOWN = "known faults"
"""Kind of the events that say what was known of each array before."""


@dataclass(frozen=True)
class Choices:
    """How a deployment goes; the same for those that are recorded and those that repeat them.

    Attributes:
        spares: arrays beyond those needed; pulses, seconds: budget, None for no end.
        resume: continue the deployment that the folder holds, or check it again.
        record: chip record that counts every pulse and knows of stuck cells.
        averages: reads of every time step of the kernels; layers: what arrays compute.
        programmer, recipe: instead of what the station file or the chip says, see
            `protocols.wrappers.recipe_override`.
        packing: of the kernels, see `packing_asked`.
    """

    spares: int = 0
    pulses: int | None = None
    seconds: float | None = None
    resume: bool = False
    record: Path | None = None
    averages: int = 1
    programmer: str | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    packing: str | None = None
    layers: OnArrays = OnArrays.KERNELS


@takes_json
@reports_end
def deploy(
    bundle: Annotated[Path, typer.Argument(help="Kernel bundle, as `imssa train` writes it.")],
    sequences: Annotated[Path, typer.Option(help="The sequences.npz that `imssa train` wrote beside it.")],
    array: Annotated[
        str,
        typer.Option(help="Address of the arrays; {index} stands for 0, 1, ...", autocompletion=completion.arrays),
    ],
    out: Annotated[Path, typer.Option(help="Folder for log, result and report; new or empty.")],
    spares: Annotated[int, typer.Option(min=0, help="Arrays to open beyond those needed.")] = 0,
    max_pulses: Annotated[int | None, typer.Option(min=0, help="Budget of programming pulses.")] = None,
    max_seconds: MaxSecondsOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the deployment in --out.")] = False,
    chip_record: Annotated[
        Path | None,
        typer.Option(help="Chip record (SQLite): counts every pulse, and lists stuck cells to plan around."),
    ] = None,
    averages: Annotated[int, typer.Option(min=1, help="Reads averaged at every time step.")] = 1,
    packing: PackingOption = None,
    layers: LayersOption = OnArrays.KERNELS,
    programmer: ProgrammerOption = None,
    recipe: RecipeOption = None,
    dry_run: DryRunOption = False,
    like: LikeOption = None,
) -> None:
    """Deploy a bundle on arrays, verify it on four levels, and write a report.

    Exit code 3: a level failed. The first Ctrl-C lets the current call finish, makes the arrays safe and writes the
    report; a second one stops at once. --resume continues.

    Example: imssa deploy model.safetensors --sequences sequences.npz --array "twin:supert-a0?seed={index}"
    --out run
    """
    from imssa_lab.cli.shared.deployment_table import show_result
    from protocols.deployment.sequences import Sequences

    changes = recipe_changes(recipe)
    choices = Choices(
        spares, max_pulses, max_seconds, resume, chip_record, averages, programmer, changes, packing, layers
    )
    with stages() as bars:
        if dry_run:
            show_dry_run("deploy", dry_files(bundle, sequences, array, out, bars, choices, like=like), out / LOG)
            return
        outcome = deploy_files(bundle, sequences, array, out, bars=bars, choices=choices)
    reference = Sequences.load(sequences).reference
    show_result(outcome, reference, bars.seconds, written(out))
    if not outcome.passed:
        raise typer.Exit(LEVEL_FAILED)


def written(out: Path) -> dict[str, str]:
    """What a deployment, or the last check of it, leaves in its folder, by name."""
    newest = verdicts(out)[-1]
    return {"log": str(logs(out)[-1]), "result": str(newest / RESULT), "report": str(newest / REPORT)}


def deploy_files(
    bundle_path: Path,
    sequences_path: Path,
    template: str,
    out: Path,
    *,
    bars: Stages,
    first_index: int = 0,
    facts: dict[str, str] | None = None,
    fresh: bool = True,
    choices: Choices | None = None,
) -> Deployment:
    """Deploy a bundle file and leave log, result and report in `out`; a report also where it fails half way.

    A folder that holds a result keeps it: result and report of a further check go into checks/TIME.

    Args:
        template: address of the arrays, ``{index}`` counting from `first_index`.
        facts: more provenance; fresh: refuse a folder that is not empty.

    Raises:
        ConfigError: `out` is in use, or an address is wrong; BundleError, DeploymentError: nothing was pulsed.
    """
    from imssa_lab.cli.arrays.before_deploying import least_log
    from imssa_lab.log import RunLog
    from imssa_lab.log.write.record_sizes import check_room
    from imssa_lab.report.page import require_plots
    from imssa_lab.s4d.bundle import KernelBundle
    from imssa_lab.station.deployed_runs import keep_corrections
    from protocols.deployment.sequences import Sequences

    choices = choices or Choices()
    require_plots()
    bars("open the arrays", 0, 1)
    bundle = KernelBundle.load(bundle_path)
    sequences = Sequences.load(sequences_path)
    entries = (journal_of(out) or None) if choices.resume else None
    log_path = out / LOG if entries is None else next_log(out)
    place = next_verdict(out)
    try:
        with ExitStack() as stack:
            packed = _open(stack, template, first_index, bundle, choices, entries)
            arrays = packed.arrays
            console().print(f"kernels packed for {packed}", markup=False)
            if fresh and not choices.resume:
                new_folder(out)
            place.mkdir(parents=True, exist_ok=True)
            check_room(out, least_log(bundle, sequences, packed, choices.averages, choices.layers.value))
            kept = provenance() | (facts or {})
            kept |= {
                "array": template,
                "first index": str(first_index),
                **_kept(choices, entries),
                **packed.provenance,
                "title": f"{bundle.task}, {bundle.precision}, on {arrays[0].info.name}",
                "bundle": os.path.relpath(bundle_path, out),
                "bundle sha256": bundle.digest(),
                "sequences": os.path.relpath(sequences_path, out),
                "sequences sha256": hashlib.sha256(sequences_path.read_bytes()).hexdigest(),
            }
            log = stack.enter_context(RunLog.create(log_path, arrays, kept))
            bars("open the arrays", 1, 1)
            outcome, text = _logged(log, packed, bundle, sequences, bars, choices, entries)
    except BaseException as error:
        leave_report_unfinished(log_path, place / REPORT, error)
        if log_path.exists() and journal_of(out) and why_new(template, first_index) is None:
            error.add_note(f"to continue: imssa recheck {out}")
        raise
    bars("write the report", 0, 1)
    (place / RESULT).write_text(text, encoding="utf-8")
    keep_corrections(out, outcome.corrections)
    leave_report(log_path, place / REPORT)
    bars("write the report", 1, 1)
    return outcome


def dry_files(
    bundle_path: Path,
    sequences_path: Path,
    template: str,
    out: Path,
    bars: Stages,
    choices: Choices,
    *,
    first_index: int = 0,
    like: str | None = None,
) -> DryRun:
    """What `deploy_files` would ask of the arrays, which are opened and not asked anything.

    It is rehearsed on twins, remedies included, with the faults that the chip record lists. Where nothing says what
    twins those would be, it is counted for fresh chips whose every other cell is as it should be, without remedies.

    Args:
        like: profile of the twins; None for the one that the arrays name.

    Raises:
        ConfigError, BundleError, DeploymentError: as `deploy_files`; LimitError: a recipe above the limits; LogError:
            the chip record cannot be read.
    """
    from typing import get_args

    import numpy as np

    from imssa_lab.cli.arrays.before_deploying import known_cells, rehearsals, stand_ins
    from imssa_lab.mapping import Packing
    from imssa_lab.s4d.bundle import KernelBundle
    from protocols.cost.predicted_cost import predicted_cost
    from protocols.deployment import deployment
    from protocols.deployment.journal import ArrayState, read_journal
    from protocols.deployment.sequences import Sequences
    from protocols.wrappers.counting_array import CountingArray
    from protocols.wrappers.dry_run_report import DryRun

    bundle, sequences = KernelBundle.load(bundle_path), Sequences.load(sequences_path)
    entries = (journal_of(out) or None) if choices.resume else None
    with ExitStack() as stack:
        packed = _open(stack, template, first_index, bundle, replace(choices, record=None), entries)
        arrays, needed = packed.arrays, packed.needed
        counted = [CountingArray(array, fresh=entries is None) for array in arrays]
        standing = None if entries is None else read_journal(entries, bundle, len(arrays))
        known = known_cells(choices.record, arrays) if entries is None else None

        def faults() -> list[ArrayState] | None:  # of each rehearsal its own: a deployment adds what it finds
            return None if known is None else [ArrayState.of_stuck(each.immovable) for each in known]

        how = _how(choices, packed.packing)
        played: list[list[StandIn]] = []
        for number in range(rehearsals(needed)):
            twins, words = stand_ins(arrays, like, standing, number, known)
            if not twins:
                break
            bars("rehearsals", number, rehearsals(needed))
            deployment.deploy(bundle, twins, sequences, how, faults=faults(), resume=entries)
            played.append(twins)
        if played:  # whatever a cell is brought to, a ladder above the limits of the array itself is refused
            info = arrays[0].info
            counted[0].program_conductances(np.full(info.shape, info.window.high))
            found = DryRun.of(counted).rehearsed(played, words, bounded=False)
        else:
            how = replace(how, mending=False)
            deployment.deploy(bundle, counted, sequences, how, faults=faults(), resume=entries, progress=bars)
            found = DryRun.of(counted)
        inputs = sequences.test_inputs[:_COSTED]
        costs = [
            predicted_cost(bundle, arrays[0], inputs, choices.averages, choices.layers.value, each)
            for each in get_args(Packing)
        ]
        return replace(found, needed=needed, packed=str(packed), packings=tuple(costs))


def _logged(
    log: RunLog,
    packed: Packed,
    bundle: KernelBundle,
    sequences: Sequences,
    bars: Stages,
    choices: Choices,
    entries: list[str] | None,
) -> tuple[Deployment, str]:
    """The deployment and the text of its result; all that it came to is in the log, why it ended early too."""
    from imssa_lab.cli.shared.deployment_table import result_text
    from imssa_lab.log import Recorded
    from imssa_lab.report.measured.deployment_result import OUTCOME, RESULT_EVENT, outcome_text
    from protocols.deployment import deployment
    from protocols.deployment.journal import JOURNAL

    arrays = packed.arrays
    with ExitStack() as stack:
        recorded = [stack.enter_context(Recorded(array, log, index)) for index, array in enumerate(arrays)]
        journal_so_far = list(entries or [])
        for text in journal_so_far:  # so that each log alone is enough to resume
            log.event(JOURNAL, text)

        def note(text: str) -> None:
            journal_so_far.append(text)
            log.event(JOURNAL, text)

        faults = None if entries is not None else _known_faults(arrays, log)
        how = _how(choices, packed.packing)
        try:
            outcome = deployment.deploy(
                bundle, recorded, sequences, how, faults=faults, resume=entries, journal=note, progress=bars
            )
        except BaseException as error:
            log.note("error", f"{type(error).__name__}: {error}")
            _note_unfinished(log, journal_so_far, bundle, len(arrays))
            raise
        for level in outcome.levels:
            log.event("level", str(level))
        for remedied in outcome.remedies:
            log.event("remedy", str(remedied))
        for name, end in outcome.kernel_ends.items():
            log.event("kernel", f"{name}: {end}")
        text = result_text(outcome, bundle.digest(), sequences.reference)
        log.event(RESULT_EVENT, text)
        log.event(OUTCOME, outcome_text(outcome, len(bundle.labels) if bundle.goal == "classes" else None))
    return outcome, text


def _note_unfinished(log: RunLog, entries: list[str], bundle: KernelBundle, arrays: int) -> None:
    """How far each kernel came."""
    from protocols.deployment.journal import read_journal
    from protocols.deployment.outcomes import unfinished_ends

    if not entries:
        log.note("kernel", "none was begun")
        return
    for name, end in unfinished_ends(read_journal(entries, bundle, arrays)).items():
        log.note("kernel", f"{name}: {end}")


def _kept(choices: Choices, entries: list[str] | None) -> dict[str, str]:
    """What a replay must know of how a deployment went."""
    facts: dict[str, float | None] = {"budget pulses": choices.pulses, "budget seconds": choices.seconds}
    facts["averages"] = choices.averages
    facts["journal entries before"] = None if entries is None else len(entries)
    layers = {} if choices.layers is OnArrays.KERNELS else {LAYERS: choices.layers.value}
    return {name: str(value) for name, value in facts.items() if value is not None} | layers


def _how(choices: Choices, packing: Packing) -> DeploymentChoices:
    from protocols.deployment.choices import DeploymentChoices
    from protocols.wrappers.budget import Budget

    return DeploymentChoices(
        budget=Budget(choices.pulses, choices.seconds),
        averages=choices.averages,
        packing=packing,
        layers=choices.layers.value,
    )


def _known_faults(arrays: Sequence[CrossbarArray], log: RunLog) -> list[ArrayState] | None:
    """What the chip record knows of the arrays; None without one. Kept in the log for a replay."""
    from protocols.deployment.journal import ArrayState, array_entry
    from protocols.wrappers.counted import Counted

    states = []
    for index, array in enumerate(arrays):
        if not isinstance(array, Counted):
            return None
        state = ArrayState.of_stuck(array.immovable())
        states.append(state)
        log.event(KNOWN, array_entry(index, state, 0))
    return states


def _open(
    stack: ExitStack, template: str, first: int, bundle: KernelBundle, choices: Choices, entries: list[str] | None
) -> Packed:
    """See `open_packed`; with what the options say of every array, and counted where there is a chip record."""
    from imssa_lab.cli.arrays.packed_arrays import open_packed
    from protocols.deployment.journal import planned_packing

    began = None if entries is None else planned_packing(entries)
    asked = packing_asked(choices.packing, began)
    why = "as --packing says" if began is None else "as the deployment began"
    packed = open_packed(stack, template, first, bundle, choices.spares, asked, why, choices.layers.value)
    arrays = [with_recipe(array, choices.programmer, choices.recipe) for array in packed.arrays]
    if choices.record is None:
        return replace(packed, arrays=arrays)
    from protocols.chip_record import ChipRecord
    from protocols.wrappers.counted import Counted

    record = stack.enter_context(ChipRecord(choices.record))
    return replace(packed, arrays=[Counted(array, record) for array in arrays])
