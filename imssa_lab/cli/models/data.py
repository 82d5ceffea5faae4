"""`imssa data`: which tasks there are, where their data lie, and getting them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from imssa_lab.cli.shared.json_output import answer, takes_json
from imssa_lab.cli.shared.session import console, facts_table, stages

data = typer.Typer(no_args_is_help=True, help="The data of the tasks: list, download and check them.")
Name = Annotated[str, typer.Argument(help="Data set: fsdd, shd, speech_commands or mnist.")]
Root = Annotated[
    Path | None, typer.Option("--root", help="Folder that holds the data sets; by default IMSSA_DATA, or a cache.")
]


@data.command("list")
@takes_json
def list_all(root: Root = None) -> None:
    """List the tasks and data sets, and which of them are on this computer.

    Example: imssa data list
    """
    from rich.table import Table
    from rich.text import Text

    from imssa_lab.s4d.tasks.data_sets import DATA_SETS
    from imssa_lab.s4d.tasks.sources import data_root
    from imssa_lab.s4d.tasks.task_names import CATALOGUE

    place = root if root is not None else data_root()
    tasks = Table("task", "what to recognise", "data", "options", title="tasks")
    for name, entry in CATALOGUE.items():
        tasks.add_row(name, entry.summary, entry.data or "in a package", Text(", ".join(entry.options)))
    sets = Table("data", "here", title=f"data sets in {place}")
    sets.add_column("licence and source", overflow="fold")
    here = {name: (place / name).is_dir() for name in DATA_SETS}
    for name, data_set in DATA_SETS.items():
        sets.add_row(name, "yes" if here[name] else "no", Text(data_set.licence))
    console().print(tasks, sets)
    answer(
        {
            "tasks": {
                name: {"summary": entry.summary, "data": entry.data, "options": list(entry.options)}
                for name, entry in CATALOGUE.items()
            },
            "folder": place,
            "data": {name: {"here": here[name], "licence": found.licence} for name, found in DATA_SETS.items()},
        }
    )


@data.command()
@takes_json
def download(name: Name, root: Root = None) -> None:
    """Download a data set, verify it and unpack it.

    Example: imssa data download fsdd
    """
    from rich.text import Text

    from imssa_lab.s4d.tasks.download import download as fetch

    logging.getLogger("pooch").setLevel(logging.WARNING)  # it would log how to call pooch; we report what we did
    with stages() as bars:
        news = fetch(name, root, progress=bars)
    for line in news:
        console().print(Text(line))
    _print_facts(name, root)


@data.command()
@takes_json
def check(name: Name, root: Root = None) -> None:
    """Read a whole data set and print its contents; an error names the file that is wrong.

    Example: imssa data check fsdd
    """
    _print_facts(name, root)


def _print_facts(name: str, root: Path | None) -> None:
    from rich.text import Text

    from imssa_lab.s4d.tasks.data_sets import check as check_data

    table = facts_table(name)
    facts = check_data(name, root)
    for fact, value in facts.items():
        table.add_row(Text(fact), Text(value))
    console().print(table)
    answer({"data": name, **facts})
