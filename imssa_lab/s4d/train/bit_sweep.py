"""What each bit costs: one float model per seed, quantised to many precisions, before and after training for it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from imssa_lab.contract.errors import ConfigError
from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.quantise.pruning import kernel_cells
from imssa_lab.s4d.tasks import Task
from imssa_lab.s4d.train.epochs import Progress
from imssa_lab.s4d.train.recipes import training_recipe
from imssa_lab.s4d.train.training import quantise, train_float, train_quantised


@dataclass(frozen=True)
class SweepPoint:
    """One precision with one seed.

    Attributes:
        precision: in words; cells: of the kernels, differential pairs.
        rounded, trained: test accuracy after post-training quantisation and after quantisation-aware training,
            fractions; the same twice for "float".
        seconds: processor time of the training.
    """

    task: str
    precision: str
    seed: int
    cells: int
    rounded: float
    trained: float
    seconds: float


def sweep_bits(
    name: str,
    make_task: Callable[[int], Task],
    precisions: Iterable[str],
    seeds: Iterable[int],
    *,
    store: str | Path | None = None,
    progress: Progress | None = None,
    changes: Mapping[str, Any] | None = None,
) -> list[SweepPoint]:
    """Accuracy against precision, over seeds.

    Args:
        name: of the task, for its recipe; make_task: the task for a seed.
        store: file of JSON lines that keeps every point as it comes; points in it are not made again.
        changes: settings of the recipe that are to differ, such as {"channels": 16}.

    Raises:
        ConfigError: no such precision, a task with values, or `store` holds another task's points.
        TrainingError: a training diverged.
    """
    words = [str(Precision.parse(word)) for word in precisions]
    points = _stored(store, name)
    for seed in seeds:
        missing = [word for word in words if (word, seed) not in points]
        if not missing:
            continue
        task = make_task(seed)
        if task.goal == "values":
            raise ConfigError(
                f"{name}: sweeps compare accuracies, and this task has values; train each with `imssa train`"
            )
        started = time.process_time()
        base = training_recipe(name, Precision(), seed).model_copy(update=dict(changes or {}))
        start = train_float(task, base, progress=progress)
        cells = kernel_cells(base.channels, base.states, base.layers)
        for word in missing:
            precision = Precision.parse(word)
            if precision.is_float:
                seconds, rounded, trained = time.process_time() - started, start.test_accuracy, start.test_accuracy
            else:
                rounded = quantise(start, task, precision).test_accuracy
                started = time.process_time()
                stage = training_recipe(name, precision, seed).quantised
                model = train_quantised(start, task, precision, stage=stage, progress=progress)
                seconds, trained = time.process_time() - started, model.test_accuracy
            points[word, seed] = SweepPoint(name, word, seed, cells, rounded, trained, seconds)
            _append(store, points[word, seed])
    return [points[word, seed] for word in words for seed in seeds]


def _stored(store: str | Path | None, name: str) -> dict[tuple[str, int], SweepPoint]:
    if store is None or not Path(store).exists():
        return {}
    try:
        lines = [SweepPoint(**json.loads(line)) for line in Path(store).read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{store} holds no points of a sweep ({error}); choose another file") from error
    if others := {point.task for point in lines} - {name}:
        raise ConfigError(f"{store} holds points of {others.pop()}, not of {name}; choose another file")
    return {(point.precision, point.seed): point for point in lines}


def _append(store: str | Path | None, point: SweepPoint) -> None:
    if store is not None:
        with Path(store).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(point), allow_nan=False) + "\n")
