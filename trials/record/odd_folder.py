"""A folder of forty files as labs have them: other programs' HDF5, cut and empty files, links, and good runs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from imssa_lab.log.schema import FORMAT, FORMAT_VERSION

OTHER_FORMATS: dict[str, Any] = {
    "text": "Igor",
    "bytes": b"Igor",
    "padded": np.bytes_("Igor"),
    "not UTF-8": np.bytes_(b"\xff\xfe"),
    "number": 3,
    "float": 2.5,
    "vector": np.arange(3),
    "texts": ["a", "b"],
    "empty": h5py.Empty("f8"),
    "record": np.zeros(2, dtype=[("a", "i4"), ("b", "f8")]),
    "complex": 1 + 2j,
    "flag": True,
    "none": None,
}
"""Attributes `format` of other programs, of every type that HDF5 has, by the name of their file."""
_LENGTHS = (0, 1, 8, 11, 12, 100, 1000, 5000)
_VERSIONS = {"later": FORMAT_VERSION + 1, "bare": FORMAT_VERSION}


class OddFolder(NamedTuple):
    """`path` of the folder, the `good` runs in it (one a link to the other), all others in `odd`, those in HDF5 of
    other programs in `foreign`.
    """

    path: Path
    good: list[Path]
    odd: list[Path]
    foreign: list[Path]


def odd_folder(where: Path, run: Path) -> OddFolder:
    """Make the folder, which must not exist, with a copy of the finished `run` in it."""
    deep = where / "deep"
    (deep / "folder.h5").mkdir(parents=True)
    good, foreign = deep / "good.h5", []
    shutil.copy(run, good)
    for name, value in OTHER_FORMATS.items():
        for folder in (where, deep):
            foreign.append(folder / f"{name}.h5")
            with h5py.File(foreign[-1], "w") as file:
                file["data"] = np.arange(3)
                if value is not None:
                    file.attrs["format"] = value
    whole = good.read_bytes()
    for length in (*_LENGTHS, len(whole) // 2):
        (where / f"cut{length}.h5").write_bytes(whole[:length])
    for name, version in _VERSIONS.items():
        with h5py.File(where / f"{name}.h5", "w") as file:
            file.attrs.update({"format": FORMAT, "format_version": version})
    (where / "words.h5").write_text("no HDF5 at all")
    os.symlink(where / "nowhere", where / "dangling.h5")
    os.symlink(good, where / "link.h5")
    runs = [good, where / "link.h5"]
    return OddFolder(where, runs, sorted({*where.rglob("*.h5")} - {*runs}), foreign)
