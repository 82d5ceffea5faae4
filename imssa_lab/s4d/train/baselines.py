"""What a task gives to models that are no S4D nets: a linear one and a GRU of about equal size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from imssa_lab.contract.errors import ConfigError, TrainingError
from imssa_lab.s4d.intervals import Interval
from imssa_lab.s4d.tasks import Task
from imssa_lab.s4d.train.epochs import Progress, augment, one_thread
from imssa_lab.s4d.train.settings import TrainingConfig

Kind = Literal["linear", "gru"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Baseline:
    """A baseline after training.

    Attributes:
        size: hidden units of a GRU, blocks of time of a linear model; parameters: numbers that were trained.
        validation_accuracy, test_accuracy: fractions; interval: of the latter.
    """

    kind: Kind
    size: int
    parameters: int
    validation_accuracy: float
    test_accuracy: float
    interval: Interval


class LinearModel(nn.Module):
    """A linear classifier of every input's mean over each of some blocks of time."""

    def __init__(self, inputs: int, classes: int, size: int) -> None:
        super().__init__()
        self._size = size
        self.head = nn.Linear(inputs * size, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Sequences (n, steps, inputs) -> logits (n, classes)."""
        blocks = functional.adaptive_avg_pool1d(inputs.transpose(1, 2), self._size)
        logits: Tensor = self.head(blocks.flatten(1))
        return logits


class GruModel(nn.Module):
    """A gated recurrent unit, the mean of its outputs over time, and a linear head. Cho et al., arXiv 1406.1078."""

    def __init__(self, inputs: int, classes: int, size: int) -> None:
        super().__init__()
        self.gru = nn.GRU(inputs, size, batch_first=True)
        self.head = nn.Linear(size, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Sequences (n, steps, inputs) -> logits (n, classes)."""
        logits: Tensor = self.head(self.gru(inputs)[0].mean(1))
        return logits


def parameters_of(kind: Kind, inputs: int, classes: int, size: int) -> int:
    """How many numbers a baseline of a size trains."""
    if kind == "linear":
        return (inputs * size + 1) * classes
    return 3 * size * (inputs + size + 2) + (size + 1) * classes


def size_for(kind: Kind, inputs: int, classes: int, steps: int, parameters: int) -> int:
    """The size whose number of parameters comes nearest to one asked for; of a linear model at most `steps`.

    Raises:
        ConfigError: fewer than one parameter is asked for.
    """
    if parameters < 1:
        raise ConfigError(f"a baseline of {parameters} parameters: ask for one or more")
    sizes = range(1, steps + 1) if kind == "linear" else range(1, 2 + int((parameters / 3) ** 0.5))
    return min(sizes, key=lambda size: abs(parameters_of(kind, inputs, classes, size) - parameters))


def train_baseline(
    kind: Kind, task: Task, config: TrainingConfig, parameters: int, *, progress: Progress | None = None
) -> Baseline:
    """Train a baseline of about `parameters` numbers with the float stage, batch and augmentation of `config`.

    Raises:
        TrainingError: the loss became NaN or infinite.
    """
    classes = len(task.labels)
    size = size_for(kind, task.inputs, classes, task.steps, parameters)
    rng = torch.Generator().manual_seed(config.seed)
    with torch.random.fork_rng(devices=[]):  # torch draws first values of its own, which are not used
        model = (LinearModel if kind == "linear" else GruModel)(task.inputs, classes, size)
    with torch.no_grad():
        for weight in model.parameters():
            bound = (size if kind == "gru" else task.inputs * size) ** -0.5
            weight.copy_(bound * (2 * torch.rand(weight.shape, generator=rng) - 1))
    inputs, labels = (torch.from_numpy(part) for part in task.train)
    batches = len(inputs) // config.batch + (len(inputs) % config.batch > 1)
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=config.weight_decay, foreach=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.full.rate, total_steps=batches * config.full.epochs, pct_start=0.15
    )
    with one_thread():
        for epoch in range(1, config.full.epochs + 1):
            for batch in torch.randperm(len(inputs), generator=rng).split(config.batch)[:batches]:
                varied = augment(inputs[batch], task.augmentation, config.full.shift, rng)
                loss = functional.cross_entropy(model(varied), labels[batch], label_smoothing=config.label_smoothing)
                if not torch.isfinite(loss):
                    raise TrainingError(f"{kind}: the loss became {loss.item()} in epoch {epoch}; lower the rate")
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
                schedule.step()
            if progress is not None:
                progress(kind, epoch, config.full.epochs)
        right = [_right(model, *split) for split in (task.validation, task.test)]
    count = sum(weight.numel() for weight in model.parameters())
    return Baseline(kind, size, count, float(right[0].mean()), float(right[1].mean()), task.interval(right[1]))


@torch.no_grad()
def _right(model: nn.Module, inputs: NDArray[np.float32], classes: NDArray[np.int64]) -> NDArray[np.bool_]:
    found = [model(part).argmax(1) for part in torch.from_numpy(inputs).split(256)]
    return np.asarray(torch.cat(found).numpy() == classes)
