"""Tasks by their names."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path

from imssa_lab.contract.errors import ConfigError
from imssa_lab.s4d.tasks import digits, fsdd, shd, shd_stand_in, smnist, speech_commands
from imssa_lab.s4d.tasks.own.own_data import task_from_file
from imssa_lab.s4d.tasks.task import Task

GROUP = "imssa_lab.tasks"
"""Entry points of packages that bring tasks."""


@dataclass(frozen=True)
class TaskEntry:
    """A task before its data are read.

    Attributes:
        summary: what is to be recognised, in words.
        data: folder of the data under the data root; None where they come with a package.
        build: makes the task from a seed and keyword options.
    """

    summary: str
    data: str | None
    build: Callable[..., Task]

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the keyword options that `load_task` takes for this task."""
        return tuple(name for name in inspect.signature(self.build).parameters if name not in ("seed", "path"))


CATALOGUE: dict[str, TaskEntry] = {
    "digits-first": TaskEntry("two handwritten digits in turn; name the first", None, digits.digits_first),
    "fsdd-order": TaskEntry("a spoken zero and a spoken one; which came first", "fsdd", fsdd.fsdd_order),
    "fsdd-first10": TaskEntry("two spoken digits in turn; name the first", "fsdd", fsdd.fsdd_first10),
    "fsdd-t10": TaskEntry("one spoken digit of ten", "fsdd", fsdd.fsdd_t10),
    "fsdd-t2-raw": TaskEntry("a spoken zero or one as waveform, 2,000 steps", "fsdd", fsdd.fsdd_t2_raw),
    "fsdd-events": TaskEntry("one spoken digit as spikes of a model cochlea", "fsdd", fsdd.fsdd_events),
    "fsdd-order-events": TaskEntry(
        "a spoken zero and one as spikes in SHD's layout; which came first", "fsdd", shd_stand_in.fsdd_order_events
    ),
    "shd": TaskEntry("one spoken digit of twenty as spikes", "shd", shd.shd),
    "speech-commands": TaskEntry("one spoken word", "speech_commands", speech_commands.speech_commands),
    "smnist": TaskEntry("an image row by row or pixel by pixel", "mnist", smnist.smnist),
}
TASKS = tuple(CATALOGUE)
"""The names of all tasks, for `load_task`."""


def load_task(name: str, seed: int, **options: object) -> Task:
    """A task by its name; same seed and options, same arrays.

    A path of an .npz file, an .ts file or a folder of CSV files is a name too. Packages add tasks by the entry point
    group `imssa_lab.tasks`: a function of the seed and keyword options that gives a `Task`.

    Args:
        seed: of every random choice in making the task.
        options: as the task's own function takes them; those not given keep their defaults.

    Raises:
        ConfigError: no such task, no such option, an option's value that cannot be, or a package is missing.
        DataError: the data are missing or damaged.
    """
    entry = _entry(name)
    if unknown := sorted(set(options) - set(entry.options)):
        raise ConfigError(
            f"task {name}: no option {', '.join(map(repr, unknown))}; it takes {', '.join(entry.options) or 'none'}"
        )
    return entry.build(seed, **options)


def _entry(name: str) -> TaskEntry:
    """Of the catalogue, of a package, or of a path."""
    if name in CATALOGUE:
        return CATALOGUE[name]
    others = entry_points(group=GROUP)
    if name in others.names:
        return TaskEntry(f"of the package behind the entry point {name}", None, others[name].load())
    if name.endswith((".npz", ".ts")) or Path(name).is_dir():
        return TaskEntry(f"the data in {name}", None, partial(task_from_file, name))
    raise ConfigError(
        f"task {name!r}: no such task; choose one of {', '.join((*TASKS, *sorted(others.names)))}, or give the path "
        "of an .npz file, an .ts file or a folder of CSV files"
    )
