"""Tables of a run as files for other programs: CSV (by the core alone), Parquet, MATLAB; and maps as matrices.

Each says which run and which chips it is of, and names the SI unit of every column.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.errors import ConfigError
from imssa_lab.log.file.named_damage import damage_named
from imssa_lab.log.read.row_blocks import (
    WORDS,
    Block,
    cells_of,
    damaged_rows,
    is_map,
    known,
    maps_of,
    rows_of,
    unit_of,
)

if TYPE_CHECKING:
    from imssa_lab.log.read.run_file import RunFile

FORMATS = ("csv", "parquet", "mat")
_MAT_BYTES = 2**31
"""What MATLAB's file of version 5 holds of one variable."""
_MATRICES = ("read_conductances", "program", "pulses")


@dataclass(frozen=True)
class Csv:
    """How CSV files are written: what is between columns, and the decimal point."""

    separator: str = ","
    decimal: str = "."

    def __post_init__(self) -> None:
        if self.decimal not in (".", ",") or len(self.separator) != 1 or self.separator == self.decimal:
            raise ConfigError(
                f"--separator {self.separator!r} --decimal {self.decimal!r}: a decimal point is . or , and another "
                'character separates columns; for a German Excel: --separator ";" --decimal ,'
            )

    def cells(self, values: NDArray[Any]) -> list[Any]:
        """A column, (rows,), as text: the shortest that reads back as the same number, nothing for NaN."""
        if values.dtype.kind != "f":
            return list(values.tolist())
        found = ["" if value != value else repr(value) for value in values.tolist()]
        return found if self.decimal == "." else [text.replace(".", ",") for text in found]


@dataclass
class _Files:
    """The files that an export writes; none is there before."""

    folder: Path
    written: list[Path] = field(default_factory=list)

    def new(self, name: str) -> Path:
        path = self.folder / name
        if path.exists():
            raise ConfigError(f"{path} exists; choose another folder, nothing was overwritten")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.written.append(path)
        return path


@damage_named
def export(
    run: RunFile,
    folder: Path,
    kind: str,
    tables: Sequence[str],
    *,
    skip_damaged: bool = False,
    layout: Csv | None = None,
) -> list[Path]:
    """Write tables as ``TABLE.csv`` or ``.parquet`` and their cells as ``TABLE_cells...``, or all as ``run.mat``.

    Args:
        kind: one of `FORMATS`; layout: of CSV files.

    Returns:
        The files; a table without records has none.

    Raises:
        ConfigError: an unknown kind, a file is there already, or a table is too large for MATLAB's format.
        LogError: an unknown table, or damaged records.
    """
    if kind not in FORMATS:
        raise ConfigError(f"no format {kind!r}; choose {', '.join(FORMATS)}")
    files = _Files(folder)
    for table in tables:
        known(run, table)
    if kind == "mat":
        _write_mat(run, files, tables, skip_damaged)
        return files.written
    for table in tables:
        jobs = [(table, rows_of)] + ([(f"{table}_cells", cells_of)] if is_map(table) else [])
        for name, blocks_of in jobs:
            blocks = _in_words(table, blocks_of(run, table, skip_damaged))
            first = next(blocks, None)
            if first is None:
                continue
            units = {column: unit_of(run, table, column) for column in first}
            path = files.new(f"{name}.{kind}")
            everything = chain([first], blocks)
            if kind == "csv":
                _write_csv(path, _about(run), units, everything, layout or Csv())
            else:
                _write_parquet(path, _about(run), units, everything)
    return files.written


def _about(run: RunFile) -> dict[str, str]:
    """Which run it is, and of which chips."""
    facts = {"run": run.uuid, "began": run.created.isoformat()}
    return facts | {f"array {number}": f"{info.name} ({info.serial})" for number, info in enumerate(run.infos)}


def _in_words(table: str, blocks: Iterable[Block]) -> Iterator[Block]:
    """Blocks with words in place of the codes that stand for words."""
    for block in blocks:
        yield {name: _worded(table, name, values) for name, values in block.items()}


def _worded(table: str, name: str, values: NDArray[Any]) -> NDArray[Any]:
    words = WORDS.get((table, name))
    return values if words is None else np.asarray(words)[values]


def _write_csv(
    path: Path, about: dict[str, str], units: dict[str, str], blocks: Iterable[Block], layout: Csv
) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        _head(file, about)
        writer = csv.writer(file, delimiter=layout.separator)
        writer.writerow(f"{name} [{unit}]" if unit else name for name, unit in units.items())
        for block in blocks:
            writer.writerows(zip(*(layout.cells(values) for values in block.values()), strict=True))


def _head(file: TextIO, about: dict[str, str]) -> None:
    file.writelines(f"# {name}: {' '.join(text.split())}\n" for name, text in about.items())


def _write_parquet(path: Path, about: dict[str, str], units: dict[str, str], blocks: Iterable[Block]) -> None:
    import pyarrow
    import pyarrow.parquet

    writer: Any = None
    try:
        for block in blocks:
            arrow = pyarrow.table({name: pyarrow.array(values) for name, values in block.items()})
            if writer is None:
                fields = [each.with_metadata({"unit": units[each.name]}) for each in arrow.schema]
                schema = pyarrow.schema(fields, metadata=about | {"units": json.dumps(units)})
                writer = pyarrow.parquet.ParquetWriter(path, schema)
            writer.write_table(arrow.cast(schema))
    finally:
        if writer is not None:
            writer.close()


def _write_mat(run: RunFile, files: _Files, tables: Sequence[str], skip_damaged: bool) -> None:
    """Structures by table, their columns whole; maps are calls or reads x word lines x bit lines."""
    from scipy.io import savemat

    found: dict[str, Any] = {"about": {name.replace(" ", "_"): text for name, text in _about(run).items()}}
    units: dict[str, dict[str, str]] = {}
    for table in tables:
        blocks = list(_in_words(table, rows_of(run, table, skip_damaged)))
        if not blocks:
            continue
        columns: dict[str, Any] = _joined({name: [block[name] for block in blocks] for name in blocks[0]})
        if is_map(table):
            columns |= _stacked(run, table, skip_damaged)
        units[table] = {name: unit_of(run, table, name) or "1" for name in columns}
        for name, values in columns.items():
            size = values.size * (values.itemsize if values.dtype.kind != "O" else 64)
            if size >= _MAT_BYTES:
                raise ConfigError(
                    f"{table}.{name} has {size / 1e9:.1f} GB, and MATLAB's file holds 2.1 GB of one variable; export "
                    "other tables by --table, or CSV or Parquet, which MATLAB reads too"
                )
        found[table] = columns
    path = files.new("run.mat")
    savemat(path, found | {"units": units}, long_field_names=True, do_compression=True, oned_as="column")


def _joined(columns: dict[str, list[NDArray[Any]]]) -> Block:
    """Whole columns; vectors such as voltage_0, voltage_1 ... become one matrix, texts a cell array."""
    found: Block = {}
    groups: dict[str, list[NDArray[Any]]] = {}
    for name, pieces in columns.items():
        stem, _, number = name.rpartition("_")
        whole = np.concatenate(pieces)
        if stem and number.isdigit():
            groups.setdefault(stem, []).append(whole)
        else:
            found[name] = whole.astype(object) if whole.dtype.kind == "U" else whole
    return found | {name: np.stack(lines, axis=-1) for name, lines in groups.items()}


def _stacked(run: RunFile, table: str, skip_damaged: bool) -> Block:
    """Values of single cells: lists for pulses, maps for the others, NaN where a map was not read or set."""
    if table == "pulses":
        blocks = list(cells_of(run, table, skip_damaged))
        names = {"seq": "cell_seq"}
        return {names.get(name, name): np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    lost = damaged_rows(run, table)["call"] if skip_damaged else set()
    maps: dict[str, list[Any]] = {}
    for row in range(run.records(table)):
        if row not in lost:
            for one in maps_of(run, table, row):
                chosen = one.pop("mask") != 0
                maps.setdefault("map_seq", []).append(one.pop("seq"))
                if "average" in one:
                    maps.setdefault("average", []).append(one.pop("average"))
                for name, values in one.items():
                    maps.setdefault(name, []).append(np.where(chosen, values, np.nan))
    return {name: np.array(values) for name, values in maps.items()}


@damage_named
def export_maps(run: RunFile, folder: Path, calls: Sequence[int] = (), *, layout: Csv | None = None) -> list[Path]:
    """Write maps as matrices, a CSV file each, word lines x bit lines, empty where a cell was not read or set.

    Of reads conductance and current of every average, of programming target, re-read and outcome of the cells, of
    pulses voltage and gate.

    Args:
        calls: numbers (`seq`) of the calls whose maps are written; none for all reads and programming runs but the
            reads that a programming run made on its way.

    Raises:
        ConfigError: a call without maps, or a file is there already; LogError: damaged records.
    """
    files, layout = _Files(folder), layout or Csv()
    seqs = {table: run.column(table, "seq").astype(int) for table in _MATRICES}
    inside = _inside_programming(run)
    if missing := sorted(set(calls) - {int(seq) for found in seqs.values() for seq in found}):
        raise ConfigError(f"{run.path}: call {missing[0]} has no maps; `imssa log export` lists calls in its tables")
    for table, numbers in seqs.items():
        for row, seq in enumerate(numbers.tolist()):
            by_itself = table == "program" or (table == "read_conductances" and not inside(seq))
            if seq in calls if calls else by_itself:
                for one in maps_of(run, table, row):
                    _write_maps(run, files, table, row, one, layout)
    return files.written


def _inside_programming(run: RunFile) -> Callable[[int], bool]:
    spans = list(zip(run.column("program", "first_seq"), run.column("program", "last_seq"), strict=True))
    return lambda seq: any(first <= seq < last for first, last in spans)


def _write_maps(run: RunFile, files: _Files, table: str, row: int, one: dict[str, Any], layout: Csv) -> None:
    array, seq, chosen = int(run.column(table, "array", row)), one.pop("seq"), one.pop("mask") != 0
    info = run.infos[array]
    average = one.pop("average", None)
    what = {"read_conductances": "read", "program": "programmed"}.get(table, "")
    if table == "pulses":
        what = str(_worded(table, "kind", np.array(run.column(table, "kind", row))))
    for name, values in one.items():
        if name in ("value", "range"):
            continue
        unit = unit_of(run, table, name)
        words = [f"{seq:06d}", f"array{array}", f"{what}{'' if average is None else average}", name]
        about = _about(run) | {
            "call": f"{seq}, {what}" + ("" if average is None else f", average {average}"),
            "of": f"array {array}, {info.name} ({info.serial})",
            "device time": f"{float(run.column(table, 'device_time', row)):.6g} s",
            "holds": f"{name}{f', {unit}' if unit else ''}; rows are word lines, columns bit lines",
        }
        shown = _worded(table, name, values).astype(object)
        shown[~chosen] = ""
        with files.new(f"maps/{'-'.join(words)}{f'_{unit}' if unit else ''}.csv").open(
            "w", newline="", encoding="utf-8"
        ) as file:
            _head(file, about)
            csv.writer(file, delimiter=layout.separator).writerows(
                [layout.cells(np.array([each]))[0] if isinstance(each, float) else each for each in line]
                for line in shown.tolist()
            )
