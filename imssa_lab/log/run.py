"""`open_run`: a run to read, to analyse and to replay, while it is being written or afterwards."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from imssa_lab.contract.errors import LogError
from imssa_lab.log.file.file_state import HDF5_ERRORS, marks_of, problem_of
from imssa_lab.log.read.run_file import RunFile
from imssa_lab.log.read.tables import to_xarray
from imssa_lab.log.replay.replayed import Replayed

if TYPE_CHECKING:
    import xarray

BEING_CHANGED = 0b001
_PATIENCE = 2.0  # s for a writer that is just making or closing the file
_EMPTY = 0.2  # s that a file which is just being made may be empty
_PAUSE = 0.02  # s between two attempts
_FAILURES = 3  # in a row that make a file damaged: a writer may change its marks between a look at them and opening


class Run(RunFile):
    """A run opened for reading: what its file stores, its tables as xarray, and its arrays to replay."""

    @property
    def read_mvm(self) -> xarray.Dataset:
        """The products as xarray: voltages, codes, and currents in A; see `table`."""
        return self.table("read_mvm")

    @property
    def read_conductances(self) -> xarray.Dataset:
        """The reads of single cells as xarray: codes, and currents in A; see `table`."""
        return self.table("read_conductances")

    def table(self, name: str, *, skip_damaged: bool = False) -> xarray.Dataset:
        """A table as xarray, with units and coordinates, read as it is used; needs the extra `tables`.

        Args:
            skip_damaged: leave damaged records out; without it, using one raises LogError.
        """
        return to_xarray(self, name, skip_damaged=skip_damaged)

    def arrays(self, *, tolerant: bool = False) -> list[Replayed]:
        """Every array of the run as a `Replayed` one; `tolerant` as there."""
        return [Replayed(self, index, tolerant=tolerant) for index in range(len(self.infos))]


def open_run(path: str | Path) -> Run:
    """Open a run file, also one that is being written or was cut off by a kill.

    Raises:
        LogError: no such file, not HDF5, truncated, not a run, another format version, or tables missing.
    """
    where = Path(path)
    begun, failures = time.monotonic(), 0
    while _is_empty(where) and time.monotonic() < begun + _EMPTY:
        time.sleep(_PAUSE)
    while True:
        marks = marks_of(where)
        try:
            if marks == BEING_CHANGED:  # by a writer that makes or closes it just now
                raise BlockingIOError("marked as being changed")
            file = h5py.File(where, "r", swmr=bool(marks))
            break
        except BlockingIOError as error:
            if time.monotonic() > begun + _PATIENCE:
                raise LogError(
                    f"{where}: another program is changing it, or was killed while it closed it ({error}); "
                    "wait for it, or `imssa log repair`"
                ) from error
        except HDF5_ERRORS as error:
            failures += 1
            if failures == _FAILURES:
                raise LogError(
                    f"{where}: HDF5 cannot open it ({error}); truncated or damaged: use a copy, or `imssa log repair`"
                ) from error
        time.sleep(_PAUSE)
    try:
        problem = problem_of(file)
        if not problem:
            return Run(where, file)
    except HDF5_ERRORS as error:
        problem = f"damaged ({error})"
    file.close()
    raise LogError(f"{where}: {problem}")


def _is_empty(where: Path) -> bool:
    try:
        return where.stat().st_size == 0
    except OSError:
        return False  # what is wrong with it, `marks_of` says
