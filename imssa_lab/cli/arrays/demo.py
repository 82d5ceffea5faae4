"""`imssa demo`: from nothing to a verified deployment on the digital twin."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from imssa_lab.cli.arrays.deploy import LEVEL_FAILED, deploy_files, written
from imssa_lab.cli.models.hardening import hardened
from imssa_lab.cli.models.sizes import sized
from imssa_lab.cli.models.train import exported, settings, train_model
from imssa_lab.cli.shared import completion
from imssa_lab.cli.shared.json_output import takes_json
from imssa_lab.cli.shared.session import new_folder, stages
from imssa_lab.cli.shared.virtual_instruments import NUMBERED_KINDS, virtual_arrays
from imssa_lab.contract.errors import ConfigError
from imssa_lab.station.run_logs import LOG

TASK = "digits-first"
SIZE: dict[str, int | None] = {"channels": 28, "states": 1, "layers": 2}
"""Of the net for `TASK`, where its recipe would take ten arrays: it leaves seven of 63 places to kernels that faults
drive out of theirs."""
HARDEN = "0.1"
"""Its kernels are small, and live with larger errors than those of the recipe's net are trained for."""
ARRAYS, SHAPE = 3, "64x64"
"""Of the board whose twins the demo runs on."""
TWINS = "twin:supert-a0?seed={index}"
TWINS_PER_SEED = 1000
VIRTUAL_ARRAYS = 12
"""More than the tasks of the demo need: an array that is not opened costs little."""


@takes_json
def demo(
    seed: Annotated[int, typer.Option(min=0, help="Seed of data, training and chips.")] = 0,
    task: Annotated[str, typer.Option(help="What to learn.", autocompletion=completion.tasks)] = TASK,
    out: Annotated[Path, typer.Option(help="Folder for everything; new or empty.")] = Path("imssa-demo"),
    array: Annotated[
        str,
        typer.Option(
            help="Address of the arrays; {index} numbers them, starting at 1000 times the seed.",
            autocompletion=completion.arrays,
        ),
    ] = TWINS,
    virtual: Annotated[
        str | None,
        typer.Option(
            help=f"Use the driver of {' or '.join(NUMBERED_KINDS)}, with a virtual instrument started for it."
        ),
    ] = None,
) -> None:
    """Train, deploy on twins of the measured board, verify, report: all in one run.

    Exit code 3: a level failed. The first Ctrl-C makes the arrays safe and reports the progress; a second stops at
    once.

    Example: imssa demo --virtual supert-a0 --out imssa-demo-supert
    """
    from imssa_lab.cli.shared.deployment_table import show_result
    from imssa_lab.log.care.snapshot import pack

    if virtual is not None and array != TWINS:
        raise ConfigError("demo: --array and --virtual both say what to run on; leave one out")
    new_folder(out)
    bundle_path, sequences_path = out / "bundle.safetensors", out / "sequences.npz"
    with stages() as bars:
        data, config = settings(task, seed, "ternary", [], bars=bars)
        if task == TASK:  # the others are as large as their recipes say
            config = hardened(sized(config, SIZE, None, None, ARRAYS, SHAPE), HARDEN)
        model, sequences, _ = train_model(data, config, bars=bars)
        bundle = exported(model, data, bars=bars)
        bundle.save(bundle_path)
        sequences.save(sequences_path)
        first = TWINS_PER_SEED * seed
        with ExitStack() as stack:
            if virtual is not None:
                array = stack.enter_context(virtual_arrays(virtual, first, VIRTUAL_ARRAYS))
                first = 0
            outcome = deploy_files(
                bundle_path,
                sequences_path,
                array,
                out,
                bars=bars,
                first_index=first,
                facts={"seed": str(seed)},
                fresh=False,
            )
    show_result(outcome, sequences.reference, bars.seconds, {"bundle": str(bundle_path), **written(out)})
    pack(out / LOG)
    if not outcome.passed:
        raise typer.Exit(LEVEL_FAILED)
