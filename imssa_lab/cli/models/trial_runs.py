"""Running the trials of a study: those that are due, on this machine or a cluster, into its store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from imssa_lab.cli.shared.interrupts import when_stopped
from imssa_lab.cli.shared.session import console

if TYPE_CHECKING:
    from imssa_lab.studies.trials import StudyTrial
    from imssa_lab.studies.workers import Workers
    from protocols.deployment.sequences import Sequences

_DRAW_EVERY = 60.0  # s
Found = TypeVar("Found")
Jobs = list[tuple[int, "StudyTrial"]]


def count_of_tests(asked: int, sequences: Sequences) -> int:
    """As many test sequences as were asked for; all there are, and that in words, where these are fewer."""
    there = len(sequences.test_labels)
    if there < asked:
        console(stderr=True).print(f"{there} test sequences in each trial: there are no more, {asked} were asked for")
    return min(asked, there)


def run_due(
    trials: Sequence[StudyTrial],
    due: Sequence[int],
    run: Callable[[Workers, Jobs], Iterator[tuple[int, Found]]],
    keep: Callable[[int, Found], None],
    draw: Callable[[], None],
    left: str,
    workers: int,
    scheduler: str | None,
) -> None:
    """Run the trials that are due, keep every result as it comes, and draw now and then and where Ctrl-C ends it.

    Args:
        run: gives the results of numbered trials, by workers; left: what Ctrl-C leaves, in words.

    Raises:
        ConfigError: Dask is missing, or no scheduler answers.
    """
    from rich.progress import Progress

    from imssa_lab.studies.workers import workers as started

    def stopped() -> str:
        draw()
        return f"done so far: {left}; to continue: the same command with --resume"

    screen = console(stderr=True)
    with (
        when_stopped(stopped),
        Progress(console=screen, disable=not screen.is_terminal) as bar,
        started(workers, scheduler) as pool,
    ):
        task = bar.add_task("deployments", total=len(trials), completed=len(trials) - len(due))
        drawn = time.monotonic()
        for index, found in run(pool, [(i, trials[i]) for i in due]):
            keep(index, found)
            bar.advance(task)
            if time.monotonic() - drawn > _DRAW_EVERY:
                draw()
                drawn = time.monotonic()
    draw()
