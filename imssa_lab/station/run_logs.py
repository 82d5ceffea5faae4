"""The logs of a run's folder: run.h5, then run-1.h5 ... of what went on with it; and the journal that they hold."""

from __future__ import annotations

import logging
from pathlib import Path

from imssa_lab.contract.errors import ConfigError, LogError

_log = logging.getLogger(__name__)
LOG = "run.h5"


def logs(out: Path) -> list[Path]:
    """The logs that a folder can hold, oldest first: run.h5, then those of what went on with it."""
    later = sorted(out.glob("run-*.h5"), key=lambda path: int(path.stem.removeprefix("run-")))
    return [out / LOG, *later]


def next_log(out: Path) -> Path:
    """The name of a new log in a folder: run.h5, then run-1.h5 ..."""
    return out / f"run-{len(logs(out))}.h5" if (out / LOG).exists() else out / LOG


def journal_of(out: Path) -> list[str]:
    """The journal of the deployment in a folder, from the newest of its logs that holds one; empty without a plan.

    Raises:
        ConfigError: the folder holds no log.
    """
    return newest_journal(out)[1]


def newest_journal(out: Path) -> tuple[Path, list[str]]:
    """The newest log of a folder that holds a journal, and that journal; the newest log and nothing without a plan.

    Raises:
        ConfigError: the folder holds no log.
    """
    from imssa_lab.log import open_run
    from protocols.deployment.journal import JOURNAL

    there = [path for path in reversed(logs(out)) if path.exists()]
    if not there:
        raise ConfigError(f"{out} holds no deployment; start it without --resume")
    for path in there:
        try:
            with open_run(path) as run:
                entries = [text for _, text in run.events(JOURNAL)]
        except LogError as error:
            if path == there[-1]:
                raise
            _log.warning("%s; going on from the log before it", error)
            continue
        if entries:
            return path, entries
    return there[0], []
