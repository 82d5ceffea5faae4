"""Trained bundles for the benchmark, kept between runs for as long as their recipe stays the same."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.inference import run_network
from protocols.deployment.sequences import Sequences
from trials.untrained import untrained_bundle, varied_sequences

if TYPE_CHECKING:
    from imssa_lab.s4d.train.settings import TrainingConfig

BUNDLES = Path(tempfile.gettempdir()) / "imssa-measure-deploy"
"""Where bundles are kept unless another folder is named."""


def trained(
    task: str, precision: str, seed: int, folder: Path | None, channels: int | None = None
) -> tuple[KernelBundle, Sequences]:
    """A bundle and its sequences from `folder`, see `place_of`; the small untrained ones where that is None."""
    if folder is None:
        bundle, inputs = untrained_bundle(seed=seed), varied_sequences(seed)
        return bundle, Sequences(inputs, inputs, run_network(bundle, inputs).argmax(axis=1), {"null": 0.5})
    place = place_of(task, precision, seed, folder, channels)
    return KernelBundle.load(place / "bundle.safetensors"), Sequences.load(place / "sequences.npz")


def with_labels(task: str, seed: int, sequences: Sequences, folder: Path | None) -> Sequences:
    """The same with training sequences, which files of earlier versions lack; the untrained net labels its own."""
    if sequences.training_inputs is not None:
        return sequences
    if folder is None:
        made = varied_sequences(seed + 1)
        own = run_network(untrained_bundle(seed=seed), made).argmax(axis=1)
        return replace(sequences, training_inputs=made, training_labels=own)
    from imssa_lab.cli.models.train import training_sequences
    from imssa_lab.s4d.tasks import load_task

    inputs, labels = training_sequences(load_task(task, seed))
    return replace(sequences, training_inputs=inputs, training_labels=labels)


def with_tolerated_errors(bundle: KernelBundle, task: str, seed: int, folder: Path | None) -> KernelBundle:
    """The same with the errors that it tolerates, found as an export does, which bundles of earlier versions lack."""
    if bundle.tolerated_errors is not None or folder is None:
        return bundle
    from imssa_lab.s4d.tasks import load_task
    from imssa_lab.s4d.tolerated_errors import tolerated_errors

    inputs, wanted = load_task(task, seed).validation
    return replace(bundle, tolerated_errors=tolerated_errors(bundle, inputs.astype(np.float64), wanted))


def place_of(task: str, precision: str, seed: int, folder: Path, channels: int | None = None) -> Path:
    """The folder of a bundle and its sequences; trained there where it is not yet, which needs the speech data.

    Args:
        channels: of the net, where not as its recipe says.

    Raises:
        DataError: the speech data are needed and not there.
    """
    place = folder / f"{task}-{precision}-{seed}-{_recipe(task, precision, seed, channels)}"
    if not (place / "bundle.safetensors").exists():
        _train(task, precision, seed, place, channels)
    return place


def _recipe(task: str, precision: str, seed: int, channels: int | None) -> str:
    """What changes with the settings of a training."""
    from imssa_lab.s4d.quantise.precision import Precision
    from imssa_lab.s4d.train.recipes import training_recipe

    settings = _sized(training_recipe(task, Precision.parse(precision), seed), channels).model_dump_json()
    return hashlib.sha256(settings.encode()).hexdigest()[:8]


def _sized(config: TrainingConfig, channels: int | None) -> TrainingConfig:
    return config if channels is None else config.model_copy(update={"channels": channels})


def _train(task: str, precision: str, seed: int, place: Path, channels: int | None) -> None:
    from imssa_lab.cli.models.train import exported, settings, train_model
    from imssa_lab.cli.shared.session import stages

    place.mkdir(parents=True, exist_ok=True)
    with stages() as told:
        data, config = settings(task, seed, precision, [], bars=told)
        model, sequences, _ = train_model(data, _sized(config, channels), bars=told, null=False)
        bundle = exported(model, data, bars=told)
    (place / "sequences.npz").unlink(missing_ok=True)  # of a training that was cut off here
    sequences.save(place / "sequences.npz")
    bundle.save(place / "bundle.safetensors")
