"""What the commands share: the terminal, stages with their times, sequence files, provenance."""

from __future__ import annotations

import math
import platform
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.table import Table

from imssa_lab.cli.machine import json_asked
from imssa_lab.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.progress import Progress, TaskID

    from imssa_lab.array_types import FloatArray
    from imssa_lab.hal import CrossbarArray
    from imssa_lab.s4d.bundle import KernelBundle
    from protocols.budget import Budget
    from protocols.deploy import Deployment
    from protocols.journal import ArrayState

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


def of_seconds(stage: str, expected: float, told: Stages) -> Callable[[float], None]:
    """Progress of a stage in seconds gone by out of those `expected`; NaN where they are not known."""
    whole = 1 if math.isnan(expected) else max(1, math.ceil(expected))

    def tell(seconds: float) -> None:
        told(stage, 0 if math.isnan(seconds) else min(int(seconds), whole), whole)

    tell(0.0)
    return tell


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
        told = Stages(bar)
        yield told
        told.end()


@dataclass(frozen=True)
class Sequences:
    """The sequences that a deployment is calibrated and judged with.

    Attributes:
        calibration_inputs: (n, steps, inputs), from training data; test_inputs: (n, steps, inputs).
        test_labels: (n,), class numbers.
        reference: test accuracies of the float model ("float") and of the null control ("null"), fractions.
    """

    calibration_inputs: FloatArray
    test_inputs: FloatArray
    test_labels: NDArray[np.int64]
    reference: Mapping[str, float] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write to a new .npz file; ConfigError if it exists."""
        import numpy as np

        arrays = {name: getattr(self, name) for name in _ARRAYS}
        arrays |= {f"{name}_accuracy": np.float64(value) for name, value in self.reference.items()}
        try:
            with path.open("xb") as file:
                np.savez_compressed(file, **arrays)
        except FileExistsError as error:
            raise ConfigError(f"{path} exists; choose another name, nothing was overwritten") from error

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file that `save` wrote.

        Raises:
            ConfigError: no such file, not .npz, or an array is missing.
        """
        import zipfile

        import numpy as np

        try:
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                missing = [name for name in _ARRAYS if name not in file]
                if missing:
                    raise ConfigError(
                        f"{path} holds no {', '.join(missing)}; `imssa train` writes such a file beside a bundle"
                    )
                keys = [name for name in ("float", "null") if f"{name}_accuracy" in file]
                return cls(
                    calibration_inputs=np.asarray(file["calibration_inputs"], dtype=np.float64),
                    test_inputs=np.asarray(file["test_inputs"], dtype=np.float64),
                    test_labels=np.asarray(file["test_labels"], dtype=np.int64),
                    reference={name: float(file[f"{name}_accuracy"]) for name in keys},
                )
        except FileNotFoundError as error:
            raise ConfigError(f"{path}: no such file; `imssa train` writes it beside the bundle") from error
        except (OSError, EOFError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
            raise ConfigError(f"{path} is not a readable .npz file of sequences ({error})") from error

    def deploy(
        self,
        bundle: KernelBundle,
        arrays: Sequence[CrossbarArray],
        told: Stages,
        *,
        budget: Budget | None = None,
        faults: Sequence[ArrayState] | None = None,
        resume: Sequence[str] | None = None,
        journal: Callable[[str], None] | None = None,
        averages: int = 1,
    ) -> Deployment:
        """Deploy on `arrays` and verify with these sequences: what is recorded, and what a replay repeats.

        Args:
            budget, faults, resume, journal, averages: as `protocols.deploy.deploy` takes them.
        """
        from protocols.deploy import deploy

        return deploy(
            bundle,
            arrays,
            calibration_inputs=self.calibration_inputs,
            test_inputs=self.test_inputs,
            test_labels=self.test_labels,
            null_accuracy=self.reference.get("null"),
            budget=budget,
            faults=faults,
            resume=resume,
            journal=journal,
            averages=averages,
            progress=told,
        )


_ARRAYS = ("calibration_inputs", "test_inputs", "test_labels")


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
    from imssa_lab.log.environment import environment

    around = environment()
    facts = {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "host": around["host"],
        "python": platform.python_version(),
    }
    facts |= {package: around["packages"][package] for package in _PACKAGES if package in around["packages"]}
    return facts | ({"git commit": around["git"]} if around["git"] else {})
