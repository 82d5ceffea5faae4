"""`imssa log`: what a run file holds, and whether it replays."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imssa_lab.cli.shared.json_output import answer, json_asked, json_text, takes_json
from imssa_lab.cli.shared.session import console, facts_table, stages
from imssa_lab.contract.errors import ConfigError, LogError, ReplayMismatch

if TYPE_CHECKING:
    from imssa_lab.cli.shared.session import Stages
    from imssa_lab.log import Run
    from imssa_lab.log.read.follower import Seen
    from imssa_lab.s4d.bundle import KernelBundle
    from protocols.deployment.choices import DeploymentChoices
    from protocols.deployment.journal import ArrayState
    from protocols.deployment.sequences import Sequences

log = typer.Typer(no_args_is_help=True, help="Inspect, check, repair, follow, compare and replay run files.")
File = Annotated[Path, typer.Argument(help="Run file, for example imssa-demo/run.h5.")]
Skip = Annotated[bool, typer.Option("--skip-damaged", help="Leave out damaged records instead of stopping.")]
_POLL = 0.1


@log.command()
@takes_json
def show(file: File) -> None:
    """Show what a run file holds.

    Example: imssa log show imssa-demo/run.h5
    """
    from rich.text import Text

    from imssa_lab.log import open_run

    with open_run(file) as run:
        summary = run.summary()
        verdicts = [(kind, text) for kind, text in run.events() if kind in ("level", "error")]
    table = facts_table(str(file))
    for name, value in (*summary.items(), *verdicts):
        table.add_row(Text(name), Text(value))
    console().print(table)
    answer({"run": file, "summary": summary, "events": [{"kind": kind, "text": text} for kind, text in verdicts]})


@log.command()
@takes_json
def verify(file: File) -> None:
    """Check every checksum, dataset, unit and record; exit code 1 if something is wrong.

    Example: imssa log verify imssa-demo/run.h5
    """
    from imssa_lab.log.care.verify import verify as check

    with stages() as bars:
        result = check(file, lambda done, total: bars("bytes checked", done, total))
    for finding in result.findings:
        console().print(f"{'WRONG' if finding.serious else 'note '} {finding}", markup=False)
    said = (
        f"{result.records} records, {result.chunks} chunks, {result.bytes / 1e6:.1f} MB held against their checksums"
    )
    console().print(f"{'good' if result.good else 'DAMAGED'}: {said}", markup=False)
    answer(asdict(result) | {"good": result.good})
    if not result.good:
        raise typer.Exit(1)


@log.command()
@takes_json
def repair(
    file: File,
    keep_original: Annotated[
        bool, typer.Option("--keep-original", help="Keep the original beside the repaired file.")
    ] = False,
) -> None:
    """Repair a file that a crash cut off, in place, so that all programs can read it; exit code 1 if damage remains.

    Example: imssa log repair --keep-original cut.h5
    """
    from imssa_lab.log.care.repair import repair as mend

    result = mend(file, keep=keep_original)
    console().print(f"{file}: {result}", markup=False)
    for taken in result.taken_back:
        console().print(f"taken back, was being written: {taken}", markup=False)
    answer(asdict(result) | {"records": result.records, "good": result.good})
    if result.verification is not None and not result.good:
        for finding in result.verification.findings:
            console().print(f"WRONG {finding}", markup=False)
        if result.original is not None:
            console().print(f"the file as it was: {result.original}", markup=False)
        raise typer.Exit(1)


@log.command()
@takes_json
def copy(
    file: File,
    to: Annotated[Path, typer.Argument(help="New file for the copy.")],
    packed: Annotated[bool, typer.Option("--packed", help="Compress everything: a third of the space.")] = False,
) -> None:
    """Make a whole, verified copy, also of a run that is being written.

    Example: imssa log copy night-1.h5 backup.h5
    """
    from imssa_lab.log.care.snapshot import snapshot

    done = snapshot(file, to, packed=packed)
    console().print(f"{to}: {done.records} records and {done.messages} messages of the wire, verified", markup=False)
    answer({"file": done.path, "records": done.records, "messages": done.messages})


@log.command()
@takes_json
def publish(file: File, to: Annotated[Path, typer.Argument(help="New file to publish.")]) -> None:
    """Make a copy without user, host, folder, command and addresses, and list what was left out.

    Example: imssa log publish night-1.h5 supplement.h5
    """
    from imssa_lab.log.care.publish import publish as copy_for_others

    done = copy_for_others(file, to)
    for what in done.left_out:
        console().print(f"left out: {what}", markup=False)
    for what in done.still_named:
        console().print(f"STILL IN IT: {what}", markup=False)
    console().print(
        f"{to}: {done.copy.records} records, verified; events of scripts and bytes of the wire are as they were: "
        "look into them",
        markup=False,
    )
    names = {"left_out": done.left_out, "still_named": done.still_named}
    answer({"file": done.copy.path, "records": done.copy.records, **names})


@log.command()
@takes_json
def export(
    file: File,
    out: Annotated[Path, typer.Option(help="Folder for the tables.")],
    table: Annotated[list[str] | None, typer.Option(help="Table; may be repeated; by default all.")] = None,
    kind: Annotated[str, typer.Option("--format", help="csv, parquet or mat (MATLAB).")] = "csv",
    maps: Annotated[
        bool,
        typer.Option("--maps", help="Also write maps of reads and of programming as matrices, one CSV file each."),
    ] = False,
    call: Annotated[
        list[int] | None, typer.Option(help="With --maps: number (seq) of a call; may be repeated.")
    ] = None,
    separator: Annotated[str, typer.Option(help="Between the columns of a .csv file; a tab as \\t.")] = ",",
    decimal: Annotated[str, typer.Option(help="Decimal point of a .csv file: . or ,")] = ".",
    skip_damaged: Skip = False,
) -> None:
    """Write tables as CSV, Parquet or MATLAB, in SI units: one file per table, and one with the cells of its maps.

    Example: imssa log export imssa-demo/run.h5 --out tables --format csv
    """
    from imssa_lab.cli.shared.target_files import read_separator
    from imssa_lab.log import open_run
    from imssa_lab.log.read.exported_files import Csv, export_maps
    from imssa_lab.log.read.exported_files import export as write
    from imssa_lab.log.schema import TABLES

    if call and not maps:
        raise ConfigError("log export: --call chooses the maps of --maps; write both")
    layout = Csv(read_separator(separator), decimal)
    with open_run(file) as run:
        paths = write(run, out, kind, table or list(TABLES), skip_damaged=skip_damaged, layout=layout)
        if maps:
            paths += export_maps(run, out, call or (), layout=layout)
    for path in paths:
        console().print(str(path), markup=False)
    answer({"files": paths})


@log.command(name="list")
@takes_json
def list_runs(
    folder: Annotated[Path, typer.Argument(help="Folder with run files, also in folders below it.")] = Path(),
    chip: Annotated[str, typer.Option(help="Part of the name or serial of a chip.")] = "",
    since: Annotated[datetime | None, typer.Option(help="Only runs that began then or later.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Only runs that began then or earlier.")] = None,
) -> None:
    """List the runs of a folder, oldest first.

    Example: imssa log list . --since 2026-05-01
    """
    from rich.text import Text

    from imssa_lab.log.care.catalogue import catalogue

    rows = [("began", "records", "state", "chips", "file", "command")]
    entries = list(catalogue(folder, chip=chip, since=since, until=until))
    for entry in entries:
        began = entry.created.astimezone().isoformat(" ", "seconds") if entry.created else "?"
        chips = ", ".join(dict.fromkeys(entry.chips))
        said = " ".join((entry.problem or entry.command).split())
        rows.append((began, str(entry.records), entry.state or "UNREADABLE", chips, str(entry.path), said))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:  # a line a run, whatever the width of the terminal
        console().print(Text("  ".join(map(str.ljust, row, widths)).rstrip()))
    if any(entry.state == "open" for entry in entries):
        console().print("open: being written, or cut off; `imssa log copy` takes a whole copy")
    answer(entries)


@log.command()
@takes_json
def tail(
    file: File,
    lines: Annotated[int, typer.Option("--lines", "-n", help="Number of records to begin with.")] = 10,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Continue until the writer closes the file.")
    ] = False,
) -> None:
    """Show the last records of a run, also of one that another process is writing.

    Example: imssa log tail -n 20 imssa-demo/run.h5
    """
    from imssa_lab.log.read.follower import Follower

    if follow and json_asked():
        raise ConfigError("log tail: --json is one value and --follow has no end; leave one out")
    with Follower(file, last=lines) as follower:
        last = follower.new()[-lines:] if lines else []
        _print(last)
        answer([record._asdict() for record in last])
        while follow and not follower.ended:
            time.sleep(_POLL)
            _print(follower.new())
        if follow:
            _print(follower.new())


def _print(records: list[Seen]) -> None:
    for record in records:
        clock = datetime.fromtimestamp(record.wall_time).astimezone().isoformat(sep=" ", timespec="milliseconds")
        console().print(f"{clock}  {record.seq:>8}  {record.table:<17}  {record.text}", markup=False)


@log.command()
@takes_json
def stats(file: File) -> None:
    """Show statistics of a run, and which tables take the space of its file.

    Example: imssa log stats imssa-demo/run.h5
    """
    from imssa_lab.log import open_run
    from imssa_lab.log.care.compare import statistics, stored_bytes
    from imssa_lab.report.measured.programmed import cell_figures

    with open_run(file) as run:
        found = statistics(run) | stored_bytes(run) | cell_figures(run)
    table = facts_table(str(file))
    for name, value in found.items():
        table.add_row(name, f"{value:.6g}")
    console().print(table)
    answer(found)


@log.command()
@takes_json
def diff(file: File, other: Annotated[Path, typer.Argument(help="Run file to compare with it.")]) -> None:
    """Show how two runs differ: settings, arrays, first different call, statistics; exit code 1 if they do.

    Example: imssa log diff monday.h5 tuesday.h5
    """
    from rich.table import Table
    from rich.text import Text

    from imssa_lab.log import open_run
    from imssa_lab.log.care.compare import differences

    with open_run(file) as one, open_run(other) as two:
        found = list(differences(one, two))
    answer([dict(zip(("part", "what", "one", "two"), row, strict=True)) for row in found])
    if not found:
        console().print("the runs do not differ")
        return
    table = Table("part", "what", str(file), str(other), box=None)
    for row in found:
        table.add_row(*map(Text, row))
    console().print(table)
    raise typer.Exit(1)


@log.command()
@takes_json
def replay(
    file: File,
    tolerant: Annotated[
        bool, typer.Option("--tolerant", help="Allow reads in another order than recorded, or none at all.")
    ] = False,
) -> None:
    """Repeat a deployment or fine-tuning on the recorded arrays: all requests and results must agree bit for bit.

    Example: imssa log replay imssa-demo/run.h5
    """
    from imssa_lab.log import open_run

    with open_run(file) as run, stages() as bars:
        calls = replay_run(run, bars, tolerant=tolerant)
    console().print(f"replays bit for bit: {calls} calls")
    answer({"calls": calls})


def replay_run(run: Run, bars: Stages, *, tolerant: bool = False) -> int:
    """Replay the deployment or fine-tuning that a run recorded; the number of calls that agreed.

    Raises:
        LogError: the run is no finished deployment, or its bundle or sequences are not those of the record.
        ReplayMismatch: a request or a result differs.
    """
    from imssa_lab.cli.arrays.finetune import FINETUNED, finetuned_again
    from imssa_lab.cli.shared.deployment_table import result_text
    from protocols.deployment.deployment import deploy

    tuned = [text for _, text in run.events(FINETUNED)]
    recorded = tuned or [text for _, text in run.events("result")]
    if not recorded:
        raise LogError(f"{run.path} holds no result; the run was cut off, or was no deployment by `imssa deploy`")
    bundle, sequences = _inputs(run)
    arrays = run.arrays(tolerant=tolerant)
    if tuned:
        made = finetuned_again(run, arrays, bundle, sequences, bars)
    else:
        choices, faults, resume = _choices(run)
        outcome = deploy(bundle, arrays, sequences, choices, faults=faults, resume=resume, progress=bars)
        made = result_text(outcome, bundle.digest(), sequences.reference)
    for number, array in enumerate(arrays):
        if array.calls_left and not tolerant:
            raise ReplayMismatch(
                f"array {number}: the log holds {array.calls_left} of {array.calls} calls that were not replayed"
            )
    # Older logs have NaN where JSON wants null.
    _same(json_text(json.loads(recorded[0])), made)
    return sum(array.calls for array in arrays)


def _choices(run: Run) -> tuple[DeploymentChoices, list[ArrayState] | None, list[str] | None]:
    """How a recorded deployment went, the faults known before it, and the journal that it resumed."""
    from imssa_lab.cli.arrays.deploy import KNOWN
    from imssa_lab.cli.arrays.layers_option import kept_layers
    from imssa_lab.cli.arrays.packed_arrays import kept_packing
    from protocols.deployment.choices import DeploymentChoices
    from protocols.deployment.journal import JOURNAL, read_states
    from protocols.wrappers.budget import Budget

    facts = run.provenance
    pulses, seconds, before = (
        facts.get(name) for name in ("budget pulses", "budget seconds", "journal entries before")
    )
    budget = Budget(None if pulses is None else int(pulses), None if seconds is None else float(seconds))
    known = read_states([text for _, text in run.events(KNOWN)], run.infos[0].shape)
    resume = None if before is None else [text for _, text in run.events(JOURNAL)][: int(before)]
    averages, packing = int(facts.get("averages", "1")), kept_packing(facts)
    how = DeploymentChoices(budget=budget, averages=averages, packing=packing, layers=kept_layers(facts).value)
    return how, known or None, resume


def _inputs(run: Run) -> tuple[KernelBundle, Sequences]:
    """Bundle and sequences of the run, whose digests must be those of the record."""
    from imssa_lab.s4d.bundle import KernelBundle
    from protocols.deployment.sequences import Sequences

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
