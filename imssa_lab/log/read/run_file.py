"""`RunFile`: what a run file stores, column by column, while it is being written or afterwards."""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from imssa_lab.contract.array_types import ArrayInfo, ColumnCalibration, PulseKind, Pulses, Readout
from imssa_lab.contract.errors import LimitError, LogError
from imssa_lab.contract.notebook import facts_html
from imssa_lab.log.file.attributes import text_attribute
from imssa_lab.log.file.chunks import mended_rows
from imssa_lab.log.file.file_state import HDF5_ERRORS, marks_of
from imssa_lab.log.file.header import sha256
from imssa_lab.log.file.live_dataset import ask
from imssa_lab.log.file.named_damage import members_name_damage
from imssa_lab.log.schema import NO_RECORD, PULSE_KINDS, TABLES, commit_column, parts

_LOOK_BACK = 256


@members_name_damage
class RunFile:
    """The stored columns, events and descriptions of a run file; a context manager. Columns are read when needed."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path = path
        self._file = file
        self._held: dict[tuple[str, str], NDArray[Any] | None] = {}
        self._exact = bool(file.attrs["closed_cleanly"])

    @property
    def file(self) -> h5py.File:
        """The HDF5 file, to read what has no method of its own.

        Raises:
            LogError: it was closed.
        """
        if not self._file:
            raise LogError(f"{self.path} is closed; open it again with open_run")
        return self._file

    @property
    def provenance(self) -> dict[str, str]:
        """What the caller recorded about the run."""
        return dict(json.loads(self._long_text("/", "provenance")))

    @property
    def environment(self) -> dict[str, Any]:
        """What the computer knew of itself when the run began; empty in old files."""
        return dict(json.loads(self._text("/", "environment"))) if "environment" in self._file.attrs else {}

    @property
    def repaired(self) -> str:
        """What a repair said about the run; empty without one."""
        return self._text("/", "repaired") if "repaired" in self._file.attrs else ""

    @property
    def closed_cleanly(self) -> bool:
        """False for a run that is still being written or was cut off."""
        return bool(self._file.attrs["closed_cleanly"])

    @cached_property
    def infos(self) -> list[ArrayInfo]:
        """What the arrays of the run are.

        Raises:
            LogError: a description cannot be read.
        """
        try:
            return [
                ArrayInfo.model_validate_json(self._long_text(f"arrays/{index}", "info"))
                for index in range(len(self._file["arrays"]))
            ]
        except ValidationError as error:
            raise LogError(f"{self.path}: /arrays cannot be read ({error}); another imssa_lab wrote it") from error

    def calibration(self, index: int) -> ColumnCalibration | None:
        """The calibration that an array had when the run began; LogError where the file's is damaged."""
        group = self._file[f"arrays/{index}"]
        if "gain" not in group:
            return None
        try:
            gain, offset, residual = (group[name][()] for name in ("gain", "offset", "residual"))
            return ColumnCalibration(gain, offset, residual, self._text(f"arrays/{index}", "calibration_date"))
        except (*HDF5_ERRORS, LimitError) as error:
            raise LogError(f"{self.path}: /arrays/{index}: calibration damaged ({error})") from error

    def opened_at(self, index: int) -> float:
        """Device time of an array when the run began, s."""
        return float(self._file[f"arrays/{index}"].attrs["device_time"])

    def records(self, table: str) -> int:
        """How many records (messages of the wire) a table holds; of a running log, up to now."""
        if self._lacks(table):
            return 0
        end = int(ask(self.file, table, commit_column(table), lambda dataset: dataset.shape[0]))
        if self._exact:
            return end
        while end > 0:  # datasets grow by steps: NO_RECORD follows the last record
            start = max(end - _LOOK_BACK, 0)
            there = np.count_nonzero(self._read(table, commit_column(table), slice(start, end)) != NO_RECORD)
            if there:
                return start + int(there)
            end = start
        return 0

    def column(self, table: str, name: str, rows: slice | int | None = None) -> Any:
        """Rows of one dataset as numpy; None for all that belong to whole records.

        Raises:
            LogError: the stored bytes are damaged or cut off; the dataset and the first bad row are named. Or there
                is no row of that number (yet).
        """
        if self._lacks(table):
            column = TABLES[table][name]
            return np.zeros(0, "f8" if column.dtype == "code" else column.dtype)
        if isinstance(rows, int) and rows >= 0 and self._file:
            held = self._hold(table, name, rows)
            if held is not None:
                return held[rows]
            # datasets of a running log grow by steps: what lies behind the records is no record
            if rows >= (there := self.rows(table, name)):
                raise LogError(
                    f"{self.path}: /{table}/{name} has {there} rows, numbered from 0; row {rows} was asked"
                )
        chosen = slice(0, self.rows(table, name)) if rows is None else rows
        if any(column.behind == name for column in TABLES[table].values()):
            return self._voltages(chosen)
        return self._read(table, name, chosen)

    def stored_column(self, table: str, name: str, rows: slice) -> Any:
        """Rows of one dataset as they stand in it, also where `column` finds them in another one; raises as that."""
        return self._read(table, name, rows)

    def _voltages(self, rows: slice | int) -> Any:
        """Voltages of products, V, (vectors, rows): as such or from their codes, in the same bits."""
        if isinstance(rows, int):
            rows = rows + self.rows("read_mvm", "voltage") if rows < 0 else rows
            return self._voltages(slice(rows, rows + 1))[0]
        if "read_mvm/voltage_step" not in self.file:  # format 2
            return self._read("read_mvm", "voltage", rows)
        first, stop, _ = rows.indices(self.rows("read_mvm", "voltage"))
        steps = self._read("read_mvm", "voltage_step", slice(first, stop))
        volts = np.zeros((len(steps), *self.file["read_mvm/voltage"].shape[1:]))
        # a dataset ends with the last row that it holds something for
        for name, here in (("voltage", np.flatnonzero(steps == 0)), ("voltage_code", np.flatnonzero(steps))):
            if here.size:
                low, high = int(here[0]), int(here[-1]) + 1
                values = self._read("read_mvm", name, slice(first + low, first + high))[here - low]
                volts[here] = values if name == "voltage" else values * steps[here, None]
        return volts

    def _lacks(self, table: str) -> bool:
        """Whether the file was written before there was such a table."""
        return not TABLES[table].required and table not in self.file

    def _mended(self, table: str, name: str, rows: slice | int) -> Any:
        """The rows of a file that a kill cut off in the middle of a chunk; None if there is more wrong than that."""
        end = None if name == commit_column(table) else self.rows(table, name)
        block = ask(self.file, table, name, lambda dataset: mended_rows(dataset, self.path, rows, end))
        return block if block is None or isinstance(rows, slice) else block[0]

    def _hold(self, table: str, name: str, row: int) -> NDArray[Any] | None:
        """A column of plain numbers, read once: a replay asks for them row by row. None if it cannot be kept."""
        column, running = TABLES[table][name], self._file.swmr_mode
        if column.per != "call" or column.dims or (running and table == "pulses" and name in ("done", "device_time")):
            return None
        held = self._held.get((table, name))
        if (table, name) not in self._held or (running and held is not None and row >= len(held)):
            try:
                held = self._read(table, name, slice(0, self.rows(table, name)))
            except LogError:
                held = None
            self._held[table, name] = held
        return held if held is not None and row < len(held) else None

    def _read(self, table: str, name: str, rows: slice | int) -> Any:
        for patience in (0.001, 0.003, 0.01, 0.03, 0.0):
            try:
                return ask(self.file, table, name, lambda dataset: _announced(dataset, rows)[rows])
            except HDF5_ERRORS as error:
                if self._file.swmr_mode and patience:  # met the writer in the middle of a chunk
                    time.sleep(patience)
                    continue
                mended = self._mended(table, name, rows) if self._file.swmr_mode else None
                if mended is not None:
                    return mended
                bad = ask(self.file, table, name, lambda dataset: _first_bad(dataset, rows))
                raise LogError(
                    f"{self.path}: /{table}/{name}, row {bad}: damaged ({error}); the rest of the file stays readable"
                ) from error
        raise AssertionError("the last round returns or raises")

    @property
    def uuid(self) -> str:
        """The identifier of this run."""
        return self._text("/", "uuid")

    @property
    def created(self) -> datetime:
        """When the run began, UTC."""
        return datetime.fromisoformat(self._text("/", "created"))

    def pulses(self, row: int) -> Pulses:
        """The pulses of record `row`, as the array was asked for them.

        Raises:
            LogError: damaged, or no pulses that the array could be asked for.
        """
        first, count, kind, width = (self.column("pulses", name, row) for name in ("first", "count", "kind", "width"))
        cells = slice(int(first), int(first) + int(count))
        word_lines, bit_lines = (self.column("pulses", name, cells) for name in ("row", "col"))
        maps = np.full((2, *self.infos[0].shape), np.nan)
        try:
            for values, name in zip(maps, ("voltage", "gate"), strict=True):
                values[word_lines, bit_lines] = self.column("pulses", name, cells)
            return Pulses(PulseKind(PULSE_KINDS[int(kind)]), maps[0], maps[1], float(width))
        except (IndexError, LimitError) as error:
            raise LogError(
                f"{self.path}: /pulses, row {row}: not what an array can be asked for ({error})"
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
        rows = slice(0, self.records("events"))
        columns = (self.column("events", name, rows) for name in ("seq", "kind", "part", "parts", "text"))
        for seq, label, part, count, piece in zip(*columns, strict=True):
            text = (b"" if part == 0 else text) + piece
            if part == count - 1:
                found.append((int(seq), label.decode(), text.decode()))
        return found

    def device_time(self) -> float:
        """The last device time of any array, s; 0 where there is none."""
        times = [self.column(table, "device_time") for table in TABLES if "device_time" in TABLES[table]]
        return float(max(np.nanmax(values, initial=0.0) for values in times))

    def summary(self) -> dict[str, str]:
        """The run in words: identity, arrays, how many records of each kind, how it ended."""
        kinds = Counter(f"{info.name} ({info.serial}), {info.rows}x{info.cols}" for info in self.infos)
        sent = self.column("pulses", "done")
        return {
            "file": str(self.path),
            "created": self._text("/", "created"),
            "uuid": self._text("/", "uuid"),
            "written by": f"imssa_lab {self._text('/', 'imssa_lab')}",
            "arrays": ", ".join(f"{count} x {kind}" for kind, count in kinds.items()),
            **{table: str(self.records(table)) for table in TABLES if "seq" in TABLES[table]},
            "pulses not known to be complete": str(int(np.count_nonzero(sent == 0))),
            "last device time": f"{self.device_time():.3f} s",
            "closed cleanly": "yes" if self.closed_cleanly else "no: still running, or cut off",
            **({"repaired": self.repaired} if self.repaired else {}),
            **{key: value if len(value) < 200 else value[:197] + "..." for key, value in self.provenance.items()},
        }

    def _repr_html_(self) -> str:
        """For notebooks: the summary; green once it was closed cleanly."""
        return facts_html("run", self.summary().items(), self.closed_cleanly)

    def marks(self) -> int:
        """The consistency flags that the file carries now: 0 none, 5 SWMR writer (or its kill), 1 being closed."""
        return marks_of(self.path)

    def close(self) -> None:
        """Close the file; its arrays cannot answer any more."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def rows(self, table: str, name: str) -> int:
        """Rows of a dataset that belong to whole records: the number of a record is written last."""
        records, per = self.records(table), TABLES[table][name].per
        if per not in (parts(table), "byte") or records == 0:
            return records
        first, count = ("offset", "length") if per == "byte" else ("first", "count")
        return int(self.column(table, first, records - 1)) + int(self.column(table, count, records - 1))

    def _text(self, group: str, name: str) -> str:
        try:
            text = text_attribute(self._file[group], name)
        except UnicodeDecodeError as error:
            raise LogError(f"{self.path}: attribute {name} of {group} is damaged ({error})") from error
        except HDF5_ERRORS as error:
            raise LogError(f"{self.path}: attribute {name} of {group} is missing or damaged ({error})") from error
        if text is None:
            raise LogError(f"{self.path}: attribute {name} of {group} is missing or no text")
        return text

    def _long_text(self, group: str, name: str) -> str:
        """A text that HDF5 may keep outside its checksummed headers, and that has a checksum of its own."""
        text = self._text(group, name)
        if f"{name}_sha256" in self._file[group].attrs and sha256(text) != self._text(group, f"{name}_sha256"):
            raise LogError(f"{self.path}: attribute {name} of {group} is damaged: its sha256 does not agree")
        return text


def _announced(dataset: h5py.Dataset, rows: slice | int) -> h5py.Dataset:
    """The dataset, which must hold these rows."""
    end = rows.stop if isinstance(rows, slice) else None
    if end is not None and end > dataset.shape[0]:
        raise LogError(f"{dataset.file.filename}: {dataset.name} ends at row {dataset.shape[0]}, {end} are announced")
    return dataset


def _first_bad(dataset: h5py.Dataset, rows: slice | int) -> int:
    if isinstance(rows, int):
        return rows
    for row in range(*rows.indices(dataset.shape[0])):
        try:
            dataset[row]
        except HDF5_ERRORS:
            return row
    return rows.start or 0
