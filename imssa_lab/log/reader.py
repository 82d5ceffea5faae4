"""`open_run`: a run file to read, while it is being written or afterwards."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import h5py

from imssa_lab.array_types import ArrayInfo, ColumnCalibration, Readout
from imssa_lab.errors import LogError
from imssa_lab.log.schema import FORMAT, FORMAT_VERSION, TABLES

if TYPE_CHECKING:
    from imssa_lab.log.replayed import Replayed


class Run:
    """A run file opened for reading; a context manager. Tables are read as they are needed."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path = path
        self._file = file

    @property
    def provenance(self) -> dict[str, str]:
        """What the caller recorded about the run."""
        return dict(json.loads(self._file.attrs["provenance"]))

    @property
    def closed_cleanly(self) -> bool:
        """False for a run that is still being written or was cut off."""
        return bool(self._file.attrs["closed_cleanly"])

    @property
    def infos(self) -> list[ArrayInfo]:
        """What the arrays of the run are."""
        groups = self._file["arrays"]
        return [ArrayInfo.model_validate_json(bytes(groups[str(i)]["info"][()])) for i in range(len(groups))]

    def calibration(self, index: int) -> ColumnCalibration | None:
        """The calibration that an array had when the run began."""
        group = self._file[f"arrays/{index}"]
        if "gain" not in group:
            return None
        return ColumnCalibration(
            group["gain"][()], group["offset"][()], group["residual"][()], str(group.attrs["calibration_date"])
        )

    def opened_at(self, index: int) -> float:
        """Device time of an array when the run began, s."""
        return float(self._file[f"arrays/{index}"].attrs["device_time"])

    def column(self, table: str, name: str, rows: slice | int | None = None) -> Any:
        """Rows of one dataset as numpy; None for all.

        Raises:
            LogError: the stored bytes are damaged; the dataset and rows are named.
        """
        try:
            return self._file[table][name][() if rows is None else rows]
        except OSError as error:
            raise LogError(
                f"{self.path}: /{table}/{name}, rows {rows}: damaged ({error}); the rest of the file stays readable"
            ) from error

    def readout(self, table: str, row: int, adc: bool) -> Readout:
        """What the converter gave for call number `row` of read_mvm or read_conductances."""
        first, count = int(self.column(table, "first", row)), int(self.column(table, "count", row))
        rows = slice(first, first + count)
        return Readout(self.column(table, "value", rows), self.column(table, "range", rows) if adc else None)

    def events(self, kind: str | None = None) -> list[tuple[str, str]]:
        """(kind, text) of the events in order, long texts put together again; of one kind if asked."""
        found: list[tuple[str, str]] = []
        text = b""
        names = ("kind", "part", "parts", "text")
        for label, part, parts, piece in zip(*(self.column("events", name) for name in names), strict=True):
            text = piece if part == 0 else text + piece
            if part == parts - 1:
                found.append((label.decode(), text.decode()))
        return [event for event in found if kind is None or event[0] == kind]

    def arrays(self) -> list[Replayed]:
        """Every array of the run as a `Replayed` one."""
        from imssa_lab.log.replayed import Replayed

        return [Replayed(self, index) for index in range(len(self.infos))]

    def summary(self) -> dict[str, str]:
        """The run in words: identity, arrays, how many calls of each kind, how it ended."""
        attributes = self._file.attrs
        infos = self.infos
        kinds = Counter(f"{info.name}, {info.rows}x{info.cols}" for info in infos)
        calls = {table: len(self.column(table, "seq")) for table in TABLES if "seq" in TABLES[table]}
        times = [self.column(table, "device_time") for table in TABLES if "device_time" in TABLES[table]]
        last = max((float(values.max()) for values in times if values.size), default=0.0)
        return {
            "created": str(attributes["created"]),
            "uuid": str(attributes["uuid"]),
            "arrays": ", ".join(f"{count} x {kind}" for kind, count in kinds.items()),
            **{table: str(count) for table, count in calls.items()},
            "device time of the longest array": f"{last:.1f} s",
            "closed cleanly": "yes" if self.closed_cleanly else "no: still running, or cut off",
            **{key: value if len(value) < 200 else value[:197] + "..." for key, value in self.provenance.items()},
        }

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_run(path: str | Path) -> Run:
    """Open a run file, also one that is being written or was cut off by a kill.

    Raises:
        LogError: no such file, not HDF5, truncated, not a run, another format version, or tables missing.
    """
    where = Path(path)
    if not where.is_file():
        raise LogError(f"{where}: no such file")
    file = _open(where)
    problem = _problem(file)
    if problem:
        file.close()
        raise LogError(f"{where}: {problem}")
    return Run(where, file)


def _open(where: Path) -> h5py.File:
    try:
        return h5py.File(where, "r", swmr=True)
    except OSError as swmr_error:
        try:
            return h5py.File(where, "r")
        except OSError as error:
            raise LogError(
                f"{where}: not a readable HDF5 file ({error}; as a running log: {swmr_error}); "
                "it may be truncated or no log at all"
            ) from error


def _problem(file: h5py.File) -> str:
    if file.attrs.get("format") != FORMAT:
        return f"an HDF5 file, but not an {FORMAT}"
    version = int(file.attrs["format_version"])
    if version != FORMAT_VERSION:
        return (
            f"format version {version}, this imssa_lab reads {FORMAT_VERSION}; "
            "open it with the version that wrote it (attribute 'versions')"
        )
    missing = [table for table in ("arrays", *TABLES) if table not in file]
    return f"groups missing: {', '.join(missing)}; the file was cut off while it was made" if missing else ""

