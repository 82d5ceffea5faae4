"""Figures as lines of text, and what differs between two sets of them.

Integers, words and truth values are compared exactly, other numbers to a relative 1e-5, so that machines agree whose
exp differs in its last bit. Of larger arrays a few figures are kept: mean, root of the mean square, lowest, highest,
and the mean of the values weighted by their places, each against the root of the mean square.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

WHOLE = 12
"""An array of up to so many numbers is kept number by number."""
CLOSE = 1e-5
NOTHING = 1e-12
"""Of the largest number of a line: what remains of sums that should be zero."""


def lines_of(name: str, value: object) -> Iterator[tuple[str, str]]:
    """Names and figures of a value and of all that it consists of.

    Raises:
        TypeError: a part of the value is neither a number, a word nor made of such: no figure could be kept of it.
    """
    if isinstance(value, enum.Enum):
        yield name, value.name
    elif value is None or isinstance(value, bool | int | str | np.bool_ | np.integer):
        yield name, repr(value.item() if isinstance(value, np.generic) else value)
    elif isinstance(value, float | np.floating):
        yield name, _written(float(value))
    elif isinstance(value, np.ndarray):
        yield name, _of_array(value)
    elif (numbers := _numbers(value)) is not None:
        yield name, _of_array(numbers)
    elif isinstance(value, Path):
        yield name, value.name
    else:
        parts = list(_parts(name, value))
        if not parts:
            yield name, "empty"
        for key, part in parts:
            yield from lines_of(f"{name}.{key}", part)


def _numbers(value: object) -> np.ndarray[Any, np.dtype[Any]] | None:
    """Of a list of numbers, or of lists of one length of them; None of anything else."""
    if type(value) not in (list, tuple) or not value:
        return None
    try:
        made = np.array(value)
    except ValueError:
        return None
    return made if made.dtype.kind in "biuf" else None


def _parts(name: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        yield from ((str(key), part) for key, part in value.items())
    elif dataclasses.is_dataclass(value):
        yield from ((one.name, getattr(value, one.name)) for one in dataclasses.fields(value) if one.compare)
    elif isinstance(value, BaseModel):
        yield from ((key, getattr(value, key)) for key in type(value).model_fields)
    elif isinstance(value, Set):
        yield from ((str(number), part) for number, part in enumerate(sorted(value, key=str)))
    elif isinstance(value, Sequence):
        fields: Sequence[str] = getattr(value, "_fields", [str(number) for number in range(len(value))])
        yield from zip(fields, value, strict=True)
    else:
        raise TypeError(f"{name}: no figure of a {type(value).__name__} can be kept")


def _of_array(values: np.ndarray[Any, np.dtype[Any]]) -> str:
    head = f"{values.dtype.kind}{list(values.shape)}"
    if values.dtype.kind not in "biufc":
        words, number, counts = np.unique(values.astype(str), return_inverse=True, return_counts=True)
        told = {str(word): int(count) for word, count in zip(words, counts, strict=True)}
        return f"{head} {told} slanted {int((number.ravel() * np.arange(1, number.size + 1)).sum())}"
    if values.dtype.kind == "c":
        values = np.stack([values.real, values.imag])
    flat = values.ravel()
    if flat.size <= WHOLE:
        return " ".join([head, *(_written(one) if flat.dtype.kind == "f" else f"{int(one)}" for one in flat)])
    if flat.dtype.kind != "f":
        whole = [int(one) for one in flat]
        slant = sum(place * one for place, one in enumerate(whole, start=1))
        return f"{head} sum {sum(whole)} lowest {min(whole)} highest {max(whole)} slanted {slant}"
    there = np.isfinite(flat)
    apart = "" if there.all() else f" nan {np.isnan(flat).sum()} inf {np.isinf(flat).sum()}"
    kept, place = flat[there], (np.arange(flat.size) + 1.0)[there] / flat.size
    if not kept.size:
        return f"{head}{apart}"
    size = math.sqrt(np.mean(kept**2))
    figures = {"size": size, "mean": kept.mean(), "lowest": kept.min(), "highest": kept.max()}
    figures["slanted"] = np.mean(kept * place)
    return f"{head}{apart} " + " ".join(f"{key} {_written(one)}" for key, one in figures.items())


def _written(value: float) -> str:
    """Seven digits; with a point or an exponent, so that no whole number looks like it."""
    text = f"{value:.7g}"
    return text if not math.isfinite(value) or "." in text or "e" in text else f"{text}."


def agree(kept: str, found: str, close: float = CLOSE) -> bool:
    """Whether two lines of figures say the same."""
    one, other = kept.split(), found.split()
    if len(one) != len(other):
        return False
    if "slanted" in one and "size" in one:
        least = close * _real(one[one.index("size") + 1])
    else:
        least = NOTHING * max((abs(_real(word)) for word in one if math.isfinite(_real(word))), default=0.0)
    return all(a == b or _close(_real(a), _real(b), close, least) for a, b in zip(one, other, strict=True))


def _close(kept: float, found: float, close: float, least: float) -> bool:
    return abs(kept - found) <= max(close * max(abs(kept), abs(found)), least)


def _real(word: str) -> float:
    """NaN, which is close to nothing, for whole numbers and for words."""
    try:
        return float(word) if "." in word or "e" in word else math.nan
    except ValueError:
        return math.nan
