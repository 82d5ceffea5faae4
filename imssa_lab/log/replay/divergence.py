"""A request held against the recorded one, and the two side by side where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LINES = 8


def differences(recorded: Any, asked: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]] | None:
    """Both as arrays, and where they differ; byte for byte, so that NaN is NaN and -0.0 is not 0.0. None: shapes."""
    logged, wanted = np.asarray(recorded), np.asarray(asked)
    if logged.shape != wanted.shape:
        return None
    if wanted.dtype.kind != "f":
        return np.atleast_1d(logged), np.atleast_1d(wanted), np.atleast_1d(logged != wanted)
    one, other = (np.atleast_1d(np.ascontiguousarray(side, dtype=logged.dtype)) for side in (logged, wanted))
    code = f"V{logged.dtype.itemsize}"
    return one, np.atleast_1d(wanted), one.view(code) != other.view(code)


def mismatch(what: str, recorded: Any, asked: Any) -> str:
    """What is different in words, with the first differing values side by side; empty when nothing is."""
    found = differences(recorded, asked)
    if found is None:
        return f"{what} has shape {np.shape(recorded)} in the log, the script gives {np.shape(asked)}"
    logged, wanted, differs = found
    if not differs.any():
        return ""
    places = [tuple(int(i) for i in place) for place in np.argwhere(differs)[:_LINES]]
    first = places[0]
    index = f"[{', '.join(map(str, first))}]" if np.ndim(recorded) else ""
    text = (
        f"{what}{index} is {logged[first]!s} in the log, the script gives {wanted[first]!s} "
        f"({np.count_nonzero(differs)} of {differs.size} values differ)"
    )
    if len(places) == 1:
        return text
    rows = [("", "log", "script")]
    rows += [(f"[{', '.join(map(str, place))}]", str(logged[place]), str(wanted[place])) for place in places]
    if np.count_nonzero(differs) > len(places):
        rows.append(("...", "...", "..."))
    return text + "\n" + columns(rows)


def columns(rows: list[tuple[str, str, str]]) -> str:
    """Rows of texts as columns."""
    widths = [max(len(row[place]) for row in rows) for place in range(2)]
    return "\n".join(f"  {one:<{widths[0]}}  {two:<{widths[1]}}  {three}".rstrip() for one, two, three in rows)


def payload(values: Mapping[str, Any]) -> str:
    """The payload of a request in one line."""
    return ", ".join(f"{name} {_short(value)}" for name, value in values.items())


def _short(value: Any) -> str:
    values = np.asarray(value)
    if values.ndim == 0:
        return str(values[()])
    size = "x".join(map(str, values.shape))
    numbers = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    return f"{size} of {numbers.min():.6g} to {numbers.max():.6g}" if numbers.size else f"{size}, nothing in it"
