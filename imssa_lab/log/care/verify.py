"""`verify`: every checksum of a run file, its members and units, and whether its records hang together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from imssa_lab.contract.errors import LogError
from imssa_lab.contract.operating_system import open_file
from imssa_lab.log.file.attributes import text_attribute
from imssa_lab.log.file.chunks import scan
from imssa_lab.log.file.file_state import HDF5_ERRORS
from imssa_lab.log.file.nexus import ENTRY, entry_problems, is_fact, is_picture, stored_overview
from imssa_lab.log.read.overview import overview
from imssa_lab.log.run import Run, open_run
from imssa_lab.log.schema import CALIBRATION, PULSE_KINDS, ROOT_ATTRIBUTES, SCALES, TABLES, Table, parts


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a file, or only odd (`serious` false): where, and what."""

    place: str
    text: str
    serious: bool = True

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


@dataclass
class Verification:
    """What `verify` found.

    Attributes:
        records: whole records; chunks: chunks whose checksum was made again; bytes: how many bytes those were.
    """

    path: Path
    findings: list[Finding] = field(default_factory=list)
    records: int = 0
    chunks: int = 0
    bytes: int = 0

    @property
    def good(self) -> bool:
        """Nothing serious was found."""
        return not any(finding.serious for finding in self.findings)


def verify(path: str | Path, progress: Callable[[int, int], None] = lambda done, total: None) -> Verification:
    """Check a run file against the format and against itself.

    Args:
        progress: gets the bytes whose checksum was made again, and the bytes of the file.

    Raises:
        LogError: it cannot be opened as a run at all.
    """
    with open_run(path) as run:
        result = Verification(run.path)
        checks: dict[str, Callable[[Run, Verification], Iterator[Finding]]] = {
            "attributes": _attributes,
            "members": _members,
            "checksums": partial(_checksums, progress=progress),
            "numbering": _numbering,
            "calls": _calls,
            "codes": _codes,
            "clocks": _clocks,
            "entry": _entry,
        }
        for name, check in checks.items():
            try:
                result.findings.extend(check(run, result))
            except (LogError, *HDF5_ERRORS) as error:
                finding = Finding(name, str(error).removeprefix(f"{run.path}: "))
                if not any(finding.text.startswith(f"{known.place},") for known in result.findings):
                    result.findings.append(finding)
        return result


def _attributes(run: Run, _: Verification) -> Iterator[Finding]:
    for name, required in ROOT_ATTRIBUTES.items():
        if required and name not in run.file.attrs:
            yield Finding("/", f"attribute {name} is missing")
    for group in ("/", *(f"/arrays/{index}" for index in run.file["arrays"])):
        for name in run.file[group].attrs:
            try:
                run.file[group].attrs[name]
            except HDF5_ERRORS as error:
                yield Finding(group, f"attribute {name} is damaged ({error})")
    for what in ("provenance", "infos", "environment", "repaired"):
        try:
            getattr(run, what)
        except (LogError, ValueError) as error:
            yield Finding("/", f"{what}: {error}")


def _members(run: Run, _: Verification) -> Iterator[Finding]:
    for table, columns in TABLES.items():
        for name, column in columns.items():
            if f"{table}/{name}" not in run.file:
                if columns.required and column.required:
                    yield Finding(f"/{table}/{name}", "missing")
                continue
            dataset = run.file[table][name]
            expected = (
                f"<{column.dtype}" if column.dtype[0] in "uif" and column.dtype[1] != "1" else f"|{column.dtype}"
            )
            allowed = {"code": ("<i2", "<i4", "<f8"), "steps": ("|i1", "<i2")}.get(column.dtype, (expected,))
            if dataset.dtype.str not in allowed:
                yield Finding(
                    f"/{table}/{name}", f"holds {dataset.dtype.str}, the format says {' or '.join(allowed)}"
                )
            if dataset.ndim != 1 + len(column.dims):
                yield Finding(f"/{table}/{name}", f"has {dataset.ndim} dimensions, must have {1 + len(column.dims)}")
            unit = text_attribute(dataset, "units") or ""
            if unit != column.unit and not (column.dtype == "code" and unit == "A"):
                yield Finding(f"/{table}/{name}", f"units are {unit!r}, the format says {column.unit!r}")
            # Whether there is a list of scales is asked by name: HDF5 can loop for ever in a damaged list.
            if "DIMENSION_LIST" not in dataset.attrs and "REFERENCE_LIST" not in dataset.attrs:
                yield Finding(f"/{table}/{name}", "no dimension scale on its first axis")


def _checksums(run: Run, result: Verification, progress: Callable[[int, int], None]) -> Iterator[Finding]:
    names: list[str] = []
    size = run.path.stat().st_size
    run.file.visititems(lambda name, item: names.append(f"/{name}") if isinstance(item, h5py.Dataset) else None)
    handle = open_file(run.path, os.O_RDONLY)
    try:
        for name in names:
            if is_fact(name):
                continue
            if not _is_ours(name, len(run.file["arrays"])):
                yield Finding(name, "not ours: not checked", serious=False)
                continue
            if not run.file[name].fletcher32:
                yield Finding(name, "carries no checksums")
                continue
            bad = []
            try:
                for chunk in scan(run.file[name], handle):
                    result.chunks += 1
                    result.bytes += chunk.size
                    progress(result.bytes, size)
                    if not chunk.intact:
                        bad.append(chunk)
            except HDF5_ERRORS as error:
                yield Finding(name, f"its chunks cannot be listed ({error})")
            for chunk in bad:
                rows = f"row {chunk.first}" if chunk.stop == chunk.first + 1 else f"rows {chunk.first} to "
                rows += "" if chunk.stop == chunk.first + 1 else str(chunk.stop - 1)
                yield Finding(
                    name,
                    f"{rows}{_records_of(run, name, chunk.first, chunk.stop)}: the chunk at byte "
                    f"{chunk.byte_offset} ({chunk.size} bytes) does not agree with its checksum",
                )
    finally:
        os.close(handle)


def _is_ours(path: str, arrays: int) -> bool:
    """False for a dataset that somebody has added to a finished run."""
    first, _, rest = path.strip("/").partition("/")
    if first == ENTRY:
        return is_picture(rest, arrays)
    columns = TABLES.get(first, Table({}))
    scales = {name for column in columns.values() for name in (column.per, *column.dims)}
    return rest in {*columns, *scales} or (first == "arrays" and rest.partition("/")[2] in CALIBRATION)


def _records_of(run: Run, path: str, first: int, stop: int) -> str:
    """The numbers of the records that rows of a dataset belong to, in words; empty where they are unknown."""
    _, table, name = [*path.split("/"), "", ""][:3]
    column = TABLES[table].get(name) if table in TABLES else None
    if column is None or column.per in ("message", "byte"):
        return ""
    source = "seq" if column.per == "call" else SCALES[column.per]
    try:
        stop = min(stop, run.rows(table, name))
        if stop <= first:
            return " (behind the last record)"
        low, high = (int(run.column(table, source, row)) for row in (first, stop - 1))
    except LogError:
        return ""
    return f" (record {low})" if low == high else f" (records {low} to {high})"


def _numbering(run: Run, result: Verification) -> Iterator[Finding]:
    everything = []
    for table, columns in TABLES.items():
        if "seq" in columns:
            seqs = run.column(table, "seq").astype(np.int64)
            if np.any(np.diff(seqs) <= 0):
                yield Finding(
                    f"/{table}/seq", f"record numbers do not rise at row {int(np.argmax(np.diff(seqs) <= 0))}"
                )
            everything.append(seqs)
    numbers = np.sort(np.concatenate(everything))
    result.records = len(numbers)
    if len(numbers) and not np.array_equal(numbers, np.arange(len(numbers))):
        expected = set(range(int(numbers[-1]) + 1))
        lost = sorted(expected - set(numbers.tolist()))
        if lost:
            yield Finding("/", f"{len(lost)} records are missing, the first is number {lost[0]}")
        if len(np.unique(numbers)) < len(numbers):
            yield Finding("/", "two records have one number: two programs wrote this file")


def _calls(run: Run, _: Verification) -> Iterator[Finding]:
    for table in TABLES:
        per = parts(table)
        if per is None:
            continue
        seqs, first, count = (run.column(table, name).astype(np.int64) for name in ("seq", "first", "count"))
        if not np.array_equal(first, np.cumsum(count) - count):
            row = int(np.argmax(first != np.cumsum(count) - count))
            yield Finding(f"/{table}/first", f"record {seqs[row]} does not begin where the one before it ends")
        elif not np.array_equal(run.column(table, SCALES[per]).astype(np.int64), np.repeat(seqs, count)):
            yield Finding(f"/{table}/{SCALES[per]}", "does not give the record of every row")
    offset, length = (run.column("wire", name).astype(np.int64) for name in ("offset", "length"))
    if not np.array_equal(offset, np.cumsum(length) - length):
        yield Finding("/wire/offset", "the messages do not follow each other")
    sent = run.column("pulses", "done")
    if np.any(sent == 0):
        row = int(np.argmax(sent == 0))
        yield Finding("/pulses/done", f"row {row}: pulses that may not have been sent to the end", serious=False)


def _codes(run: Run, _: Verification) -> Iterator[Finding]:
    arrays = len(run.infos)
    rows, cols = run.infos[0].shape
    ranges = max((len(info.adc.scale) for info in run.infos if info.adc is not None), default=1)
    for table, name, allowed in (
        *((table, "array", arrays) for table, columns in TABLES.items() if "array" in columns),
        ("pulses", "kind", len(PULSE_KINDS)),
        ("pulses", "row", rows),
        ("pulses", "col", cols),
        ("read_mvm", "range", ranges),
        ("wire", "direction", 2),
    ):
        values: Any = run.column(table, name)
        if np.any(values >= allowed):
            row = int(np.argmax(np.any(values.reshape(len(values), -1) >= allowed, axis=1)))
            yield Finding(f"/{table}/{name}", f"row {row}: {values[row].max()}, must be below {allowed}")


def _entry(run: Run, _: Verification) -> Iterator[Finding]:
    """The view for viewers of NeXus: its links, and its pictures against the record that they were made from."""
    if ENTRY not in run.file:
        return  # an older file
    yield from (Finding(*problem) for problem in entry_problems(run.file))
    stored = stored_overview(run.file)
    if not (run.closed_cleanly or run.repaired):
        return  # not made yet
    rows = {table: {"call": run.records(table)} for table in ("read_conductances", "read_mvm")}
    expected = overview(run.file, run.infos, rows)
    if stored.empty and not expected.empty:
        yield Finding(f"/{ENTRY}", "its pictures were not made; the record is whole without them", serious=False)
    elif not stored.agrees(expected):
        yield Finding(f"/{ENTRY}", "its pictures are not what the record gives")


def _clocks(run: Run, _: Verification) -> Iterator[Finding]:
    numbers, walls, devices, arrays = [], [], [], []
    for table, columns in TABLES.items():
        if "seq" in columns:
            seqs = run.column(table, "seq")
            numbers.append(seqs)
            walls.append(run.column(table, "wall_time"))
            has = "device_time" in columns
            devices.append(run.column(table, "device_time") if has else np.full(len(seqs), np.nan))
            arrays.append(run.column(table, "array") if has else np.zeros(len(seqs), dtype=np.uint16))
    order = np.argsort(np.concatenate(numbers))
    seqs, wall, device, array = (np.concatenate(values)[order] for values in (numbers, walls, devices, arrays))
    back = np.flatnonzero(np.diff(wall) < 0)
    if back.size:
        step = wall[back[0]] - wall[back[0] + 1]
        text = f"record {seqs[back[0] + 1]}: the computer's clock went back by {step:.6g} s"
        yield Finding("wall_time", text, serious=False)
    for index in range(len(run.infos)):
        chosen = (array == index) & np.isfinite(device)
        back = np.flatnonzero(np.diff(device[chosen]) < 0)
        if back.size:
            text = f"array {index}, record {seqs[chosen][back[0] + 1]}: the device's clock goes backwards"
            yield Finding("device_time", text)
