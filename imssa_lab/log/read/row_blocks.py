"""A table of a run in blocks of plain rows, by numpy alone: a row a record, or a row a touched cell."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.errors import LogError
from imssa_lab.contract.operating_system import open_file
from imssa_lab.contract.programming_report import CellOutcome
from imssa_lab.log.file.attributes import text_attribute
from imssa_lab.log.file.chunks import scan
from imssa_lab.log.file.named_damage import damage_named
from imssa_lab.log.schema import PULSE_KINDS, SCALES, TABLES, parts

if TYPE_CHECKING:
    from imssa_lab.log.read.run_file import RunFile

_BLOCK = 256  # records held in memory
_CELLS = 1 << 18  # so many cells
_OUTCOMES = tuple(CellOutcome(code).name.lower().replace("_", " ") for code in range(len(CellOutcome)))
WORDS = {
    ("pulses", "kind"): PULSE_KINDS,
    ("program", "outcome"): _OUTCOMES,
    ("wire", "direction"): ("to the instrument", "from it"),
}
"""What the codes of a column mean, where that is a list."""
Rows = NDArray[np.intp]
Block = dict[str, NDArray[Any]]
"""Columns of equal length, by name."""


def known(run: RunFile, table: str) -> None:
    """Raise LogError unless a run has such a table."""
    if table not in TABLES:
        raise LogError(f"{run.path}: no table {table!r}; a run holds {', '.join(TABLES)}")


def is_map(table: str) -> bool:
    """Whether the table has values for single cells."""
    return any(column.dims == ("row", "col") or column.per == "cell" for column in TABLES[table].values())


def unit_of(run: RunFile, table: str, column: str) -> str:
    """SI unit of a column of `rows_of` or `cells_of`; empty for numbers, codes and texts."""
    name = column.rstrip("0123456789").rstrip("_") if column not in TABLES[table] else column
    if name in ("current", "conductance"):
        return {"current": "A", "conductance": "S"}[name]
    if name not in TABLES[table] or f"{table}/{name}" not in run.file:
        return ""
    unit = text_attribute(run.file[table][name], "units") or ""
    return "" if unit == "1" else unit


@damage_named
def damaged_rows(run: RunFile, table: str) -> dict[str, set[int]]:
    """The rows that hang on damaged chunks, by what they count; a call is damaged if any part of it is."""
    lost: dict[str, set[int]] = {column.per: set() for column in TABLES[table].values()}
    handle = open_file(run.path, os.O_RDONLY)
    try:
        for name, column in TABLES[table].items():
            if f"{table}/{name}" in run.file:
                bad = [chunk for chunk in scan(run.file[table][name], handle) if not chunk.intact]
                for chunk in bad:
                    lost[column.per].update(range(chunk.first, min(chunk.stop, run.rows(table, name))))
    finally:
        os.close(handle)
    several = parts(table)
    if several is not None and any(lost.values()):
        first, count = (run.column(table, name).astype(int) for name in ("first", "count"))
        for row, (start, many) in enumerate(zip(first, count, strict=True)):
            mine = range(start, start + many)
            if row in lost["call"] or not lost[several].isdisjoint(mine):
                lost["call"].add(row)
                lost[several].update(mine)
    return lost


def rows_of(run: RunFile, table: str, skip_damaged: bool = False) -> Iterator[Block]:
    """Blocks with one row a record (a vector in `read_mvm`, a message of the wire).

    Vectors become columns such as ``voltage_0``; what belongs to the whole call is repeated for each of its vectors.
    """
    known(run, table)
    per = {"read_mvm": "vector", "wire": "message"}.get(table, "call")
    columns = {
        name: each for name, each in TABLES[table].items() if f"{table}/{name}" in run.file and not each.behind
    }
    mine = [name for name, each in columns.items() if each.per == per and len(each.dims) < 2]
    if not mine:
        return
    lost = damaged_rows(run, table) if skip_damaged else {}
    keep = left(run.rows(table, mine[0]), lost.get(per, ()))
    calls = left(run.rows(table, "seq"), lost.get("call", ())) if per == "vector" else None
    seqs = None if calls is None else pick(run, table, "seq", calls)
    of_call = [name for name, each in columns.items() if each.per == "call" and name not in ("first", "count")]
    current = currents(run, table) if table == "read_mvm" else None
    for start in range(0, len(keep), _BLOCK):
        rows, block = keep[start : start + _BLOCK], {}
        if calls is not None and seqs is not None:
            which = calls[np.searchsorted(seqs, pick(run, table, SCALES[per], rows))]
            for name in of_call:
                wanted, places = np.unique(which, return_inverse=True)
                block[name] = pick(run, table, name, wanted)[places]
        for name in mine:
            block |= _columns(name, pick(run, table, name, rows))
        if current is not None:
            block |= _columns("current", _spans(rows, current))
        if table == "wire":
            block["data"] = np.array(
                [_bytes(run, *each) for each in zip(block["offset"], block["length"], strict=True)]
            )
        yield block


def _bytes(run: RunFile, offset: int, length: int) -> str:
    data: bytes = run.column("wire", "data", slice(int(offset), int(offset) + int(length))).tobytes()
    return data.hex()


def _columns(name: str, values: NDArray[Any]) -> Block:
    if values.dtype.kind == "S":  # a long text is cut into records wherever its bytes end
        return {name: np.array([text.decode(errors="replace") for text in values.tolist()])}
    return {name: values} if values.ndim == 1 else {f"{name}_{index}": each for index, each in enumerate(values.T)}


def cells_of(run: RunFile, table: str, skip_damaged: bool = False) -> Iterator[Block]:
    """Blocks with one row for every cell that a record touches: seq, row, col and the values there.

    Of `read_conductances` also which of the call's reads it is (`average`, from 1 on), current and conductance.
    """
    known(run, table)
    lost = damaged_rows(run, table) if skip_damaged else {}
    if table == "pulses":
        names = {"seq": "cell_call"} | {name: name for name in ("row", "col", "voltage", "gate")}
        keep = left(run.rows(table, "cell_call"), lost.get("cell", ()))
        for start in range(0, len(keep), _CELLS):
            rows = keep[start : start + _CELLS]
            yield {name: pick(run, table, column, rows) for name, column in names.items()}
        return
    blocks: list[Block] = []
    for call in left(run.rows(table, "seq"), lost.get("call", ())):
        for one in maps_of(run, table, int(call)):
            touched = one.pop("mask") != 0
            row, col = np.nonzero(touched)
            numbers: Block = {name: np.full(len(row), one.pop(name)) for name in ("seq", "average") if name in one}
            values = {name: each[touched] for name, each in one.items()}
            blocks.append({"seq": numbers.pop("seq"), "row": row, "col": col, **numbers, **values})
        if sum(len(block["row"]) for block in blocks) > _CELLS:
            yield _together(blocks)
            blocks = []
    if blocks:
        yield _together(blocks)


def _together(blocks: list[Block]) -> Block:
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def maps_of(run: RunFile, table: str, row: int) -> Iterator[dict[str, Any]]:
    """The maps (rows, cols) of call number `row` of a table, one dictionary a read: seq, mask, then by name."""
    seq = int(run.column(table, "seq", row))
    if table == "pulses":
        pulses = run.pulses(row)
        yield {"seq": seq, "mask": pulses.mask, "voltage": pulses.voltage, "gate": pulses.gate}
        return
    names = [name for name, each in TABLES[table].items() if each.dims == ("row", "col")]
    if table != "read_conductances":
        yield {
            "seq": seq,
            **{name: run.column(table, name, row) for name in ["mask", *(n for n in names if n != "mask")]},
        }
        return
    first, count = int(run.column(table, "first", row)), int(run.column(table, "count", row))
    reads, mask = slice(first, first + count), run.column(table, "mask", row)
    volt = run.infos[int(run.column(table, "array", row))].read_voltage
    current = currents(run, table)(reads)
    for number, (value, chosen) in enumerate(
        zip(run.column(table, "value", reads), run.column(table, "range", reads), strict=True)
    ):
        yield {
            "seq": seq,
            "average": number + 1,
            "mask": mask,
            "value": value,
            "range": chosen,
            "current": current[number],
            "conductance": current[number] / volt,
        }


def currents(run: RunFile, table: str) -> Callable[[slice], NDArray[Any]]:
    """What reads rows of `value` as A, of their shape, with scale and offset of the array that a row belongs to."""
    infos, per = run.infos, SCALES[parts(table) or ""]
    arrays: dict[int, int] = {}

    def read(rows: slice) -> NDArray[Any]:
        values = run.column(table, "value", rows).astype(np.float64)
        ranges = run.column(table, "range", rows)
        if len(infos) > 1 and not arrays:
            arrays.update(zip(run.column(table, "seq").tolist(), run.column(table, "array").tolist(), strict=True))
        owners = np.array([arrays.get(int(seq), 0) for seq in run.column(table, per, rows)], dtype=int)
        for index, info in enumerate(infos):
            mine = owners == index
            if info.adc is not None and mine.any():
                scale, offset = np.asarray(info.adc.scale), np.asarray(info.adc.offset)
                values[mine] = scale[ranges[mine]] * values[mine] + offset[ranges[mine]]
        return np.asarray(values)

    return read


def left(size: int, rows: Any) -> Rows:
    """The rows of `size` that are not among `rows`."""
    keep = np.ones(size, dtype=np.bool_)
    keep[list(rows)] = False
    return np.flatnonzero(keep)


def pick(run: RunFile, table: str, name: str, good: Rows) -> NDArray[Any]:
    """Rows `good`, (rows,), of a column, span by span, so that no damaged chunk is touched; (rows, ...)."""
    if not good.size:
        return np.zeros((0, *run.file[table][name].shape[1:]), run.file[table][name].dtype)
    return _spans(good, lambda rows: np.asarray(run.column(table, name, rows)))


def _spans(good: Rows, read: Callable[[slice], NDArray[Any]]) -> NDArray[Any]:
    pieces = np.split(good, np.flatnonzero(np.diff(good) > 1) + 1)
    return np.concatenate([read(slice(int(piece[0]), int(piece[-1]) + 1)) for piece in pieces])
