"""`imssa characterise`: tables of what the cells of an array are like."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from imssa_lab.cli.dry_run import DryRunOption, show_dry_run
from imssa_lab.cli.machine import answer, takes_json
from imssa_lab.cli.session import console, stages
from imssa_lab.errors import ConfigError


@takes_json
def characterise(
    address: Annotated[str, typer.Argument(help="Array, for example 'twin:supert-a0-easy?seed=1'.")],
    out: Annotated[Path, typer.Option(help="Folder for the tables; one that was begun is gone on with.")],
    only: Annotated[
        str | None,
        typer.Option(help="Experiments, with commas: stuck, pulses, relaxation, programming, noise, iv, columns."),
    ] = None,
    dry_run: DryRunOption = False,
    record: Annotated[
        Path | None, typer.Option(help="Chip record (SQLite) that counts every pulse; made where there is none.")
    ] = None,
) -> None:
    """Measure stuck map, windows, pulse response, relaxation, programming, noise, I-V and columns of an array.

    Pulses cells unless --only names experiments that merely read (noise, iv, columns): what the array holds is lost.

    Example: imssa characterise "twin:supert-a0-easy?seed=1" --out chip1 --dry-run
    """
    from imssa_lab.hal import CrossbarArray
    from imssa_lab.station import open_array
    from protocols.characterise import Characterisation
    from protocols.chip_record import ChipRecord, Counted

    names = None if only is None else [name.strip() for name in only.split(",") if name.strip()]
    if names is not None and not names:
        raise ConfigError("--only names no experiment; write for example --only stuck,noise")
    with ExitStack() as stack:
        array: CrossbarArray = stack.enter_context(open_array(address))
        if record is not None and not dry_run:
            array = Counted(array, stack.enter_context(ChipRecord(record)))
        work = Characterisation(array, out, only=names)
        plan = work.plan()
        console(stderr=not dry_run).print(str(plan))
        if dry_run:
            show_dry_run("characterise", plan.run)
            return
        with stages() as told:
            tables = work.run(told)
    for name, path in tables.items():
        console().print(f"{name}: {path}")
    answer({"files": tables})
