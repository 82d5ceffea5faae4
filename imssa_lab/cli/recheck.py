"""`imssa recheck`: verify a deployment again, and refresh the cells that left their window, only those."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imssa_lab.cli.deploy import LEVEL_FAILED, LOG, Choices, deploy_files, written
from imssa_lab.cli.session import Sequences, console, stages


def recheck(
    folder: Annotated[Path, typer.Argument(help="Folder of a deployment, as `imssa deploy` left it.")],
    array: Annotated[str, typer.Option(help="Address of the arrays, in the order of the deployment.")] = "",
    spares: Annotated[int, typer.Option(min=0, help="Arrays to open beyond those needed.")] = 0,
    max_pulses: Annotated[int | None, typer.Option(min=0, help="Budget of programming pulses.")] = None,
) -> None:
    """Verify a deployment again; mend what left its window, and nothing else.

    Example: imssa recheck imssa-demo
    """
    from imssa_lab.cli.result import result_table
    from imssa_lab.log import open_run

    with open_run(folder / LOG) as run:
        facts = run.provenance
    bundle, sequences = folder / facts["bundle"], folder / facts["sequences"]
    with stages() as told:
        outcome = deploy_files(
            bundle,
            sequences,
            array or facts["array"],
            folder,
            told=told,
            choices=Choices(spares=spares, pulses=max_pulses, resume=True),
        )
    console().print(result_table(outcome, Sequences.load(sequences).reference, told.seconds, written(folder)))
    if not outcome.passed:
        raise typer.Exit(LEVEL_FAILED)
