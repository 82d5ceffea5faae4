"""`imssa sweep-bits`: what each bit costs, before and after training for it."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imssa_lab.cli.models.bundles import training
from imssa_lab.cli.models.train import read_options
from imssa_lab.cli.shared import completion
from imssa_lab.cli.shared.interrupts import when_stopped
from imssa_lab.cli.shared.json_output import answer, takes_json
from imssa_lab.cli.shared.session import console, stages
from imssa_lab.contract.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imssa_lab.s4d.train.bit_sweep import SweepPoint

PRECISIONS = "float; 8bit; 6bit; 4bit; 3bit; ternary"


@takes_json
def sweep_bits(
    out: Annotated[Path, typer.Option(help="Folder for points.jsonl and bits.svg; an interrupted sweep is resumed.")],
    task: Annotated[
        str,
        typer.Option(help="What to learn; `imssa data list` shows what there is.", autocompletion=completion.tasks),
    ] = "digits-first",
    precisions: Annotated[str, typer.Option(help="Precisions in words, separated by semicolons.")] = PRECISIONS,
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds, from 0.")] = 3,
    option: Annotated[list[str] | None, typer.Option(help="Option of the task, name=value; may be repeated.")] = None,
) -> None:
    """Measure accuracy against the number of bits, over several seeds.

    After Ctrl-C the finished points are kept; the same command computes the others.

    Example: imssa sweep-bits --task digits-first --precisions "4bit;ternary" --out sweep
    """
    training()
    from imssa_lab.report.bits_figure import accuracy_against_bits
    from imssa_lab.report.svg import save_svg
    from imssa_lab.s4d.tasks import load_task
    from imssa_lab.s4d.train import bit_sweep

    words = [word for word in precisions.split(";") if word.strip()]
    if not words:
        raise ConfigError(f"--precisions {precisions!r} names none; write for example {PRECISIONS!r}")
    options = read_options(option or [])
    out.mkdir(parents=True, exist_ok=True)
    with stages() as bars, when_stopped(lambda: f"finished points are in {out}; to resume: the same command"):
        points = bit_sweep.sweep_bits(
            task,
            lambda seed: load_task(task, seed, **options),
            words,
            range(seeds),
            store=out / "points.jsonl",
            progress=bars,
        )
    save_svg(accuracy_against_bits(points, f"{task}, {seeds} seeds"), out / "bits.svg")
    _print(points, task)
    console().print(f"points   {out / 'points.jsonl'}\npicture  {out / 'bits.svg'}")
    answer({"points": points, "files": {"points": out / "points.jsonl", "picture": out / "bits.svg"}})


def _print(points: Sequence[SweepPoint], task: str) -> None:
    from rich.table import Table

    table = Table(
        title=f"{task}: test accuracy in %, mean (lowest to highest seed)",
        caption="QAT: trained for the precision. PTQ: only rounded to it. cells: of the kernels.",
    )
    for name in ("precision", "QAT", "PTQ", "cells", "processor s"):
        table.add_column(name)
    for word in dict.fromkeys(point.precision for point in points):
        same = [point for point in points if point.precision == word]
        table.add_row(
            word,
            _range([point.trained for point in same]),
            _range([point.rounded for point in same]),
            str(same[0].cells),
            f"{statistics.mean(point.seconds for point in same):.0f}",
        )
    console().print(table)


def _range(values: Sequence[float]) -> str:
    low, mean, high = (100 * value for value in (min(values), statistics.mean(values), max(values)))
    return f"{mean:.1f} ({low:.1f} to {high:.1f})"
