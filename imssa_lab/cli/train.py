"""`imssa train`: a model for a task, as a kernel bundle with the sequences that a deployment needs."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imssa_lab.cli.session import Sequences, Stages, console, facts_table, stages
from imssa_lab.errors import ConfigError

if TYPE_CHECKING:
    from imssa_lab.s4d.bundle import KernelBundle

CALIBRATION_SEQUENCES = 128
TEST_SEQUENCES = 400  # a log keeps some 350 kB of each


class Precision(StrEnum):
    """What the weights of a kernel may be."""

    TERNARY = "ternary"
    FOUR_BITS = "4bit"


def train(
    out: Annotated[Path, typer.Option(help="Bundle to write; sequences.npz comes beside it.")],
    task: Annotated[str, typer.Option(help="What to learn.")] = "digits-first",
    seed: Annotated[int, typer.Option(min=0, help="Of data, weights and training.")] = 0,
    precision: Annotated[Precision, typer.Option(help="Of the weights.")] = Precision.TERNARY,
    epochs_float: Annotated[int | None, typer.Option(min=1, help="In float, and of the null control.")] = None,
    epochs_quantised: Annotated[int | None, typer.Option(min=1, help="With quantised weights.")] = None,
    null: Annotated[bool, typer.Option(help="Train the control without memory.")] = True,
) -> None:
    """Train a model and write a kernel bundle."""
    sequences_path = out.parent / "sequences.npz"
    for path in (out, sequences_path):
        if path.exists():
            raise ConfigError(f"{path} exists; choose another --out, nothing was overwritten")
    if not out.parent.is_dir():
        raise ConfigError(f"the folder {out.parent} does not exist; make it, or choose another --out")
    epochs = {"epochs_float": epochs_float, "epochs_quantised": epochs_quantised}
    asked = {name: value for name, value in epochs.items() if value is not None}
    with stages() as told:
        bundle, sequences = train_bundle(task, seed, precision, told=told, null=null, epochs=asked)
    bundle.save(out)
    sequences.save(sequences_path)
    table = facts_table(f"trained {task}, seed {seed}")
    accuracy, low, high = bundle.expected_accuracy
    table.add_row("accuracy, float", f"{100 * sequences.reference['float']:.1f} %")
    table.add_row(f"accuracy, {bundle.precision}", f"{100 * accuracy:.1f} % ({100 * low:.1f} to {100 * high:.1f})")
    if null:
        table.add_row("accuracy, null control without memory", f"{100 * sequences.reference['null']:.1f} %")
    table.add_row("bundle", str(out))
    table.add_row("sequences", str(sequences_path))
    for stage, seconds in told.seconds.items():
        table.add_row(f"wall time, {stage}", f"{seconds:.1f} s")
    console().print(table)


def train_bundle(
    task_name: str,
    seed: int,
    precision: Precision,
    *,
    told: Stages,
    null: bool = True,
    epochs: Mapping[str, int] | None = None,
) -> tuple[KernelBundle, Sequences]:
    """Train float, quantised and, if `null`, the control without memory.

    Args:
        epochs: "epochs_float", "epochs_quantised", where they are not to be the task's own.

    Raises:
        ConfigError: torch or scikit-learn is missing, or there is no such task.
        TrainingError: a training diverged.
    """
    told("load", 0, 1)
    try:
        from imssa_lab.s4d.export import to_bundle
        from imssa_lab.s4d.training import TrainingConfig, accuracy, train_float, train_null, train_quantised
    except ImportError as error:
        raise ConfigError(f'training needs torch ({error}): pip install "imssa-lab[train]"') from error
    from imssa_lab.s4d.tasks import load_task

    task = load_task(task_name, seed)
    config = TrainingConfig.model_validate({"seed": seed, "precision": precision.value, **(epochs or {})})
    inputs, labels = task.test[0][:TEST_SEQUENCES], task.test[1][:TEST_SEQUENCES]
    told("load", 1, 1)
    told("float", 0, config.epochs_float)
    full = train_float(task, config, progress=told)
    told(precision.value, 0, config.epochs_quantised)
    quantised = train_quantised(full, task, precision.value, progress=told)
    reference = {"float": accuracy(full.network, (inputs, labels))}
    if null:
        told("null control", 0, config.epochs_float)
        reference["null"] = accuracy(train_null(task, config, progress=told).network, (inputs, labels))
    told("export", 0, 1)
    bundle = to_bundle(quantised, task)
    told("export", 1, 1)
    return bundle, Sequences(
        task.train[0][:CALIBRATION_SEQUENCES].astype("f8"), inputs.astype("f8"), labels, reference
    )
