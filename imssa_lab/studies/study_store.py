"""The store of a study: one HDF5 file with a place for every trial, filled in any order.

All places are made, with their bytes, before the first trial: a result is written over its place and touches no
structure of the file, so that a kill costs at most the trials that were under way, and the finished file has the same
content however often it was resumed and however many workers filled it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

import h5py
import numpy as np

from imssa_lab.contract.errors import LogError
from imssa_lab.contract.hal import FloatArray
from imssa_lab.studies.trials import StudyTrial

_FORMAT = "imssa_lab study"
_UNITS = {"stuck": "1", "sigma": "S", "mending": "0 naive, 1 our loop", "chip": "number"}


class StudyStore:
    """Trials and their results; a context manager.

    Args:
        path: of the file. Where it exists, its results are kept if it was made for the same trials.
        trials: of the whole study. model: digest of model, sequences and device, so that no two are mixed.

    Raises:
        LogError: the file cannot be made or read, or holds another study.
    """

    def __init__(self, path: Path, trials: Sequence[StudyTrial], model: str) -> None:
        self.path = path
        if not path.exists():
            _make(path, trials, model)
        try:
            self._file = h5py.File(path, "r+")
        except OSError as error:
            raise LogError(f"{path} cannot be opened as a study: {error}; is another study writing it?") from error
        kept = {name: data[...] for name, data in self._file["trials"].items()}
        asked = _columns(trials)
        if self._file.attrs.get("format") != _FORMAT or self._file.attrs["model"] != model:
            self._file.close()
            raise LogError(f"{path} holds a study of another model or another --device; choose another --out")
        if any(not np.array_equal(kept[name], asked[name]) for name in asked):
            self._file.close()
            raise LogError(
                f"{path} was made for {len(kept['chip'])} other trials than the {len(trials)} asked for now; "
                "resume with the options it was begun with, or choose another --out"
            )

    @property
    def results(self) -> FloatArray:
        """Accuracy in software and on the chip, (trials, 2), NaN where there is none yet."""
        return np.asarray(self._file["results"][...], dtype=np.float64)

    @property
    def due(self) -> list[int]:
        """Indices of the trials without a result."""
        return [int(index) for index in np.flatnonzero(np.isnan(self.results[:, 1]))]

    def put(self, index: int, software: float, accuracy: float) -> None:
        """Keep the result of one trial; it is with the operating system before this returns."""
        self._file["results"][index] = (software, accuracy)
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _columns(trials: Sequence[StudyTrial]) -> dict[str, FloatArray]:
    rows = [asdict(trial) for trial in trials]
    return {name: np.array([float(row[name]) for row in rows]) for name in _UNITS}


def _make(path: Path, trials: Sequence[StudyTrial], model: str) -> None:
    """A new file, whole before it gets its name."""
    unfinished = path.with_name(path.name + ".new")
    with h5py.File(unfinished, "w") as file:
        file.attrs["format"], file.attrs["model"] = _FORMAT, model
        for name, values in _columns(trials).items():
            column = file.create_dataset(f"trials/{name}", data=values)
            column.attrs["unit"] = _UNITS[name]
        results = file.create_dataset("results", data=np.full((len(trials), 2), np.nan))
        results.attrs["columns"] = "accuracy in software, accuracy on the chip; NaN: not done yet"
    os.replace(unfinished, path)
