"""Anybody's data as a task: arrays from Python, .npz and UCR/UEA .ts files, folders of CSV files, lists of spikes."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imssa_lab.contract.errors import ConfigError, DataError
from imssa_lab.s4d.tasks.own.own_values import forecast_of, regression_of
from imssa_lab.s4d.tasks.own.splitting import (
    LICENCE,
    Fill,
    checked_groups,
    checked_rows,
    divided,
    task_of_rows,
)
from imssa_lab.s4d.tasks.own.text_sequences import Found, read_csv_folder, read_ts
from imssa_lab.s4d.tasks.task import Task


def task_of(
    name: str,
    sequences: Sequence[ArrayLike] | ArrayLike,
    labels: ArrayLike,
    *,
    split: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    seed: int = 0,
    unit: str = "groups",
    licence: str = LICENCE,
    standardise: bool = True,
    fill: Fill = "end",
) -> Task:
    """A task from labelled sequences.

    Every input gets mean 0 and deviation 1 by the training split. Sequences of unequal length are filled up with
    zeros, after that. Classes are numbered in the order of their sorted labels.

    Args:
        sequences: n of them, (steps, inputs) each, or (steps,) for one input.
        labels: (n,), the class of each: a name or a number.
        split: (n,) of "train", "validation" and "test"; None: drawn 70, 10 and 20 % of every class. Without
            "validation" in it, a tenth of "train" is set aside.
        groups: (n,), numbers or names of what is independent (speakers, days, devices): a group is never in two
            drawn splits, and the interval of an accuracy counts the groups; None: every sequence on its own.
        seed: of what is drawn; unit: what groups are, in words.
        standardise: False leaves inputs as they are, for a model that was trained on such.
        fill: whether shorter sequences are filled up at their end or at their start.

    Raises:
        DataError: shapes that do not fit, values that are not finite, a split without sequences, a class that is not
            in "train", an input that never changes.
    """
    rows = checked_rows(name, sequences)
    names = np.asarray(labels)
    if names.shape != (len(rows),):
        raise DataError(f"{name}: {len(rows)} sequences and labels of shape {names.shape}; one label each")
    classes, numbers = np.unique(names, return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"{name}: one class only ({classes[0]}); a task has two or more")
    group_numbers = None if groups is None else checked_groups(name, groups, len(rows))
    which = divided(name, numbers, split, group_numbers, np.random.default_rng(seed))
    if missing := sorted(set(classes.tolist()) - set(classes[numbers[which == "train"]].tolist())):
        raise DataError(f"{name}: class {missing[0]} is not in the training split; it cannot be learnt")
    return task_of_rows(
        name,
        rows,
        numbers.astype(np.int64),
        which,
        tuple(str(label) for label in classes),
        group_numbers,
        unit=unit,
        licence=licence,
        standardise=standardise,
        fill=fill,
    )


def task_from_file(
    path: str | Path,
    seed: int,
    steps: int = 100,
    standardise: bool = True,
    fill: Fill = "end",
    window: int | None = None,
    horizon: int | None = None,
) -> Task:
    """A task from an .npz file, an .ts file or a folder of CSV files; the how-to page shows each.

    Args:
        seed: of the split, where the file gives none.
        steps: of a list of spikes, over its whole duration.
        standardise: False, or 0, leaves inputs as they are.
        fill: whether shorter sequences are filled up at their end or at their start.
        window, horizon: of a forecast, as `forecast_of` takes them; of nothing else.

    Raises:
        DataError: no such file, of another kind, or not as the how-to page says; the message names the place.
        ConfigError: window or horizon without a series, or a series without a window.
    """
    place = Path(path)
    how: dict[str, Any] = {"standardise": standardise}
    held = _npz(place) if place.suffix == ".npz" and place.is_file() else {}
    if "series" in held:
        return _forecast(place, held, window, horizon, how)
    if window is not None or horizon is not None:
        raise ConfigError(f"{place}: window and horizon are of a forecast, from an .npz file with an array `series`")
    how |= {"seed": seed, "fill": fill}
    if place.is_dir():
        return _of_text(place.name, read_csv_folder(place), how)
    if not place.is_file():
        raise DataError(f"{place}: no such file or folder")
    if place.suffix == ".ts":
        return _of_text(place.stem.removesuffix("_TRAIN"), read_ts(place), how)
    if place.suffix != ".npz":
        raise DataError(f"{place}: data of your own come as .npz, .ts, or a folder of CSV files")
    if "spike_times" in held:
        rows = _binned(place, held, steps)
    elif "sequences" in held:
        rows = list(held["sequences"])
    else:
        raise DataError(
            f"{place}: holds {', '.join(held) or 'nothing'}; wanted are sequences with labels or values, or a series"
        )
    how |= {"split": held.get("split"), "groups": held.get("groups")}
    if "values" in held:
        return regression_of(place.stem, rows, held["values"], names=_names(held), **how)
    if "labels" not in held:
        raise DataError(f"{place}: holds no labels, one class for each sequence, and no values either")
    return task_of(place.stem, rows, held["labels"], **how)


def _of_text(name: str, found: Found, how: dict[str, Any]) -> Task:
    if found.values:
        return regression_of(name, found.rows, [float(label) for label in found.labels], split=found.split, **how)
    return task_of(name, found.rows, found.labels, split=found.split, **how)


def _forecast(
    place: Path, held: dict[str, NDArray[Any]], window: int | None, horizon: int | None, how: dict[str, Any]
) -> Task:
    if window is None:
        raise ConfigError(f"{place}: a series is to be forecast; say from how many steps: --option window=100")
    targets = held["targets"].tolist() if "targets" in held else None
    whole = held["series"]
    series = list(whole) if whole.ndim == 3 else [whole]
    return forecast_of(place.stem, series, window=window, horizon=horizon or 1, targets=targets, **how)


def _names(held: dict[str, NDArray[Any]]) -> list[str] | None:
    return [str(name) for name in held["value_names"]] if "value_names" in held else None


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
