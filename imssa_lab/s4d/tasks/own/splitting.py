"""Sequences of your own: checked, divided into splits, filled up to one length, and scaled by the training split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imssa_lab.contract.errors import DataError
from imssa_lab.s4d.scores import Wanted
from imssa_lab.s4d.tasks.task import NullControl, Split, Task

LICENCE = "your own data"
NULL = NullControl("the same net with C frozen at zero, trained on its own")
SPLITS = ("train", "validation", "test")
Fill = Literal["end", "start"]
"""Where zeros are put that bring shorter sequences to the length of the longest."""
_SHARES = (0.7, 0.1, 0.2)


def checked_rows(name: str, sequences: Sequence[ArrayLike] | ArrayLike, fewest: int = 3) -> list[NDArray[np.float64]]:
    """The sequences, (steps, inputs) each.

    Raises:
        DataError: fewer than `fewest`, one that is no table of finite numbers, or unlike numbers of inputs.
    """
    rows = [_sequence(name, number, values) for number, values in enumerate(sequences)]  # type: ignore[arg-type]
    if len({row.shape[1] for row in rows}) > 1:
        raise DataError(f"{name}: sequences of {sorted({row.shape[1] for row in rows})} inputs; all need the same")
    if len(rows) < fewest:
        raise DataError(f"{name}: {len(rows)} sequences; give {fewest} or more")
    return rows


def divided(
    name: str,
    kinds: NDArray[np.intp],
    split: ArrayLike | None,
    groups: NDArray[np.int64] | None,
    rng: np.random.Generator,
) -> NDArray[np.str_]:
    """The split of each of n sequences: as given, or drawn by kind (n,), or by group (n,) where there are any.

    Raises:
        DataError: other names or another number than that of the sequences, or a split without sequences.
    """
    which = _given(name, split, rng, kinds) if split is not None else _drawn(kinds, groups, rng)
    for part in SPLITS:
        if not (which == part).any():
            raise DataError(f"{name}: no sequence for {part}; give more sequences or groups, or a split of your own")
    return which


def task_of_rows(
    name: str,
    rows: Sequence[NDArray[np.float64]],
    wanted: Wanted,
    which: NDArray[np.str_],
    outputs: tuple[str, ...],
    groups: NDArray[np.int64] | None,
    *,
    unit: str,
    licence: str,
    standardise: bool,
    fill: Fill,
) -> Task:
    """The task, its sequences of one length and scaled.

    Args:
        rows: n of (steps, inputs); wanted: (n,) or (n, values), what is right for each; which: (n,), its split.
        outputs: names of the classes or values; groups: (n,), what is independent, in words `unit`; None: every
            sequence.

    Raises:
        DataError: no such way to fill up, or an input that never changes in the training split.
    """
    if fill not in get_args(Fill):
        raise DataError(f"{name}: fill {fill!r}; shorter sequences are filled up at their end or at their start")
    steps = max(len(row) for row in rows)
    splits = [_padded(rows, wanted, np.flatnonzero(which == part), steps, fill) for part in SPLITS]
    if standardise:
        splits = _scaled(name, rows, which, splits, fill)
    made = "every input standardised by the training split" if standardise else "inputs as they are"
    if any(len(row) < steps for row in rows):
        place = "" if fill == "end" else " at their start"
        made = f"{made}, shorter ones filled up to {steps} with zeros{place}"
    train, validation, test = splits
    return Task(
        name,
        train,
        validation,
        test,
        outputs,
        made,
        licence,
        null_control=NULL,
        test_units=None if groups is None else groups[which == "test"][:, None],
        unit="sequences" if groups is None else unit,
    )


def _sequence(name: str, number: int, values: ArrayLike) -> NDArray[np.float64]:
    try:
        row = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: sequence {number} is not all numbers ({error})") from error
    row = row[:, None] if row.ndim == 1 else row
    if row.ndim != 2 or 0 in row.shape:
        raise DataError(f"{name}: sequence {number} has shape {row.shape}; wanted are (steps, inputs)")
    if not np.isfinite(row).all():
        step, column = np.argwhere(~np.isfinite(row))[0]
        raise DataError(f"{name}: sequence {number}, step {step}, input {column} is {row[step, column]}; mend it")
    return row


def checked_groups(name: str, groups: ArrayLike, count: int) -> NDArray[np.int64]:
    """Numbers of the groups, (count,); DataError unless there is one for each sequence."""
    found = np.asarray(groups)
    if found.shape != (count,):
        raise DataError(f"{name}: groups of shape {found.shape} for {count} sequences; one each")
    return np.unique(found, return_inverse=True)[1].astype(np.int64)


def _given(name: str, split: ArrayLike, rng: np.random.Generator, numbers: NDArray[np.intp]) -> NDArray[np.str_]:
    which = np.asarray(split).astype(np.str_).astype("U10")
    if which.shape != numbers.shape or not set(which.tolist()) <= set(SPLITS):
        raise DataError(f"{name}: split must hold {', '.join(SPLITS)}, one for each of {len(numbers)} sequences")
    if "validation" not in which:
        for number in np.unique(numbers):
            members = rng.permutation(np.flatnonzero((numbers == number) & (which == "train")))
            which[members[: max(1, len(members) // 10) if len(members) > 1 else 0]] = "validation"
    return which


def _drawn(numbers: NDArray[np.intp], groups: NDArray[np.int64] | None, rng: np.random.Generator) -> NDArray[np.str_]:
    """A split by class, or by group where there are any."""
    which = np.empty(len(numbers), dtype="U10")
    kinds = [np.flatnonzero(numbers == number) for number in np.unique(numbers)]
    if groups is not None:
        kinds = [np.unique(groups)]
    for members in kinds:
        edges = np.rint(np.cumsum(_SHARES)[:-1] * len(members)).astype(int)
        for part, chosen in zip(SPLITS, np.split(rng.permutation(members), edges), strict=True):
            which[chosen if groups is None else np.isin(groups, chosen)] = part
    return which


def scale_of(name: str, training: Sequence[NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of every input, (inputs,) each, over all steps of the training part.

    Raises:
        DataError: an input that never changes in it.
    """
    seen = np.concatenate(training)
    mean, deviation = seen.mean(axis=0), seen.std(axis=0)
    if (constant := np.flatnonzero(deviation == 0)).size:
        raise DataError(f"{name}: inputs {constant.tolist()} never change in the training part; leave them out")
    return mean, deviation


def _padded(
    rows: Sequence[NDArray[np.float64]], wanted: Wanted, chosen: NDArray[np.intp], steps: int, fill: Fill
) -> Split:
    inputs = np.zeros((len(chosen), steps, rows[0].shape[1]), dtype=np.float32)
    for place, number in enumerate(chosen):
        row = rows[number]
        inputs[place, : len(row)] = row
        if fill == "start":
            inputs[place] = np.roll(inputs[place], steps - len(row), axis=0)
    return inputs, wanted[chosen]


def _scaled(
    name: str, rows: Sequence[NDArray[np.float64]], which: NDArray[np.str_], splits: Sequence[Split], fill: Fill
) -> list[Split]:
    """Standardised by the steps of the training split that there are; what was filled up stays zero."""
    mean, deviation = scale_of(name, [row for row, part in zip(rows, which, strict=True) if part == "train"])
    found = []
    for part, (inputs, wanted) in zip(SPLITS, splits, strict=True):
        lengths = np.array([len(row) for row, own in zip(rows, which, strict=True) if own == part])
        there = np.arange(inputs.shape[1])[None, :, None] < lengths[:, None, None]
        there = there if fill == "end" else there[:, ::-1]
        found.append((np.where(there, (inputs - mean) / deviation, 0.0).astype(np.float32), wanted))
    return found
