"""Attributes of HDF5 files, in whatever kind of text other programs may have written them."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np


def text_attribute(item: h5py.Group | h5py.Dataset, name: str) -> str | None:
    """The text of an attribute, whatever kind of string HDF5 holds it in; None where there is none or it is no text.

    Raises:
        UnicodeDecodeError: the bytes are no UTF-8. What h5py raises of a damaged attribute passes.
    """
    return _text(item.attrs[name]) if name in item.attrs else None


def whole_number_attribute(item: h5py.Group | h5py.Dataset, name: str) -> int | None:
    """The value of an attribute that holds one whole number; None where there is none or it is something else."""
    if name not in item.attrs:
        return None
    value = np.asarray(item.attrs[name]) if not isinstance(item.attrs[name], h5py.Empty) else np.array([])
    return int(value.reshape(-1)[0]) if value.size == 1 and value.dtype.kind in "iu" else None


def set_text(item: h5py.Group | h5py.Dataset, name: str, text: str, size: int | None = None) -> None:
    """Write a text as UTF-8 of fixed length, `size` bytes or its own: those of variable length live in a heap of
    their own, which a kill can damage.
    """
    data = text.encode(errors="backslashreplace")
    item.attrs.create(name, np.array(data, dtype=h5py.string_dtype("utf-8", size or max(len(data), 1))))


def _text(value: Any) -> str | None:
    if isinstance(value, np.ndarray):
        return _text(value.reshape(-1)[0]) if value.size == 1 else None
    if isinstance(value, bytes):
        return value.rstrip(b"\0").decode()
    return value if isinstance(value, str) else None
