"""`Sequences`: the inputs, labels or values that a deployment is calibrated and judged with, as one file."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.checks import containers
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.errors import ConfigError
from imssa_lab.s4d.scores import Goal, goal_of

_ARRAYS = ("calibration_inputs", "test_inputs", "test_labels")
_OPTIONAL = ("test_units", "training_inputs", "training_labels")
_SCORES: dict[Goal, str] = {"classes": "accuracy", "values": "explained"}
"""What a score of the reference is called in the file."""


@dataclass(frozen=True)
class Sequences(FrozenArrays):
    """The sequences that a deployment is calibrated and judged with.

    Attributes:
        calibration_inputs: (n, steps, inputs), from training data; test_inputs: (n, steps, inputs).
        test_labels: (n,), class numbers; or for a net that gives values, (n, values) float64 in their own unit.
        test_units: (n, k), numbers of the independent recordings that each test sequence is made of; None where each
            is one of its own.
        training_inputs, training_labels: (m, steps, inputs) and (m,), none of the calibration's, for corrections that
            are fitted on the chip; both None where there are none.
        reference: test scores of the float model ("float") and of the null control ("null"): accuracies as fractions,
            or of values the share of their variance that is explained, see `imssa_lab.s4d.scores`.
    """

    calibration_inputs: FloatArray
    test_inputs: FloatArray
    test_labels: NDArray[Any]
    reference: Mapping[str, float] = field(default_factory=dict)
    test_units: NDArray[np.int64] | None = None
    training_inputs: FloatArray | None = None
    training_labels: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        trained = self.training_inputs is not None
        if trained != (self.training_labels is not None):
            raise ConfigError("sequences: give both training_inputs and training_labels, or neither")
        for name in ("calibration_inputs", "test_inputs", *(["training_inputs"] if trained else [])):
            values = containers.floats(getattr(self, name), f"sequences: {name}", (), "1")
            object.__setattr__(self, name, values)
        for name in ("test_labels", *(["training_labels"] if trained else [])):
            labels = containers.numeric(getattr(self, name), f"sequences: {name}", (), "1")
            if name == "test_labels" and labels.dtype.kind == "f" and labels.ndim == 2:
                object.__setattr__(self, name, self._checked_values(labels))
                continue
            if labels.dtype.kind not in "iu":
                raise ConfigError(f"sequences: {name} are {labels.dtype}; class numbers are whole numbers")
            object.__setattr__(self, name, labels.astype(np.int64))
        if self.training_inputs is not None and self.training_labels is not None:
            if self.training_labels.shape != self.training_inputs.shape[:1]:
                raise ConfigError(
                    f"sequences: {len(self.training_inputs)} training_inputs need as many labels, got "
                    f"{self.training_labels.shape}"
                )
        if self.test_units is not None:
            units = containers.numeric(self.test_units, "sequences: test_units", (), "1")
            if units.dtype.kind not in "iu" or len(units) != len(self.test_labels):
                raise ConfigError(
                    f"sequences: test_units are {units.dtype} {units.shape}; whole numbers, a row for each of "
                    f"{len(self.test_labels)} test sequences"
                )
            object.__setattr__(self, "test_units", units.astype(np.int64))
        super().__post_init__()

    def _checked_values(self, values: NDArray[Any]) -> FloatArray:
        """ConfigError unless they are finite numbers, a row for each test sequence, that change."""
        if len(values) != len(self.test_inputs) or not np.isfinite(values).all():
            raise ConfigError(
                f"sequences: test values of shape {values.shape} for {len(self.test_inputs)} test sequences; finite "
                "numbers, a row for each"
            )
        if (constant := np.flatnonzero(np.ptp(values, axis=0) == 0)).size:
            raise ConfigError(
                f"sequences: test values {constant.tolist()} never change: there is nothing to explain; give more "
                "sequences"
            )
        return values.astype(np.float64)

    @property
    def goal(self) -> Goal:
        """Whether they are for a net that gives classes or values."""
        return goal_of(self.test_labels)

    def first(self, calibration: int, tests: int) -> Self:
        """The first `calibration` and `tests` of them, without the reference, which belongs to all tests."""
        units = None if self.test_units is None else self.test_units[:tests]
        kept = self.calibration_inputs[:calibration], self.test_inputs[:tests], self.test_labels[:tests]
        return type(self)(*kept, {}, units, self.training_inputs, self.training_labels)

    def save(self, path: str | Path) -> None:
        """Write to a new .npz file.

        Raises:
            ConfigError: it exists, or cannot be written.
        """
        names = {"test_labels": "test_values" if self.goal == "values" else "test_labels"}
        arrays = {names.get(name, name): getattr(self, name) for name in _ARRAYS}
        more = {name: getattr(self, name) for name in _OPTIONAL}
        arrays |= {name: values for name, values in more.items() if values is not None}
        arrays |= {f"{name}_{_SCORES[self.goal]}": np.float64(value) for name, value in self.reference.items()}
        try:
            with Path(path).open("xb") as file:
                np.savez_compressed(file, **arrays)
        except FileExistsError as error:
            raise ConfigError(f"{path} exists; choose another name, nothing was overwritten") from error
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error}; choose another place") from error

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file that `save` wrote.

        Raises:
            ConfigError: no such file, not .npz, or an array is missing.
        """
        try:
            with Path(path).open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                goal: Goal = "values" if "test_values" in file else "classes"
                wanted = "test_values" if goal == "values" else "test_labels"
                needed = [wanted if name == "test_labels" else name for name in _ARRAYS]
                missing = [name for name in needed if name not in file]
                if missing:
                    raise ConfigError(
                        f"{path} holds no {', '.join(missing)}; `imssa train` writes such a file beside a bundle"
                    )
                trained = "training_inputs" in file
                scores = {name: f"{name}_{_SCORES[goal]}" for name in ("float", "null")}
                return cls(
                    calibration_inputs=np.asarray(file["calibration_inputs"], dtype=np.float64),
                    test_inputs=np.asarray(file["test_inputs"], dtype=np.float64),
                    test_labels=np.asarray(file[wanted], dtype=np.float64 if goal == "values" else np.int64),
                    reference={name: float(file[key]) for name, key in scores.items() if key in file},
                    test_units=_whole(file, "test_units"),
                    training_inputs=np.asarray(file["training_inputs"], np.float64) if trained else None,
                    training_labels=_whole(file, "training_labels"),
                )
        except FileNotFoundError as error:
            raise ConfigError(f"{path}: no such file; `imssa train` writes it beside the bundle") from error
        except (OSError, EOFError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
            raise ConfigError(f"{path} is not a readable .npz file of sequences ({error})") from error


def _whole(file: Mapping[str, NDArray[Any]], name: str) -> NDArray[np.int64] | None:
    return np.asarray(file[name], dtype=np.int64) if name in file else None
