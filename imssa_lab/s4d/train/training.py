"""Training: float first, then quantisation-aware from there; post-training quantisation; the null control."""

from __future__ import annotations

import copy
import csv
import logging
import platform
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from imssa_lab.contract.errors import ConfigError
from imssa_lab.s4d.model.network import Architecture, S4DNetwork
from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.tasks import Task
from imssa_lab.s4d.train.checkpoint import Checkpoint
from imssa_lab.s4d.train.epochs import Epoch, Fit, Progress, one_thread, value_scale
from imssa_lab.s4d.train.evaluation import accuracy
from imssa_lab.s4d.train.settings import Stage, TrainingConfig

log = logging.getLogger(__name__)

NULL_CONTROL = "null control"
"""Stage name of the null control's training."""


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A trained net.

    Attributes:
        network: the net, at `precision`; config: how it was trained.
        history: every epoch, the float training's first.
        validation_accuracy, test_accuracy: fractions; of values the share of their variance that is explained, see
            `imssa_lab.s4d.scores`.
        start: the float model that a quantised one began from, None of a float one.
    """

    network: S4DNetwork
    precision: Precision
    config: TrainingConfig
    history: tuple[Epoch, ...]
    validation_accuracy: float
    test_accuracy: float
    start: TrainedModel | None = None


def train(
    task: Task, config: TrainingConfig, *, progress: Progress | None = None, checkpoint: str | Path | None = None
) -> TrainedModel:
    """Train in float, then quantisation-aware at `config.precision` from the float net and its converter ranges.

    Args:
        checkpoint: file that keeps the training after every epoch; if it exists, the training resumes from it, to
            the same bits as if it had never stopped.

    Raises:
        TrainingError: the loss became NaN or infinite (the message names the epoch), the data do not fit, or the
            checkpoint is damaged or another training's.
    """
    model = train_float(task, config, progress=progress, checkpoint=checkpoint)
    if config.precision.is_float:
        return model
    return train_quantised(model, task, config.precision, progress=progress, checkpoint=checkpoint)


def train_float(
    task: Task, config: TrainingConfig, *, progress: Progress | None = None, checkpoint: str | Path | None = None
) -> TrainedModel:
    """Train in float, whatever `config.precision` says.

    Raises:
        TrainingError: as for `train`.
    """
    return _train_new(task, config, "float", True, progress, checkpoint)


def train_null(
    task: Task, config: TrainingConfig, *, like: S4DNetwork | None = None, progress: Progress | None = None
) -> TrainedModel:
    """Train the null control in float: the same net on its own, C frozen at zero, so that no kernel has memory.

    It gets the float training. What it reaches, a task does not prove.

    Args:
        like: the net whose sizes and blocks it takes, of an imported one for instance; None for those of `config`.

    Raises:
        TrainingError: as for `train`.
    """
    return _train_new(task, config, NULL_CONTROL, False, progress, None, like)


def train_quantised(
    start: TrainedModel,
    task: Task,
    precision: Precision,
    *,
    stage: Stage | None = None,
    progress: Progress | None = None,
    checkpoint: str | Path | None = None,
) -> TrainedModel:
    """Quantisation-aware training from a float model, which stays as it is.

    Args:
        stage: how, if not as the model's configuration says.

    Raises:
        TrainingError: as for `train`.
    """
    config = start.config
    network = copy.deepcopy(start.network).float()  # imported nets are kept in float64
    network.set_precision(precision)
    rng = torch.Generator().manual_seed(config.seed + 1)
    keeper = None if checkpoint is None else Checkpoint(checkpoint, task, config)
    fit = Fit(network, task, config, str(precision), stage or config.quantised, rng, keeper, start.network)
    return _trained(network, task, config, (*start.history, *fit.run(progress)), start)


def quantise(start: TrainedModel, task: Task, precision: Precision) -> TrainedModel:
    """Post-training quantisation: a float model's weights rounded, nothing trained again; the model stays as it is.

    Converters take the ranges that float training has tracked.
    """
    network = copy.deepcopy(start.network)
    network.set_precision(precision)
    network.eval()
    if precision.rounds_recurrence:
        network.calibrate_states(torch.from_numpy(task.train[0][:256]).to(network.head.weight.dtype))
    return _trained(network, task, start.config, start.history, start)


def without_state(network: S4DNetwork) -> S4DNetwork:
    """A copy of a trained network whose kernels have lost their state: C is zero. What it still reaches, they add."""
    broken = copy.deepcopy(network)
    with torch.no_grad():
        for index in range(len(broken.kernels)):
            broken.layer(index).c.zero_()
    return broken


def write_history(history: tuple[Epoch, ...], path: str | Path) -> None:
    """The training curve as CSV: stage, epoch, loss, validation accuracy.

    Raises:
        ConfigError: the file exists or cannot be written.
    """
    try:
        with Path(path).open("x", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(Epoch._fields)
            writer.writerows(history)
    except OSError as error:
        raise ConfigError(f"training curve {path} cannot be written: {error}; choose another name") from error


def versions() -> dict[str, str]:
    """Versions of what trained a model, for its provenance."""
    return {"python": platform.python_version(), "torch": str(torch.__version__), "numpy": np.__version__}


def _train_new(
    task: Task,
    config: TrainingConfig,
    name: str,
    memory: bool,
    progress: Progress | None,
    checkpoint: str | Path | None,
    like: S4DNetwork | None = None,
) -> TrainedModel:
    rng = torch.Generator().manual_seed(config.seed)
    architecture = _architecture(task, config, memory) if like is None else replace(like.architecture, memory=memory)
    network = S4DNetwork(architecture, rng)
    if task.goal == "values":
        network.set_value_scale(*value_scale(task))
    keeper = None if checkpoint is None else Checkpoint(checkpoint, task, config)
    fit = Fit(network, task, config, name, config.full, rng, keeper)
    return _trained(network, task, config, fit.run(progress), None)


def _architecture(task: Task, config: TrainingConfig, memory: bool) -> Architecture:
    return Architecture(
        inputs=task.train[0].shape[2],
        classes=len(task.labels),
        channels=config.channels,
        states=config.states,
        layers=config.layers,
        initialisation=config.initialisation,
        discretisation=config.discretisation,
        dt_range=config.dt_range,
        r_max=config.r_max,
        leak=config.leak,
        memory=memory,
        pooling=config.pooling,
        levelling=config.levelling,
        goal=task.goal,
    )


def _trained(
    network: S4DNetwork,
    task: Task,
    config: TrainingConfig,
    history: tuple[Epoch, ...],
    start: TrainedModel | None,
) -> TrainedModel:
    with one_thread():
        validation, test = accuracy(network, task.validation), accuracy(network, task.test)
    log.info("%s: validation %.1f %%, test %.1f %%", network.precision, 100 * validation, 100 * test)
    return TrainedModel(network, network.precision, config, history, validation, test, start)
