"""`snapshot`: a copy of a run file that is whole, also of one that is being written.

A plain copy of a running file is damaged as often as not: HDF5's account of its chunks and the chunks themselves are
written while it is read. Here the records are read as any reader sees them, up to the last one before which none is
missing. Whole chunks are taken as they are stored, with their checksums; the rest is stored again.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from imssa_lab.contract.errors import LogError
from imssa_lab.contract.operating_system import open_file, read_at
from imssa_lab.log.care.verify import Verification, verify
from imssa_lab.log.file.attributes import set_text, text_attribute
from imssa_lab.log.file.checksum import intact
from imssa_lab.log.file.file_state import HDF5_ERRORS
from imssa_lab.log.file.header import REPAIRED_BYTES, create_tables, dtypes_of, sha256
from imssa_lab.log.file.live_dataset import ask
from imssa_lab.log.file.nexus import create_entry
from imssa_lab.log.read.overview import fill_overview
from imssa_lab.log.run import Run, open_run
from imssa_lab.log.schema import LIBVER, TABLES, parts

_EDITED = ("environment", "provenance", "info")
_TRIES = 50
_PAUSE = 0.002  # s
Rows = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Snapshot:
    """What was copied: whole records (numbers 0 to records - 1), messages of the wire, and what `verify` says."""

    path: Path
    records: int
    messages: int
    verification: Verification


def snapshot(path: str | Path, to: str | Path, *, packed: bool = False) -> Snapshot:
    """Copy a run file, running, cut off or finished; the copy is verified and opens with every HDF5 program.

    It holds every record that was acknowledged before the call. The copy of a running run is marked as not closed
    cleanly, and its attribute `repaired` says when it was taken.

    Args:
        packed: compress all of it, as a file can be that nobody writes any more; it takes about a third of the space.

    Raises:
        LogError: there is a file of that name, the run is damaged, or the copy cannot be written or does not verify.
    """

    def plain(run: Run, target: Path) -> None:
        if run.closed_cleanly and not packed:
            shutil.copyfile(run.path, target)
        else:
            copy_records(run, target, packed=packed)

    return verified_copy(Path(path), Path(to), plain)


def pack(path: str | Path) -> None:
    """Compress a finished run file, which a verified copy with every record replaces at the end.

    Raises:
        LogError: as `snapshot`, or the file is in use (Windows); it is as it was then.
    """
    where = Path(path)
    packed = where.with_name(f"{where.name}.packed")
    snapshot(where, packed, packed=True)
    try:
        os.replace(packed, where)
    except OSError as error:
        packed.unlink()
        raise LogError(f"{where}: cannot be replaced by its packed copy ({error}); it is as it was") from error


def verified_copy(where: Path, target: Path, make: Callable[[Run, Path], None]) -> Snapshot:
    """What `make` makes of a run at a path beside the target, put into its place when it verifies.

    Raises:
        LogError: as `snapshot`.
    """
    if target.exists():
        raise LogError(f"{target} exists; nothing was overwritten, choose another name")
    if not target.parent.is_dir():
        raise LogError(f"{target}: the folder {target.parent} does not exist; make it first")
    under_way = target.with_name(f"{target.name}.copying")
    try:
        with open_run(where) as run:
            make(run, under_way)
        found = verify(under_way)
        if not found.good:
            first = next(finding for finding in found.findings if finding.serious)
            raise LogError(f"{where}: its copy does not verify ({first}); `imssa log verify` says what is wrong")
        with open_run(under_way) as run:
            messages = run.records("wire")
        os.replace(under_way, target)
    except HDF5_ERRORS as error:
        raise LogError(f"{where}: cannot be copied to {target} ({error}); nothing was changed") from error
    finally:
        under_way.unlink(missing_ok=True)
    found.path = target
    return Snapshot(target, found.records, messages, found)


def copy_records(
    run: Run,
    target: Path,
    *,
    packed: bool = False,
    edit: Callable[[str, str], str] = lambda name, text: text,
    edit_events: Callable[[Any, Any, Any], Any] | None = None,
) -> None:
    """A new file with the same records.

    Args:
        edit: gives other texts for some attributes, by name and text; edit_events: for those of events, by
            the columns kind, part and text of their records.
    """
    rows = _whole_rows(run)
    dtypes = dtypes_of(run.infos) | {
        column.dtype: run.file["read_mvm"][name].dtype.str.lstrip("<|")
        for name, column in TABLES["read_mvm"].items()
        if column.dtype in ("code", "steps") and name in run.file["read_mvm"]
    }
    handle = open_file(run.path, os.O_RDONLY)
    try:
        with h5py.File(target, "w", libver=LIBVER) as copy:
            _copy_attributes(run.file, copy, edit)
            for index in run.file["arrays"]:
                _copy_attributes(run.file["arrays"][index], copy.create_group(f"arrays/{index}"), edit)
                for name in run.file["arrays"][index]:
                    run.file.copy(f"arrays/{index}/{name}", copy["arrays"][index])
            for table, datasets in create_tables(copy, run.infos[0].shape, dtypes, packed=packed).items():
                for name, dataset in datasets.items():
                    dataset.resize(rows[table][TABLES[table][name].per], axis=0)
                    if (table, name) == ("events", "text") and edit_events is not None:
                        records = slice(0, len(dataset))
                        columns = (run.column(table, each, records) for each in ("kind", "part", "text"))
                        dataset[...] = edit_events(*columns)
                    elif f"{table}/{name}" in run.file:
                        _copy_rows(run, handle, table, name, dataset)
                if "byte" in copy[table]:
                    copy[table]["byte"].resize(rows[table]["byte"], axis=0)
            create_entry(copy, run.infos)
            fill_overview(copy, run.infos, rows)
            if not run.closed_cleanly:
                count = sum(mine["call"] for table, mine in rows.items() if "seq" in TABLES[table])
                text = f"{datetime.now(UTC).isoformat(timespec='seconds')}: copy of a run under way, {count} records"
                set_text(copy, "repaired", text, REPAIRED_BYTES)
    finally:
        os.close(handle)


def _copy_attributes(source: h5py.Group, target: h5py.Group, edit: Callable[[str, str], str]) -> None:
    """Edited before they are written: HDF5 leaves the bytes of an attribute that is replaced in the file."""
    edited: dict[str, str] = {}
    for name in source.attrs:
        if name in _EDITED:
            edited[name] = edit(name, text_attribute(source, name) or "")
            set_text(target, name, edited[name])
        elif name.removesuffix("_sha256") not in _EDITED:
            target.attrs.create(name, source.attrs[name], dtype=source.attrs.get_id(name).dtype)
    for name, text in edited.items():
        if f"{name}_sha256" in source.attrs:
            set_text(target, f"{name}_sha256", sha256(text))


def _whole_rows(run: Run) -> Rows:
    """Rows of each table, by what they count, of the records before which none is missing.

    Tables are looked at one after the other while the writer goes on: a record of a later one may be there whose
    forerunner in an earlier one came too late to be seen.
    """
    seqs = {table: run.column(table, "seq") for table in TABLES if "seq" in TABLES[table]}
    numbers = np.sort(np.concatenate(list(seqs.values())))
    gaps = np.flatnonzero(numbers != np.arange(len(numbers)))
    whole = int(gaps[0]) if gaps.size else len(numbers)
    rows: Rows = {}
    for table in TABLES:
        records = int(np.searchsorted(seqs[table], whole)) if table in seqs else run.records(table)
        mine = {"call": records} if table in seqs else {"message": records}
        several = parts(table) or ("byte" if table == "wire" else None)
        if several is not None:
            first, count = ("offset", "length") if several == "byte" else ("first", "count")
            mine[several] = (
                int(run.column(table, first, records - 1)) + int(run.column(table, count, records - 1))
                if records
                else 0
            )
        rows[table] = mine
    return rows


def _copy_rows(run: Run, handle: int, table: str, name: str, target: h5py.Dataset) -> None:
    """Chunks that are whole as they are stored, the last rows and what is stored otherwise through HDF5."""
    end, per = target.shape[0], target.chunks[0]
    if TABLES[table][name].gaps:
        end = min(end, ask(run.file, table, name, lambda dataset: int(dataset.shape[0])))
    same = ask(run.file, table, name, _layout) == _layout(target)
    if not same:
        for first in range(0, end, per):
            until = min(first + per, end)
            target[first:until] = _read(run, table, name, slice(first, until))
        return
    stored = ask(run.file, table, name, _places)
    tail = (0,) * (target.ndim - 1)
    for first in range(0, end, per):
        place = stored.get(first)
        if place is None and first + per <= end:
            continue  # never written: it reads as the fill value
        if place is not None and first + per <= end:
            data = _chunk(handle, *place[:2])
            if data is not None:
                target.id.write_direct_chunk((first, *tail), data, place[2])
                continue
        until = min(first + per, end)
        target[first:until] = _read(run, table, name, slice(first, until))


def _layout(dataset: h5py.Dataset) -> tuple[Any, ...]:
    """What must agree for a chunk to be taken as it is stored: shape, type and filters."""
    creation = dataset.id.get_create_plist()
    filters = [creation.get_filter(number)[0] for number in range(creation.get_nfilters())]
    return dataset.chunks, dataset.dtype, filters


def _places(dataset: h5py.Dataset) -> dict[int, tuple[int, int, int]]:
    """First row of every chunk that is stored: place and size in the file, bytes, and the filters left out."""
    found: dict[int, tuple[int, int, int]] = {}

    def keep(info: Any) -> None:
        found[int(info.chunk_offset[0])] = (int(info.byte_offset), int(info.size), int(info.filter_mask))

    dataset.id.chunk_iter(keep)
    return found


def _chunk(handle: int, place: int, size: int) -> bytes | None:
    """A chunk as it is stored; None where it does not agree with its checksum, as one that is being written over."""
    for _ in range(_TRIES):
        data = read_at(handle, size, place)
        if intact(data):
            return data
        time.sleep(_PAUSE)
    return None


def _read(run: Run, table: str, name: str, rows: slice) -> Any:
    """Rows that the writer may be adding to just now."""
    for _ in range(_TRIES):
        try:
            return run.stored_column(table, name, rows)
        except LogError:
            time.sleep(_PAUSE)
    return run.stored_column(table, name, rows)
