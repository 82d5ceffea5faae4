"""Anybody's data as a task: arrays from Python, .npz and UCR/UEA .ts files, folders of CSV files, lists of spikes."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imssa_lab.contract.errors import DataError
from imssa_lab.s4d.tasks.own.text_sequences import read_csv_folder, read_ts
from imssa_lab.s4d.tasks.task import NullControl, Split, Task

SPLITS = ("train", "validation", "test")
_SHARES = (0.7, 0.1, 0.2)
_LICENCE = "your own data"


def task_of(
    name: str,
    sequences: Sequence[ArrayLike] | ArrayLike,
    labels: ArrayLike,
    *,
    split: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    seed: int = 0,
    unit: str = "groups",
    licence: str = _LICENCE,
    standardise: bool = True,
) -> Task:
    """A task from labelled sequences.

    Every input gets mean 0 and deviation 1 by the training split. Sequences of unequal length are filled up with
    zeros at the end, after that. Classes are numbered in the order of their sorted labels.

    Args:
        sequences: n of them, (steps, inputs) each, or (steps,) for one input.
        labels: (n,), the class of each: a name or a number.
        split: (n,) of "train", "validation" and "test"; None: drawn 70, 10 and 20 % of every class. Without
            "validation" in it, a tenth of "train" is set aside.
        groups: (n,), numbers or names of what is independent (speakers, days, devices): a group is never in two
            drawn splits, and the interval of an accuracy counts the groups; None: every sequence on its own.
        seed: of what is drawn; unit: what groups are, in words.
        standardise: False leaves inputs as they are, for a model that was trained on such.

    Raises:
        DataError: shapes that do not fit, values that are not finite, a split without sequences, a class that is not
            in "train", an input that never changes.
    """
    rows = [_sequence(name, number, values) for number, values in enumerate(sequences)]  # type: ignore[arg-type]
    names = np.asarray(labels)
    if len({row.shape[1] for row in rows}) > 1:
        raise DataError(f"{name}: sequences of {sorted({row.shape[1] for row in rows})} inputs; all need the same")
    if names.shape != (len(rows),) or len(rows) < 3:
        raise DataError(
            f"{name}: {len(rows)} sequences and labels of shape {names.shape}; three or more, one label each"
        )
    classes, numbers = np.unique(names, return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"{name}: one class only ({classes[0]}); a task has two or more")
    group_numbers = None if groups is None else _groups(name, groups, len(rows))
    rng = np.random.default_rng(seed)
    which = _given(name, split, rng, numbers) if split is not None else _drawn(numbers, group_numbers, rng)
    for part in SPLITS:
        if not (which == part).any():
            raise DataError(f"{name}: no sequence for {part}; give more sequences or groups, or a split of your own")
    if missing := sorted(set(classes.tolist()) - set(classes[numbers[which == "train"]].tolist())):
        raise DataError(f"{name}: class {missing[0]} is not in the training split; it cannot be learnt")
    steps = max(len(row) for row in rows)
    splits = [_padded(rows, numbers, np.flatnonzero(which == part), steps) for part in SPLITS]
    train, validation, test = _scaled(name, rows, which, splits) if standardise else splits
    lengths = "" if all(len(row) == steps for row in rows) else f", shorter ones filled up to {steps} with zeros"
    return Task(
        name,
        train,
        validation,
        test,
        tuple(str(label) for label in classes),
        f"{'every input standardised by the training split' if standardise else 'inputs as they are'}{lengths}",
        licence,
        null_control=NullControl("the same net with C frozen at zero, trained on its own"),
        test_units=None if group_numbers is None else group_numbers[which == "test"][:, None],
        unit="sequences" if groups is None else unit,
    )


def task_from_file(path: str | Path, seed: int, steps: int = 100, standardise: bool = True) -> Task:
    """A task from an .npz file, an .ts file or a folder of CSV files; the how-to page shows each.

    Args:
        seed: of the split, where the file gives none.
        steps: of a list of spikes, over its whole duration.
        standardise: False, or 0, leaves inputs as they are.

    Raises:
        DataError: no such file, of another kind, or not as the how-to page says; the message names the place.
    """
    place = Path(path)
    if place.is_dir():
        rows, labels, split = read_csv_folder(place)
        return task_of(place.name, rows, labels, split=split, seed=seed, standardise=standardise)
    if not place.is_file():
        raise DataError(f"{place}: no such file or folder")
    if place.suffix == ".ts":
        rows, labels, split = read_ts(place)
        name = place.stem.removesuffix("_TRAIN")
        return task_of(name, rows, labels, split=split, seed=seed, standardise=standardise)
    if place.suffix != ".npz":
        raise DataError(f"{place}: data of your own come as .npz, .ts, or a folder of CSV files")
    held = _npz(place)
    if "spike_times" in held:
        rows = _binned(place, held, steps)
    elif "sequences" in held:
        rows = list(held["sequences"])
    else:
        raise DataError(f"{place}: holds {', '.join(held) or 'nothing'}; wanted are sequences and labels")
    if "labels" not in held:
        raise DataError(f"{place}: holds no labels, one class for each sequence")
    return task_of(
        place.stem,
        rows,
        held["labels"],
        split=held.get("split"),
        groups=held.get("groups"),
        seed=seed,
        standardise=standardise,
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


def _groups(name: str, groups: ArrayLike, count: int) -> NDArray[np.int64]:
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


def _padded(
    rows: Sequence[NDArray[np.float64]], numbers: NDArray[np.intp], chosen: NDArray[np.intp], steps: int
) -> Split:
    inputs = np.zeros((len(chosen), steps, rows[0].shape[1]), dtype=np.float32)
    for place, number in enumerate(chosen):
        inputs[place, : len(rows[number])] = rows[number]
    return inputs, numbers[chosen].astype(np.int64)


def _scaled(
    name: str, rows: Sequence[NDArray[np.float64]], which: NDArray[np.str_], splits: Sequence[Split]
) -> list[Split]:
    """Standardised by the steps of the training split that there are; what was filled up stays zero."""
    seen = np.concatenate([row for row, part in zip(rows, which, strict=True) if part == "train"])
    mean, deviation = seen.mean(axis=0), seen.std(axis=0)
    if (constant := np.flatnonzero(deviation == 0)).size:
        raise DataError(f"{name}: inputs {constant.tolist()} never change in the training split; leave them out")
    found = []
    for part, (inputs, classes) in zip(SPLITS, splits, strict=True):
        lengths = np.array([len(row) for row, own in zip(rows, which, strict=True) if own == part])
        there = np.arange(inputs.shape[1])[None, :, None] < lengths[:, None, None]
        found.append((np.where(there, (inputs - mean) / deviation, 0.0).astype(np.float32), classes))
    return found


def _npz(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is not a readable .npz file of plain arrays ({error})") from error


def _binned(path: Path, held: dict[str, NDArray[np.generic]], steps: int) -> list[NDArray[np.float64]]:
    """Counts of spikes, (steps, units) for each sequence, from lists of (time, unit, sequence)."""
    try:
        times, units, owners = (held[name] for name in ("spike_times", "spike_units", "spike_sequences"))
        count = len(held["labels"])
    except KeyError as error:
        raise DataError(
            f"{path}: a list of spikes needs spike_times, spike_units, spike_sequences, labels; no {error}"
        ) from error
    if not len(times) == len(units) == len(owners) or not len(times):
        raise DataError(
            f"{path}: {len(times)} times, {len(units)} units and {len(owners)} sequences of spikes; as many of each"
        )
    whole = [np.asarray(values) for values in (units, owners)]
    if any(values.dtype.kind not in "iu" or values.min() < 0 for values in whole) or whole[1].max() >= count:
        raise DataError(f"{path}: spike_units and spike_sequences are whole numbers from 0, below {count} sequences")
    moments = np.asarray(times, dtype=np.float64)
    if not np.isfinite(moments).all() or moments.min() < 0 or moments.max() == 0:
        raise DataError(f"{path}: spike_times are seconds from the start of a sequence, finite and not below zero")
    at = np.minimum((moments / moments.max() * steps).astype(np.int64), steps - 1)
    counts = np.zeros((count, steps, int(whole[0].max()) + 1))
    np.add.at(counts, (whole[1], at, whole[0]), 1.0)
    return list(counts)
