"""Loops that numba compiles where it is installed (extra `fast`).

numba is optional: callers keep to numpy where `AVAILABLE` is false. The machine code is cached on disk beside the
file of the loop or, where that cannot be written, in the user's cache folder.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

AVAILABLE = find_spec("numba") is not None
_Function = TypeVar("_Function", bound=Callable[..., Any])

if AVAILABLE and not TYPE_CHECKING:
    from numba import njit

    compiled = njit(cache=True, error_model="numpy")
else:

    def compiled(function: _Function) -> _Function:
        """Without numba the loops stay Python; only tests call them then."""
        return function
