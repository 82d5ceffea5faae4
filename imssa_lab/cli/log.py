"""`imssa log`: what a run file holds, and whether it replays."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imssa_lab.cli.session import Sequences, console, facts_table, stages
from imssa_lab.errors import LogError, ReplayMismatch

if TYPE_CHECKING:
    from imssa_lab.cli.session import Stages
    from imssa_lab.log import Run
    from imssa_lab.s4d.bundle import KernelBundle

log = typer.Typer(no_args_is_help=True, help="Look into a run file, and replay it.")
File = Annotated[Path, typer.Argument(help="Run file, for example imssa-demo/run.h5.")]


@log.command()
def show(file: File) -> None:
    """Say what a run file holds."""
    from rich.text import Text

    from imssa_lab.log import open_run

    with open_run(file) as run:
        table = facts_table(str(file))
        for name, value in run.summary().items():
            table.add_row(Text(name), Text(value))
        for kind, text in run.events():
            if kind in ("level", "error"):
                table.add_row(Text(kind), Text(text))
    console().print(table)


@log.command()
def replay(file: File) -> None:
    """Deploy again on the recorded arrays: every request and every result must be the same, bit for bit."""
    from imssa_lab.log import open_run

    with open_run(file) as run, stages() as told:
        calls = replay_run(run, told)
    console().print(f"replays bit for bit: {calls} calls")


def replay_run(run: Run, told: Stages) -> int:
    """Replay the deployment that a run recorded; the number of calls that agreed.

    Raises:
        LogError: the run is no finished deployment, or its bundle or sequences are not those of the record.
        ReplayMismatch: a request or a result differs.
    """
    from imssa_lab.cli.result import result_text

    recorded = [text for kind, text in run.events("result")]
    if not recorded:
        raise LogError(f"{run.path} holds no result; the run was cut off, or was no deployment by `imssa deploy`")
    bundle, sequences = _inputs(run)
    arrays = run.arrays()
    outcome = sequences.deploy(bundle, arrays, told)
    for number, array in enumerate(arrays):
        if array.calls_left:
            raise ReplayMismatch(
                f"array {number}: the log holds {array.calls_left} of {array.calls} calls that nothing asked for"
            )
    _same(recorded[0], result_text(outcome, bundle.digest(), sequences.reference))
    return sum(array.calls for array in arrays)


def _inputs(run: Run) -> tuple[KernelBundle, Sequences]:
    """Bundle and sequences of the run, whose digests must be those of the record."""
    from imssa_lab.s4d.bundle import KernelBundle

    facts, folder = run.provenance, run.path.parent
    missing = [name for name in ("bundle", "bundle sha256", "sequences", "sequences sha256") if name not in facts]
    if missing:
        raise LogError(f"{run.path}: the provenance names no {', '.join(missing)}; it was not made by `imssa deploy`")
    bundle = KernelBundle.load(folder / facts["bundle"])
    path = folder / facts["sequences"]
    sequences = Sequences.load(path)
    for what, digest, expected in (
        (folder / facts["bundle"], bundle.digest(), facts["bundle sha256"]),
        (path, hashlib.sha256(path.read_bytes()).hexdigest(), facts["sequences sha256"]),
    ):
        if digest != expected:
            raise LogError(
                f"{what} is not the file that the run used (sha256 {digest[:12]}..., recorded {expected[:12]}...); "
                "put the original back"
            )
    return bundle, sequences


def _same(recorded: str, replayed: str) -> None:
    if recorded == replayed:
        return
    for was, now in zip(recorded.splitlines(), replayed.splitlines(), strict=False):
        if was != now:
            raise ReplayMismatch(f"the result differs: recorded {was.strip()}, replayed {now.strip()}")
    raise ReplayMismatch("the result differs in length")
