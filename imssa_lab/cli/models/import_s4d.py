"""`imssa import-s4d`: an S4D classifier that was trained elsewhere, as a kernel bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from imssa_lab.cli.models.bundles import blocks, counted
from imssa_lab.cli.models.shown_scores import measure, needs_no_memory, numbers, with_interval
from imssa_lab.cli.models.sizes import read_shape
from imssa_lab.cli.models.train import exported, kept_score, sequences_of, settings
from imssa_lab.cli.shared import completion
from imssa_lab.cli.shared.json_output import answer, takes_json
from imssa_lab.cli.shared.session import console, facts_table, stages
from imssa_lab.contract.errors import BundleError, ConfigError

if TYPE_CHECKING:
    from imssa_lab.s4d.bundle import KernelBundle, Pooling
    from imssa_lab.s4d.train.training import TrainedModel

CLOSE = 1e-5
"""Largest difference from the source's logits, in units of the largest of them or of one."""


@takes_json
def import_s4d(
    checkpoint: Annotated[Path, typer.Argument(help="State_dict of the minimal S4D of state-spaces.")],
    file: Annotated[Path, typer.Option(help="Bundle to write; sequences.npz is written beside it.")],
    task: Annotated[
        str,
        typer.Option(
            help="What the model was trained for: a path of your own data, left as they are, or a task's name.",
            autocompletion=completion.tasks,
        ),
    ],
    norm: Annotated[
        str, typer.Option(help="Position of layer norms: after the residual, or before the kernels.")
    ] = "after",
    pooling: Annotated[
        str, typer.Option(help="What the decoder sees of the steps: their mean, max, or last.")
    ] = "mean",
    precision: Annotated[str, typer.Option(help='float, 2bit to 8bit, ternary, or "4bit, head=8".')] = "float",
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs of further training at the precision; without it, only round.")
    ] = None,
    r_max: Annotated[
        float,
        typer.Option(min=0, max=1, help="Largest radius of a pole; poles beyond it are listed and refused."),
    ] = 0.9995,
    reference: Annotated[
        Path | None,
        typer.Option(help="Inputs and logits of the original (.npz); the import must give the same logits."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split of the data and of further training.")] = 0,
    option: Annotated[list[str] | None, typer.Option(help="Option of the task, name=value; may be repeated.")] = None,
    shape: Annotated[str, typer.Option(help="Word lines and bit lines of an array.")] = "64x64",
    no_null: Annotated[bool, typer.Option("--no-null", help="Leave out the control without memory.")] = False,
) -> None:
    """Make a kernel bundle from an S4D classifier that was trained elsewhere.

    The checkpoint is read without running any code in it. It does not say where its layer norms are, nor how the
    steps are pooled: with --reference the import is refused unless it gives the same logits as the original.

    A net of the same kind without memory is trained on the same data, as null control.

    Example: imssa import-s4d s4d.pt --task mine.npz --reference logits.npz --file model/bundle.safetensors
    """
    beside = file.parent / "sequences.npz"
    for path in (file, beside):
        if path.exists():
            raise ConfigError(f"{path} exists; choose another --file, nothing was overwritten")
    if not file.parent.is_dir():
        raise ConfigError(f"the folder {file.parent} does not exist; make it, or choose another --file")
    places: dict[str, Literal["before", "after"]] = {"before": "before", "after": "after"}
    if norm not in places:
        raise ConfigError(f"--norm {norm!r}: layer norms are after the residual or before the kernels")
    pools: dict[str, Pooling] = {"mean": "mean", "max": "max", "last": "last"}
    if pooling not in pools:
        raise ConfigError(f"--pooling {pooling!r}: choose one of {', '.join(pools)}")
    lines = read_shape(shape)
    words = [*(["standardise=0"] if Path(task).exists() else []), *(option or [])]
    with stages() as bars:
        data, config = settings(task, seed, precision, words, bars=bars)
        from imssa_lab.s4d.imports.imported_model import import_s4d as import_arrays
        from imssa_lab.s4d.imports.s4d_checkpoint import read_s4d_checkpoint
        from imssa_lab.s4d.train.evaluation import predict
        from imssa_lab.s4d.train.training import quantise, train_null, train_quantised

        if epochs is not None and config.precision.is_float:
            raise ConfigError("--epochs trains on at a precision of few bits; choose one with --precision")
        arrays = read_s4d_checkpoint(checkpoint, norm=places[norm], pooling=pools[pooling])
        source = import_arrays(arrays, data, r_max=r_max, seed=seed)
        found = f"layer norms {norm}, r_max {r_max:g}" + ("" if pooling == "mean" else f", pooling {pooling}")
        origin = {"source": f"{checkpoint.name}, sha256 {_sha256(checkpoint)}, {found}"}
        bundle = exported(source, data, bars=bars, provenance=origin | {"training": "elsewhere"})
        deviation = None if reference is None else _deviation(bundle, reference, norm)
        model: TrainedModel = source
        if not config.precision.is_float:
            if epochs is None:
                model = quantise(source, data, config.precision)
                origin |= {"training": "elsewhere"}
            else:
                stage = config.quantised.model_copy(update={"epochs": epochs})
                model = train_quantised(source, data, config.precision, stage=stage, progress=bars)
            bundle = exported(model, data, bars=bars, provenance=origin)
        reached = {"float": predict(source.network, data.test[0])}
        if not no_null:
            reached["null"] = predict(
                train_null(data, config, like=source.network, progress=bars).network, data.test[0]
            )
        sequences = sequences_of(data, {name: kept_score(data, said) for name, said in reached.items()})
        null = data.scored(reached["null"])[:3] if "null" in reached else None
    from imssa_lab.mapping.magnitudes import needs
    from imssa_lab.s4d.cost import cost

    bundle.save(file)
    sequences.save(beside)
    what, (quantised, low, high) = measure(bundle.goal), numbers(bundle.goal, bundle.expected_accuracy)
    of_source = numbers(bundle.goal, (source.test_accuracy,) * 3)[0]
    asked, cells = needs(bundle, lines), cost(bundle).cells
    table = facts_table(f"imported {checkpoint}")
    rows: list[tuple[str, str]] = [
        ("net", blocks(bundle)),
        (f"{what} of the source", f"{100 * of_source:.1f} %" if bundle.goal == "classes" else f"{of_source:.3f}"),
        (f"{what}, {bundle.precision}", with_interval(bundle.goal, bundle.expected_accuracy)),
        (f"{what}, null control without memory", "not trained" if null is None else with_interval(bundle.goal, null)),
        *needs_no_memory(bundle, null),
        ("test set", bundle.provenance["test"]),
        ("largest difference from the source", "not compared" if deviation is None else f"{deviation:.2g}"),
        ("arrays", f"{asked.arrays} of {shape}: {asked.kernels} kernels, {cells} cells"),
        ("magnitudes of weights on an array", counted(asked.magnitudes)),
        ("bundle", str(file)),
        ("sequences", str(beside)),
    ]
    for name, value in rows:
        table.add_row(name, value)
    console().print(table)
    answer(
        {
            "task": data.name,
            "precision": bundle.precision,
            "blocks": blocks(bundle),
            what.lower(): {
                "source": of_source,
                "bundle": quantised,
                "interval": [low, high],
                "null_control": None if null is None else numbers(bundle.goal, null)[0],
                "null_control_interval": None if null is None else numbers(bundle.goal, null)[1:],
            },
            "needs_memory": None if null is None else not needs_no_memory(bundle, null),
            "test_set": bundle.provenance["test"],
            "deviation": deviation,
            "needs": {"shape": lines, "arrays": asked.arrays, "kernels": asked.kernels, "cells": cells},
            "files": {"bundle": file, "sequences": beside},
        }
    )


def _sha256(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def _deviation(bundle: KernelBundle, path: Path, norm: str) -> float:
    """Largest difference of the bundle's logits from those in a file; BundleError where it is too large."""
    import numpy as np

    from imssa_lab.s4d.inference import run_network

    try:
        with np.load(path, allow_pickle=False) as file:
            held: dict[str, Any] = {name: np.asarray(file[name], dtype=np.float64) for name in ("inputs", "logits")}
    except (OSError, KeyError, ValueError, EOFError) as error:
        raise ConfigError(
            f"--reference {path}: no .npz file with inputs (n, steps, inputs) and logits (n, classes): {error}"
        ) from error
    got, wanted = run_network(bundle, held["inputs"]), held["logits"]
    if got.shape != wanted.shape or not np.isfinite(wanted).all():
        raise ConfigError(f"--reference {path}: logits must be finite and of shape {got.shape}, got {wanted.shape}")
    apart = np.abs(got - wanted).max(axis=1)
    if apart.max() > CLOSE * max(1.0, np.abs(wanted).max()):
        other = "before" if norm == "after" else "after"
        raise BundleError(
            f"the import does not give the logits of the source: logits of sequence {apart.argmax()} differ by "
            f"{apart.max():.2g}; try --norm {other} or another --pooling, and compare inputs, GELU (exact) and "
            "layer norm (eps 1e-5) with the source's"
        )
    return float(apart.max())
