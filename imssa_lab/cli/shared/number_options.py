"""Options that are numbers without an upper bound: Python reads "inf" as one."""

from __future__ import annotations

import math
from typing import Annotated, TypeVar

import typer

_Numbers = TypeVar("_Numbers", float | None, list[float] | None)


def finite(value: _Numbers) -> _Numbers:
    """The value of an option of numbers, one or a list.

    Raises:
        typer.BadParameter: it is infinite or not a number.
    """
    numbers = value if isinstance(value, list) else [] if value is None else [value]
    if not all(map(math.isfinite, numbers)):
        raise typer.BadParameter("a finite number is needed")
    return value


MaxSecondsOption = Annotated[float | None, typer.Option(min=0, callback=finite, help="Budget of device time, s.")]
