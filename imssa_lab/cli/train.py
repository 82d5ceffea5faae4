"""`imssa train`: a model for a task, as a kernel bundle with the sequences that a deployment needs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from imssa_lab.cli.session import Sequences, Stages, console, stages
from imssa_lab.errors import ConfigError

if TYPE_CHECKING:
    from imssa_lab.s4d.bundle import KernelBundle

CALIBRATION_SEQUENCES = 128


class Precision(StrEnum):
    """What the weights of a kernel may be."""

    TERNARY = "ternary"
    FOUR_BITS = "4bit"


@dataclass(frozen=True)
class Epochs:
    """How long to train; None leaves the default of the task."""

    full: int | None = None
    quantised: int | None = None
    null: int | None = None


def train(
    out: Annotated[Path, typer.Option(help="Bundle to write; sequences.npz comes beside it.")],
    task: Annotated[str, typer.Option(help="What to learn.")] = "digits-first",
    seed: Annotated[int, typer.Option(min=0, help="Of data, weights and training.")] = 0,
    precision: Annotated[Precision, typer.Option(help="Of the weights.")] = Precision.TERNARY,
    epochs_float: Annotated[int | None, typer.Option(min=1, help="Epochs in float.")] = None,
    epochs_quantised: Annotated[int | None, typer.Option(min=0, help="Epochs with quantised weights.")] = None,
    epochs_null: Annotated[int | None, typer.Option(min=1, help="Epochs of the null control.")] = None,
    null: Annotated[bool, typer.Option(help="Train the control without memory.")] = True,
) -> None:
    """Train a model and write a kernel bundle."""
    sequences_path = out.parent / "sequences.npz"
    for path in (out, sequences_path):
        if path.exists():
            raise ConfigError(f"{path} exists; choose another --out, nothing was overwritten")
    if not out.parent.is_dir():
        raise ConfigError(f"the folder {out.parent} does not exist; make it, or choose another --out")
    with stages() as told:
        bundle, sequences = train_bundle(
            task, seed, precision, Epochs(epochs_float, epochs_quantised, epochs_null), null=null, told=told
        )
    bundle.save(out)
    sequences.save(sequences_path)
    table = Table(title=f"trained {task}, seed {seed}", show_header=False)
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
    task_name: str, seed: int, precision: Precision, epochs: Epochs, *, null: bool, told: Stages
) -> tuple[KernelBundle, Sequences]:
    """Train float, quantised and, if `null`, the control without memory.

    Raises:
        ConfigError: torch or scikit-learn is missing, or there is no such task.
        TrainingError: a training diverged.
    """
    told("load", 0, 1)
    try:
        from imssa_lab.s4d import export, training
    except ImportError as error:
        raise ConfigError(f'training needs torch ({error}); install it with `pip install "imssa-lab[train]"`') from error
    import numpy as np

    from imssa_lab.s4d.tasks import load_task

    task = load_task(task_name, seed)
    config = training.TrainingConfig(seed=seed)
    asked = {"epochs_float": epochs.full, "epochs_quantised": epochs.quantised, "epochs_null": epochs.null}
    config = config.model_copy(update={name: value for name, value in asked.items() if value is not None})
    told("load", 1, 1)
    with training.one_thread():
        told("float", 0, config.epochs_float)
        full = training.train_float(task, config, progress=told)
        reference = {"float": full.accuracy(task.test)}
        told(precision.value, 0, config.epochs_quantised)
        quantised = training.train_quantised(full, task, precision.value, progress=told)
        if null:
            told("null control", 0, config.epochs_null)
            without = training.train_float(task, config, memory=False, progress=told)
            reference["null"] = without.accuracy(task.test)
        told("export", 0, 1)
        bundle = export.export_bundle(quantised, task)
        told("export", 1, 1)
    return bundle, Sequences(
        task.train[0][:CALIBRATION_SEQUENCES].astype(np.float64),
        task.test[0].astype(np.float64),
        task.test[1],
        reference,
    )
