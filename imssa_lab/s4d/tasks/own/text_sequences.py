"""Labelled sequences from text: UCR/UEA .ts files, and folders of CSV files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.errors import DataError


class Found(NamedTuple):
    """What text files hold.

    Attributes:
        rows: sequences, (steps, inputs) each; labels: the class of each, or its value where `values` says so.
        split: of each, where the files say so.
    """

    rows: list[NDArray[np.float64]]
    labels: list[str]
    split: list[str] | None
    values: bool = False


def read_ts(path: Path) -> Found:
    """A file of the UCR/UEA archive (Bagnall et al., arXiv 1811.00075), with its other half if that lies beside it.

    `Name_TRAIN.ts` brings `Name_TEST.ts`, which becomes the test split. A line holds a sequence: inputs separated by
    colons, steps by commas, the class last, or with `@targetLabel true` a value (Tan et al., arXiv 2006.10996).

    Raises:
        DataError: no @data, no classes, a missing value, time stamps, or a line that does not fit; it is named.
    """
    rows, labels, values = _ts(path)
    other = path.with_name(path.name.replace("_TRAIN.", "_TEST."))
    if other == path or not other.is_file():
        return Found(rows, labels, None, values)
    more, their_labels, theirs = _ts(other)
    if theirs != values:
        raise DataError(f"{other}: one of the two files holds classes, the other values")
    return Found(rows + more, labels + their_labels, ["train"] * len(rows) + ["test"] * len(more), values)


def _ts(path: Path) -> tuple[list[NDArray[np.float64]], list[str], bool]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text ({error})") from error
    rows: list[NDArray[np.float64]] = []
    labels: list[str] = []
    data = values = False
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if not data:
            words = text.lower().split()
            if words[:2] == ["@timestamps", "true"]:
                raise DataError(f"{path}, line {number}: time stamps are not read; give evenly spaced steps")
            if words[:2] == ["@classlabel", "false"]:
                raise DataError(f"{path}, line {number}: the sequences have no classes")
            values = values or words[:2] == ["@targetlabel", "true"]
            data = words[0] == "@data"
            continue
        *inputs, label = text.split(":")
        try:
            columns = [[float(value) for value in column.split(",")] for column in inputs]
            if values:
                float(label)
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {error}; missing values are not made up here") from error
        if not columns or len({len(column) for column in columns}) > 1:
            raise DataError(f"{path}, line {number}: wanted are inputs of one length, then the class, between colons")
        rows.append(np.array(columns).T)
        labels.append(label.strip())
    if not rows:
        raise DataError(f"{path}: no sequence after @data")
    return rows, labels, values


def read_csv_folder(folder: Path) -> Found:
    """A folder for every class with a CSV file for every sequence: a line a step, a column an input.

    These may lie in folders train, test and validation, which are the splits then. A first line of names is left out.

    Raises:
        DataError: no sequence, or a file that is no table of numbers; it is named with its line.
    """
    parts = [name for name in ("train", "validation", "test") if (folder / name).is_dir()]
    rows: list[NDArray[np.float64]] = []
    labels: list[str] = []
    split: list[str] = []
    for part in parts or [""]:
        for label, path in _files(folder / part):
            rows.append(_csv(path))
            labels.append(label)
            split.append(part)
    if not rows:
        raise DataError(f"{folder}: no CSV file in a folder of its class, such as {folder / 'yes' / '1.csv'}")
    return Found(rows, labels, split if parts else None)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for kind in sorted(path for path in folder.iterdir() if path.is_dir()):
        for path in sorted(kind.glob("*.csv")):
            yield kind.name, path


def _csv(path: Path) -> NDArray[np.float64]:
    steps: list[list[float]] = []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text ({error})") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = [float(value) for value in line.split(",")]
        except ValueError as error:
            if number == 1:
                continue  # names of the columns
            raise DataError(f"{path}, line {number}: {error}; a line is a step, numbers between commas") from error
        if steps and len(values) != len(steps[0]):
            raise DataError(f"{path}, line {number}: {len(values)} values, {len(steps[0])} in the lines before")
        steps.append(values)
    if not steps:
        raise DataError(f"{path}: holds no step")
    return np.array(steps)
