"""Whether a file is a run that can be opened, and how it is marked."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import h5py

from imssa_lab.contract.errors import LogError
from imssa_lab.contract.operating_system import lock, open_file
from imssa_lab.log.file.attributes import text_attribute, whole_number_attribute
from imssa_lab.log.schema import FORMAT, FORMAT_VERSION, FORMATS_READ, TABLES

_log = logging.getLogger(__name__)
HDF5_ERRORS = (OSError, RuntimeError, ValueError, KeyError)
"""What h5py raises when it reads something damaged."""
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_OPEN_FOR_WRITING = 0b101  # consistency flags of the superblock: being written, by a SWMR writer

_PATIENCE = 2.0  # s for programs that look at a file while it is made or closed


def marks_of(path: Path) -> int:
    """The consistency flags that the file carries now.

    Raises:
        LogError: it cannot be read, or is no HDF5 file.
    """
    try:
        with path.open("rb") as raw:
            start = raw.read(12)
    except FileNotFoundError as error:
        raise LogError(f"{path}: no such file; `imssa log list FOLDER` lists the runs in a folder") from error
    except OSError as error:
        raise LogError(f"{path} cannot be read: {error.strerror}") from error
    if not start.startswith(_SIGNATURE):
        raise LogError(f"{path}: not an HDF5 file, so not a log either")
    return start[11] & _OPEN_FOR_WRITING if len(start) == 12 else 0


def is_foreign(file: h5py.File) -> bool:
    """True for an HDF5 file that some other program wrote: its `format` is not ours, of whatever type it is."""
    try:
        return text_attribute(file, "format") != FORMAT
    except UnicodeDecodeError:
        return True


def problem_of(file: h5py.File) -> str:
    """Why an HDF5 file is no run that can be read; empty if it is one."""
    if is_foreign(file):
        return f"an HDF5 file, but not an {FORMAT}"
    version = whole_number_attribute(file, "format_version")
    if version not in FORMATS_READ:
        return (
            f"format version {version}, this imssa_lab understands {' and '.join(map(str, FORMATS_READ))} only; "
            "open it with the imssa_lab that wrote it (attribute imssa_lab)"
        )
    wanted = [
        "arrays",
        *(
            f"{table}/{name}"
            for table, columns in TABLES.items()
            for name in columns
            if columns.required and (columns[name].required or (columns[name].behind and version == FORMAT_VERSION))
        ),
    ]
    missing = [name for name in wanted if name not in file]
    return f"missing: {', '.join(missing)}; the file was cut off while it was made" if missing else ""


def hold(path: Path) -> int:
    """A shared lock on the file while it is written: SWMR readers share it, a second writer is refused."""
    handle = open_file(path, os.O_RDWR)
    try:
        lock(handle, shared=True)
    except OSError as error:
        _log.warning("%s: this folder takes no locks (%s); let no second program write the file", path, error)
    return handle


def start_swmr(file: h5py.File) -> None:
    """Let others read the file while it is written. HDF5 renews its lock for this, and a reader may come between.

    Raises:
        BlockingIOError: another program has held the file for 2 s.
        RuntimeError: HDF5 cannot write it.
    """
    until = time.monotonic() + _PATIENCE
    while not file.swmr_mode:
        try:
            file.swmr_mode = True
        except RuntimeError as error:
            if "unable to lock" not in str(error):
                raise
            if time.monotonic() > until:
                raise BlockingIOError(f"another program holds it ({error})") from error
            time.sleep(0.02)
