"""The NeXus view of a run, `/entry`: what a viewer that knows HDF5 and NeXus alone plots first, in SI units.

Two pictures, conductance and currents, are calculated from the record when the run ends (`read/overview.py`), since
codes of a converter with several ranges are nothing to plot. Links lead to the tables, whose paths stay. They are
soft: a dataset has one path, under which it is checked. All of it is laid down before the first call, as the tables
are, and filled as they are, so that a kill finds a file that can be read.

Source: NeXus manual, data rules and NXdata (NIAC 2014 way to the default plot).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import h5py
import numpy as np
from h5py import h5d, h5p, h5s, h5t
from numpy.typing import NDArray

from imssa_lab.contract.array_types import ArrayInfo
from imssa_lab.log.file.attributes import set_text, text_attribute
from imssa_lab.log.schema import TABLES

ENTRY = "entry"
_CONDUCTANCE = "conductance"
_NAME_BYTES = 32
_CHUNK_BYTES = 1 << 15
_POINTS, _BYTES, _FEWEST = 2048, 1 << 20, 64  # currents of all arrays together, and points of each
_UNITS = {"conductance": "S", "current": "A", "time": "s", "array": "1", "row": "1", "col": "1"}
_LONG_NAMES = {
    "conductance": "conductance, latest read of every cell",
    "current": "current of the bit lines",
    "time": "the array's own time",
    "array": "index into /arrays",
    "row": "word line",
    "col": "bit line",
}
_DERIVED = "derived from {} when the run ended; {}"
_FACTS = {"title": "", "start_time": "created", "entry_identifier_uuid": "uuid", "program_name": ""}
"""Fields of the entry, and the root attribute that says the same."""


class Overview(NamedTuple):
    """What is plotted first.

    Attributes:
        conductance: S, (arrays, rows, cols), f4; NaN where a cell was not read.
        currents: of each array, times in s, (points,), f8, and currents in A, (cols, points), f4.
    """

    conductance: NDArray[np.float32]
    currents: list[tuple[NDArray[np.float64], NDArray[np.float32]]]

    @property
    def empty(self) -> bool:
        """Nothing is to be seen."""
        return bool(np.isnan(self.conductance).all()) and not any(len(times) for times, _ in self.currents)

    def agrees(self, other: Overview) -> bool:
        """Whether two are the same in every number."""
        mine, theirs = (
            [view.conductance, *(values for pair in view.currents for values in pair)] for view in (self, other)
        )
        return len(mine) == len(theirs) and all(
            np.array_equal(left, right, equal_nan=True) for left, right in zip(mine, theirs, strict=True)
        )


def most_points(arrays: int, cols: int) -> int:
    """How many products of each array the view of currents has at most."""
    return max(min(_POINTS, _BYTES // (4 * cols)) // arrays, _FEWEST)


def create_entry(file: h5py.File, infos: Sequence[ArrayInfo]) -> None:
    """`/entry` of a file whose root attributes, arrays and tables are there; its two pictures are empty."""
    (rows, cols), arrays = infos[0].shape, len(infos)
    set_text(file, "NX_class", "NXroot")
    set_text(file, "default", ENTRY)
    for group in (file["arrays"], *(file["arrays"][str(index)] for index in range(arrays))):
        set_text(group, "NX_class", "NXcollection")
    entry = file.create_group(ENTRY)
    set_text(entry, "NX_class", "NXentry")
    set_text(entry, "default", _CONDUCTANCE, _NAME_BYTES)
    names = dict.fromkeys(info.name for info in infos)
    texts = {"title": f"run on {', '.join(names)}", "program_name": "imssa_lab"}
    for name, source in _FACTS.items():
        _text_field(entry, name, texts.get(name) or text_attribute(file, source) or "")
    picture = _picture(
        entry,
        _CONDUCTANCE,
        {"array": np.arange(arrays), "row": np.arange(rows), "col": np.arange(cols)},
        (arrays, rows, cols),
        (1, rows, cols),
    )
    set_text(picture, "meaning", _DERIVED.format("/read_conductances", "NaN: not read"))
    for index in range(arrays):
        chunk = (cols, max(_CHUNK_BYTES // (4 * cols), 1))
        picture = _picture(
            entry, _of_array(index), {"col": np.arange(cols), "time": np.zeros(0)}, (cols, 0), chunk, "current"
        )
        at_most = most_points(arrays, cols)
        set_text(picture, "meaning", _DERIVED.format("/read_mvm", f"evenly spaced products, at most {at_most}"))
    for name, path in links():
        entry[name] = h5py.SoftLink(path)


def links() -> Iterator[tuple[str, str]]:
    """Names in `/entry` of tables that a viewer can plot, and where they lead."""
    for table, columns in TABLES.items():
        if columns.signal:
            yield table, f"/{table}"


def write_overview(file: h5py.File, view: Overview) -> None:
    """Fill the pictures, also while the file is being written (SWMR)."""
    entry = file[ENTRY]
    for index, cells in enumerate(view.conductance):
        if np.isfinite(cells).any():  # one that is not stored reads as NaN
            entry[_CONDUCTANCE][_CONDUCTANCE][index] = cells
    for index, (times, currents) in enumerate(view.currents):
        group = entry[_of_array(index)]
        if group["time"].shape[0] == len(times) == 0:
            continue
        for name, values in (("current", currents), ("time", times)):
            group[name].resize(len(times), axis=values.ndim - 1)
            group[name][...] = values


def choose_default(file: h5py.File) -> None:
    """Name the picture that has something to show; not while the file is being written."""
    entry = file[ENTRY]
    if not entry[_CONDUCTANCE][_CONDUCTANCE].id.get_num_chunks():
        shown = [name for name in map(_of_array, range(len(file["arrays"]))) if entry[name]["time"].shape[0]]
        if shown:
            text = np.array(shown[0].encode(), dtype=h5py.string_dtype("utf-8", _NAME_BYTES))
            entry.attrs.modify("default", text)


def stored_overview(file: h5py.File) -> Overview:
    """The pictures as they are in a file that has them."""
    entry = file[ENTRY]
    currents = [entry[_of_array(index)] for index in range(len(file["arrays"]))]
    return Overview(
        entry[_CONDUCTANCE][_CONDUCTANCE][...], [(each["time"][...], each["current"][...]) for each in currents]
    )


def is_fact(path: str) -> bool:
    """Whether a dataset, named by its whole path, is a text of the entry, which has no chunks."""
    return path.removeprefix(f"/{ENTRY}/") in _FACTS


def is_picture(path: str, arrays: int) -> bool:
    """Whether a dataset, named by its path below `/entry`, is one of a picture."""
    group, _, name = path.rpartition("/")
    members = {_CONDUCTANCE: {"conductance", "array", "row", "col"}}
    members |= {_of_array(index): {"current", "col", "time"} for index in range(arrays)}
    return name in members.get(group, set())


def entry_problems(file: h5py.File) -> Iterator[tuple[str, str]]:
    """Place and text of what is wrong with the entry of a file that has one, but for its pictures."""
    entry = file[ENTRY]
    for name, path in links():
        link = entry.get(name, getlink=True)
        if path[1:] in file and not (isinstance(link, h5py.SoftLink) and link.path == path):
            yield f"/{ENTRY}/{name}", f"must be a link to {path}"
    for name, source in _FACTS.items():
        if name not in entry:
            yield f"/{ENTRY}/{name}", "missing"
        elif source and entry[name][()].decode(errors="replace") != text_attribute(file, source):
            yield f"/{ENTRY}/{name}", f"does not say what the attribute {source} of the file says"


def _of_array(index: int) -> str:
    return f"current_{index}"


def _picture(
    entry: h5py.Group,
    name: str,
    axes: Mapping[str, NDArray[Any]],
    shape: tuple[int, ...],
    chunk: tuple[int, ...],
    signal: str = "",
) -> h5py.Group:
    """An NXdata group with its axes as dimension scales, so that xarray reads it as well; the group's dataset."""
    group, signal = entry.create_group(name), signal or name
    set_text(group, "NX_class", "NXdata")
    set_text(group, "signal", signal)
    texts = [axis.encode() for axis in axes]
    group.attrs.create("axes", np.array(texts, dtype=h5py.string_dtype("utf-8", max(map(len, texts)))))
    packed: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    dataset = group.create_dataset(
        signal,
        shape,
        "f4",
        maxshape=tuple(size or None for size in shape),
        chunks=chunk,
        fillvalue=np.nan,
        fletcher32=True,
        **packed,
    )
    for number, (axis, values) in enumerate(axes.items()):
        if len(values):
            made = group.create_dataset(axis, data=values.astype(np.uint32), chunks=values.shape, fletcher32=True)
        else:
            made = group.create_dataset(
                axis, data=values, maxshape=(None,), chunks=chunk[number:], fletcher32=True, **packed
            )
        made.make_scale(axis)
        dataset.dims[number].attach_scale(made)
        _describe(made, axis)
    _describe(dataset, signal)
    return dataset


def _text_field(entry: h5py.Group, name: str, text: str) -> None:
    """A text in the header of its dataset, and so in the checksum of that."""
    data = text.encode(errors="backslashreplace")
    dtype = h5py.string_dtype("utf-8", max(len(data), 1))
    compact = h5p.create(h5p.DATASET_CREATE)
    compact.set_layout(h5d.COMPACT)
    h5d.create(entry.id, name.encode(), h5t.py_create(dtype, logical=True), h5s.create(h5s.SCALAR), compact)
    entry[name][()] = np.array(data, dtype=dtype)


def _describe(dataset: h5py.Dataset, name: str) -> None:
    set_text(dataset, "units", _UNITS[name])
    set_text(dataset, "long_name", _LONG_NAMES[name])
