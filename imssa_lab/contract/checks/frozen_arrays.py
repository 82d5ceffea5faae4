"""Values that cannot change after their check: a frozen dataclass has its own read-only arrays.

`dataclass(frozen=True)` keeps a name from being bound again, not the numbers behind it: an array that the caller
still holds could change between check and wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

_Array = TypeVar("_Array", bound=np.ndarray[Any, Any])


def frozen(array: _Array) -> _Array:
    """The same array, made read-only; the caller must not keep another writable view of it."""
    array.setflags(False)  # type: ignore[call-arg]  # `write`, by name, takes twice as long
    return array


def own(array: _Array) -> _Array:
    """The array itself where it cannot be written, else a read-only copy, same shape and type."""
    under: Any = array
    while isinstance(under, np.ndarray):
        if under.flags.writeable:
            return frozen(array.copy())
        under = under.base
    return array if under is None or isinstance(under, bytes) else frozen(array.copy())


def _kept(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return own(value)
    if isinstance(value, tuple):
        return value if hasattr(value, "_fields") else tuple(map(_kept, value))
    if isinstance(value, list):
        return list(map(_kept, value)) if any(isinstance(part, np.ndarray) for part in value) else value
    if isinstance(value, Mapping) and any(isinstance(part, np.ndarray) for part in value.values()):
        return {key: _kept(part) for key, part in value.items()}
    return value


class FrozenArrays:
    """Base of frozen dataclasses with arrays; a `__post_init__` of their own calls this one first.

    Arrays in tuples, lists and mappings count too. What was passed through `frozen` is not copied again.
    """

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            kept = _kept(value)
            if kept is not value:
                object.__setattr__(self, name, kept)
