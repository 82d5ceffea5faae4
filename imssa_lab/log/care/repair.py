"""`repair`: a file that a kill left behind becomes one that every HDF5 program opens.

A kill leaves the file marked as being written, with rows prepared for records that never came. The repair works on a
copy: it takes the mark away (superblock of version 3: flags in byte 11, end of file in bytes 28 to 35, lookup3 over
the first 44 bytes in bytes 44 to 47), takes back a chunk that was being written over, cuts all datasets to the whole
records, verifies the copy, and only then replaces the file by it.
"""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np

from imssa_lab.contract.array_types import ArrayInfo
from imssa_lab.contract.errors import LogError
from imssa_lab.contract.operating_system import LOCKS, lock, open_file, read_at, write_at
from imssa_lab.log.care.verify import Verification, verify
from imssa_lab.log.file.attributes import text_attribute
from imssa_lab.log.file.checksum import lookup3
from imssa_lab.log.file.chunks import scan, without_unfinished
from imssa_lab.log.file.file_state import HDF5_ERRORS, marks_of
from imssa_lab.log.file.header import REPAIRED_BYTES, trim
from imssa_lab.log.file.writer_presence import Presence, presence, session_file
from imssa_lab.log.read.overview import fill_overview
from imssa_lab.log.run import Run, open_run
from imssa_lab.log.schema import LIBVER, TABLES, commit_column

_SUPERBLOCK = 48


@dataclass
class Repair:
    """What a repair did.

    Attributes:
        records: whole records, numbered 0 to records - 1; by_table: how many of them in each table.
        taken_back: chunks that were being written when the run ended, put back to what they held before.
        verification: of the file as it is now; original: where the file as it was lies, None if it is gone.
        needed: false if the file was not cut off, so that nothing was done.
    """

    path: Path
    needed: bool = True
    by_table: dict[str, int] = field(default_factory=dict)
    taken_back: list[str] = field(default_factory=list)
    verification: Verification | None = None
    original: Path | None = None

    @property
    def good(self) -> bool:
        """Whether the file is whole now: what a repair cannot mend is in `verification`."""
        return self.verification is None or self.verification.good

    @property
    def records(self) -> int:
        """Whole records that the file holds."""
        return sum(count for table, count in self.by_table.items() if "seq" in TABLES[table])

    def __str__(self) -> str:
        tables = ", ".join(f"{count} {table}" for table, count in self.by_table.items() if count)
        last = f"salvaged to record {self.records - 1}" if self.records else "no record had been written"
        if self.needed:
            return f"{last} ({tables or 'all tables empty'})"
        return f"whole already ({tables})" if self.good else "not cut off, but damaged, which no repair can mend"


def repair(path: str | Path, *, keep: bool = False) -> Repair:
    """Make a run file that was cut off plain-readable, in place.

    Args:
        keep: leave the file as it was beside it, with ``.before-repair`` behind its name. It is left there in any
            case when the repaired file does not verify.

    Raises:
        LogError: another program is writing the file, it is no HDF5 file, no space for the copy, or HDF5 cannot
            read it even then; the file is as it was.
    """
    where = Path(path)
    marks_of(where)  # a file, and of HDF5
    if _whole(where):
        checked = verify(where)
        result = _describe(where, needed=False) if checked.good else Repair(where, needed=False)
        result.verification = checked
        return result
    with _alone(where):
        copy = where.with_name(f"{where.name}.repairing")
        try:
            shutil.copyfile(where, copy)
            _clear_marks(copy)
            taken_back = _take_back(copy)
            with open_run(copy) as run:
                infos = _infos(run)
                rows = {t: {c.per: run.rows(t, name) for name, c in TABLES[t].items()} for t in TABLES}
            result = _describe(copy, needed=True)
            result.path, result.taken_back = where, taken_back
            with h5py.File(copy, "r+", libver=LIBVER) as file:
                trim(file, rows)
                fill_overview(file, infos, rows)
                if "repaired" in file.attrs:
                    text = f"{datetime.now(UTC).isoformat(timespec='seconds')}: {result}".encode()[:REPAIRED_BYTES]
                    file.attrs.modify("repaired", np.array(text, dtype=h5py.string_dtype("utf-8", REPAIRED_BYTES)))
            result.verification = verify(copy)
            with copy.open("rb") as written:
                os.fsync(written.fileno())
            if keep or not result.verification.good:
                result.original = where.with_name(f"{where.name}.before-repair")
                os.link(where, result.original)
            os.replace(copy, where)
            session_file(where).unlink(missing_ok=True)
        except LogError as error:
            raise LogError(str(error).replace(str(copy), str(where))) from error
        except HDF5_ERRORS as error:
            raise LogError(f"{where} cannot be repaired ({error}); it is as it was") from error
        finally:
            copy.unlink(missing_ok=True)
    return result


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the file against every other program; where there are no locks, see that none says it is writing it."""
    in_use = f"{path} is being used by another program; repair it when that has ended"
    try:
        handle = open_file(path, os.O_RDWR)
    except OSError as error:
        raise LogError(f"{path} cannot be opened for writing: {error.strerror}; nothing was changed") from error
    if not LOCKS:
        os.close(handle)  # Windows replaces no file that is open
        if presence(path) is Presence.THERE:
            raise LogError(in_use)
        yield
        return
    try:
        lock(handle, shared=False)
        yield
    except BlockingIOError as error:
        raise LogError(in_use) from error
    finally:
        os.close(handle)


def _whole(path: Path) -> bool:
    with path.open("rb") as raw:
        start = raw.read(_SUPERBLOCK)
    if len(start) < _SUPERBLOCK or start[11] & 0b101:
        return False
    try:
        with h5py.File(path, "r", locking=False) as file:
            return bool(file.attrs["closed_cleanly"]) or bool(text_attribute(file, "repaired"))
    except HDF5_ERRORS:
        return False


def _infos(run: Run) -> list[ArrayInfo]:
    """None where they are damaged, which the verification then says."""
    try:
        return run.infos
    except LogError:
        return []


def _describe(path: Path, *, needed: bool) -> Repair:
    with open_run(path) as run:
        return Repair(path, needed, {table: run.records(table) for table in TABLES})


def _clear_marks(path: Path) -> None:
    with path.open("r+b") as raw:
        start = bytearray(raw.read(_SUPERBLOCK))
        if len(start) < _SUPERBLOCK or not start.startswith(b"\x89HDF\r\n\x1a\n"):
            raise LogError(f"{path}: not an HDF5 file, so not a log either")
        if start[8] != 3:
            raise LogError(f"{path}: superblock of version {start[8]}, a log has version 3; nothing was changed")
        start[11] = 0
        start[28:36] = struct.pack("<Q", path.stat().st_size)
        start[44:48] = struct.pack("<I", lookup3(bytes(start[:44])))
        raw.seek(0)
        raw.write(start)


def _take_back(path: Path) -> list[str]:
    """Undo what a kill left half written over: a chunk must agree with its checksum without the unfinished rows."""
    done: list[str] = []
    with path.open("r+b", buffering=0) as raw:
        # first the columns that say how many records there are
        for commit in (True, False):
            with open_run(path) as run:
                for table, columns in TABLES.items():
                    for name in columns:
                        if (name == commit_column(table)) != commit or f"{table}/{name}" not in run.file:
                            continue
                        dataset = run.file[table][name]
                        # what is being finished in its last row, such as `done`, may be half written as well
                        rows = None if commit else run.rows(table, name)
                        for chunk in scan(dataset, raw.fileno()):
                            if chunk.intact:
                                continue
                            stored = read_at(raw.fileno(), chunk.size, chunk.byte_offset)
                            mended = without_unfinished(dataset, stored, None if rows is None else rows - chunk.first)
                            if mended is not None:
                                write_at(raw.fileno(), mended, chunk.byte_offset)
                                done.append(f"/{table}/{name}, rows {chunk.first} to {chunk.stop - 1}")
    return done
