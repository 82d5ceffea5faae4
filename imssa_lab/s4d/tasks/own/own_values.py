"""Values instead of classes from your own data: a property of every sequence, or what a series is about to do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from imssa_lab.contract.errors import DataError
from imssa_lab.s4d.tasks.own.splitting import (
    LICENCE,
    NULL,
    SPLITS,
    Fill,
    checked_groups,
    checked_rows,
    divided,
    scale_of,
    task_of_rows,
)
from imssa_lab.s4d.tasks.task import Task

_ENDS = (0.7, 0.8, 1.0)
"""Where training, validation and test end in a series that is forecast, as fractions of its steps."""


def regression_of(
    name: str,
    sequences: Sequence[ArrayLike] | ArrayLike,
    values: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    split: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    seed: int = 0,
    unit: str = "groups",
    licence: str = LICENCE,
    standardise: bool = True,
    fill: Fill = "end",
) -> Task:
    """A task from sequences with one value or more each, in their own unit.

    Inputs are scaled and filled up as `task_of` does; values are left as they are.

    Args:
        sequences: n of them, (steps, inputs) each, or (steps,) for one input.
        values: (n,) or (n, outputs); names: of the outputs; None: "value", or "value 0", "value 1" and so on.
        split, groups, seed, unit, standardise, fill: as for `task_of`; what is drawn is drawn from all sequences.

    Raises:
        DataError: shapes that do not fit, values that are not finite, a split without sequences, an input that never
            changes in training, or a value that never changes in a split.
    """
    rows = checked_rows(name, sequences)
    wanted = _table(name, values, len(rows))
    called = _called(names, wanted.shape[1])
    if len(called) != wanted.shape[1] or len(set(called)) != len(called):
        raise DataError(f"{name}: {wanted.shape[1]} values a sequence and names {', '.join(called)}; one name each")
    group_numbers = None if groups is None else checked_groups(name, groups, len(rows))
    alike = np.zeros(len(rows), dtype=np.intp)  # no classes to keep in proportion
    which = divided(name, alike, split, group_numbers, np.random.default_rng(seed))
    return task_of_rows(
        name,
        rows,
        wanted,
        which,
        called,
        group_numbers,
        unit=unit,
        licence=licence,
        standardise=standardise,
        fill=fill,
    )


def forecast_of(
    name: str,
    series: Sequence[ArrayLike],
    *,
    window: int,
    horizon: int = 1,
    targets: Sequence[int] | None = None,
    stride: int = 1,
    licence: str = LICENCE,
    standardise: bool = True,
) -> Task:
    """A task from long series: by `window` steps, what will the inputs be `horizon` steps after the last of them.

    The first 70 % of each series train, the next 10 % validate, the last 20 % test; no window reaches from one part
    into another. The head is to see the last step. Windows overlap, so the interval of a score counts stretches of
    window + horizon steps, of which a window touches two at most. Series that remember for longer than that have
    fewer independent stretches than are counted.

    Args:
        series: one or several, (steps, inputs) each, or (steps,) for one input.
        window, horizon: steps, one or more; stride: steps from one window to the next.
        targets: numbers of the inputs that are forecast; None for all.
        standardise: False leaves inputs as they are; what is forecast has the unit of the series either way.

    Raises:
        DataError: a series too short for a window in each part, an input that there is not, values that are not
            finite, an input that never changes in training, or one that is forecast and never changes in a part.
    """
    if min(window, horizon, stride) < 1:
        raise DataError(f"{name}: window {window}, horizon {horizon}, stride {stride}; steps, one or more")
    rows = checked_rows(name, series, fewest=1)
    inputs = rows[0].shape[1]
    chosen = list(range(inputs)) if targets is None else list(targets)
    if not chosen or len(set(chosen)) != len(chosen) or not set(chosen) <= set(range(inputs)):
        raise DataError(f"{name}: targets {chosen}; different inputs of 0 to {inputs - 1}")
    scaled = rows
    if standardise:
        mean, deviation = scale_of(name, [row[: int(_ENDS[0] * len(row))] for row in rows])
        scaled = [(row - mean) / deviation for row in rows]
    reach = window + horizon
    splits, units = [], np.zeros((0, 2), dtype=np.int64)
    for part, begin, end in zip(SPLITS, (0.0, *_ENDS), _ENDS, strict=False):
        cut = [
            np.arange(int(begin * len(row)), int(end * len(row)) - reach + 1, stride, dtype=np.int64) for row in rows
        ]
        if short := [number for number, starts in enumerate(cut) if not len(starts)]:
            raise DataError(
                f"{name}: series {short[0]} has {len(rows[short[0]])} steps: too few for a window of {window} and "
                f"{horizon} more in its part for {part}; give longer series or a shorter window"
            )
        windows = [row[starts[:, None] + np.arange(window)] for row, starts in zip(scaled, cut, strict=True)]
        ahead = [row[starts + reach - 1][:, chosen] for row, starts in zip(rows, cut, strict=True)]
        splits.append((np.concatenate(windows).astype(np.float32), np.concatenate(ahead)))
        stretches = [np.stack([starts, starts + reach - 1], axis=1) // reach for starts in cut]
        most = 1 + max(int(found.max()) for found in stretches)
        units = np.concatenate([found + most * number for number, found in enumerate(stretches)])
    after = "1 step later" if horizon == 1 else f"{horizon} steps later"
    train, validation, test = splits
    made = "every input standardised by the training part" if standardise else "inputs as they are"
    return Task(
        name,
        train,
        validation,
        test,
        tuple(f"input {number}, {after}" for number in chosen),
        f"windows of {window} steps, {made}",
        licence,
        null_control=NULL,
        test_units=units,
        unit=f"stretches of {reach} steps",
        pooling="last",
    )


def _table(name: str, values: ArrayLike, count: int) -> NDArray[np.float64]:
    """Values as a table, (count, outputs)."""
    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: values are not all numbers ({error}); names of classes are labels") from error
    found = found[:, None] if found.ndim == 1 else found
    if found.ndim != 2 or len(found) != count or not found.shape[1]:
        raise DataError(f"{name}: values of shape {np.shape(values)} for {count} sequences; (n,) or (n, outputs)")
    if not np.isfinite(found).all():
        row, column = np.argwhere(~np.isfinite(found))[0]
        raise DataError(f"{name}: value {column} of sequence {row} is {found[row, column]}; mend it or leave it out")
    return found


def _called(names: Sequence[str] | None, outputs: int) -> tuple[str, ...]:
    if names is not None:
        return tuple(names)
    return ("value",) if outputs == 1 else tuple(f"value {number}" for number in range(outputs))
