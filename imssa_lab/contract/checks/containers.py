"""Arrays as callers have them: what a container holds besides its numbers is used or refused, never ignored.

A mask, names of dimensions, labels of rows, a unit, an imaginary part: `numpy.asarray` drops all of them in silence.
SI units: S, V, A, s.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.errors import LimitError

CELLS = ("row", "col")
"""Dimensions of what has one value for each cell: word line, bit line."""
_PLAIN = "hand over a plain numpy array"


def floats(values: object, what: str, dims: tuple[str, ...], unit: str, limits: Sequence[float] = ()) -> NDArray[Any]:
    """A float64 copy of real numbers, in C order; no one else has a reference to it.

    Args:
        values: numpy array or number, list or tuple of these, xarray DataArray, pandas frame or series, torch tensor
            on the CPU. what: what messages call it.
        dims: names that the last dimensions of a DataArray must have; it is turned to their order.
        unit: that a DataArray may name as its own.
        limits: values that mean these limits when they differ from them by no more than rounding to the caller's
            own type (float32 has no 0.2).

    Raises:
        LimitError: another container, numbers that are not real, masked or missing values, other dimensions.
    """
    if type(values) is np.ndarray and values.dtype.char == "d":  # what comes most often
        return np.array(values, order="C")
    plain = numeric(values, what, dims, unit)
    made = np.array(plain, dtype=np.float64, order="C")
    return meant(made, plain.dtype, limits)


def numeric(values: object, what: str, dims: tuple[str, ...], unit: str) -> NDArray[Any]:
    """As `floats`, but in the caller's own type, and perhaps the caller's own array."""
    plain = _unwrapped(values, what, dims, unit)
    if plain.dtype.kind not in "fiu":
        why = {"c": "has an imaginary part", "b": "is true or false"}.get(plain.dtype.kind, "is no real number")
        raise LimitError(f"{what}: {plain.dtype} {why}; real numbers in {unit} are needed")
    return plain


def flags(values: object, what: str, dims: tuple[str, ...] = CELLS) -> NDArray[np.bool_]:
    """A bool copy of a mask, with the dimensions `dims` in its shape; containers as `floats` takes them.

    Raises:
        LimitError: another container or type, masked values, other dimensions.
    """
    plain = _unwrapped(values, what, dims, "1")
    if plain.dtype.kind != "b":
        raise LimitError(
            f"{what} must be bool, got {plain.dtype} {plain.shape}; write for example conductance > 5e-6"
        )
    return np.array(plain, order="C")


def meant(values: NDArray[Any], given: np.dtype[Any], limits: Sequence[float]) -> NDArray[Any]:
    """`values` (float64, changed in place), of type `given` before: one that rounds to a limit becomes that limit."""
    if given.kind == "f" and given.itemsize < 8:
        for limit in limits:
            values[values == float(given.type(limit))] = limit
    return values


def number(value: object, what: str, unit: str, limits: Sequence[float] = ()) -> float:
    """One real number as float; limits as `floats` takes them.

    Raises:
        LimitError: an array, even of one value, or anything else that is no real number.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        kind = f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise LimitError(f"{what}: one number in {unit} is needed, got {kind}")
    if isinstance(value, np.floating):
        return float(meant(np.array([value], dtype=np.float64), value.dtype, limits)[0])
    return float(value)


def count(value: object, what: str) -> int:
    """A whole number as int; LimitError for anything else, 3.0 included."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
        raise LimitError(f"{what}={value!r}: a whole number is needed")
    return int(value)


def _unwrapped(values: object, what: str, dims: tuple[str, ...], unit: str) -> NDArray[Any]:
    if type(values) in (np.ndarray, np.memmap, np.matrix):
        return np.asarray(values)
    if isinstance(values, numbers.Number | np.generic):
        return np.asarray(values)
    if isinstance(values, np.ma.MaskedArray):
        if np.ma.is_masked(values):
            raise LimitError(f"{what}: masked values; select cells with mask=... and {_PLAIN} (masked.filled(...))")
        return np.asarray(values.data)
    if isinstance(values, list | tuple):
        return _joined(values, what, dims, unit)
    module, found = type(values).__module__.partition(".")[0], type(values).__name__
    if module == "xarray" and found == "DataArray":
        return _by_name(values, what, dims, unit)
    if module == "pandas" and found in ("DataFrame", "Series"):
        return _by_position(values, what)
    if module == "torch":
        return _from_tensor(values, what)
    raise LimitError(
        f"{what}: {module}.{found} may hold more than its numbers; {_PLAIN} in {unit} (numpy.asarray(...))"
    )


def _joined(values: Sequence[object], what: str, dims: tuple[str, ...], unit: str) -> NDArray[Any]:
    """A list, element by element: each may be a container that says something."""
    inner = [each if type(each) is float else _unwrapped(each, what, dims[1:], unit) for each in values]
    if len({getattr(each, "shape", ()) for each in inner}) > 1:
        raise LimitError(f"{what}: the parts of a list differ in shape; {_PLAIN}")
    return np.array(inner) if inner else np.zeros(0)


def _by_name(values: Any, what: str, dims: tuple[str, ...], unit: str) -> NDArray[Any]:
    """An xarray DataArray: its dimensions by name, its labels counting from 0, its unit ours."""
    names = tuple(values.dims)
    others = tuple(name for name in names if name not in dims)
    if names and (set(dims) - set(names) or len(others) > 1):
        raise LimitError(f"{what}: dimensions {names}; name them {dims}, for example .rename(...)")
    for name in set(names) & set(values.coords):
        if not np.array_equal(values.coords[name].values, np.arange(values.sizes[name])):
            raise LimitError(f"{what}: labels of {name!r} are not 0, 1, 2 ...; sort them, or .drop_vars({name!r})")
    if values.attrs.get("units", unit) != unit:
        raise LimitError(f"{what}: units {values.attrs['units']!r}; {unit} is needed")
    return _unwrapped(values.transpose(*others, *dims).values if names else values.values, what, dims, unit)


def _by_position(values: Any, what: str) -> NDArray[Any]:
    """A pandas frame or series whose labels say no more than the position does."""
    for labels in values.axes:
        if list(labels) != list(range(len(labels))):
            raise LimitError(f"{what}: labels {list(labels)[:3]} ... are not 0, 1, 2 ...; take .to_numpy() in order")
    return np.asarray(values.to_numpy())


def _from_tensor(values: Any, what: str) -> NDArray[Any]:
    try:
        return np.asarray(values.numpy())
    except (AttributeError, RuntimeError, TypeError) as error:
        raise LimitError(f"{what}: {error}; pass tensor.detach().cpu().double().numpy()") from error
