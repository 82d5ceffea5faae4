"""Loops that numba compiles where it is installed (extra `fast`).

numba is optional: callers keep to numpy where `AVAILABLE` is false. The machine code is cached on disk beside the
file of the loop or, where that cannot be written, in the user's cache folder; where neither can, every process
compiles again and says so once. A file of the cache that cannot be read, as a full disk leaves it, is made again.
Loading numba takes a quarter of a second, and its first loop as much again: both wait for the first call of a loop,
so that a command that reads nothing needs neither.

`compiled` is for what Python calls. `inner` and `inlined` are for what only compiled loops call: they count no
references to arrays, which takes longer than a loop over 64 columns, and so cannot make arrays or return views of
them; `views` is for what does that for compiled loops: inlined, most of the counting cancels out. All keep every IEEE
operation as it stands but `exact_sums`, where the compiler may contract and reorder sums whose every step is exact.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from functools import cached_property, update_wrapper
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

AVAILABLE = find_spec("numba") is not None
_Function = TypeVar("_Function", bound=Callable[..., Any])
_log = logging.getLogger(__name__)
_said: set[str] = set()

if AVAILABLE and not TYPE_CHECKING:

    class _Loop:
        """A function that is compiled when it is first called, by Python or by another loop."""

        def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
            update_wrapper(self, function)
            self._function, self._options = function, options

        def __call__(self, *values: Any) -> Any:
            return self.machine_code(*values)

        @property
        def _numba_type_(self) -> Any:
            """By which numba knows a loop that another one calls."""
            return self.machine_code._numba_type_

        @cached_property
        def machine_code(self) -> Callable[..., Any]:
            """numba's dispatcher of it."""
            from numba import njit

            loop = njit(error_model="numpy", **self._options)(self._function)
            try:
                loop._cache = _cache(self._function)  # noqa: SLF001 - what njit(cache=True) does, with our own
            except RuntimeError as error:  # no locator available
                _say_what_it_costs(error)
            # from now on Python calls it without a way through here, which takes .2 us
            type(self).__call__ = staticmethod(loop)
            return loop

    def _cache(function: Callable[..., Any]) -> Any:
        from numba.core.caching import FunctionCache

        class Cache(FunctionCache):
            """numba's own ends in the error of its pickle where a file is damaged, of the disk where it is full."""

            def load_overload(self, sig: Any, target_context: Any) -> Any:
                try:
                    return super().load_overload(sig, target_context)
                except Exception as error:  # noqa: BLE001 - what damaged pickles raise is anything
                    _log.info("%s: damaged (%s), compiled again", self._cache_path, error)
                    with contextlib.suppress(OSError):
                        self.flush()
                    return None

            def save_overload(self, sig: Any, data: Any) -> None:
                try:
                    super().save_overload(sig, data)
                except OSError as error:
                    _say_what_it_costs(error)

        return Cache(function)

    def _compiles(**options: Any) -> Callable[[_Function], _Function]:
        def compiles(function: _Function) -> _Function:
            """The function, compiled when it is first called."""
            return type(function.__name__, (_Loop,), {})(function, options)  # a class of its own

        return compiles

    compiled = _compiles(_nrt=True)
    views = _compiles(_nrt=True, forceinline=True)
    inner = _compiles(_nrt=False)
    inlined = _compiles(_nrt=False, forceinline=True)
    exact_sums = _compiles(_nrt=False, fastmath={"contract", "reassoc"})
else:

    def compiled(function: _Function) -> _Function:
        """Without numba the loops stay Python; only tests call them then."""
        return function

    views = inner = inlined = exact_sums = compiled


def _say_what_it_costs(error: Exception) -> None:
    """Once a process."""
    if not _said:
        _said.add("cost")
        _log.warning(
            "compiled loops cannot be kept (%s): every process spends some 10 s on compiling them again; "
            "set NUMBA_CACHE_DIR to a folder that can be written",
            str(error).partition("\n")[0],
        )
