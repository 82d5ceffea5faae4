"""`imssa recheck`: verify a deployment again, and refresh the cells that left their window, only those."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from imssa_lab.cli.arrays.deploy import LEVEL_FAILED, Choices, deploy_files, dry_files, written
from imssa_lab.cli.arrays.kept_twins import why_new
from imssa_lab.cli.arrays.layers_option import kept_layers
from imssa_lab.cli.shared import completion
from imssa_lab.cli.shared.dry_run import DryRunOption, LikeOption, show_dry_run
from imssa_lab.cli.shared.end_commands import reports_end
from imssa_lab.cli.shared.json_output import takes_json
from imssa_lab.cli.shared.number_options import MaxSecondsOption
from imssa_lab.cli.shared.session import console, stages
from imssa_lab.cli.shared.verdicts import verdict_lines
from imssa_lab.contract.errors import ConfigError, DeploymentError
from imssa_lab.station.run_logs import LOG


@takes_json
@reports_end
def recheck(
    folder: Annotated[Path, typer.Argument(help="Folder of a deployment, as `imssa deploy` wrote it.")],
    array: Annotated[
        str,
        typer.Option(help="Address of the arrays, in the order of the deployment.", autocompletion=completion.arrays),
    ] = "",
    spares: Annotated[int, typer.Option(min=0, help="Arrays to open beyond those needed.")] = 0,
    max_pulses: Annotated[
        int | None, typer.Option(min=0, help="Budget of programming pulses; 0: only reads.")
    ] = None,
    max_seconds: MaxSecondsOption = None,
    chip_record: Annotated[Path | None, typer.Option(help="Chip record (SQLite) that counts every pulse.")] = None,
    dry_run: DryRunOption = False,
    like: LikeOption = None,
) -> None:
    """Verify a deployment again and re-program cells that left their window, or resume an interrupted deployment.

    The result and report of the deployment are kept. Each check has its own in checks/TIME; its log is run-1.h5,
    run-2.h5 ... beside the log of the deployment. All verdicts are listed, the newest last.

    A twin is the same chip again only if its state was kept (twin:...&state=FILE); other twins are refused.

    Exit code 3: a level failed. Ctrl-C lets the current call finish, makes the arrays safe and writes the report.

    Example: imssa recheck night-1
    """
    from imssa_lab.cli.shared.deployment_table import show_result
    from imssa_lab.log import open_run
    from imssa_lab.station.deployed_runs import kept_corrections
    from protocols.deployment.sequences import Sequences
    from protocols.programmers import GIVEN_RECIPE
    from protocols.wrappers.recipe_override import GIVEN_PROGRAMMER

    with open_run(folder / LOG) as run:
        facts, given = run.provenance, run.infos[0].provenance
    if "first index" not in facts:
        raise ConfigError(f"{folder / LOG} is no log of a deployment; give the folder that `imssa deploy` wrote")
    bundle, sequences = folder / facts["bundle"], folder / facts["sequences"]
    template, first = array or facts["array"], int(facts["first index"])
    if (lost := why_new(template, first)) is not None:
        raise ConfigError(
            f"{folder}: {lost}, so there is nothing to check; keep the chips of a deployment by state=, as in "
            "--array 'twin:supert-a0?seed={index}&state=chip{index}.h5', and deploy on them first"
        )
    choices = Choices(
        spares,
        max_pulses,
        max_seconds,
        resume=True,
        record=chip_record,
        averages=int(facts["averages"]),
        programmer=given.get(GIVEN_PROGRAMMER),
        recipe=json.loads(given.get(GIVEN_RECIPE, "{}")),
        layers=kept_layers(facts),
    )
    earlier = kept_corrections(folder)
    with stages() as bars:
        if dry_run:
            found = dry_files(bundle, sequences, template, folder, bars, choices, first_index=first, like=like)
            show_dry_run("recheck", found, folder / LOG)
            return
        outcome = deploy_files(bundle, sequences, template, folder, bars=bars, first_index=first, choices=choices)
    show_result(outcome, Sequences.load(sequences).reference, bars.seconds, written(folder))
    for line in verdict_lines(folder):
        console().print(line, markup=False)
    if earlier and (line := replaced(earlier[-1], folder)):
        console().print(line, markup=False)
    if not outcome.passed:
        raise typer.Exit(LEVEL_FAILED)


def replaced(newest: Path, folder: Path) -> str:
    """Which corrections, fitted after the deployment, no longer apply after a check; empty where there were none."""
    from imssa_lab.station.deployed_runs import read_corrections
    from protocols.corrections.correction import FIRST

    try:
        was = read_corrections(newest)
    except DeploymentError as error:
        return f"{error}; it no longer applies, this check measured gains and offsets of its own"
    if was.by == FIRST:
        return ""
    return (
        f"This check measured gains and offsets of its own, and these apply now. {newest} ({was.by}, {was.date}) "
        f"stays but no longer applies; fit it again: imssa finetune {folder}"
    )
