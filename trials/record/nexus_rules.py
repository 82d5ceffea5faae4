"""The rules of NeXus that a run file must keep, checked by h5py alone, and `punx validate` where it is installed.

Source: NeXus manual, "Rules for structuring information in NeXus files", and the classes NXroot, NXentry, NXdata.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

_NAME = re.compile(r"[A-Za-z_]\w*")
_CLASSES = {"NXroot", "NXentry", "NXdata", "NXcollection"}
_UNIT = re.compile(r"1|s|ns|V|A|S")
_READERS = {
    "nexusformat": """
import sys
from nexusformat.nexus import nxload
root = nxload(sys.argv[1])
assert root.tree
plot = root.plottable_data
print(plot.nxsignal.units, len(plot.nxaxes))
""",
    "silx": """
import sys, silx.io
from silx.io.nxdata import get_default
with silx.io.open(sys.argv[1]) as file:
    plot = get_default(file)
    assert plot.is_valid and all(axis is not None for axis in plot.axes)
    unit = plot.signal.attrs["units"]
    print(unit.decode() if isinstance(unit, bytes) else unit, len(plot.axes))
""",
}
"""What says unit and number of axes of the default plot."""
_ERROR = re.compile(r"^([/]\S*) +ERROR +(.*)$", re.MULTILINE)


def nexus_faults(path: Path) -> list[str]:
    """What is wrong with a finished file for a reader of NeXus; empty for nothing."""
    with h5py.File(path, "r") as file:
        return list(_faults(file))


def punx() -> str | None:
    """The command `punx`: that of IMSSA_PUNX, else on the path; None if there is none."""
    return os.environ.get("IMSSA_PUNX") or shutil.which("punx")


def punx_errors(path: Path) -> list[str]:
    """The errors that `punx validate` finds in a file, and none if it validated it.

    Raises:
        RuntimeError: it did not come to its end.
    """
    command = punx()
    assert command, "to be asked for first"
    done = subprocess.run(
        [command, "validate", str(path)],
        env=os.environ | {"QT_QPA_PLATFORM": "offscreen", "COLUMNS": "400"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or "summary statistics" not in done.stdout:
        raise RuntimeError(f"punx: exit code {done.returncode}: {done.stderr[-500:]}")
    found = [f"{address}: {' '.join(text.split())}" for address, text in _ERROR.findall(done.stdout)]
    counted = re.search(r"^ERROR +(\d+) ", done.stdout, re.MULTILINE)
    if counted is None or int(counted[1]) != len(found):
        raise RuntimeError(f"punx counts {counted and counted[1]} errors, {len(found)} were read in its report")
    return found


def python_of_punx() -> Path | None:
    """The interpreter that `punx` runs with, which may have other readers of NeXus; None without punx."""
    command = punx()
    return None if command is None else Path(command).with_name("python")


def plotted_by(reader: str, path: Path) -> bool | None:
    """Whether `nexusformat` or `silx`, asked for the default plot of a file, finds one with units and all its axes.

    None where the interpreter of punx has no such reader.
    """
    done = subprocess.run(
        [str(python_of_punx()), "-c", _READERS[reader], str(path)], capture_output=True, text=True, check=False
    )
    if "ModuleNotFoundError" in done.stderr:
        return None
    return done.returncode == 0 and done.stdout.split()[-2:] in (["S", "3"], ["A", "2"])


def _faults(file: h5py.File) -> Iterator[str]:
    entry = _led_to(file, "default", "NXentry")
    data = _led_to(entry, "default", "NXdata") if isinstance(entry, h5py.Group) else None
    for item, what in ((entry, "root"), (data, "entry")):
        if not isinstance(item, h5py.Group):
            yield f"default of the {what} leads to nothing ({item})"
    for path, item, free in _items(file):
        kind = _text(item, "NX_class")
        if not free and path and not _NAME.fullmatch(path.rpartition("/")[2]):
            yield f"{path}: no name of NeXus"
        if isinstance(item, h5py.Group):
            if kind is not None and kind not in _CLASSES:
                yield f"{path}: class {kind}"
            if kind == "NXdata":
                yield from _data_faults(path, item)
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "iuf" and not free:
            unit = _text(item, "units")
            if unit is None and not item.is_scale:
                yield f"{path}: no units"
            if unit is not None and not _UNIT.fullmatch(unit):
                yield f"{path}: units {unit!r}"
    if isinstance(entry, h5py.Group):
        try:
            if datetime.fromisoformat(entry["start_time"][()].decode()).tzinfo is None:
                yield "start_time has no time zone"
        except (KeyError, ValueError) as error:
            yield f"start_time: {error}"


def _data_faults(path: str, group: h5py.Group) -> Iterator[str]:
    name = _text(group, "signal")
    if name is None or name not in group:
        yield f"{path}: signal {name} is not there"
        return
    signal = group[name]
    axes = [_plain(each) for each in np.atleast_1d(group.attrs["axes"])] if "axes" in group.attrs else []
    if axes and len(axes) != signal.ndim:
        yield f"{path}: {len(axes)} axes of {signal.ndim} dimensions"
    for axis, size in zip(axes, signal.shape, strict=False):
        if axis not in group:
            yield f"{path}: axis {axis} is not there"
        elif group[axis].shape != (size,):
            yield f"{path}: axis {axis} has shape {group[axis].shape}, {size} are plotted"


def _items(file: h5py.File) -> Iterator[tuple[str, Any, bool]]:
    """Path and item of all, through links, and whether it is in a collection, whose content is free."""

    def inside(path: str, group: h5py.Group, free: bool) -> Iterator[tuple[str, Any, bool]]:
        yield path, group, free
        free = free or _text(group, "NX_class") == "NXcollection"
        for name in group:
            item = group.get(name)
            if isinstance(item, h5py.Group):
                yield from inside(f"{path}/{name}", item, free)
            else:
                yield f"{path}/{name}", item, free

    yield from inside("", file, False)


def _led_to(group: h5py.Group, attribute: str, kind: str) -> h5py.Group | str:
    name = _text(group, attribute)
    if name is None or name not in group:
        return f"{attribute} {name}"
    found = group[name]
    return found if _text(found, "NX_class") == kind else f"{name} is no {kind}"


def _text(item: Any, name: str) -> str | None:
    return _plain(item.attrs[name]) if name in item.attrs else None


def _plain(value: Any) -> str:
    return value.rstrip(b"\0").decode() if isinstance(value, bytes) else str(value)
