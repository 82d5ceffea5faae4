"""Which profiles a fast way of reading covers: those of which it claims every field and every law, and no other.

A section, a field or a class that is not claimed is refused: reads go the numpy way, so a new law is slow at first
but never left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

Claim = Callable[[Any], bool]
"""Whether a fast way covers this value of a field."""
Claims = Mapping[type[BaseModel], Mapping[str, Claim]]
"""By the exact class of a section: a subclass is another law."""

NOT_OF_READS = (
    *("name", "source", "window", "limits", "timing", "recipe", "programming", "relaxation", "fitted_to"),
    *("fresh", "set", "reset", "stuck", "devices", "weak", "lines", "forming", "overdrive"),
    *("measured_pulses", "line_drop", "half_selected", "endurance"),
)
"""Sections of a profile that move conductances or the clock; a read is given both as they are."""


def any_value(value: object) -> bool:
    """All values are covered, or the field acts on no read: it moves conductances or the clock, given to reads."""
    return True


def section(value: object) -> bool:
    """Covered where all of its fields are."""
    return True


def absent(value: object) -> bool:
    """Covered as long as there is nothing."""
    return not value


def optional(value: object) -> bool:
    """Covered where it is None or all of its fields are."""
    return value is None or isinstance(value, BaseModel)


def fields(names: str) -> dict[str, Claim]:
    """Claims of fields of which all values are covered, by their names between blanks."""
    return dict.fromkeys(names.split(), any_value)


def not_covered(section: BaseModel, claims: Claims, path: str = "profile") -> str | None:
    """The first part of a section that is not claimed, as `profile.read_noise.flicker`; None where all of it is."""
    mine = claims.get(type(section))
    if mine is None:
        return path
    for name in type(section).model_fields:
        value, inner = getattr(section, name), f"{path}.{name}"
        if name not in mine or not mine[name](value):
            return inner
        if isinstance(value, BaseModel) and mine[name] is not any_value:
            missed = not_covered(value, claims, inner)
            if missed is not None:
                return missed
    return None
