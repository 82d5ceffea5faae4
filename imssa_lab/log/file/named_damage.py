"""Damage in what HDF5 keeps of a file for itself, named: h5py says it by whatever Python has for such a thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property, wraps
from inspect import isgeneratorfunction
from types import FunctionType
from typing import Any, TypeVar

from imssa_lab.contract.errors import ImssaError, LogError
from imssa_lab.log.file.file_state import HDF5_ERRORS

_BARE = (*HDF5_ERRORS, TypeError, AttributeError, IndexError)
_Function = TypeVar("_Function", bound=Callable[..., Any])
_Class = TypeVar("_Class", bound=type[Any])


def damage_named(function: _Function) -> _Function:
    """The function, whose first argument is a run with a `path`, with LogError for what damage makes h5py raise."""
    if isgeneratorfunction(function):

        @wraps(function)
        def steps(run: Any, *given: Any, **options: Any) -> Iterator[Any]:
            try:
                yield from function(run, *given, **options)
            except ImssaError:
                raise
            except _BARE as error:
                raise _named(run, error) from error

        return steps  # type: ignore[return-value]

    @wraps(function)
    def once(run: Any, *given: Any, **options: Any) -> Any:
        try:
            return function(run, *given, **options)
        except ImssaError:
            raise
        except _BARE as error:
            raise _named(run, error) from error

    return once  # type: ignore[return-value]


def members_name_damage(kind: _Class) -> _Class:
    """The class, with `damage_named` on all its public methods and properties."""
    for name, member in list(vars(kind).items()):
        if name.startswith("_") or name == "path":
            continue
        wrapped: Any = None
        if isinstance(member, FunctionType):
            wrapped = damage_named(member)
        elif isinstance(member, property) and member.fget is not None:
            wrapped = property(damage_named(member.fget))
        elif isinstance(member, cached_property):
            wrapped = cached_property(damage_named(member.func))
            wrapped.__set_name__(kind, name)
        if wrapped is not None:
            setattr(kind, name, wrapped)
    return kind


def _named(run: Any, error: Exception) -> LogError:
    where = getattr(run, "path", run)
    return LogError(f"{where}: damaged, or not as the format has it ({error}); `imssa log verify` says where")
