"""What the commands share: the terminal, stages with their times, sequence files, provenance."""

from __future__ import annotations

import math
import platform
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from imssa_lab.cli.shared.json_output import json_asked
from imssa_lab.contract.errors import ConfigError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


_PACKAGES = ("imssa-lab", "numpy", "h5py", "torch", "safetensors")


def console(*, stderr: bool = False) -> Console:
    """A terminal for results (stdout, left to the JSON under --json) or for progress and errors (stderr)."""
    return Console(stderr=stderr or json_asked(), highlight=False, soft_wrap=True)


def facts_table(title: str) -> Table:
    """A table of names and values, in which nothing is cut short."""
    table = Table(title=title, show_header=False)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    return table


class Stages:
    """Progress on the terminal, and the wall time of every stage.

    Attributes:
        seconds: wall time by stage, in the order in which they began.
    """

    def __init__(self, bar: Progress) -> None:
        self.seconds: dict[str, float] = {}
        self._bar = bar
        self._tasks: dict[str, TaskID] = {}
        self._now = ""
        self._since = time.perf_counter()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """`stage` has got to `done` of `total`; a new name ends the stage before it."""
        if stage != self._now:
            self.end()
            self._now = stage
        if stage not in self._tasks:
            self._tasks[stage] = self._bar.add_task(stage, total=total)
        self._bar.update(self._tasks[stage], completed=done, total=total)

    def end(self) -> None:
        """The stage under way is over."""
        now = time.perf_counter()
        if self._now:
            self.seconds[self._now] = self.seconds.get(self._now, 0.0) + now - self._since
        self._now, self._since = "", now


def of_seconds(stage: str, expected: float, bars: Stages) -> Callable[[float], None]:
    """Progress of a stage in seconds gone by out of those `expected`; NaN where they are not known."""
    whole = 1 if math.isnan(expected) else max(1, math.ceil(expected))

    def report(seconds: float) -> None:
        bars(stage, 0 if math.isnan(seconds) else min(int(seconds), whole), whole)

    report(0.0)
    return report


@contextmanager
def stages() -> Iterator[Stages]:
    """`Stages` with progress bars on stderr, none where stderr is no terminal."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    screen = console(stderr=True)
    times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *times)
    with Progress(*columns, console=screen, disable=not screen.is_terminal) as bar:
        bars = Stages(bar)
        yield bars
        bars.end()


def new_folder(path: Path) -> None:
    """Make a folder for results, or take one that is empty.

    Raises:
        ConfigError: it exists and is not an empty folder, or cannot be made.
    """
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists():
        raise ConfigError(f"{path} exists and is not an empty folder; choose another --out, nothing was overwritten")
    try:
        path.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(f"{path} cannot be made: {error}; choose another --out") from error


def provenance() -> dict[str, str]:
    """Command line, versions, git commit where there is one, host; a run file holds all of the environment."""
    from imssa_lab.log.file.environment import environment

    around = environment()
    facts = {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "host": around["host"],
        "python": platform.python_version(),
    }
    facts |= {package: around["packages"][package] for package in _PACKAGES if package in around["packages"]}
    return facts | ({"git commit": around["git"]} if around["git"] else {})
