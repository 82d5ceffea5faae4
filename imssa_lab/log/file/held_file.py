"""`HeldFile`: a run file while it is written: still in its place, not cut off, and with space behind it."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import h5py

from imssa_lab.contract.operating_system import unlock
from imssa_lab.log.file.file_state import hold, start_swmr
from imssa_lab.log.file.header import trim
from imssa_lab.log.file.nexus import choose_default
from imssa_lab.log.schema import LIBVER

_log = logging.getLogger(__name__)

# HDF5 cannot be trusted to close a file well once a write has failed, so that the last bytes of a disk stay free.
RESERVE = 1 << 22
_PATIENCE = 60.0  # s that closing waits for other programs to let the file go: one that draws pictures needs some
_SAY_AFTER = 2.0  # s of it after which the person in front of the terminal is told
_SPACE_EVERY = 1 << 20  # bytes written between two looks at the free space


class CutOff(OSError):
    """The file is shorter than it was."""


class HeldFile:
    """The descriptor `handle` of a file, locked as `hold` does; each check raises OSError where it fails."""

    def __init__(self, path: Path) -> None:
        self.handle = hold(path)
        self._path = path
        self._inode, self._size = os.fstat(self.handle).st_ino, 0
        self._unchecked = _SPACE_EVERY

    def check_place(self) -> None:
        """No other file has taken its place."""
        if os.stat(self._path).st_ino != self._inode:
            raise FileNotFoundError("another file has taken its place")

    def check_size(self) -> None:
        """A file that is written only grows."""
        size = os.fstat(self.handle).st_size
        if size < self._size:
            raise CutOff(f"another program truncated it: it had {self._size} bytes and has {size}")
        self._size = size

    def check_space(self) -> None:
        """The disk has room; looked at now and then."""
        if self._unchecked >= _SPACE_EVERY:
            free = shutil.disk_usage(self._path.parent).free
            if free < RESERVE:
                raise OSError(f"{free} bytes are left on the disk, {RESERVE} are kept free")
            self._unchecked = 0

    def wrote(self, count: int) -> None:
        """Count bytes for `check_space`."""
        self._unchecked += count

    def mark_closed(self, rows: Mapping[str, Mapping[str, int]], complete: Callable[[h5py.File], None]) -> None:
        """Cut all datasets to what was written and mark the file as closed; waits for programs that are reading.

        `complete` adds to the file before, in SWMR mode as the records were written: a kill meanwhile costs nothing.

        Raises:
            OSError: another program holds the file, or it cannot be written.
        """
        unlock(self.handle)
        began, told = time.monotonic(), False
        while True:
            try:
                with h5py.File(self._path, "r+", libver=LIBVER) as again:
                    start_swmr(again)
                    complete(again)
                with h5py.File(self._path, "r+", libver=LIBVER) as again:
                    uncut = trim(again, rows)
                    choose_default(again)
                    again.attrs["closed_cleanly"] = not uncut
                return
            except BlockingIOError as error:
                waited = time.monotonic() - began
                if waited > _PATIENCE:
                    raise OSError(
                        "every record is in it, but another program holds the file; close that and `imssa log repair`"
                    ) from error
                if waited > _SAY_AFTER and not told:
                    _log.warning("%s: another program reads it; closing waits up to %g s", self._path, _PATIENCE)
                    told = True
                time.sleep(0.02)

    def close(self) -> None:
        """Let it go."""
        os.close(self.handle)
