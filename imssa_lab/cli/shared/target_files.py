"""Target conductances from a file, in siemens whatever unit they were written in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.errors import ConfigError, DataError

UNITS = {"S": 1.0, "mS": 1e-3, "uS": 1e-6, "nS": 1e-9}
"""Units of conductances in a file of targets, S each."""

_LARGEST = 1.0
"""S; no cell conducts more, so a larger number was written in another unit."""
_SMALLEST = 1e-9
"""S; where no target but 0 reaches it, the numbers were not in the unit that was named."""


def read_unit(given: Sequence[str] | None) -> str:
    """The unit that `--unit target=UNIT` names, S without it.

    Raises:
        ConfigError: another role, no unit or one that conductances do not have, or the option twice.
    """
    named = given or ["target=S"]
    role, _, unit = named[0].partition("=")
    if len(named) > 1 or role != "target" or unit not in UNITS:
        raise ConfigError(f"--unit {' '.join(named)}: write target=UNIT once, with one of {', '.join(UNITS)}")
    return unit


def load_targets(path: Path, *, unit: str = "S", separator: str = ",", decimal: str = ".") -> FloatArray:
    """Targets in S, (word lines, bit lines), NaN where a cell is left alone: an empty field, or nan.

    Args:
        path: .npy, or .csv with a line for each word line.
        unit: of the numbers, S, mS, uS or nS.
        separator, decimal: of a .csv file.

    Raises:
        ConfigError: the file cannot be read as a table of numbers, has no target at all, or numbers
            that can be no conductances in this unit.
    """
    found = _npy(path) if path.suffix == ".npy" else _csv(path, separator, decimal)
    target = found * UNITS[unit]
    chosen = ~np.isnan(target)
    if not chosen.any():
        raise ConfigError(f"{path}: no cell has a target")
    largest, smallest = target[chosen].max(), target[chosen].min()
    if smallest < 0:
        raise ConfigError(f"{path}: {_place(target == smallest, found)} is below zero; targets are conductances")
    if largest > _LARGEST:
        hint = "are they in uS? write --unit target=uS" if unit == "S" else "they are no conductances"
        raise ConfigError(f"{path}: {_place(target == largest, found)} would be {largest:g} S; {hint}")
    if 0 < largest < _SMALLEST:
        hint = "they are no conductances" if unit == "S" else f"are they in S? leave --unit target={unit} out"
        raise ConfigError(f"{path}: {_place(target == largest, found)}, the largest, would be {largest:g} S; {hint}")
    return target


def _place(where: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], found: FloatArray) -> str:
    row, col = np.argwhere(where)[0]
    return f"word line {row}, bit line {col}: {found[row, col]:g}"


def _npy(path: Path) -> FloatArray:
    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
        if found.dtype.kind not in "fiu" or found.ndim != 2:
            raise ConfigError(
                f"{path}: holds {found.dtype} {found.shape}; targets are numbers, word lines x bit lines"
            )
        return np.asarray(found, dtype=np.float64)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    except (OSError, ValueError, EOFError, AttributeError) as error:
        raise ConfigError(f"{path} cannot be read as .npy: {error}") from error


def _csv(path: Path, separator: str, decimal: str) -> FloatArray:
    from twin.fitting.tables.delimited_text import decimal_hint, number, read_fields

    try:
        found = read_fields(path, separator, headless=True)
    except DataError as error:
        raise ConfigError(str(error)) from error
    values = np.empty((len(found.rows), len(found.rows[0])))
    for row, fields in enumerate(found.rows):
        for col, field in enumerate(fields):
            try:
                values[row, col] = number(field, decimal)
            except ValueError as error:
                hint = decimal_hint([field], decimal) or next(
                    (f"; add --separator {other!r}" for other in (";", "\t") if other in field), ""
                )
                raise ConfigError(
                    f"{path}: word line {row}, bit line {col}: {field!r} is no number"
                    f"{hint or '; write one line for each word line, conductances alone, no names, no units'}"
                ) from error
    return values


def read_separator(given: str) -> str:
    r"""What --separator means: one character, a tab also as \t; empty where it was not given.

    Raises:
        ConfigError: anything else.
    """
    found = "\t" if given == "\\t" else given
    if len(found) > 1:
        raise ConfigError(f"--separator {given!r}: give one character, a tab as \\t")
    return found
