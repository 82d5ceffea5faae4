"""`open_run`: a run file to read, while it is being written or afterwards."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import h5py
import numpy as np
from pydantic import ValidationError

from imssa_lab.array_types import ArrayInfo, ColumnCalibration, Readout
from imssa_lab.errors import LogError
from imssa_lab.log.schema import FORMAT, FORMAT_VERSION, TABLES, parts

if TYPE_CHECKING:
    from imssa_lab.log.replayed import Replayed

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_OPEN_FOR_WRITING = 0b101  # consistency flags of the superblock: being written, by a SWMR writer
_HDF5_ERRORS = (OSError, RuntimeError, ValueError, KeyError)


class Run:
    """A run file opened for reading; a context manager. Tables are read as they are needed."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path = path
        self._file = file

    @property
    def provenance(self) -> dict[str, str]:
        """What the caller recorded about the run."""
        return dict(json.loads(self._text("/", "provenance")))

    @property
    def closed_cleanly(self) -> bool:
        """False for a run that is still being written or was cut off."""
        return bool(self._file.attrs["closed_cleanly"])

    @property
    def infos(self) -> list[ArrayInfo]:
        """What the arrays of the run are.

        Raises:
            LogError: a description cannot be read.
        """
        try:
            return [
                ArrayInfo.model_validate_json(self._text(f"arrays/{index}", "info"))
                for index in range(len(self._file["arrays"]))
            ]
        except ValidationError as error:
            raise LogError(f"{self.path}: /arrays cannot be read ({error}); another imssa_lab wrote it") from error

    def calibration(self, index: int) -> ColumnCalibration | None:
        """The calibration that an array had when the run began."""
        group = self._file[f"arrays/{index}"]
        if "gain" not in group:
            return None
        try:
            gain, offset, residual = (group[name][()] for name in ("gain", "offset", "residual"))
        except _HDF5_ERRORS as error:
            raise LogError(f"{self.path}: /arrays/{index}: calibration damaged ({error})") from error
        return ColumnCalibration(gain, offset, residual, self._text(f"arrays/{index}", "calibration_date"))

    def opened_at(self, index: int) -> float:
        """Device time of an array when the run began, s."""
        return float(self._file[f"arrays/{index}"].attrs["device_time"])

    def records(self, table: str) -> int:
        """How many records a table holds; of a running log, up to now."""
        return int(self._dataset(table, "seq").shape[0]) if "seq" in TABLES[table] else 0

    def column(self, table: str, name: str, rows: slice | int | None = None) -> Any:
        """Rows of one dataset as numpy; None for all that belong to whole records.

        Raises:
            LogError: the stored bytes are damaged or cut off; the dataset and the first bad row are named.
        """
        dataset = self._dataset(table, name)
        if rows is None:
            rows = slice(0, self._whole(table, name))
        if isinstance(rows, slice) and rows.stop is not None and rows.stop > dataset.shape[0]:
            raise LogError(f"{self.path}: /{table}/{name} ends at row {dataset.shape[0]}, {rows.stop} are announced")
        try:
            return dataset[rows]
        except _HDF5_ERRORS as error:
            raise LogError(
                f"{self.path}: /{table}/{name}, row {_first_bad(dataset, rows)}: damaged ({error}); "
                "the rest of the file stays readable"
            ) from error

    def readout(self, table: str, row: int, adc: bool) -> Readout:
        """What the converter gave for record `row` of read_mvm or read_conductances."""
        first, count = int(self.column(table, "first", row)), int(self.column(table, "count", row))
        rows = slice(first, first + count)
        values = self.column(table, "value", rows)
        if not adc:
            return Readout(values)
        # beside an array without ADC, codes are kept as floats, which hold them exactly
        codes = values.astype(np.int32) if values.dtype.kind == "f" else values
        return Readout(codes, self.column(table, "range", rows))

    def events(self, kind: str | None = None) -> list[tuple[str, str]]:
        """(kind, text) of the events in order, long texts put together again; of one kind if asked."""
        return [(label, text) for _, label, text in self.numbered_events() if kind in (None, label)]

    def numbered_events(self) -> list[tuple[int, str, str]]:
        """(seq, kind, text) of the events in order; the number is that of the last record of a long text."""
        found: list[tuple[int, str, str]] = []
        text = b""
        names = ("seq", "kind", "part", "parts", "text")
        for seq, label, part, count, piece in zip(*(self.column("events", name) for name in names), strict=True):
            text = (b"" if part == 0 else text) + piece
            if part == count - 1:
                found.append((int(seq), label.decode(), text.decode()))
        return found

    def arrays(self) -> list[Replayed]:
        """Every array of the run as a `Replayed` one."""
        from imssa_lab.log.replayed import Replayed

        return [Replayed(self, index) for index in range(len(self.infos))]

    def summary(self) -> dict[str, str]:
        """The run in words: identity, arrays, how many records of each kind, how it ended."""
        kinds = Counter(f"{info.name} ({info.serial}), {info.rows}x{info.cols}" for info in self.infos)
        times = [self.column(table, "device_time") for table in TABLES if "device_time" in TABLES[table]]
        last = max((float(values.max()) for values in times if values.size), default=0.0)
        sent = self.column("pulses", "done")
        return {
            "file": str(self.path),
            "created": self._text("/", "created"),
            "uuid": self._text("/", "uuid"),
            "written by": f"imssa_lab {self._text('/', 'imssa_lab')}",
            "arrays": ", ".join(f"{count} x {kind}" for kind, count in kinds.items()),
            **{table: str(self.records(table)) for table in TABLES if "seq" in TABLES[table]},
            "pulses not known to be complete": str(int(np.count_nonzero(sent == 0))),
            "last device time": f"{last:.3f} s",
            "closed cleanly": "yes" if self.closed_cleanly else "no: still running, or cut off",
            **{key: value if len(value) < 200 else value[:197] + "..." for key, value in self.provenance.items()},
        }

    def close(self) -> None:
        """Close the file; its arrays cannot answer any more."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _dataset(self, table: str, name: str) -> h5py.Dataset:
        if not self._file:
            raise LogError(f"{self.path} is closed; open it again with open_run")
        try:
            dataset = self._file[table][name]
            if self._file.swmr_mode:
                dataset.refresh()
        except _HDF5_ERRORS as error:
            raise LogError(f"{self.path}: /{table}/{name}: missing or damaged ({error})") from error
        return dataset

    def _whole(self, table: str, name: str) -> int:
        """Rows that belong to whole records: `seq` is written last, so a kill may leave more of the others."""
        records = self.records(table)
        if TABLES[table][name].per != parts(table):
            return records if "seq" in TABLES[table] else int(self._dataset(table, name).shape[0])
        if records == 0:
            return 0
        return int(self.column(table, "first", records - 1)) + int(self.column(table, "count", records - 1))

    def _text(self, group: str, name: str) -> str:
        try:
            return bytes(self._file[group].attrs[name]).decode()
        except _HDF5_ERRORS as error:
            raise LogError(f"{self.path}: attribute {name} of {group} is missing or damaged ({error})") from error


def open_run(path: str | Path) -> Run:
    """Open a run file, also one that is being written or was cut off by a kill.

    Raises:
        LogError: no such file, not HDF5, truncated, not a run, another format version, or tables missing.
    """
    where = Path(path)
    try:
        with where.open("rb") as raw:
            start = raw.read(12)
    except OSError as error:
        raise LogError(f"{where} cannot be read: {error.strerror}") from error
    if not start.startswith(_SIGNATURE):
        raise LogError(f"{where}: not an HDF5 file, so not a log either")
    unfinished = len(start) == 12 and bool(start[11] & _OPEN_FOR_WRITING)
    try:
        file = h5py.File(where, "r", swmr=unfinished)
    except OSError as error:
        raise LogError(f"{where}: HDF5 cannot open it ({error}); truncated or damaged: use a copy") from error
    try:
        problem = _problem(file)
    except _HDF5_ERRORS as error:
        problem = f"damaged ({error})"
    if problem:
        file.close()
        raise LogError(f"{where}: {problem}")
    return Run(where, file)


def _problem(file: h5py.File) -> str:
    if bytes(file.attrs.get("format", b"")) != FORMAT.encode():
        return f"an HDF5 file, but not an {FORMAT}"
    version = int(file.attrs.get("format_version", 0))
    if version != FORMAT_VERSION:
        return (
            f"format version {version}, this imssa_lab understands {FORMAT_VERSION} only; "
            "open it with the imssa_lab that wrote it (attribute imssa_lab)"
        )
    wanted = ["arrays", *(f"{table}/{name}" for table, columns in TABLES.items() for name in columns)]
    missing = [name for name in wanted if name not in file]
    return f"missing: {', '.join(missing)}; the file was cut off while it was made" if missing else ""


def _first_bad(dataset: h5py.Dataset, rows: slice | int) -> int:
    if isinstance(rows, int):
        return rows
    for row in range(*rows.indices(dataset.shape[0])):
        try:
            dataset[row]
        except _HDF5_ERRORS:
            return row
    return rows.start or 0
