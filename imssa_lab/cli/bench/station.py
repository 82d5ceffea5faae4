"""`imssa station`: write a station file by questions, and check one against the instruments."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from imssa_lab.cli.shared.json_output import answer, takes_json
from imssa_lab.cli.shared.session import console, facts_table

station = typer.Typer(no_args_is_help=True, help="The station file: the arrays of a bench, by alias.")
Where = Annotated[Path | None, typer.Option(help="Station file; by default IMSSA_STATION, else station.toml.")]


@station.command()
def init(file: Where = None) -> None:
    """Ask questions and write a station file; an existing one is not overwritten.

    Enter accepts the value in brackets. Further settings are in the file as comments.

    Example: imssa station init
    """
    from imssa_lab.cli.bench.station_questions import ask_array, toml_string
    from imssa_lab.contract.errors import ConfigError
    from imssa_lab.station.station_file import Station, station_path

    where = file or station_path()
    if where.exists():
        raise ConfigError(f"{where} exists; edit it, or choose another --file, nothing was overwritten")
    if not where.parent.is_dir():
        raise ConfigError(f"{where}: there is no folder {where.parent}; make it, or choose another --file")
    operator = typer.prompt("Operator, for the logs", default="")
    folder = typer.prompt("Folder for logs", default=".")
    arrays: dict[str, str] = {}
    while not arrays or typer.confirm("Another array?", default=False):
        alias, table = ask_array(taken=list(arrays))
        arrays[alias] = table
    head = f"operator = {toml_string(operator)}\nlog_folder = {toml_string(folder)}\n"
    where.write_text("\n".join([head, *arrays.values()]), encoding="utf-8")
    Station.load(where)
    console().print(f"{where} written; now: imssa station check{f' --file {where}' if file else ''}", markup=False)


@station.command()
@takes_json
def check(file: Where = None) -> None:
    """Validate the station file, connect to every array without driving it, and list the arrays.

    Exit code 1: an array cannot be used, or its calibration file is damaged or of another chip. A stale or missing
    file is reported.

    Example: imssa station check
    """
    from rich.markup import escape

    from imssa_lab.contract.errors import ImssaError
    from imssa_lab.station.addresses import open_array
    from imssa_lab.station.station_file import Station, station_path
    from protocols.wrappers.recipe_override import GIVEN_PROGRAMMER

    bench, good = Station.load(file), True
    free = shutil.disk_usage(bench.log_folder if bench.log_folder.exists() else ".").free
    table = facts_table(f"{file or station_path()}, operator {bench.operator or 'not given'}")
    table.add_row("logs", f"{bench.log_folder}, {free / 1e9:.1f} GB free")
    arrays: dict[str, dict[str, Any]] = {}
    for alias, entry in bench.arrays.items():
        table.add_section()
        table.add_row("array", f"{alias}: {entry.address}")
        try:
            with open_array(entry.address) as opened:
                ready = entry.ready(opened)
                info, carried = ready.info, opened.calibration
        except ImssaError as error:
            good = False
            table.add_row("cannot be used", f"[bold red]{escape(str(error))}[/bold red]")
            arrays[alias] = {"address": entry.address, "usable": False, "error": str(error)}
            continue
        words, usable = ("none" if carried is None else carried.date), True
        if entry.calibration is not None:
            words, usable = entry.last_calibration(info)
        good = good and usable
        for name, value in info.facts():
            table.add_row(name, value)
        if GIVEN_PROGRAMMER in info.provenance:
            table.add_row("programmer", f"{info.provenance[GIVEN_PROGRAMMER]}, {escape(_recipe(entry.recipe))}")
        table.add_row("column calibration", escape(words) if usable else f"[bold red]{escape(words)}[/bold red]")
        arrays[alias] = {
            "address": entry.address,
            "info": info,
            "programmer": info.provenance.get(GIVEN_PROGRAMMER),
            "recipe": entry.recipe,
            "calibration": words,
            "usable": usable,
        }
    console().print(table)
    logs = {"folder": bench.log_folder, "bytes_free": free}
    answer({"good": good, "operator": bench.operator, "logs": logs, "arrays": arrays})
    if not good:
        raise typer.Exit(1)


def _recipe(changes: dict[str, object]) -> str:
    listed = ", ".join(f"{key} = {value}" for key, value in changes.items())
    return f"recipe of the chip with {listed}" if listed else "recipe of the chip"
