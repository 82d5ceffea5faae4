"""The chip record: how often each cell of a chip was pulsed in its life, and what was found wrong with it.

One SQLite file for all chips of a lab. Pulses are in the file before they are sent, so that a kill loses none: after
one, a cell may have seen one pulse less than the record says, never one more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.errors import LogError
from imssa_lab.contract.hal import (
    ArrayInfo,
    BoolArray,
    FloatArray,
    PulseKind,
    Pulses,
)

_VERSION = 1
IMMOVABLE = ("stuck low", "stuck high", "dead word line", "dead bit line")
"""Faults of cells that no pulse moves."""
_WAIT = 10.0
"""s to wait for another process that writes to the same file."""

_SCHEMA = """
CREATE TABLE chips (
    chip TEXT PRIMARY KEY, name TEXT NOT NULL, serial TEXT NOT NULL, rows INTEGER NOT NULL, cols INTEGER NOT NULL,
    since TEXT NOT NULL
);
CREATE TABLE pulses (
    chip TEXT NOT NULL REFERENCES chips, row INTEGER NOT NULL, col INTEGER NOT NULL, kind TEXT NOT NULL,
    count INTEGER NOT NULL, seconds REAL NOT NULL, last TEXT NOT NULL,
    PRIMARY KEY (chip, row, col, kind)
) WITHOUT ROWID;
CREATE TABLE faults (
    chip TEXT NOT NULL REFERENCES chips, row INTEGER NOT NULL, col INTEGER NOT NULL, fault TEXT NOT NULL,
    found_by TEXT NOT NULL, first TEXT NOT NULL, last TEXT NOT NULL,
    PRIMARY KEY (chip, row, col, fault)
) WITHOUT ROWID;
"""
_SURVEYS = """
CREATE TABLE IF NOT EXISTS surveys (
    chip TEXT NOT NULL REFERENCES chips, found_by TEXT NOT NULL, last TEXT NOT NULL,
    PRIMARY KEY (chip, found_by)
) WITHOUT ROWID
"""
"""Younger than the other tables: records of before get it when they are opened."""
_ADD = """
INSERT INTO pulses VALUES (?, ?, ?, ?, 1, ?, ?)
ON CONFLICT DO UPDATE SET count = count + 1, seconds = seconds + excluded.seconds, last = excluded.last
"""
_SURVEYED = "INSERT INTO surveys VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET last = excluded.last"
_FAULT = "INSERT INTO faults VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET last = excluded.last"


@dataclass(frozen=True)
class Wear(FrozenArrays):
    """Pulses of the cells of a chip, by kind, (rows, cols): how many, and their widths summed in s."""

    count: dict[PulseKind, NDArray[np.int64]]
    seconds: dict[PulseKind, FloatArray]

    @property
    def pulses(self) -> NDArray[np.int64]:
        """Pulses of all kinds, (rows, cols)."""
        return np.asarray(sum(self.count.values()))


@dataclass(frozen=True)
class Fault:
    """Something wrong with a cell; `first` and `last` are when it was found, ISO 8601, UTC."""

    row: int
    col: int
    fault: str
    found_by: str
    first: str
    last: str


@dataclass(frozen=True)
class KnownCells(FrozenArrays):
    """What the record knows of the cells of a chip.

    Attributes:
        faults: by name, of `IMMOVABLE`: the cells that have it, (rows, cols). A cell may have several.
        surveyed: when all cells were last looked at, ISO 8601, UTC: those without a fault worked then; or empty.
    """

    faults: dict[str, BoolArray]
    surveyed: str = ""

    @classmethod
    def nothing(cls, shape: tuple[int, int]) -> KnownCells:
        """Of a chip that the record does not know."""
        return cls({fault: np.zeros(shape, dtype=np.bool_) for fault in IMMOVABLE})

    @property
    def immovable(self) -> BoolArray:
        """Cells (rows, cols) that no pulse moves."""
        return np.asarray(np.any(list(self.faults.values()), axis=0), dtype=np.bool_)


def chip_id(info: ArrayInfo) -> str:
    """Name of a chip in the record: its name and serial number."""
    return f"{info.name} {info.serial}"


class ChipRecord:
    """The record in one SQLite file, which is created if it does not exist.

    Raises:
        LogError: the file cannot be opened or written, or is something else.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with self._guard("opened"):
            self._db = sqlite3.connect(self.path, timeout=_WAIT, isolation_level=None)
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            tables = [name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            if version not in (0, _VERSION) or (version == 0 and tables):
                self._db.close()
                raise LogError(
                    f"{self.path} is not a chip record of version {_VERSION}; give another file, nothing was changed"
                )
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            if version == 0:
                with self._transaction():
                    if not self._db.execute("PRAGMA user_version").fetchone()[0]:
                        for statement in _SCHEMA.split(";"):
                            self._db.execute(statement)
                        self._db.execute(f"PRAGMA user_version = {_VERSION}")
            self._db.execute(_SURVEYS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def know(self, info: ArrayInfo) -> str:
        """Add a chip if it is new; returns its id.

        Raises:
            LogError: a chip of this id is there with another shape.
        """
        chip = chip_id(info)
        with self._guard("written"), self._transaction():
            self._db.execute(
                "INSERT OR IGNORE INTO chips VALUES (?, ?, ?, ?, ?, ?)",
                (chip, info.name, info.serial, info.rows, info.cols, _now()),
            )
        self._check_shape(chip, info)
        return chip

    def add_pulses(self, chip: str, pulses: Pulses) -> None:
        """Count one more pulse for every cell that `pulses` selects; it is on the disk when this returns."""
        now, width, kind = _now(), float(pulses.width), pulses.kind.value
        cells = np.argwhere(pulses.mask).tolist()
        with self._guard("written"), self._transaction():
            self._db.executemany(_ADD, [(chip, row, col, kind, width, now) for row, col in cells])

    def add_faults(self, chip: str, faults: dict[str, BoolArray], found_by: str) -> None:
        """Add faults by name, each with the cells that have it, (rows, cols)."""
        now = _now()
        rows = [
            (chip, int(row), int(col), fault, found_by, now, now)
            for fault, cells in faults.items()
            for row, col in np.argwhere(cells)
        ]
        with self._guard("written"), self._transaction():
            self._db.executemany(_FAULT, rows)

    def add_survey(self, chip: str, faults: dict[str, BoolArray], found_by: str) -> None:
        """Add that all cells of a chip were looked at, and the faults found, by name, (rows, cols)."""
        self.add_faults(chip, faults, found_by)
        with self._guard("written"), self._transaction():
            self._db.execute(_SURVEYED, (chip, found_by, _now()))

    def chips(self) -> list[str]:
        """Ids of all chips."""
        with self._guard("read"):
            return [chip for (chip,) in self._db.execute("SELECT chip FROM chips ORDER BY since, chip")]

    def wear(self, chip: str) -> Wear:
        """The pulses that a chip has received so far.

        Raises:
            LogError: no such chip.
        """
        with self._guard("read"):
            shape = self._db.execute("SELECT rows, cols FROM chips WHERE chip = ?", (chip,)).fetchone()
            if shape is None:
                raise LogError(f"{self.path} knows no chip {chip!r}; there are {', '.join(self.chips()) or 'none'}")
            found = self._db.execute("SELECT row, col, kind, count, seconds FROM pulses WHERE chip = ?", (chip,))
            counts = {kind: np.zeros(shape, dtype=np.int64) for kind in PulseKind}
            widths = {kind: np.zeros(shape) for kind in PulseKind}
            for row, col, kind, count, seconds in found:
                counts[PulseKind(kind)][row, col] = count
                widths[PulseKind(kind)][row, col] = seconds
        return Wear(counts, widths)

    def faults(self, chip: str) -> list[Fault]:
        """What was found wrong with a chip, oldest first."""
        with self._guard("read"):
            found = self._db.execute(
                "SELECT row, col, fault, found_by, first, last FROM faults WHERE chip = ? ORDER BY first, row, col",
                (chip,),
            )
            return [Fault(*row) for row in found]

    def known_cells(self, info: ArrayInfo) -> KnownCells:
        """What was found of the cells of an array's chip at any time; nothing of a chip that is not in the record.

        Raises:
            LogError: the chip is in the record with another shape.
        """
        chip = chip_id(info)
        if chip not in self.chips():
            return KnownCells.nothing(info.shape)
        self._check_shape(chip, info)
        cells = {fault: np.zeros(info.shape, dtype=np.bool_) for fault in IMMOVABLE}
        for fault in self.faults(chip):
            if fault.fault in IMMOVABLE:
                cells[fault.fault][fault.row, fault.col] = True
        with self._guard("read"):
            (last,) = self._db.execute("SELECT max(last) FROM surveys WHERE chip = ?", (chip,)).fetchone()
        return KnownCells(cells, last or "")

    def _check_shape(self, chip: str, info: ArrayInfo) -> None:
        with self._guard("read"):
            shape = self._db.execute("SELECT rows, cols FROM chips WHERE chip = ?", (chip,)).fetchone()
        if shape != info.shape:
            raise LogError(
                f"{self.path}: chip {chip!r} is recorded as {shape[0]}x{shape[1]}, this array is "
                f"{info.rows}x{info.cols}; give the chips different serial numbers"
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextmanager
    def _guard(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise LogError(
                f"chip record {self.path} cannot be {what}: {error}; no pulse is sent that is not recorded"
            ) from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
