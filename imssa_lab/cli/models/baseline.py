"""`imssa baseline`: an S4D net beside a linear model and a GRU of equal size, also for speakers never heard."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imssa_lab.cli.models.shown_scores import measure, numbers
from imssa_lab.cli.models.sizes import sized
from imssa_lab.cli.models.train import settings, with_epochs
from imssa_lab.cli.shared import completion
from imssa_lab.cli.shared.json_output import answer, takes_json
from imssa_lab.cli.shared.session import console, stages

if TYPE_CHECKING:
    from imssa_lab.cli.shared.session import Stages
    from imssa_lab.s4d.scores import Score


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
    pooling: Annotated[str | None, typer.Option(help="Pooling of the S4D net: mean, max or last.")] = None,
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
    percent = found[0]["measure"] == "accuracy"
    unit = "%" if percent else "NRMSE"
    table = Table(
        "held out",
        "model",
        "parameters",
        f"validation, {unit}",
        f"test, {unit}",
        "95 % interval",
        title=f"{task}, seed {seed}",
    )

    def shown(value: float) -> str:
        return f"{100 * value:.1f}" if percent else f"{value:.3f}"

    for row in found:
        low, high = row["interval"]
        table.add_row(
            row["speaker"] or "nobody",
            row["model"],
            str(row["parameters"]),
            shown(row["validation"]),
            shown(row["test"]),
            f"{shown(low)} to {shown(high)}, {row['units']} {row['unit']}",
        )
    means = {
        name: statistics.mean(row["test"] for row in found if row["model"] == name)
        for name in dict.fromkeys(row["model"] for row in found)
    }
    if len(found) > len(means):
        for name, mean in means.items():
            table.add_row("mean", name, "", "", shown(mean), "")
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

    sizes: dict[str, int | None] = dict.fromkeys(("channels", "layers", "states"))
    config = sized(with_epochs(config, epochs, None), sizes, None, None, None, "64x64", head)
    model = train_float(data, config, progress=bars)
    size = sum(weight.numel() for weight in model.network.parameters())
    said = data.scored(predict(model.network, data.test[0]))
    models: list[tuple[str, int, float, Score]] = [("s4d", size, model.validation_accuracy, said)]
    for kind in KINDS:
        other = train_baseline(kind, data, config, size, progress=bars)
        models.append((kind, other.parameters, other.validation_accuracy, other.test))
    rows: list[dict[str, Any]] = []
    for model_name, parameters, validation, test in models:
        value, low, high = numbers(data.goal, test[:3])
        rows.append(
            {
                "speaker": speaker,
                "unit": data.unit,
                "measure": measure(data.goal).lower(),
                "model": model_name,
                "parameters": parameters,
                "validation": numbers(data.goal, (validation, validation, validation))[0],
                "test": value,
                "interval": [low, high],
                "units": test.units,
            }
        )
    return rows
