"""Tables of a characterisation as `imssa characterise` writes them: named columns in SI, some of them words."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.errors import DataError

Named = Mapping[str, NDArray[np.generic]]
"""Columns of equal length by name, (n,) each, SI: numbers where all of a column are."""
COLUMNS = {
    "stuck": ("cell", "state", "low", "high"),
    "pulses": ("cell", "cycle", "step", "kind", "voltage", "gate", "width", "initial", "conductance"),
    "columns": ("col", "gain", "offset", "residual"),
}
"""Tables that are read here, and the columns by which they are known."""


def table_kind(path: Path) -> str | None:
    """Which of `COLUMNS` a file is, by its header; None for any other file."""
    if path.suffix != ".csv" or not path.is_file():
        return None
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        header = next((line for line in file if not line.startswith("#")), "")
    names = {name.strip() for name in header.strip().split(",")}
    return next((kind for kind, needed in COLUMNS.items() if names.issuperset(needed)), None)


def read_session_table(path: Path, kind: str) -> Named:
    """The columns of a table of that kind.

    Raises:
        DataError: it has no rows, a row of another length, a column is missing or holds a value that is not a number.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = [line for line in csv.reader(file) if line and not line[0].startswith("#")]
    if len(lines) < 2:
        raise DataError(f"{path}: no rows; let `imssa characterise` finish this experiment")
    names, rows = [name.strip() for name in lines[0]], lines[1:]
    for name in COLUMNS[kind]:
        if name not in names:
            raise DataError(f"{path}: no column {name!r}; there are {', '.join(names)}")
    wrong = next((number for number, row in enumerate(rows, start=2) if len(row) != len(names)), None)
    if wrong is not None:
        raise DataError(f"{path}: {len(rows[wrong - 2])} fields in row {wrong}, {len(names)} in the header")
    found: dict[str, NDArray[np.generic]] = {}
    for index, name in enumerate(names):
        texts = np.array([row[index] for row in rows])
        if name in ("state", "kind"):
            found[name] = texts
            continue
        try:
            found[name] = texts.astype(np.float64)
        except ValueError as error:
            raise DataError(f"{path}: column {name!r} holds a value that is not a number ({error})") from error
    return found
