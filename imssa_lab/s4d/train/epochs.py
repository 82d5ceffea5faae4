"""One training, from its first epoch to its last."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from imssa_lab.contract.errors import TrainingError
from imssa_lab.s4d.model.network import S4DNetwork
from imssa_lab.s4d.scores import Goal
from imssa_lab.s4d.tasks import Augmentation, Task
from imssa_lab.s4d.train.checkpoint import Checkpoint
from imssa_lab.s4d.train.evaluation import accuracy
from imssa_lab.s4d.train.settings import Stage, TrainingConfig

Progress = Callable[[str, int, int], None]
"""Called with (stage, epochs done, epochs) after every epoch."""

_STATE_SEQUENCES = 256
_TEMPERATURE = 2.0


class Epoch(NamedTuple):
    """One line of a training's history: mean training loss and validation accuracy (fraction) after an epoch.

    Of values the accuracy is the share of their variance that is explained.
    """

    stage: str
    epoch: int
    loss: float
    validation_accuracy: float


class Fit:
    """Trains one network through one stage.

    Args:
        network: is trained in place, on the device of `config`, and left on the processor.
        rng: of order, augmentation and cells' errors, on the processor.
        name: of the stage, for history, progress and checkpoint.
        checkpoint: file to continue from and to write after every epoch; None for no file.
        teacher: a float net, left as it is, that the loss compares with by `stage.distillation`.

    Raises:
        TrainingError: the data do not fit, or there is too little of them.
    """

    def __init__(
        self,
        network: S4DNetwork,
        task: Task,
        config: TrainingConfig,
        name: str,
        stage: Stage,
        rng: torch.Generator,
        checkpoint: Checkpoint | None = None,
        teacher: S4DNetwork | None = None,
    ) -> None:
        self._network, self._task, self._config = network, task, config
        self._name, self._stage, self._rng, self._checkpoint = name, stage, rng, checkpoint
        _check(task)
        self._inputs, self._wanted = torch.from_numpy(task.train[0]), scaled_answers(task)
        self._network.to(config.device)
        self._teacher = None
        if teacher is not None and stage.distillation > 0:
            self._teacher = copy.deepcopy(teacher).float().eval().to(config.device)
        poles = network.pole_parameters()
        others = [p for p in network.parameters() if p.requires_grad and all(p is not pole for pole in poles)]
        self._optimiser = torch.optim.AdamW(
            [{"params": others, "weight_decay": config.weight_decay}, {"params": poles, "weight_decay": 0.0}],
            foreach=True,
        )
        # A last batch of a single sequence would give batch norm no variance, so it is left out.
        self._batches = len(self._inputs) // config.batch + (len(self._inputs) % config.batch > 1)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimiser,
            [stage.rate, stage.rate * stage.pole_share],
            total_steps=self._batches * stage.epochs,
            pct_start=0.15,
        )
        self._history: list[Epoch] = []
        self._best: dict[str, Any] | None = None

    def run(self, progress: Progress | None = None) -> tuple[Epoch, ...]:
        """Train to the last epoch, or to where patience ends; the history.

        Raises:
            TrainingError: the loss became NaN or infinite; the message names the epoch and what is kept.
        """
        self._resume()
        self._network.set_cell_errors(self._stage.cell_errors, self._rng, self._judges_kernels)
        with one_thread():
            self._calibrate_states()
            for epoch in range(len(self._history) + 1, self._stage.epochs + 1):
                if self._out_of_patience():
                    break
                loss = self._epoch(epoch)
                self._calibrate_states()
                self._history.append(Epoch(self._name, epoch, loss, accuracy(self._network, self._task.validation)))
                self._keep()
                if progress is not None:
                    progress(self._name, epoch, self._stage.epochs)
            if self._best is not None:
                self._network.load_state_dict(self._best)
            self._network.eval()
            self._network.to("cpu")
        return tuple(self._history)

    def _calibrate_states(self) -> None:
        """Full scales of states and increments for the weights as they are, where converters or errors need them."""
        errors = self._stage.cell_errors
        if self._network.precision.rounds_recurrence or (errors is not None and errors.by_column):
            self._network.eval()
            self._network.calibrate_states(self._inputs[:_STATE_SEQUENCES].to(self._config.device))

    def _epoch(self, epoch: int) -> float:
        """One pass over the training data; the mean loss."""
        self._network.train()
        total = 0.0
        for batch in torch.randperm(len(self._inputs), generator=self._rng).split(self._config.batch)[
            : self._batches
        ]:
            varied = augment(self._inputs[batch], self._task.augmentation, self._stage.shift, self._rng)
            inputs = varied.to(self._config.device)
            given = self._network.scaled(inputs)
            wanted = self._wanted[batch].to(self._config.device)
            loss = loss_of(given, wanted, self._config.label_smoothing)
            if self._teacher is not None:
                with torch.no_grad():
                    taught = self._teacher.scaled(inputs)
                loss = torch.lerp(loss, distance_from(taught, given, self._task.goal), self._stage.distillation)
            if self._judges_kernels:
                loss = loss + self._stage.kernel_errors * self._network.error_by_cells()
            if not torch.isfinite(loss):
                raise TrainingError(
                    f"{self._name}: the loss became {loss.item()} in epoch {epoch} of {self._stage.epochs}; lower "
                    f"the learning rate ({self._stage.rate:g}) or look for NaN in the data{self._kept(epoch)}"
                )
            self._optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
            self._optimiser.step()
            self._schedule.step()
            total += loss.item()
        return total / self._batches

    @property
    def _judges_kernels(self) -> bool:
        return self._stage.kernel_errors > 0 and self._stage.cell_errors is not None

    def _kept(self, epoch: int) -> str:
        if self._checkpoint is None or epoch == 1:
            return ""
        return f"; epoch {epoch - 1} is kept in {self._checkpoint.path}"

    def _out_of_patience(self) -> bool:
        if self._config.patience is None or not self._history:
            return False
        return len(self._history) - self._best_epoch() >= self._config.patience

    def _best_epoch(self) -> int:
        return max(self._history, key=lambda epoch: (epoch.validation_accuracy, -epoch.epoch)).epoch

    def _keep(self) -> None:
        state = self._network.state_dict()
        if self._config.patience is not None and self._best_epoch() == len(self._history):
            self._best = {name: values.clone() for name, values in state.items()}
        if self._checkpoint is not None:
            self._checkpoint.save(
                self._name,
                {
                    "network": state,
                    "optimiser": self._optimiser.state_dict(),
                    "schedule": self._schedule.state_dict(),
                    "rng": self._rng.get_state(),
                    "history": [tuple(epoch) for epoch in self._history],
                    "best": self._best,
                },
            )

    def _resume(self) -> None:
        state = None if self._checkpoint is None else self._checkpoint.stage(self._name)
        if state is None:
            return
        self._network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._schedule.load_state_dict(state["schedule"])
        self._rng.set_state(state["rng"])
        self._history = [Epoch(*line) for line in state["history"]]
        self._best = state["best"]


def augment(inputs: Tensor, how: Augmentation, shift: bool, rng: torch.Generator) -> Tensor:
    """Sequences (n, steps, inputs) varied as the task allows.

    All are moved along time by one number of steps, in a circle; each sideways by its own number of inputs, the edge
    repeated; each by its own gain; noise is added. `shift` False leaves both shifts out.
    """
    if shift and how.shift_steps != (0, 0):
        low, high = how.shift_steps
        inputs = inputs.roll(int(torch.randint(low, high + 1, (), generator=rng)), 1)
    if shift and how.shift_inputs:
        moves = torch.randint(-how.shift_inputs, how.shift_inputs + 1, (len(inputs), 1), generator=rng)
        source = (torch.arange(inputs.shape[2]) + moves).clamp(0, inputs.shape[2] - 1)
        inputs = inputs.gather(2, source[:, None, :].expand(inputs.shape))
    if how.gain != (1.0, 1.0):
        low_gain, high_gain = how.gain
        inputs = inputs * (low_gain + (high_gain - low_gain) * torch.rand((len(inputs), 1, 1), generator=rng))
    return inputs + how.noise * torch.randn(inputs.shape, generator=rng)


def value_scale(task: Task) -> tuple[Tensor, Tensor]:
    """Mean and deviation of every value of a task in its training split, (values,) float64."""
    values = torch.from_numpy(task.train[1])
    return values.mean(0), values.std(0, correction=0)


def scaled_answers(task: Task) -> Tensor:
    """What training compares with: class numbers (n,), or values (n, values) of mean 0 and deviation 1, float32."""
    if task.goal == "classes":
        return torch.from_numpy(task.train[1])
    mean, scale = value_scale(task)
    return ((torch.from_numpy(task.train[1]) - mean) / scale).float()


def loss_of(given: Tensor, wanted: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy of logits (n, classes) with class numbers (n,), or mean squared error of scaled values."""
    if wanted.dim() == 1:
        return functional.cross_entropy(given, wanted, label_smoothing=smoothing)
    return functional.mse_loss(given, wanted)


def distance_from(taught: Tensor, given: Tensor, goal: Goal) -> Tensor:
    """How far outputs (n, outputs) are from a teacher's: T^2 KL of softened classes, or mean squared error of values.

    T = 2. Hinton et al., Distilling the Knowledge in a Neural Network, arXiv 1503.02531.
    """
    if goal == "values":
        return functional.mse_loss(given, taught)
    soft = functional.softmax(taught / _TEMPERATURE, 1)
    ours = functional.log_softmax(given / _TEMPERATURE, 1)
    return _TEMPERATURE**2 * functional.kl_div(ours, soft, reduction="batchmean")


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: small nets train fastest so, and the order of sums does not vary."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _check(task: Task) -> None:
    inputs, classes = task.train
    if task.goal == "values":  # the task has looked at them
        if len(inputs) < 2:
            raise TrainingError(f"{task.name}: {len(inputs)} training sequences; give two or more")
        return
    if len(inputs) < 2 or len(inputs) != len(classes) or not 0 <= classes.min() <= classes.max() < len(task.labels):
        raise TrainingError(
            f"{task.name}: {len(inputs)} training sequences, {len(classes)} labels, {len(task.labels)} classes; "
            "give two sequences or more, each with a class number"
        )
