"""`imssa finetune`: corrections of a deployed net, fitted with the chip in the loop and without a pulse."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imssa_lab.cli.shared import completion
from imssa_lab.cli.shared.end_commands import reports_end
from imssa_lab.cli.shared.json_output import answer, json_text, takes_json
from imssa_lab.cli.shared.session import Stages, console, facts_table, provenance, stages
from imssa_lab.station.run_logs import next_log

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from imssa_lab.contract.hal import CrossbarArray
    from imssa_lab.log import Run, RunLog
    from imssa_lab.s4d.bundle import KernelBundle
    from imssa_lab.station.deployed_runs import DeployedRun
    from protocols.corrections.deployed_network import DeployedNetwork
    from protocols.corrections.finetuning import Finetuned
    from protocols.deployment.sequences import Sequences

LEVEL_FAILED = 3
STANDING, BEFORE, FINETUNED = "deployed plan", "corrections before", "finetuned"
"""Kinds of the events of such a run: places of kernels, the corrections that it began with, its outcome as JSON."""


@takes_json
@reports_end
def finetune(
    folder: Annotated[Path, typer.Argument(help="Folder of a deployment, as `imssa deploy` wrote it.")],
    output_map: Annotated[bool, typer.Option("--map", help="Fit a map over the outputs of each layer.")] = False,
    head: Annotated[bool, typer.Option("--head", help="Fit the last norm and the head to labels.")] = False,
    fit: Annotated[int, typer.Option(min=1, help="Number of sequences to fit to.")] = 32,
    held_out: Annotated[
        int, typer.Option(min=1, help="Number of further sequences, which decide what is kept.")
    ] = 32,
    tests: Annotated[
        int | None, typer.Option(min=0, help="Number of test sequences to run afterwards; by default all.")
    ] = None,
    no_null: Annotated[bool, typer.Option("--no-null", help="Leave out the control without memory.")] = False,
    array: Annotated[
        str,
        typer.Option(help="Address of the arrays, in the order of the deployment.", autocompletion=completion.arrays),
    ] = "",
) -> None:
    """Fit corrections of a deployed net's outputs on the chip, and keep those that help. Sends no pulse.

    Without --map and --head, both are fitted: the map, and the head if the sequences have labels for training. Each
    correction that is kept becomes a dated file in corrections/, which applies from then on; the first one is kept.
    The log is run-1.h5, run-2.h5 ... beside the log of the deployment, and `imssa log replay` repeats the fit from
    it.

    Exit code 3: the task level failed. After Ctrl-C, finished corrections are kept; run the command again for the
    rest.

    Example: imssa finetune night-1 --map --fit 16
    """
    from imssa_lab.log import RunLog
    from imssa_lab.station.deployed_runs import DeployedRun, kept_corrections
    from protocols.corrections.finetuning import FittingSequences, check_asked
    from protocols.deployment.sequences import Sequences

    found = DeployedRun.read(folder)
    path = folder / found.facts["sequences"]
    sequences = Sequences.load(path)
    if not (output_map or head):
        output_map, head = True, sequences.training_labels is not None
    asked = {"map": output_map, "head": head, "null": not no_null}
    facts = provenance() | {name: found.facts[name] for name in ("bundle", "bundle sha256", "sequences")}
    facts |= {
        "title": f"fine-tuning of {found.bundle.task}",
        "array": array or found.facts["array"],
        "sequences sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "averages": found.facts.get("averages", "1"),
        "fit": str(fit),
        "held out": str(held_out),
        **{name: str(int(chosen)) for name, chosen in asked.items()},
        **({} if tests is None else {"tests": str(tests)}),
    }
    fitting = FittingSequences.of(sequences, fit, held_out)
    check_asked(found.bundle, fitting, output_map=output_map, head=head)
    log_path = next_log(folder)
    before = len(kept_corrections(folder))
    with stages() as bars, ExitStack() as stack:
        bars("open the arrays", 0, 1)
        arrays = found.open_arrays(stack, array)
        log = stack.enter_context(RunLog.create(log_path, arrays, facts))
        bars("open the arrays", 1, 1)
        outcome = _logged(log, facts, found, arrays, sequences, bars)
    files = {"log": str(log_path)}
    if kept := kept_corrections(folder)[before:]:
        files["corrections"] = str(kept[-1])
    console().print(_table(outcome, files, bars))
    answer(asdict(outcome) | {"files": files, "wall_seconds": bars.seconds})
    if outcome.task is not None and not outcome.task.passed:
        raise typer.Exit(LEVEL_FAILED)


def _logged(
    log: RunLog,
    facts: Mapping[str, str],
    found: DeployedRun,
    arrays: Sequence[CrossbarArray],
    sequences: Sequences,
    bars: Stages,
) -> Finetuned:
    """The fine-tuning; what it began with and what it came to is in the log, why it ended early too."""
    from imssa_lab.log import Recorded

    with ExitStack() as stack:
        recorded = [stack.enter_context(Recorded(array, log, index)) for index, array in enumerate(arrays)]
        log.event(STANDING, found.plan)
        log.event(BEFORE, found.corrections.text())
        try:
            outcome = _finetuned(facts, found.network(recorded), sequences, bars)
        except BaseException as error:
            log.note("error", f"{type(error).__name__}: {error}")
            raise
        log.event(FINETUNED, json_text(asdict(outcome)))
    return outcome


def _finetuned(facts: Mapping[str, str], network: DeployedNetwork, sequences: Sequences, bars: Stages) -> Finetuned:
    """As the provenance of its run says, which is all that a replay knows."""
    from protocols.corrections.finetuning import FittingSequences, finetune

    fitting = FittingSequences.of(sequences, int(facts["fit"]), int(facts["held out"]))
    return finetune(
        network,
        fitting,
        sequences,
        output_map=facts["map"] == "1",
        head=facts["head"] == "1",
        null=facts["null"] == "1",
        tests=int(facts["tests"]) if "tests" in facts else None,
        progress=bars,
    )


def finetuned_again(
    run: Run, arrays: Sequence[CrossbarArray], bundle: KernelBundle, sequences: Sequences, bars: Stages
) -> str:
    """The outcome, as JSON text, of the fine-tuning that a run recorded, on arrays that replay it."""
    from protocols.corrections.correction import Corrections
    from protocols.corrections.deployed_network import DeployedNetwork
    from protocols.deployment.journal import read_journal

    (plan,), (before,) = ([text for _, text in run.events(kind)] for kind in (STANDING, BEFORE))
    mapping = read_journal([plan], bundle, len(arrays)).mapping
    averages = int(run.provenance["averages"])
    network = DeployedNetwork(bundle, arrays, mapping, Corrections.read(before), averages=averages)
    return json_text(asdict(_finetuned(run.provenance, network, sequences, bars)))


def _table(outcome: Finetuned, files: Mapping[str, str], bars: Stages) -> Table:
    table = facts_table(
        "fine-tuning: " + (", ".join(one.by for one in outcome.tried if one.kept) or "nothing") + " kept"
    )
    table.add_row("sequences", f"{outcome.fitted} to fit, {outcome.held_out} held out to judge")
    for one in outcome.tried:
        table.add_section()
        table.add_row(f"{one.by}, held out", f"{one.before} -> {one.after}")
        table.add_row("verdict", "[green]kept[/green]" if one.kept else "[bold]not kept: it does not help[/bold]")
        if one.null is not None:
            table.add_row("null control, the same fit without state", str(one.null))
        was, now = one.multiply_adds
        table.add_row("multiply-adds a step, correction of outputs", f"{was} -> {now}" if one.kept else f"{was}")
    table.add_section()
    table.add_row("multiply-adds a step, kernels", f"{outcome.kernel_multiply_adds}, on the arrays")
    table.add_row("multiply-adds a step, rest", f"{outcome.digital_multiply_adds}, digital: encoder, mixing, norms")
    for when, level in zip(("before", "after"), outcome.kernel, strict=True):
        table.add_row(f"level kernel, {when}", str(level).partition(": ")[2])
    if outcome.task is not None:
        table.add_row("level task", str(outcome.task).partition(": ")[2])
        table.add_row("accuracy on the arrays", f"{100 * outcome.task.figures['on_array']:.1f} %")
    table.add_row("products read", f"{outcome.reads}, no pulses")
    table.add_row("device time, all arrays", f"{outcome.seconds:.1f} s")
    table.add_section()
    for name, path in files.items():
        table.add_row(name, path)
    for stage, value in bars.seconds.items():
        table.add_row(f"wall time, {stage}", f"{value:.1f} s")
    return table
