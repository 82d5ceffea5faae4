"""A dataset of a file that may be being written, as it is now.

HDF5 shows what a writer has added only after `refresh`. But to refresh a dataset while another handle of it is open
in the same process makes HDF5 give the first chunk instead of every other one, without an error (seen with HDF5
2.0.0; h5py issue 2803). So it is asked by one thread at a time, through a handle that nothing else shares.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import h5py
from h5py import h5f, h5i

from imssa_lab.contract.errors import LogError
from imssa_lab.log.file.file_state import HDF5_ERRORS

_Answer = TypeVar("_Answer")
_ONE_AT_A_TIME = threading.RLock()


def ask(file: h5py.File, table: str, name: str, question: Callable[[h5py.Dataset], _Answer]) -> _Answer:
    """What `question` says of a dataset as it is in the file now; the dataset is closed then.

    Raises:
        LogError: it is missing or damaged, or of a file that is being written another handle is open in this process;
            besides, what the question raises.
    """
    with _ONE_AT_A_TIME:
        try:
            dataset = file[table][name]
        except HDF5_ERRORS as error:
            raise LogError(f"{file.filename}: /{table}/{name}: missing or damaged ({error})") from error
        try:
            if file.swmr_mode:
                _refresh(dataset)
            return question(dataset)
        finally:
            dataset.id.close()  # also where an error keeps `dataset` alive


def _refresh(dataset: h5py.Dataset) -> None:
    others = _other_handles(dataset)
    if any(others):
        return  # the writer is in this process, and what it has is new
    if others:
        raise LogError(
            f"{dataset.file.filename}: {dataset.name} is open a second time in this program, and HDF5 would give "
            "wrong values for it while the file is being written; close the datasets that you took from the file"
        )
    try:
        dataset.refresh()
    except HDF5_ERRORS as error:
        raise LogError(f"{dataset.file.filename}: {dataset.name}: damaged ({error})") from error


def _other_handles(dataset: h5py.Dataset) -> list[bool]:
    """Of each other handle of the dataset in this process, whether it is the writer's."""
    file = dataset.file.id
    if h5f.get_obj_count(file, h5f.OBJ_DATASET) == 1:
        return []
    handles = [other for other in h5f.get_obj_ids(file, h5f.OBJ_DATASET) if other == dataset.id]
    return [
        bool(h5i.get_file_id(other).get_intent() & h5f.ACC_RDWR) for other in handles if other.id != dataset.id.id
    ]
