"""The store of a study: one HDF5 file with a place for every trial, filled in any order.

All places are made, with their bytes, before the first trial: a result is written over its place and touches no
structure of the file, so that a kill costs at most the trials that were under way, and the finished file has the same
content however often it was resumed and however many workers filled it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import h5py
import numpy as np

from imssa_lab.contract.errors import LogError
from imssa_lab.contract.hal import FloatArray
from imssa_lab.studies.trials import ARMS, StudyTrial

_FORMAT = "imssa_lab study"
_UNITS = {
    "stuck": "1; NaN: as the profile has them",
    "sigma": "S; NaN: by pulses",
    "arm": "0 naive, 1 naive with columns and outputs corrected, 2 our loop",
    "chip": "number",
    "seed": "number of the model",
}
FIGURES = ("accuracy in software", "accuracy on the chip")
"""What is kept of every trial, at least."""


class StudyStore:
    """Trials and their results; a context manager.

    Args:
        path: of the file. Where it exists, its results are kept if it was made for the same trials.
        trials: of the whole study. model: digest of model, sequences and device, so that no two are mixed.
        figures: names of the numbers of a result, `FIGURES` first.
        rows: lists that a result has beside them, by name, with their lengths.

    Raises:
        LogError: the file cannot be made or read, or holds another study.
    """

    def __init__(
        self,
        path: Path,
        trials: Sequence[StudyTrial],
        model: str,
        figures: Sequence[str] = FIGURES,
        rows: Mapping[str, int] | None = None,
    ) -> None:
        self.path = path
        if not path.exists():
            _make(path, trials, model, figures, rows or {})
        try:
            self._file = h5py.File(path, "r+")
        except OSError as error:
            raise LogError(f"{path} cannot be opened as a study: {error}; is another study writing it?") from error
        if self._file.attrs.get("format") != _FORMAT or self._file.attrs["model"] != model:
            self._file.close()
            raise LogError(
                f"{path} holds a study of another model, another profile or another --device; choose another --out"
            )
        kept = {name: data[...] for name, data in self._file["trials"].items()}
        asked = _columns(trials)
        same = kept.keys() == asked.keys() and all(
            np.array_equal(kept[name], asked[name], equal_nan=True) for name in asked
        )
        if not same:
            self._file.close()
            raise LogError(
                f"{path} was made for {len(kept['chip'])} other trials than the {len(trials)} asked for now; "
                "resume with the options it was begun with, or choose another --out"
            )

    @property
    def results(self) -> FloatArray:
        """The figures of every trial, (trials, figures), NaN where there is none yet."""
        return np.asarray(self._file["results"][...], dtype=np.float64)

    def rows(self, name: str) -> FloatArray:
        """What the results have in the list of that name, (trials, its length), NaN where there is none yet."""
        return np.asarray(self._file["rows"][name][...], dtype=np.float64)

    @property
    def due(self) -> list[int]:
        """Indices of the trials without a result."""
        missing = np.isnan(self.results[:, 1])
        for data in self._file["rows"].values():  # of a trial that a kill met while it was written
            missing |= np.isnan(data[...]).all(axis=1)
        return [int(index) for index in np.flatnonzero(missing)]

    def put(self, index: int, figures: Sequence[float], rows: Mapping[str, FloatArray] | None = None) -> None:
        """Keep the result of one trial; it is with the operating system before this returns.

        Args:
            figures: as many numbers as the store has, (figures,); rows: the lists by name, each of its length, (n,).
        """
        for name, values in (rows or {}).items():
            self._file["rows"][name][index] = values
        self._file["results"][index] = figures
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _columns(trials: Sequence[StudyTrial]) -> dict[str, FloatArray]:
    return {
        "stuck": np.array([np.nan if trial.stuck is None else trial.stuck for trial in trials]),
        "sigma": np.array([np.nan if trial.sigma is None else trial.sigma for trial in trials]),
        "arm": np.array([float(ARMS.index(trial.arm)) for trial in trials]),
        "chip": np.array([float(trial.chip) for trial in trials]),
        "seed": np.array([float(trial.seed) for trial in trials]),
    }


def _make(
    path: Path, trials: Sequence[StudyTrial], model: str, figures: Sequence[str], rows: Mapping[str, int]
) -> None:
    """A new file, whole before it gets its name."""
    unfinished = path.with_name(path.name + ".new")
    with h5py.File(unfinished, "w") as file:
        file.attrs["format"], file.attrs["model"] = _FORMAT, model
        for name, values in _columns(trials).items():
            column = file.create_dataset(f"trials/{name}", data=values)
            column.attrs["unit"] = _UNITS[name]
        results = file.create_dataset("results", data=np.full((len(trials), len(figures)), np.nan))
        results.attrs["columns"] = f"{', '.join(figures)}; NaN: not done yet"
        file.create_group("rows")
        for name, length in rows.items():
            file.create_dataset(f"rows/{name}", data=np.full((len(trials), length), np.nan))
    os.replace(unfinished, path)
