"""The runs of a folder, without a database: every file says itself what it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import h5py

from imssa_lab.contract.errors import ConfigError, LogError
from imssa_lab.log.file.file_state import HDF5_ERRORS, is_foreign
from imssa_lab.log.run import open_run
from imssa_lab.log.schema import TABLES

_ENDINGS = (".h5", ".hdf5")


@dataclass(frozen=True)
class Entry:
    """One run file; of one that cannot be read only `path` and `problem` are known.

    Attributes:
        chips: name and serial of every array; records: whole records of all tables.
        state: "closed", "repaired", "open" (running or cut off), "foreign" (of another program); empty: unreadable.
    """

    path: Path
    created: datetime | None = None
    chips: tuple[str, ...] = ()
    records: int = 0
    state: str = ""
    command: str = ""
    problem: str = ""


def catalogue(
    folder: str | Path, *, chip: str = "", since: datetime | None = None, until: datetime | None = None
) -> Iterator[Entry]:
    """The runs below a folder, oldest first; damaged runs and HDF5 files of other programs come before them, as such.

    Args:
        chip: part of the name or the serial of an array, in any case.
        since, until: bounds on the time at which the run began; without a time zone they mean local time.

    Raises:
        ConfigError: no such folder.
    """
    where = Path(folder)
    if not where.is_dir():
        raise ConfigError(f"{where} is not a folder; name the one that the runs are in")
    paths = sorted(path for path in where.rglob("*") if path.suffix in _ENDINGS and path.is_file())
    entries = [_entry(path) for path in paths]
    entries.sort(key=lambda entry: (entry.created is not None, entry.created))
    for entry in entries:
        if entry.created is None:
            yield entry
            continue
        if since is not None and entry.created < since.astimezone():
            continue
        if until is not None and entry.created > until.astimezone():
            continue
        if chip and not any(chip.casefold() in text.casefold() for text in entry.chips):
            continue
        yield entry


def _entry(path: Path) -> Entry:
    try:
        with open_run(path) as run:
            state = "closed" if run.closed_cleanly else "repaired" if run.repaired else "open"
            return Entry(
                path,
                run.created,
                tuple(f"{info.name} ({info.serial})" for info in run.infos),
                sum(run.records(table) for table in TABLES if "seq" in TABLES[table]),
                state,
                run.provenance.get("command", ""),
            )
    except LogError as error:
        if _another_format(path):
            return Entry(path, state="foreign", problem="an HDF5 file of another program")
        return Entry(path, problem=str(error).removeprefix(f"{path}: "))


def _another_format(path: Path) -> bool:
    try:
        with h5py.File(path, "r") as file:
            return is_foreign(file)
    except HDF5_ERRORS:
        return False
