"""Training: float first, then quantisation-aware from the float checkpoint; and the null control."""

from __future__ import annotations

import copy
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

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

Progress = Callable[[str, int, int], None]


class TrainingConfig(BaseModel):
    """How to train; the defaults are those of the digits-first task.

    Attributes:
        channels (H), states (N), layers: size of the net.
        epochs_float, epochs_quantised, epochs_null: of the three trainings.
        rate_float, rate_quantised: peak learning rates; pole_share: poles learn at this fraction of them.
        shift: training sequences are moved sideways by up to so many inputs, and noise of this sd is added.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: int = Field(default=32, ge=1)
    states: int = Field(default=4, ge=1)
    layers: int = Field(default=2, ge=1)
    epochs_float: int = Field(default=30, ge=1)
    epochs_quantised: int = Field(default=30, ge=0)
    epochs_null: int = Field(default=8, ge=1)
    rate_float: float = Field(default=8e-3, gt=0)
    rate_quantised: float = Field(default=8e-3, gt=0)
    pole_share: float = Field(default=0.2, gt=0)
    batch: int = Field(default=64, ge=2)
    label_smoothing: float = Field(default=0.05, ge=0, lt=1)
    weight_decay: float = Field(default=1e-2, ge=0)
    shift: int = Field(default=1, ge=0)
    noise: float = Field(default=0.1, ge=0)
    seed: int = Field(default=0, ge=0)


@dataclass
class TrainedModel:
    """A trained net with its history: (stage, epoch, loss, validation accuracy) rows."""

    network: S4DNetwork
    precision: Precision
    config: TrainingConfig
    history: list[tuple[str, int, float, float]] = field(default_factory=list)

    def accuracy(self, split: Split) -> float:
        """Fraction of the split's sequences that are classified rightly."""
        return float(np.mean(predict(self.network, split[0]) == split[1]))


def predict(network: S4DNetwork, inputs: NDArray[np.float32]) -> NDArray[np.int64]:
    """Classes (n,) of sequences (n, steps, inputs)."""
    network.eval()
    with torch.no_grad():
        return np.asarray(network(torch.from_numpy(inputs)).argmax(1).numpy(), dtype=np.int64)


def train_float(
    task: Task, config: TrainingConfig, *, memory: bool = True, progress: Progress | None = None
) -> TrainedModel:
    """Train in float; `memory=False` trains the null control, the same net whose kernels have no state.

    Args:
        progress: called with (stage, epochs done, epochs) after every epoch.

    Raises:
        TrainingError: the loss became NaN or infinite.
    """
    rng = torch.Generator().manual_seed(config.seed)
    network = S4DNetwork(
        task.train[0].shape[2],
        len(task.labels),
        rng,
        config.channels,
        config.states,
        config.layers,
        memory,
    )
    stage, epochs = ("float", config.epochs_float) if memory else ("null control", config.epochs_null)
    model = TrainedModel(network, "float", config)
    _fit(model, task, stage, epochs, config.rate_float, rng, progress)
    return model


def train_quantised(
    start: TrainedModel, task: Task, precision: Precision, *, progress: Progress | None = None
) -> TrainedModel:
    """Quantisation-aware training from a float model, which stays as it is.

    Raises:
        TrainingError: the loss became NaN or infinite.
    """
    config = start.config
    network = copy.deepcopy(start.network)
    network.set_precision(precision)
    model = TrainedModel(network, precision, config, list(start.history))
    rng = torch.Generator().manual_seed(config.seed + 1)
    _fit(model, task, precision, config.epochs_quantised, config.rate_quantised, rng, progress)
    return model


def _fit(
    model: TrainedModel,
    task: Task,
    stage: str,
    epochs: int,
    rate: float,
    rng: torch.Generator,
    progress: Progress | None,
) -> None:
    if epochs == 0:
        return
    config, network = model.config, model.network
    inputs, labels = (torch.from_numpy(part) for part in task.train)
    poles = network.pole_parameters()
    others = [p for p in network.parameters() if p.requires_grad and all(p is not pole for pole in poles)]
    optimiser = torch.optim.AdamW(
        [
            {"params": others, "weight_decay": config.weight_decay},
            {"params": poles, "weight_decay": 0.0},
        ],
        foreach=True,
    )
    steps = -(-len(inputs) // config.batch) * epochs
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [rate, rate * config.pole_share], total_steps=steps, pct_start=0.15
    )
    for epoch in range(1, epochs + 1):
        network.train()
        total = 0.0
        for batch in torch.randperm(len(inputs), generator=rng).split(config.batch):
            loss = functional.cross_entropy(
                network(_augment(inputs[batch], config, rng)), labels[batch], label_smoothing=config.label_smoothing
            )
            if not torch.isfinite(loss):
                raise TrainingError(
                    f"{stage}: the loss became {loss.item()} in epoch {epoch} of {epochs}; lower the learning rate "
                    f"({rate:g}) or look for NaN in the data"
                )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += loss.item() * len(batch)
        model.history.append((stage, epoch, total / len(inputs), model.accuracy(task.validation)))
        if progress is not None:
            progress(stage, epoch, epochs)


def _augment(inputs: Tensor, config: TrainingConfig, rng: torch.Generator) -> Tensor:
    """Each sequence moved sideways by a whole number of inputs, the edge repeated, and noise added."""
    if config.shift:
        moves = torch.randint(-config.shift, config.shift + 1, (len(inputs), 1), generator=rng)
        source = (torch.arange(inputs.shape[2]) + moves).clamp(0, inputs.shape[2] - 1)
        inputs = inputs.gather(2, source[:, None, :].expand(inputs.shape))
    return inputs + config.noise * torch.randn(inputs.shape, generator=rng)


@contextmanager
def one_thread() -> Iterator[None]:
    """Small nets train fastest, and the same on every machine, on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def versions() -> dict[str, str]:
    """Versions of what trained a model, for its provenance."""
    return {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}
