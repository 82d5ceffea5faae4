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
from imssa_lab.s4d.scores import Score, Wanted, answers, score
from imssa_lab.s4d.tasks import Task
from imssa_lab.s4d.train.epochs import Progress, augment, loss_of, one_thread, scaled_answers, value_scale
from imssa_lab.s4d.train.settings import TrainingConfig

Kind = Literal["linear", "gru"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_RIDGES = (1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)


@dataclass(frozen=True)
class Baseline:
    """A baseline after training.

    Attributes:
        size: hidden units of a GRU, blocks of time of a linear model; parameters: numbers that were trained.
        validation_accuracy: fraction, of values the share of their variance that is explained; test: the same on the
            test split, with its interval.
    """

    kind: Kind
    size: int
    parameters: int
    validation_accuracy: float
    test: Score


class LinearModel(nn.Module):
    """A linear map of every input's mean over each of some blocks of time."""

    def __init__(self, inputs: int, classes: int, size: int) -> None:
        super().__init__()
        self._size = size
        self.head = nn.Linear(inputs * size, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Sequences (n, steps, inputs) -> logits, or values, (n, classes or values)."""
        given: Tensor = self.head(self.blocks(inputs))
        return given

    def blocks(self, inputs: Tensor) -> Tensor:
        """What the map sees of sequences (n, steps, inputs): means of blocks, (n, inputs * size)."""
        return functional.adaptive_avg_pool1d(inputs.transpose(1, 2), self._size).flatten(1)

    @torch.no_grad()
    def solve(self, inputs: Tensor, values: Tensor, ridge: float) -> None:
        """Least squares to values (n, outputs), with `ridge` times n on the squared weights, biases left out.

        Hoerl and Kennard, Technometrics 12:55, 1970.
        """
        x, y = self.blocks(inputs).double(), values.double()
        x_mean, y_mean = x.mean(0), y.mean(0)
        x, y = x - x_mean, y - y_mean
        gram = x.T @ x + ridge * len(x) * torch.eye(x.shape[1], dtype=torch.float64)
        weight = torch.linalg.solve(gram, x.T @ y).T
        self.head.weight.copy_(weight)
        self.head.bias.copy_(y_mean - weight @ x_mean)


class GruModel(nn.Module):
    """A gated recurrent unit, the mean or the last of its outputs, and a linear head. Cho et al., arXiv 1406.1078."""

    def __init__(self, inputs: int, classes: int, size: int, last: bool = False) -> None:
        super().__init__()
        self._last = last
        self.gru = nn.GRU(inputs, size, batch_first=True)
        self.head = nn.Linear(size, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Sequences (n, steps, inputs) -> logits, or values, (n, classes or values)."""
        outputs = self.gru(inputs)[0]
        given: Tensor = self.head(outputs[:, -1] if self._last else outputs.mean(1))
        return given


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

    A linear model of values is solved for by least squares instead, its ridge by the validation split. A GRU is read
    at its last step where `config` pools so, else by its mean.

    Raises:
        TrainingError: the loss became NaN or infinite.
    """
    classes = len(task.labels)
    size = size_for(kind, task.inputs, classes, task.steps, parameters)
    rng = torch.Generator().manual_seed(config.seed)
    with torch.random.fork_rng(devices=[]):  # torch draws first values of its own, which are not used
        linear = LinearModel(task.inputs, classes, size)
        model = linear if kind == "linear" else GruModel(task.inputs, classes, size, config.pooling == "last")
    with torch.no_grad():
        for weight in model.parameters():
            bound = (size if kind == "gru" else task.inputs * size) ** -0.5
            weight.copy_(bound * (2 * torch.rand(weight.shape, generator=rng) - 1))
    if kind == "linear" and task.goal == "values":
        with one_thread():
            _solve(linear, task)
        return _judged(kind, size, model, task)
    inputs, labels = torch.from_numpy(task.train[0]), scaled_answers(task)
    batches = len(inputs) // config.batch + (len(inputs) % config.batch > 1)
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=config.weight_decay, foreach=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.full.rate, total_steps=batches * config.full.epochs, pct_start=0.15
    )
    with one_thread():
        for epoch in range(1, config.full.epochs + 1):
            for batch in torch.randperm(len(inputs), generator=rng).split(config.batch)[:batches]:
                varied = augment(inputs[batch], task.augmentation, config.full.shift, rng)
                loss = loss_of(model(varied), labels[batch], config.label_smoothing)
                if not torch.isfinite(loss):
                    raise TrainingError(f"{kind}: the loss became {loss.item()} in epoch {epoch}; lower the rate")
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
                schedule.step()
            if progress is not None:
                progress(kind, epoch, config.full.epochs)
        return _judged(kind, size, model, task)


def _solve(model: LinearModel, task: Task) -> None:
    """Least squares on the training split with the ridge that is best on the validation split."""
    inputs, values = torch.from_numpy(task.train[0]), scaled_answers(task)

    def on_validation(ridge: float) -> float:
        model.solve(inputs, values, ridge)
        return score(_said(model, task, task.validation[0]), task.validation[1])

    model.solve(inputs, values, max(_RIDGES, key=on_validation))


def _judged(kind: Kind, size: int, model: nn.Module, task: Task) -> Baseline:
    count = sum(weight.numel() for weight in model.parameters())
    validation = score(_said(model, task, task.validation[0]), task.validation[1])
    return Baseline(kind, size, count, validation, task.scored(_said(model, task, task.test[0])))


@torch.no_grad()
def _said(model: nn.Module, task: Task, inputs: NDArray[np.float32]) -> Wanted:
    given = torch.cat([model(part) for part in torch.from_numpy(inputs).split(256)]).double()
    if task.goal == "values":
        mean, scale = value_scale(task)
        given = given * scale + mean
    return answers(task.goal, given.numpy())
