"""Training: float first, then quantisation-aware from the float checkpoint; and the null control."""

from __future__ import annotations

import copy
import logging
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional

from imssa_lab.errors import TrainingError
from imssa_lab.s4d.network import S4DNetwork
from imssa_lab.s4d.quantisers import Precision
from imssa_lab.s4d.tasks import Split, Task

log = logging.getLogger(__name__)

NULL_CONTROL = "null control"
"""Stage name of the null control's training."""

Progress = Callable[[str, int, int], None]
"""Called with (stage, epochs done, epochs) after every epoch."""


class TrainingConfig(BaseModel):
    """How to train; the defaults are those of the digits-first task.

    Attributes:
        precision: of the final model; "float" stops after the float training.
        channels (H), states (N), layers: size of the net.
        epochs_float, epochs_quantised: of the two trainings; the null control gets as many as the float net.
        rate_float, rate_quantised: peak learning rates; pole_share_float, pole_share_quantised: poles learn at this
            fraction of them. A ternary pole's memory is tied to its angle, so the float poles have far to go.
        batch: sequences per step; weight_decay: of all but the poles.
        shift: in float training, sequences are moved sideways by up to so many inputs; a quantised net has no
            capacity to spare for that. noise: sd of the noise added to training inputs, always.
        weight_noise: on the kernels in quantised training, a fraction of the largest weight of its kind.
        seed: of initial values, order and augmentation; same seed, same machine, same bits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    precision: Precision = "ternary"
    channels: int = Field(default=32, ge=1)
    states: int = Field(default=4, ge=1)
    layers: int = Field(default=2, ge=1)
    epochs_float: int = Field(default=30, ge=1)
    epochs_quantised: int = Field(default=45, ge=1)
    rate_float: float = Field(default=8e-3, gt=0)
    rate_quantised: float = Field(default=2e-2, gt=0)
    pole_share_float: float = Field(default=0.2, gt=0)
    pole_share_quantised: float = Field(default=0.5, gt=0)
    batch: int = Field(default=64, ge=2)
    label_smoothing: float = Field(default=0.05, ge=0, lt=1)
    weight_decay: float = Field(default=1e-2, ge=0)
    shift: int = Field(default=1, ge=0)
    noise: float = Field(default=0.1, ge=0)
    weight_noise: float = Field(default=0.03, ge=0)
    seed: int = Field(default=0, ge=0)


class Epoch(NamedTuple):
    """One line of a training's history: mean training loss and validation accuracy (fraction) after an epoch."""

    stage: str
    epoch: int
    loss: float
    validation_accuracy: float


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A trained net, after its last epoch.

    Attributes:
        network: the net, at `precision`; config: how it was trained.
        history: every epoch, the float training's first.
        validation_accuracy, test_accuracy: fractions.
    """

    network: S4DNetwork
    precision: Precision
    config: TrainingConfig
    history: tuple[Epoch, ...]
    validation_accuracy: float
    test_accuracy: float


def train(task: Task, config: TrainingConfig, *, progress: Progress | None = None) -> TrainedModel:
    """Train in float, then quantisation-aware at `config.precision` from the float net and its converter ranges.

    Raises:
        TrainingError: the loss became NaN or infinite (the message names the epoch), or the data do not fit.
    """
    model = train_float(task, config, progress=progress)
    return model if config.precision == "float" else train_quantised(model, task, config.precision, progress=progress)


def train_null(task: Task, config: TrainingConfig, *, progress: Progress | None = None) -> TrainedModel:
    """Train the null control in float: the same net on its own, C frozen at zero, so that no kernel has memory.

    It gets the epochs and the learning rate of the float training. What it reaches, a task does not prove.

    Raises:
        TrainingError: as for `train`.
    """
    return _train_new(task, config, NULL_CONTROL, False, progress)


def train_float(task: Task, config: TrainingConfig, *, progress: Progress | None = None) -> TrainedModel:
    """Train in float, whatever `config.precision` says.

    Raises:
        TrainingError: as for `train`.
    """
    return _train_new(task, config, "float", True, progress)


def train_quantised(
    start: TrainedModel, task: Task, precision: Precision, *, progress: Progress | None = None
) -> TrainedModel:
    """Quantisation-aware training from a float model, which stays as it is.

    Raises:
        TrainingError: as for `train`.
    """
    config = start.config
    network = copy.deepcopy(start.network)
    network.set_precision(precision)
    network.set_weight_noise(config.weight_noise)
    rng = torch.Generator().manual_seed(config.seed + 1)
    history = _fit(network, task, config, precision, rng, progress)
    return _trained(network, task, precision, config, (*start.history, *history))


def predict(network: S4DNetwork, inputs: NDArray[np.float32]) -> NDArray[np.int64]:
    """Class numbers (n,) of sequences (n, steps, inputs), by the net in evaluation mode, which is left as it is.

    In float64, as the deployed bundle computes: in float32 a value at a converter's threshold may take the next code,
    and about one sequence in a thousand another class.
    """
    exact = copy.deepcopy(network).double().eval()
    with torch.no_grad():
        return np.asarray(exact(torch.from_numpy(inputs).double()).argmax(1).numpy(), dtype=np.int64)


def accuracy(network: S4DNetwork, split: Split) -> float:
    """Fraction of the split's sequences that are classified rightly."""
    return float(np.mean(predict(network, split[0]) == split[1]))


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: small nets train fastest so, and the order of sums does not vary."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def versions() -> dict[str, str]:
    """Versions of what trained a model, for its provenance."""
    return {"python": platform.python_version(), "torch": str(torch.__version__), "numpy": np.__version__}


def _train_new(
    task: Task, config: TrainingConfig, stage: str, memory: bool, progress: Progress | None
) -> TrainedModel:
    rng = torch.Generator().manual_seed(config.seed)
    network = S4DNetwork(
        task.train[0].shape[2],
        len(task.labels),
        rng,
        channels=config.channels,
        states=config.states,
        layers=config.layers,
        memory=memory,
    )
    history = _fit(network, task, config, stage, rng, progress)
    return _trained(network, task, "float", config, history)


def _trained(
    network: S4DNetwork, task: Task, precision: Precision, config: TrainingConfig, history: tuple[Epoch, ...]
) -> TrainedModel:
    with one_thread():
        validation, test = accuracy(network, task.validation), accuracy(network, task.test)
    log.info("%s: validation %.1f %%, test %.1f %%", history[-1].stage, 100 * validation, 100 * test)
    return TrainedModel(network, precision, config, history, validation, test)


@one_thread()
def _fit(
    network: S4DNetwork,
    task: Task,
    config: TrainingConfig,
    stage: str,
    rng: torch.Generator,
    progress: Progress | None,
) -> tuple[Epoch, ...]:
    if stage in ("float", NULL_CONTROL):
        epochs, rate, pole_share, shift = (
            config.epochs_float,
            config.rate_float,
            config.pole_share_float,
            config.shift,
        )
    else:
        epochs, rate, pole_share, shift = (
            config.epochs_quantised,
            config.rate_quantised,
            config.pole_share_quantised,
            0,
        )
    inputs, labels = (torch.from_numpy(part) for part in task.train)
    if len(inputs) < 2 or len(inputs) != len(labels) or not 0 <= labels.min() <= labels.max() < len(task.labels):
        raise TrainingError(
            f"{task.name}: {len(inputs)} training sequences and {len(labels)} labels for {len(task.labels)} classes; "
            "give two sequences or more, each with a class number"
        )
    poles = network.pole_parameters()
    others = [p for p in network.parameters() if p.requires_grad and all(p is not pole for pole in poles)]
    optimiser = torch.optim.AdamW(
        [{"params": others, "weight_decay": config.weight_decay}, {"params": poles, "weight_decay": 0.0}],
        foreach=True,
    )
    # A last batch of a single sequence would give batch norm no variance, so it is left out.
    batches = len(inputs) // config.batch + (len(inputs) % config.batch > 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [rate, rate * pole_share], total_steps=batches * epochs, pct_start=0.15
    )
    history = []
    for epoch in range(1, epochs + 1):
        network.train()
        total = 0.0
        for batch in torch.randperm(len(inputs), generator=rng).split(config.batch)[:batches]:
            logits = network(_augment(inputs[batch], shift, config.noise, rng))
            loss = functional.cross_entropy(logits, labels[batch], label_smoothing=config.label_smoothing)
            if not torch.isfinite(loss):
                raise TrainingError(
                    f"{stage}: the loss became {loss.item()} in epoch {epoch} of {epochs}; lower the learning rate "
                    f"({rate:g}) or look for NaN in the data"
                )
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += loss.item()
        history.append(Epoch(stage, epoch, total / batches, accuracy(network, task.validation)))
        if progress is not None:
            progress(stage, epoch, epochs)
    return tuple(history)


def _augment(inputs: Tensor, shift: int, noise: float, rng: torch.Generator) -> Tensor:
    """Each sequence moved sideways by a whole number of inputs, the edge repeated, and noise added."""
    if shift:
        moves = torch.randint(-shift, shift + 1, (len(inputs), 1), generator=rng)
        source = (torch.arange(inputs.shape[2]) + moves).clamp(0, inputs.shape[2] - 1)
        inputs = inputs.gather(2, source[:, None, :].expand(inputs.shape))
    return inputs + noise * torch.randn(inputs.shape, generator=rng)
