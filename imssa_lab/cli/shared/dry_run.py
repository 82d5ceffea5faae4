"""`--dry-run`, the same for every verb: what would be pulsed and read, and the time it takes; nothing is driven."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imssa_lab.cli.shared.json_output import answer
from imssa_lab.cli.shared.session import console, facts_table

if TYPE_CHECKING:
    from protocols.wrappers.dry_run_report import DryRun

DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print what would be pulsed and read, and how long it takes; drive nothing.")
]
LikeOption = Annotated[
    str | None,
    typer.Option(help="Profile of the twins for a dry run; by default the one that the array names."),
]


def show_dry_run(verb: str, run: DryRun, place: Path | None = None) -> None:
    """What a dry run found as a table, or as JSON; `place`: of the log, in a folder that need not exist yet."""
    folder = next(path for path in ((place or Path("log")).absolute()).parents if path.is_dir())
    free = shutil.disk_usage(folder).free
    table = facts_table(f"{verb}, dry run: nothing was driven")
    for name, value in run.facts():
        table.add_row(name, value)
    packings = {}
    if run.packings:
        from imssa_lab.cli.shared.packing_option import packing_facts, packing_words
        from protocols.cost.energy_figures import EnergyTable

        figures = EnergyTable.load()
        table.add_row("kernels packed for", run.packed)
        for each in run.packings:
            spent = each.energy(figures)
            table.add_row(f"packed for {each.mapping.packing}", packing_words(each, spent))
            packings[each.mapping.packing] = packing_facts(each, spent)
    room = "" if run.log_bytes < free else "; NOT ENOUGH, choose another place"
    table.add_row("log", f"about {size(run.log_bytes)}, bytes of a wire on top; {folder} has {size(free)} free{room}")
    console().print(table)
    counts = {"expected": run.expected, "longest": run.longest}
    durations = run.info.durations
    facts = {
        name: None if each is None else asdict(each) | {"device_seconds": each.seconds(durations)}
        for name, each in counts.items()
    }
    strongest = {kind: {"voltage": voltage, "gate": gate} for kind, (voltage, gate) in run.strongest.items()}
    answer(
        {
            "dry_run": verb,
            "arrays": run.arrays,
            "arrays_needed": run.needed or run.arrays,
            "rehearsed_on": run.twins or None,
            **facts,
            "rehearsals": [asdict(each) | {"device_seconds": each.seconds(durations)} for each in run.rehearsals],
            "strongest": strongest,
            "drive": run.drive,
            **({"packed": run.packed, "packings": packings} if packings else {}),
            "log_bytes": run.log_bytes,
            "bytes_free": free,
        }
    )


def size(count: float) -> str:
    """Bytes in words."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
