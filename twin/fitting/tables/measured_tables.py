"""Tables of measurements converted to columns in SI units; everything doubtful is reported."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.errors import ConfigError, DataError
from imssa_lab.contract.hal import BoolArray, FloatArray
from twin.fitting.fit_outcome import Remark
from twin.fitting.tables.delimited_text import decimal_hint, number, other_separator, read_fields

ROLES = {
    "cell": "which cell: an address or a number",
    "time": "s since the cell was programmed, or of a reading in a trace",
    "initial": "S, conductance when it was programmed",
    "target": "S, conductance that was asked for",
    "conductance": "S, as measured",
    "resistance": "Ohm, as measured; taken where conductance is not given",
    "level": "number of the level, to judge levels one by one",
    "current": "A",
    "voltage": "V",
    "read": "number of the reading in a trace without times",
    "bit": "1 for high resistance, 0 for low, as was asked for",
}
_UNITS = {
    "S": 1.0, "mS": 1e-3, "uS": 1e-6, "µS": 1e-6, "nS": 1e-9,
    "Ohm": 1.0, "kOhm": 1e3, "MOhm": 1e6,
    "A": 1.0, "mA": 1e-3, "uA": 1e-6, "µA": 1e-6, "nA": 1e-9,
    "V": 1.0, "mV": 1e-3,
    "s": 1.0, "ms": 1e-3, "us": 1e-6, "min": 60.0, "h": 3600.0, "1": 1.0,
}  # fmt: skip
_KIND = {
    "time": "s",
    "initial": "S",
    "target": "S",
    "conductance": "S",
    "resistance": "Ohm",
    "current": "A",
    "voltage": "V",
}
_LARGEST = {"S": 0.01, "A": 0.1, "V": 20.0}
"""Beyond this a cell of a crossbar is not what was measured, or the unit is wrong."""
_SMALLER = {"S": "uS", "A": "uA", "V": "mV"}
_TYPICAL = 1e-8
"""S; where half of the conductances are below this, the unit is probably wrong."""


@dataclass(frozen=True)
class Table(FrozenArrays):
    """Columns by role, (n,) each, in SI units.

    Attributes:
        rows: line of each row in the file, from 1, where headers and comments count; of other files than text its
            row, a header counted.
        source: file and digest. remarks: doubts met on the way.
    """

    columns: Mapping[str, FloatArray]
    rows: NDArray[np.int64]
    source: str
    remarks: list[Remark] = field(default_factory=list)

    def __contains__(self, role: str) -> bool:
        return role in self.columns

    def __getitem__(self, role: str) -> FloatArray:
        """A column.

        Raises:
            DataError: the table has none of that role.
        """
        if role not in self.columns:
            raise DataError(
                f"{self.source}: no column for {role!r} ({ROLES.get(role, '')}); there are "
                f"{', '.join(self.columns)}; name it with --column {role}=NAME"
            )
        return self.columns[role]

    @property
    def size(self) -> int:
        """How many rows."""
        return int(self.rows.size)

    def take(self, chosen: BoolArray) -> Table:
        """The rows where `chosen` (n,) is True."""
        return replace(self, columns={k: v[chosen] for k, v in self.columns.items()}, rows=self.rows[chosen])

    def numbers(self, chosen: BoolArray) -> tuple[int, ...]:
        """Row numbers in the file where `chosen` is True."""
        return tuple(int(row) for row in self.rows[chosen])


@dataclass(frozen=True)
class Reading:
    """How to read a file.

    Attributes:
        columns: name in the file by role; a column that bears the name of a role need not be named.
        units: unit by role where it is not SI.
        constants: values by role, in SI, for what the file leaves out.
        names: names of the columns of a file without header. sheet: of a workbook.
        melt: role that the headers stand for: columns "Target_100uS", "Target_150uS" become rows of that target.
        keep: lowest and highest value by role, SI; other rows are left out.
        separator: of a text file; None: a comma in .csv, a tab in .tsv and .txt. decimal: "." or ",".
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, float] = field(default_factory=dict)
    names: Sequence[str] = ()
    sheet: str | None = None
    melt: str | None = None
    keep: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    separator: str | None = None
    decimal: str = "."


def read_table(path: Path, how: Reading) -> Table:
    """Read CSV, TSV, Parquet, Excel or HDF5 (a table that pandas or xarray wrote), gzipped or not.

    Raises:
        ConfigError: no such file, a form that is not known, pandas missing, an unknown role or unit.
        DataError: a column is missing, holds no numbers, or has values that no cell can have.
    """
    for role in {*how.columns, *how.units, *how.constants, *how.keep, *([how.melt] if how.melt else [])}:
        if role not in ROLES:
            raise ConfigError(f"{role!r} is not a column that a fit uses; there are {', '.join(ROLES)}")
    if how.decimal not in (".", ","):
        raise ConfigError(f"decimal {how.decimal!r}: a number has . or ,")
    frame, numbers = _frame(path, how)
    frame.columns = [str(name) for name in frame.columns]
    if how.melt:
        frame, numbers = _melted(frame, numbers, how.melt)
    columns: dict[str, FloatArray] = {}
    remarks: list[Remark] = []
    wanted = {role: how.columns.get(role, role) for role in ROLES}
    for role, name in wanted.items():
        if name not in frame.columns:
            if role in how.columns:
                hint = _without_header(frame) or other_separator(list(frame.columns), _separator(path, how))
                raise DataError(f"{path}: no column {name!r} for {role}; there are {', '.join(frame.columns)}{hint}")
            continue
        columns[role] = _numbers(frame[name], role, name, path, how.decimal) * _factor(how, role)
    for role, value in how.constants.items():
        columns[role] = np.full(len(frame), value)
    if not columns:
        hint = _without_header(frame) or other_separator(list(frame.columns), _separator(path, how))
        hint = hint or "; use --column ROLE=NAME"
        raise DataError(f"{path}: none of its columns ({', '.join(frame.columns)}) was named{hint}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    table = Table(columns, numbers, f"{path.name} (sha256 {digest}...)", remarks)
    return _checked(table, how)


def _without_header(frame: Any) -> str:
    """What to do where the names of all columns are numbers: the file has no header, and they are its first row."""
    if all(re.fullmatch(r"[-+]?\d+(\.\d*)*([eE][-+]?\d+)?", name) for name in frame.columns):
        return "; has it no header? Name its columns in their order, for example --names cell,time,conductance"
    return ""


def _kind(path: Path) -> str:
    """The last suffix before .gz, in small letters; empty without one."""
    kinds = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    return kinds[-1] if kinds else ""


def _separator(path: Path, how: Reading) -> str:
    return how.separator or ("," if _kind(path) == ".csv" else "\t")


def _frame(path: Path, how: Reading) -> tuple[Any, NDArray[np.int64]]:
    """The file as a pandas frame, and the line or row number of each of its rows."""
    try:
        import pandas
    except ImportError as error:
        raise ConfigError(f'tables need pandas ({error}); pip install "imssa-lab[tables]"') from error
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    kind = _kind(path)
    if kind in (".csv", ".tsv", ".txt"):
        fields = read_fields(path, _separator(path, how), names=len(how.names) or None)
        frame = pandas.DataFrame(fields.rows, columns=list(how.names) or fields.header, dtype=object)
        return frame, np.array(fields.lines, dtype=np.int64)
    first = 1
    try:
        if kind == ".xlsx":
            header: dict[str, Any] = {"header": None, "names": list(how.names)} if how.names else {}
            frame, first = pandas.read_excel(path, sheet_name=how.sheet or 0, **header), 1 if how.names else 2
        elif kind == ".parquet":
            frame = pandas.read_parquet(path)
        elif kind in (".h5", ".hdf5", ".nc"):
            import xarray

            with xarray.open_dataset(path, engine="h5netcdf") as data:
                frame = data.to_dataframe().reset_index()
        else:
            raise ConfigError(f"{path}: unknown file format; give .csv, .tsv, .txt, .parquet, .xlsx, .h5 or .nc")
    except (OSError, ValueError, KeyError, ImportError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    return frame, np.arange(first, first + len(frame), dtype=np.int64)


def _melted(frame: Any, numbers: NDArray[np.int64], role: str) -> tuple[Any, NDArray[np.int64]]:
    import pandas

    values = {name: _number_and_unit(name) for name in frame.columns}
    parts = [
        pandas.DataFrame({role: value, "conductance": frame[name], "cell": np.arange(len(frame)) + 1e6 * place})
        for place, (name, value) in enumerate(values.items())
        if value is not None
    ]
    if not parts:
        raise DataError(f"no header holds a number to take as {role}: {', '.join(frame.columns)}")
    return pandas.concat(parts, ignore_index=True), np.tile(numbers, len(parts))


def _number_and_unit(header: str) -> float | None:
    """100 of "Target_100uS": the number in a header; None where there is none."""
    found = re.search(r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?", header)
    return float(found.group()) if found else None


def _numbers(series: Any, role: str, name: str, path: Path, decimal: str) -> FloatArray:
    if role == "cell":
        return _addresses(series, name, path)
    if series.dtype != object:
        return np.asarray(series, dtype=np.float64)
    texts = ["" if value is None or value != value else str(value) for value in series]
    found = np.full(len(texts), np.nan)
    for row, text in enumerate(texts):
        try:
            found[row] = number(text, decimal)
        except ValueError:
            continue  # stays NaN: such rows are left out by name
    words = [text for text, value in zip(texts, found, strict=True) if text and value != value]
    hint = decimal_hint(words, decimal)
    if hint:
        raise DataError(f"{path}: column {name!r} ({role}) holds {words[0]!r}{hint}")
    if np.isnan(found).all():
        raise DataError(f"{path}: column {name!r} ({role}) holds no numbers")
    return found


def _addresses(series: Any, name: str, path: Path) -> FloatArray:
    """Cells as numbers, equal where the addresses are; NaN without an address.

    Whole numbers keep their value. All others are text, so that "3.1" and "3.10" are two cells.
    """
    import pandas

    if series.dtype.kind == "f" and (series.dropna() % 1 != 0).any():
        raise DataError(
            f"{path}: column {name!r} (cell) holds decimal numbers, where the addresses 3.1 and 3.10 are equal; "
            "store addresses as text or as whole numbers"
        )
    texts = pandas.Series(["" if value is None or value != value else str(value) for value in series])
    given = (texts != "").to_numpy()
    if texts[given].str.fullmatch(r"[-+]?\d+(\.0)?").all():
        return np.asarray(pandas.to_numeric(texts.where(given)), dtype=np.float64)
    return np.where(given, pandas.factorize(texts)[0].astype(np.float64), np.nan)


def _factor(how: Reading, role: str) -> float:
    unit = how.units.get(role, _KIND.get(role, "1"))
    if unit not in _UNITS:
        raise ConfigError(f"unit {unit!r} of {role} is not known; there are {', '.join(_UNITS)}")
    return _UNITS[unit]


def _checked(table: Table, how: Reading) -> Table:
    """Rows without numbers left out by name, impossible values refused, the rows to keep chosen."""
    remarks = table.remarks
    columns = dict(table.columns)
    if "conductance" not in columns and "resistance" in columns:
        with np.errstate(divide="ignore"):
            columns["conductance"] = 1.0 / columns["resistance"]
    table = replace(table, columns=columns)
    broken = ~np.all([np.isfinite(values) for values in columns.values()], axis=0)
    if broken.any():
        if broken.mean() > 0.5:
            raise DataError(
                f"{table.source}: {broken.sum()} of {table.size} rows have no number in one of "
                f"{', '.join(columns)}; is the header right? First: row {table.rows[broken][0]}"
            )
        remarks.append(Remark("rows without a number were left out", table.numbers(broken)))
        table = table.take(~broken)
    for role, values in table.columns.items():
        limit = _LARGEST.get(_KIND.get(role, ""))
        if limit is None:
            continue
        far = np.abs(values) > limit
        if far.any():
            unit = _KIND[role]
            by_resistance = role == "conductance" and "resistance" in table
            cure = "resistance=kOhm" if by_resistance else f"{role}={_SMALLER[unit]}"
            what = f"{role} of {values[far][0]:g} {unit}, beyond {limit:g} {unit}"
            raise DataError(
                f"{table.source}: {Remark(what, table.numbers(far))}; is the unit another one? "
                f"Say so with --unit {cure}"
            )
        if _KIND[role] == "S" and np.median(np.abs(values)) < _TYPICAL:
            rows = table.numbers(np.abs(values) < _TYPICAL)
            remarks.append(Remark(f"{role} below {_TYPICAL * 1e6:g} uS; is the unit another one?", rows))
    for role, (low, high) in how.keep.items():
        outside = (table[role] < low) | (table[role] > high)
        if outside.any():
            remarks.append(Remark(f"{outside.sum()} rows with {role} outside {low:g} to {high:g}: left out as asked"))
            table = table.take(~outside)
    if table.size == 0:
        raise DataError(f"{table.source}: no row is left to fit")
    return table


def positive(table: Table, role: str) -> Table:
    """The table without rows whose `role` is not above zero, which are named.

    Raises:
        DataError: more than one row in fifty is so; that is an offset or a sign, not noise.
    """
    bad = table[role] <= 0
    if not bad.any():
        return table
    what = f"{role} zero or negative"
    if bad.mean() > 0.02:
        raise DataError(
            f"{table.source}: {Remark(f'{what} in {bad.sum()} of {table.size} rows', table.numbers(bad))}; "
            "subtract the instrument's offset or reverse the sign"
        )
    table.remarks.append(Remark(f"{what}: left out", table.numbers(bad)))
    return table.take(~bad)


def mostly_positive(table: Table, role: str) -> list[Remark]:
    """A remark that names the rows whose `role` is negative, where there are any; they stay.

    Raises:
        DataError: half of the rows or more are so: noise about zero does not do that.
    """
    below = table[role] < 0
    if not below.any():
        return []
    if below.mean() >= 0.5:
        remark = Remark(f"{role} negative in {below.sum()} of {table.size} rows", table.numbers(below))
        raise DataError(f"{table.source}: {remark}; reverse the sign")
    return [Remark(f"{role} negative: kept, as noise about zero", table.numbers(below))]
