"""`imssa train`: a model for a task, as a kernel bundle with the sequences that a deployment needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imssa_lab.cli.models.bundles import counted, training
from imssa_lab.cli.models.hardening import hardened
from imssa_lab.cli.models.shown_scores import measure, needs_no_memory, numbers, with_interval
from imssa_lab.cli.models.sizes import read_shape, sized
from imssa_lab.cli.shared import completion
from imssa_lab.cli.shared.interrupts import when_stopped
from imssa_lab.cli.shared.json_output import answer, takes_json
from imssa_lab.cli.shared.packing_option import packing_asked
from imssa_lab.cli.shared.session import Stages, console, facts_table, stages
from imssa_lab.contract.errors import ConfigError

if TYPE_CHECKING:
    from imssa_lab.contract.array_types import FloatArray
    from imssa_lab.s4d.bundle import KernelBundle
    from imssa_lab.s4d.scores import Goal, Wanted
    from imssa_lab.s4d.tasks import Task
    from imssa_lab.s4d.train.settings import TrainingConfig
    from imssa_lab.s4d.train.training import TrainedModel
    from protocols.deployment.sequences import Sequences

CALIBRATION_SEQUENCES = 128
TRAINING_SEQUENCES = 400
"""With labels, after those of the calibration, for corrections that are fitted on the chip."""
TEST_SEQUENCES = 400  # a log keeps some 350 kB of each


@takes_json
def train(
    file: Annotated[Path, typer.Option(help="Bundle to write; sequences.npz and history.csv are written beside it.")],
    task: Annotated[
        str,
        typer.Option(help="What to learn; `imssa data list` shows what there is.", autocompletion=completion.tasks),
    ] = "digits-first",
    seed: Annotated[int, typer.Option(min=0, help="Seed of data, weights and training.")] = 0,
    precision: Annotated[str, typer.Option(help='ternary, 2bit to 8bit, float, or "ternary, head=8".')] = "ternary",
    option: Annotated[list[str] | None, typer.Option(help="Option of the task, name=value; may be repeated.")] = None,
    epochs_float: Annotated[
        int | None, typer.Option(min=1, help="Epochs of the float net and of the null control.")
    ] = None,
    epochs_quantised: Annotated[int | None, typer.Option(min=1, help="Epochs with quantised weights.")] = None,
    harden: Annotated[
        str | None,
        typer.Option(
            help="Train with the errors measured on a twin of this profile, or with errors of this fraction of the "
            "largest weight, such as 0.1.",
            autocompletion=completion.profiles,
        ),
    ] = None,
    distil: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of the loss that follows the float net, such as 0.5."),
    ] = None,
    channels: Annotated[int | None, typer.Option(min=1, help="Channels of the net; by default the recipe's.")] = None,
    layers: Annotated[int | None, typer.Option(min=1, help="Layers of the net; by default the recipe's.")] = None,
    states: Annotated[int | None, typer.Option(min=1, help="Complex states of a kernel.")] = None,
    init: Annotated[str | None, typer.Option(help="Initial poles: lin, inv, legs, spread or real.")] = None,
    dt: Annotated[str | None, typer.Option(help="Smallest and largest initial step, such as 0.01,0.2.")] = None,
    pooling: Annotated[
        str | None, typer.Option(help="What the head sees of the steps: their mean, max or last.")
    ] = None,
    levelling: Annotated[
        str | None, typer.Option(help="Scaling of inputs to mean 0, deviation 1: none, sequence or running.")
    ] = None,
    prune_channels: Annotated[
        int | None, typer.Option(min=1, help="Channels that stay after the float training; the weakest go.")
    ] = None,
    prune_states: Annotated[
        int | None, typer.Option(min=1, help="States of each kernel that stay after the float training.")
    ] = None,
    arrays: Annotated[
        int | None,
        typer.Option(
            min=1, help="Use as many channels as fit on this number of arrays; with --channels, only check."
        ),
    ] = None,
    shape: Annotated[str, typer.Option(help="Word lines and bit lines of an array.")] = "64x64",
    packing: Annotated[
        str,
        typer.Option(
            help="With --arrays: how the kernels are to share them, time or area, as in `imssa deploy`.",
            autocompletion=completion.packings,
        ),
    ] = "time",
    no_null: Annotated[bool, typer.Option("--no-null", help="Leave out the control without memory.")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: a CUDA card where there is one.")] = "cpu",
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the checkpoint of an interrupted training.")
    ] = False,
) -> None:
    """Train a model and write a kernel bundle.

    Ctrl-C leaves a checkpoint; the same command with --resume continues from it.

    Your own data: --task mine.npz, a .ts file, or a folder of CSV files.

    Example: imssa train --task digits-first --precision 4bit --file model.safetensors
    """
    checkpoint = file.with_suffix(".checkpoint")
    sequences_path, history_path = file.parent / "sequences.npz", file.parent / "history.csv"
    for path in (file, sequences_path, history_path):
        if path.exists():
            raise ConfigError(f"{path} exists; choose another --file, nothing was overwritten")
    if not file.parent.is_dir():
        raise ConfigError(f"the folder {file.parent} does not exist; make it, or choose another --file")
    if checkpoint.exists() and not resume:
        raise ConfigError(f"{checkpoint} is there from a training that was cut off; add --resume, or delete it")
    lines, packed = read_shape(shape), packing_asked(packing) or "time"
    if resume and not checkpoint.exists():
        raise ConfigError(f"--resume: there is no {checkpoint} to continue from; train without --resume")
    kept = {"channels": prune_channels, "states": prune_states}
    with stages() as bars:
        data, config = settings(task, seed, precision, option or [], bars=bars)
        numbers = {"channels": channels, "layers": layers, "states": states}
        around = {"pooling": pooling, "levelling": levelling}
        config = sized(config, numbers, init, dt, arrays, shape, around, packed)
        config = on_device(hardened(with_epochs(config, epochs_float, epochs_quantised), harden), device)
        if distil is not None:
            config = config.model_copy(
                update={"quantised": config.quantised.model_copy(update={"distillation": distil})}
            )
        with when_stopped(lambda: "to continue: the same command with --resume" if checkpoint.exists() else ""):
            model, sequences, whole = train_model(
                data, config, bars=bars, null=not no_null, checkpoint=checkpoint, kept=kept
            )
            if data.goal == "values":
                whole["linear"] = linear_baseline(data, config, model, bars=bars)
        bundle = exported(model, data, bars=bars)
    from imssa_lab.mapping.magnitudes import needs
    from imssa_lab.s4d.cost import cost
    from imssa_lab.s4d.quantise.pruning import checkpoint_of_pruned
    from imssa_lab.s4d.train.training import write_history

    bundle.save(file)
    sequences.save(sequences_path)
    write_history(model.history, history_path)
    checkpoint.unlink()
    checkpoint_of_pruned(checkpoint).unlink(missing_ok=True)
    config = model.config
    table = facts_table(f"trained {data.name}, seed {seed}")
    goal, low = bundle.goal, bundle.expected_accuracy[1]
    what = measure(goal)
    if "float" in whole:
        table.add_row(f"{what}, float", with_interval(goal, whole["float"]))
    table.add_row(f"{what}, {bundle.precision}", with_interval(goal, bundle.expected_accuracy))
    if "null" in whole:
        table.add_row(f"{what}, null control without memory", with_interval(goal, whole["null"]))
        for row in needs_no_memory(bundle, whole["null"]):
            table.add_row(*row)
    if "linear" in whole:
        table.add_row(f"{what}, linear model", with_interval(goal, whole["linear"]))
        if low <= whole["linear"][0]:
            table.add_row("verdict", "[bold red]the net is not better than the linear model[/bold red]")
    table.add_row("test set", bundle.provenance["test"])
    asked, cells = needs(bundle, lines, packed), cost(bundle).cells
    table.add_row("net", f"{config.channels} channels, {config.layers} layers, {config.states} states")
    held = f"{asked.kernels} kernels, packed for {packed}, {cells} cells"
    table.add_row("arrays", f"{asked.arrays} of {shape}: {held}")
    table.add_row("magnitudes of weights on an array", counted(asked.magnitudes))
    files = {"bundle": file, "sequences": sequences_path, "training curve": history_path}
    for name, path in files.items():
        table.add_row(name, str(path))
    for stage, seconds in bars.seconds.items():
        table.add_row(f"wall time, {stage}", f"{seconds:.1f} s")
    console().print(table)
    answer(
        {
            "task": data.name,
            "seed": seed,
            "precision": bundle.precision,
            what.lower(): _for_machines(goal, whole | {"quantised": bundle.expected_accuracy}),
            "test_set": bundle.provenance["test"],
            "size": {"channels": config.channels, "layers": config.layers, "states": config.states},
            "needs": {"shape": lines, "arrays": asked.arrays, "kernels": asked.kernels, "cells": cells},
            "magnitudes_by_array": asked.magnitudes,
            "needs_memory": not needs_no_memory(bundle, whole["null"]) if "null" in whole else None,
            "files": files,
            "wall_seconds": bars.seconds,
        }
    )


def _for_machines(goal: Goal, found: dict[str, tuple[float, float, float]]) -> dict[str, object]:
    """Every measure and its interval by name; None for a net that was not trained."""
    names = {"float": "float", "quantised": "quantised", "null": "null_control"}
    names |= {"linear": "linear"} if goal == "values" else {}
    told: dict[str, object] = {}
    for name, called in names.items():
        value = numbers(goal, found[name]) if name in found else None
        told[called] = None if value is None else value[0]
        told[f"{called}_interval"] = None if value is None else value[1:]
    return told


def settings(
    task: str, seed: int, precision: str, options: list[str], *, bars: Stages
) -> tuple[Task, TrainingConfig]:
    """The task and its recipe.

    Args:
        options: of the task, as "name=value".

    Raises:
        ConfigError: torch or scikit-learn is missing, no such task, option or precision.
        DataError: the task's data are missing or damaged.
    """
    training()
    from imssa_lab.s4d.quantise.precision import Precision
    from imssa_lab.s4d.tasks import load_task
    from imssa_lab.s4d.train.recipes import training_recipe

    bars("load", 0, 1)
    config = training_recipe(task, Precision.parse(precision), seed)
    data = load_task(task, seed, **read_options(options))
    bars("load", 1, 1)
    return data, config if data.pooling == "mean" else config.model_copy(update={"pooling": data.pooling})


def read_options(texts: list[str]) -> dict[str, object]:
    """Options of a task from "name=value": numbers where they are digits, a tuple where there are commas.

    Raises:
        ConfigError: no equals sign.
    """
    options: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--option {text!r}: write name=value, for example speaker=theo")
        parts = [_number(part) for part in value.split(",")]
        options[name] = tuple(parts) if len(parts) > 1 else parts[0]
    return options


def _number(text: str) -> int | float | str:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def with_epochs(config: TrainingConfig, full: int | None, quantised: int | None) -> TrainingConfig:
    """The same settings with other numbers of epochs, where not None."""
    changes = {
        name: getattr(config, name).model_copy(update={"epochs": epochs})
        for name, epochs in (("full", full), ("quantised", quantised))
        if epochs is not None
    }
    return config.model_copy(update=changes)


def on_device(config: TrainingConfig, name: str) -> TrainingConfig:
    """The same settings for a device; `name` is cpu, cuda or auto.

    Raises:
        ConfigError: no such name, or CUDA where torch sees no card.
    """
    from imssa_lab.s4d.train.device import chosen_device

    return config.model_copy(update={"device": chosen_device(name)})


def train_model(
    task: Task,
    config: TrainingConfig,
    *,
    bars: Stages,
    null: bool = True,
    checkpoint: Path | None = None,
    kept: dict[str, int | None] | None = None,
) -> tuple[TrainedModel, Sequences, dict[str, tuple[float, float, float]]]:
    """Train float, quantised and, if `null`, the control without memory.

    Args:
        kept: channels and states that stay after the float training, where not None; the control has all.

    Returns:
        The model; the sequences of a deployment, the first of the test split, with what the others reach on those;
        by "float" and "null" the score on the whole test split with the ends of its interval.

    Raises:
        TrainingError: a training diverged, or the checkpoint is another training's.
    """
    from imssa_lab.s4d.quantise.pruning import train_pruned
    from imssa_lab.s4d.train.evaluation import predict
    from imssa_lab.s4d.train.training import train as train_torch
    from imssa_lab.s4d.train.training import train_null

    inputs = task.test[0]
    bars("float", 0, config.full.epochs)
    if kept and any(kept.values()):
        model = train_pruned(task, config, **kept, progress=bars, checkpoint=checkpoint)
    else:
        model = train_torch(task, config, progress=bars, checkpoint=checkpoint)
    networks = {} if model.start is None else {"float": model.start.network}
    if null:
        bars("null control", 0, config.full.epochs)
        networks["null"] = train_null(task, config, progress=bars).network
    said = {name: predict(network, inputs) for name, network in networks.items()}
    sequences = sequences_of(task, {name: kept_score(task, found) for name, found in said.items()})
    return model, sequences, {name: task.scored(found)[:3] for name, found in said.items()}


def kept_score(task: Task, said: Wanted) -> float:
    """The score on those test sequences that a deployment gets, of what a net said on all of them."""
    from imssa_lab.s4d.scores import first_or_spread, score

    chosen = first_or_spread(task.goal, len(said), TEST_SEQUENCES)
    return score(said[chosen], task.test[1][chosen])


def linear_baseline(
    task: Task, config: TrainingConfig, model: TrainedModel, *, bars: Stages
) -> tuple[float, float, float]:
    """Score, with the ends of its interval, of a linear model of about as many parameters as the net."""
    from imssa_lab.s4d.train.baselines import train_baseline

    bars("linear model", 0, 1)
    parameters = sum(weight.numel() for weight in model.network.parameters())
    found = train_baseline("linear", task, config, parameters).test
    bars("linear model", 1, 1)
    return found[:3]


def sequences_of(task: Task, reference: dict[str, float]) -> Sequences:
    """What a deployment is calibrated and judged with: the first sequences of the task's splits.

    Args:
        reference: scores of other models on the test sequences kept.
    """
    from imssa_lab.s4d.scores import first_or_spread
    from protocols.deployment.sequences import Sequences

    calibrating = first_or_spread(task.goal, len(task.train[0]), CALIBRATION_SEQUENCES)
    testing = first_or_spread(task.goal, len(task.test[0]), TEST_SEQUENCES)
    return Sequences(
        task.train[0][calibrating].astype("f8"),
        task.test[0][testing].astype("f8"),
        task.test[1][testing],
        reference,
        None if task.test_units is None else task.test_units[testing],
        *training_sequences(task),
    )


def training_sequences(task: Task) -> tuple[FloatArray, Wanted] | tuple[None, None]:
    """Those after the calibration's, with labels or values; none where the calibration takes all."""
    if task.goal == "values":  # nothing is fitted to them on a chip
        return None, None
    chosen = slice(CALIBRATION_SEQUENCES, CALIBRATION_SEQUENCES + TRAINING_SEQUENCES)
    inputs, labels = (part[chosen] for part in task.train)
    return (inputs.astype("f8"), labels) if len(labels) else (None, None)


def exported(
    model: TrainedModel, task: Task, *, bars: Stages, provenance: dict[str, str] | None = None
) -> KernelBundle:
    """The bundle of a trained model; `provenance` as `to_bundle` takes it."""
    from imssa_lab.s4d.export import to_bundle

    bars("export", 0, 1)
    bundle = to_bundle(model, task, provenance=provenance)
    bars("export", 1, 1)
    return bundle
