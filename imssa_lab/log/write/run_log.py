"""`RunLog`: one HDF5 file a run, written so that a kill loses nothing that was acknowledged.

SWMR from the start, everything created before, every record in the operating system's hands before the call returns.
`seq` is written last and on its own: a record exists once its number does, so that a kill in the middle of one
leaves no half. Nothing here makes a group, a dataset or an attribute while the file is written: HDF5 would take it,
and a kill would then cost the file.
"""

from __future__ import annotations

import json
import logging
import os
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.errors import LogError
from imssa_lab.contract.hal import ArrayInfo, CrossbarArray, FloatArray
from imssa_lab.contract.operating_system import POSITIONED
from imssa_lab.log.file.file_state import start_swmr
from imssa_lab.log.file.header import as_text, create_tables, dtypes_of, write_header
from imssa_lab.log.file.held_file import CutOff, HeldFile
from imssa_lab.log.file.nexus import create_entry
from imssa_lab.log.file.writer_presence import Attendance
from imssa_lab.log.read.overview import fill_overview
from imssa_lab.log.schema import LIBVER, MOST_LINES, SCALES, TABLES, TEXT_BYTES, parts
from imssa_lab.log.write.growing import Unfit
from imssa_lab.log.write.other_readings import MEASUREMENTS, PolledReaders, measurement
from imssa_lab.log.write.table_writer import Encoded, TableWriter
from imssa_lab.log.write.voltage_codes import VoltageCodes
from imssa_lab.log.write.wire_log import WireLog, WireMessage

_log = logging.getLogger(__name__)
_HDF5_ERRORS = (OSError, RuntimeError, ValueError)


class RunLog:
    """The log of one run; a context manager. Make one with `create`, or let `record` do it.

    Several threads may write; a record is whole before the next begins. `path` is the file, `opened_at` the device
    time of each array when the log was made, s.
    """

    def __init__(
        self,
        path: Path,
        file: h5py.File,
        datasets: dict[str, dict[str, h5py.Dataset]],
        opened_at: list[float],
        infos: Sequence[ArrayInfo],
        attendance: Attendance,
        *,
        fsync: bool = False,
    ) -> None:
        self.path, self.opened_at, self._infos = path, opened_at, infos
        self._file: h5py.File | None = file
        self._started = float(file.attrs["started"])
        self._held = HeldFile(path)
        past_hdf5 = self._held.handle if POSITIONED else None
        self._tables = {table: TableWriter(table, columns, past_hdf5) for table, columns in datasets.items()}
        self._codes = VoltageCodes([info.input_step for info in infos], datasets["read_mvm"]["voltage_code"].dtype)
        self._seq = 0
        self._unfinished: dict[int, int] = {}  # seq -> row of pulses not yet known to be done
        self._wires: list[WireLog] = []
        self._failure = ""
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._fsync = fsync
        self._readers = PolledReaders(self.append, self.note)
        self._attendance = attendance
        attendance.listen(lambda: self.note("make_safe_asked", "by a monitor"))

    @classmethod
    def create(
        cls,
        path: str | Path,
        arrays: Sequence[CrossbarArray],
        provenance: Mapping[str, object],
        *,
        fsync: bool = False,
    ) -> RunLog:
        """A new log for runs on `arrays`, which must be of one shape.

        Args:
            path: the new file; it must not exist, its folder must.
            arrays: their `info`, present `calibration` and `time` go into the file.
            provenance: what else to keep, as text (`header.as_text`): command, chip, bundle, station, seeds ...
            fsync: wait for the disk at every record, so that a power cut loses nothing either; some ms each.

        Raises:
            LogError: the file exists, its folder does not, or the arrays differ in shape or are too large.
        """
        where = Path(path)
        shapes = {array.info.shape for array in arrays}
        if len(shapes) != 1:
            listed = ", ".join(f"{array.info.name} {array.info.rows}x{array.info.cols}" for array in arrays)
            raise LogError(f"one log holds arrays of one shape, given: {listed or 'none'}; use a log for each shape")
        (shape,) = shapes
        if max(shape) > MOST_LINES:
            raise LogError(f"an array of {shape[0]}x{shape[1]}: a log numbers lines in 16 bits, {MOST_LINES} at most")
        if not where.parent.is_dir():
            raise LogError(f"{where}: the folder {where.parent} does not exist; make it first")
        try:
            # no chunk cache: what is written past HDF5 must be seen by a reader in this process too
            file = h5py.File(where, "x", libver=LIBVER, rdcc_nbytes=0)
        except FileExistsError as error:
            raise LogError(f"{where} exists; a log is never overwritten, choose another name") from error
        except OSError as error:
            raise LogError(f"{where} cannot be created: {error}; check rights and space") from error
        opened_at, infos = [array.time for array in arrays], [array.info for array in arrays]
        try:
            write_header(file, arrays, opened_at, provenance)
            datasets = create_tables(file, shape, dtypes_of(infos))
            create_entry(file, infos)
            start_swmr(file)
            attendance = Attendance(where)  # at once: others can read it now, and look for the process that writes it
        except BaseException as error:
            file.close()
            where.unlink()
            if isinstance(error, _HDF5_ERRORS):
                raise LogError(f"{where} cannot be written: {error}; check the disk") from error
            raise
        return cls(where, file, datasets, opened_at, infos, attendance, fsync=fsync)

    @property
    def next_seq(self) -> int:
        """Number that the next record will have."""
        return self._seq

    def check(self) -> None:
        """To be called before anything is sent to hardware.

        Raises:
            LogError: the log is closed, an earlier record could not be written, the file was moved or cut off, or
                the disk is full or gone.
        """
        self._check_writable()
        try:
            self._held.check_place()
        except OSError as error:
            raise self._failed(error) from error

    def _check_writable(self) -> None:
        """`check` without a look at whether the file is where it was."""
        if self._failure:
            raise LogError(self._failure)
        if self._file is None:
            raise LogError(f"{self.path}: the log is closed, so the array must not be used; open a new log")
        try:
            self._held.check_size()
            self._held.check_space()
        except OSError as error:
            raise self._failed(error) from error

    def append(self, table: str, values: Mapping[str, Any]) -> int:
        """Write one record and flush it.

        Args:
            table: one of the tables that have a `seq`.
            values: column name -> value; columns that count vectors, reads or cells take one row each. `seq`,
                `wall_time`, `first`, `count` and the like are filled in here.

        Returns:
            The number of the record.

        Raises:
            LogError: the file cannot take it (disk full, drive gone, log closed), or a value does not fit.
        """
        with self._lock:
            self._check_writable()
            seq, writer, several = self._seq, self._tables[table], parts(table)
            record = {"wall_time": time.time(), **values}
            if table == "read_mvm":
                record |= self._codes.columns(values["array"], values["voltage"])
            count = 1
            if several is not None:
                count = len(record[TABLES[table].signal])
                record |= {
                    "first": writer.rows[several],
                    "count": count,
                    SCALES[several]: np.full(count, seq, dtype=np.uint64),
                }
            self._commit(table, self._fitting(writer.encode, record), 1, count)
            if table == "pulses":
                self._unfinished[seq] = writer.rows["call"] - 1
            return seq

    def append_products(
        self, array: int, times: FloatArray, voltages: FloatArray, values: NDArray[Any], ranges: NDArray[np.uint8]
    ) -> None:
        """Write records of `read_mvm`, each as `append` would, and flush once; raises as `append`.

        Shapes: times (calls,), s; voltages (calls, vectors, rows), V; values and ranges (calls, vectors, cols).
        """
        with self._lock:
            self._check_writable()
            writer, (calls, vectors) = self._tables["read_mvm"], voltages.shape[:2]
            seqs = np.arange(self._seq, self._seq + calls, dtype=np.uint64)
            record = {
                "array": np.full(calls, array, dtype=np.uint16),
                "device_time": times,
                "wall_time": np.full(calls, time.time()),
                "first": (writer.rows["vector"] + vectors * np.arange(calls)).astype(np.uint64),
                "count": np.full(calls, vectors, dtype=np.uint32),
                "vector_call": np.repeat(seqs, vectors),
                **self._codes.columns(array, voltages.reshape(-1, voltages.shape[2])),
                "value": values.reshape(-1, values.shape[2]),
                "range": ranges.reshape(-1, ranges.shape[2]),
            }
            self._commit("read_mvm", self._fitting(writer.encode_many, record), calls, calls * vectors)

    def _commit(self, table: str, data: Encoded, calls: int, count: int) -> None:
        """Write the columns of whole records, `count` vectors, reads or cells in all, and their numbers last."""
        numbers = struct.pack(f"<{calls}Q", *range(self._seq, self._seq + calls))
        several = parts(table)
        more = {"call": calls} if several is None else {"call": calls, several: count}
        try:
            self._tables[table].write(data, numbers, more)
            if self._fsync:
                os.fsync(self._held.handle)
        except _HDF5_ERRORS as error:
            raise self._failed(error) from error
        self._held.wrote(data.size)
        self._seq += calls

    def mark_done(self, seq: int, device_time: float) -> None:
        """Note that the pulses of record `seq` were sent to the end, and when (device time, s).

        Raises:
            LogError: the file cannot take it.
        """
        with self._lock:
            self._check_writable()
            try:
                now = struct.pack("<d", device_time)
                self._tables["pulses"].set_later(self._unfinished.pop(seq), {"device_time": now, "done": b"\1"})
            except _HDF5_ERRORS as error:
                raise self._failed(error) from error

    def event(self, kind: str, text: object) -> None:
        """Write a text of any length; `kind` says what it is (at most 32 bytes).

        What is no text is written as `header.as_text` has it, what is no valid Unicode with backslashes.

        Raises:
            LogError: the kind is too long, the text holds a zero byte, or the file cannot take it.
        """
        said = as_text(text)
        if "\0" in kind + said:
            raise LogError(f"{self.path}: an event with a zero byte, which HDF5 would cut there; send JSON or a repr")
        data = said.encode(errors="backslashreplace")
        pieces = [data[start : start + TEXT_BYTES] for start in range(0, max(len(data), 1), TEXT_BYTES)]
        with self._lock:
            for number, piece in enumerate(pieces):
                values = {"part": number, "parts": len(pieces), "text": piece}
                self.append("events", {"kind": kind.encode(errors="backslashreplace"), **values})

    def note(self, kind: str, text: str) -> None:
        """`event` for moments in which nothing may fail, such as making an array safe: never raises."""
        try:
            self.event(kind, text)
        except LogError as error:
            _log.warning("not in the log: %s %s (%s)", kind, text, error)

    def measure(self, name: str, value: object, unit: str = "1") -> None:
        """Record what another instrument measured, such as ``measure("temperature", 296.2, "K")``.

        Raises:
            LogError: no real number, a name or unit that is too long, or the file cannot take it.
        """
        self.append(MEASUREMENTS, measurement(name, value, unit))

    def poll(
        self,
        name: str,
        read: Callable[[], object],
        unit: str | None = None,
        *,
        every_calls: int | None = None,
        every_seconds: float | None = None,
    ) -> None:
        """Read another instrument after every so many calls to the arrays, or after calls so many seconds apart.

        It is read in the thread of the call, when the call has ended. Where it fails, an event "reading failed" says
        so, and the run continues.

        Args:
            read: gives one number; a QCoDeS parameter is one such. unit: without it the attribute `unit` of `read`.

        Raises:
            LogError: both intervals or none, or a name or unit that is too long.
        """
        self._readers.add(name, read, unit, every_calls, every_seconds)

    def after_call(self) -> None:
        """To be called when a call to an array has ended and is recorded: reads what `poll` asked for."""
        self._readers.after_call()

    def wire(self, name: str) -> WireLog:
        """Where a link called `name` puts the bytes that it sends and receives; closes together with the log.

        Raises:
            LogError: the log is closed or cannot be written.
        """
        with self._lock:
            wire = WireLog(self.append_wire, len(self._wires))
            self.event("link", json.dumps({"link": wire.link, "name": name}))
            self._wires.append(wire)
        return wire

    def append_wire(self, messages: Sequence[WireMessage]) -> None:
        """Write messages in the order given, and flush once; for `WireLog`, from its own thread.

        Raises:
            LogError: the file cannot take them.
        """
        with self._lock:
            self.check()
            writer = self._tables["wire"]
            lengths = np.array([len(message.data) for message in messages], dtype=np.uint64)
            ends = np.cumsum(lengths, dtype=np.uint64) + np.uint64(writer.rows["byte"])
            times = np.array([message.time for message in messages]) - self._started
            data = {
                "data": b"".join([message.data for message in messages]),
                "direction": bytes(message.direction for message in messages),
                "link": np.array([message.link for message in messages], dtype="<u2").tobytes(),
                "offset": (ends - lengths).tobytes(),
                "length": lengths.tobytes(),
            }
            numbers = np.maximum(np.rint(times * 1e9), 0).astype(np.uint64).tobytes()
            more = {"message": len(messages), "byte": len(data["data"])}
            try:
                writer.write(writer.stored(data), numbers, more)
            except _HDF5_ERRORS as error:
                raise self._failed(error) from error
            self._held.wrote(len(data["data"]))

    def close(self) -> None:
        """End the run and mark the file as closed cleanly; a second call does nothing.

        Raises:
            LogError: the file cannot be written to the end; what was acknowledged is safe.
        """
        if os.getpid() != self._process:  # a forked child: the file is its parent's
            return
        for wire in self._wires:
            wire.close()
        with self._lock:
            if self._file is None:
                return
            file, self._file = self._file, None
            rows = {table: writer.rows for table, writer in self._tables.items()}
            try:
                try:
                    self._held.check_size()
                finally:
                    file.close()
                if not self._failure:
                    self._held.mark_closed(rows, lambda file: fill_overview(file, self._infos, rows))
            except _HDF5_ERRORS as error:
                raise self._failed(error) from error
            finally:
                self._attendance.end()
                self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fitting(self, encode: Callable[[Mapping[str, Any]], Encoded], record: Mapping[str, Any]) -> Encoded:
        try:
            return encode(record)
        except Unfit as error:
            text = f"{self.path}: {error}"
            # it was measured and is lost: the record has a hole from here on
            if error.column.endswith(("/value", "/range")):
                self._failure = text = f"{text}; the array's info is wrong about its ADC, nothing more is sent"
            raise LogError(text) from error

    def _failed(self, error: Exception) -> LogError:
        so_far = "what lay behind is lost" if isinstance(error, CutOff) else "what was acknowledged so far is safe"
        self._failure = (
            f"{self.path}: the log cannot be written ({error}); nothing more is sent to the array. "
            f"Check the disk; {so_far}"
        )
        return LogError(self._failure)
