"""`imssa baseline`: an S4D net beside a linear model and a GRU of equal size, also for speakers never heard."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imssa_lab.cli.models.sizes import sized
from imssa_lab.cli.models.train import settings, with_epochs
from imssa_lab.cli.shared import completion
from imssa_lab.cli.shared.json_output import answer, takes_json
from imssa_lab.cli.shared.session import console, stages

if TYPE_CHECKING:
    from imssa_lab.cli.shared.session import Stages


@takes_json
def baseline(
    task: Annotated[
        str,
        typer.Option(
            help="What to learn: a task of `imssa data list`, or a path of your own data.",
            autocompletion=completion.tasks,
        ),
    ] = "digits-first",
    seed: Annotated[int, typer.Option(min=0, help="Seed of data, weights and training.")] = 0,
    option: Annotated[list[str] | None, typer.Option(help="Option of the task, name=value; may be repeated.")] = None,
    speaker: Annotated[
        list[str] | None, typer.Option(help="Speaker to hold out; may be repeated, then the mean is shown too.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of every model.")] = None,
    pooling: Annotated[str | None, typer.Option(help="Pooling of the S4D net: mean or max.")] = None,
    levelling: Annotated[str | None, typer.Option(help="Levelling of its inputs: none, sequence or running.")] = None,
) -> None:
    """Train the recipe's S4D net in float, and a linear model and a GRU of as many parameters, on the same data.

    Example: imssa baseline --task fsdd-first10 --speaker george --speaker jackson --pooling max
    """
    from rich.table import Table

    found: list[dict[str, Any]] = []
    with stages() as bars:
        held_out: list[str | None] = [*speaker] if speaker else [None]
        for who in held_out:
            words = [*(option or []), *([] if who is None else [f"speaker={who}"])]
            found += _models(task, seed, words, epochs, {"pooling": pooling, "levelling": levelling}, who, bars)
    table = Table(
        "held out", "model", "parameters", "validation, %", "test, %", "95 % interval", title=f"{task}, seed {seed}"
    )
    for row in found:
        low, high = (100 * end for end in row["interval"])
        table.add_row(
            row["speaker"] or "nobody",
            row["model"],
            str(row["parameters"]),
            f"{100 * row['validation']:.1f}",
            f"{100 * row['test']:.1f}",
            f"{low:.1f} to {high:.1f}, {row['units']} {row['unit']}",
        )
    means = {
        name: statistics.mean(row["test"] for row in found if row["model"] == name)
        for name in dict.fromkeys(row["model"] for row in found)
    }
    if len(found) > len(means):
        for name, mean in means.items():
            table.add_row("mean", name, "", "", f"{100 * mean:.1f}", "")
    console().print(table)
    answer({"task": task, "seed": seed, "models": found, "mean": means})


def _models(
    name: str,
    seed: int,
    options: list[str],
    epochs: int | None,
    head: dict[str, str | None],
    speaker: str | None,
    bars: Stages,
) -> list[dict[str, Any]]:
    data, config = settings(name, seed, "float", options, bars=bars)
    from imssa_lab.s4d.train.baselines import KINDS, train_baseline
    from imssa_lab.s4d.train.evaluation import predict
    from imssa_lab.s4d.train.training import train_float

    numbers: dict[str, int | None] = dict.fromkeys(("channels", "layers", "states"))
    config = sized(with_epochs(config, epochs, None), numbers, None, None, None, "64x64", head)
    model = train_float(data, config, progress=bars)
    size = sum(weight.numel() for weight in model.network.parameters())
    low, high, units = data.interval(predict(model.network, data.test[0]) == data.test[1])
    rows: list[dict[str, Any]] = [
        {
            "model": "s4d",
            "parameters": size,
            "validation": model.validation_accuracy,
            "test": model.test_accuracy,
            "interval": [low, high],
            "units": units,
        }
    ]
    for kind in KINDS:
        other = train_baseline(kind, data, config, size, progress=bars)
        rows.append(
            {
                "model": kind,
                "parameters": other.parameters,
                "validation": other.validation_accuracy,
                "test": other.test_accuracy,
                "interval": list(other.interval[:2]),
                "units": other.interval.units,
            }
        )
    return [{"speaker": speaker, "unit": data.unit, **row} for row in rows]
