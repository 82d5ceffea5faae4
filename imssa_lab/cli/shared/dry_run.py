"""`--dry-run`, the same for every verb: what would be pulsed and read, and the time it takes; nothing is driven."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from imssa_lab.cli.shared.json_output import answer
from imssa_lab.cli.shared.session import console, facts_table

if TYPE_CHECKING:
    from protocols.wrappers.counting_array import DryRun

DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be pulsed and read, and how long it takes; drive nothing.")
]


def show_dry_run(verb: str, run: DryRun) -> None:
    """The counts of a dry run as a table, or as JSON."""
    table = facts_table(f"{verb}, dry run: nothing was driven")
    for name, value in run.facts():
        table.add_row(name, value)
    console().print(table)
    facts = {
        name: asdict(counts) | {"device_seconds": counts.seconds(run.info.durations)}
        for name, counts in (("expected", run.expected), ("longest", run.longest))
    }
    strongest = {kind: {"voltage": voltage, "gate": gate} for kind, (voltage, gate) in run.strongest.items()}
    answer({"dry_run": verb, "arrays": run.arrays, **facts, "strongest": strongest, "drive": run.drive})
