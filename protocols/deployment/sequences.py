"""`Sequences`: the inputs and labels that a deployment is calibrated and judged with, as one file."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.checks import containers
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.errors import ConfigError

_ARRAYS = ("calibration_inputs", "test_inputs", "test_labels")


@dataclass(frozen=True)
class Sequences(FrozenArrays):
    """The sequences that a deployment is calibrated and judged with.

    Attributes:
        calibration_inputs: (n, steps, inputs), from training data; test_inputs: (n, steps, inputs).
        test_labels: (n,), class numbers.
        test_units: (n, k), numbers of the independent recordings that each test sequence is made of; None where each
            is one of its own.
        reference: test accuracies of the float model ("float") and of the null control ("null"), fractions.
    """

    calibration_inputs: FloatArray
    test_inputs: FloatArray
    test_labels: NDArray[np.int64]
    reference: Mapping[str, float] = field(default_factory=dict)
    test_units: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        for name in ("calibration_inputs", "test_inputs"):
            values = containers.floats(getattr(self, name), f"sequences: {name}", (), "1")
            object.__setattr__(self, name, values)
        labels = containers.numeric(self.test_labels, "sequences: test_labels", (), "1")
        if labels.dtype.kind not in "iu":
            raise ConfigError(f"sequences: test_labels are {labels.dtype}; class numbers are whole numbers")
        object.__setattr__(self, "test_labels", labels.astype(np.int64))
        if self.test_units is not None:
            units = containers.numeric(self.test_units, "sequences: test_units", (), "1")
            if units.dtype.kind not in "iu" or len(units) != len(labels):
                raise ConfigError(
                    f"sequences: test_units are {units.dtype} {units.shape}; whole numbers, a row for each of "
                    f"{len(labels)} test sequences"
                )
            object.__setattr__(self, "test_units", units.astype(np.int64))
        super().__post_init__()

    def first(self, calibration: int, tests: int) -> Self:
        """The first `calibration` and `tests` of them, without the reference, which belongs to all tests."""
        units = None if self.test_units is None else self.test_units[:tests]
        kept = self.calibration_inputs[:calibration], self.test_inputs[:tests], self.test_labels[:tests]
        return type(self)(*kept, test_units=units)

    def save(self, path: Path) -> None:
        """Write to a new .npz file; ConfigError if it exists."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        if self.test_units is not None:
            arrays["test_units"] = self.test_units
        arrays |= {f"{name}_accuracy": np.float64(value) for name, value in self.reference.items()}
        try:
            with path.open("xb") as file:
                np.savez_compressed(file, **arrays)
        except FileExistsError as error:
            raise ConfigError(f"{path} exists; choose another name, nothing was overwritten") from error

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file that `save` wrote.

        Raises:
            ConfigError: no such file, not .npz, or an array is missing.
        """
        try:
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                missing = [name for name in _ARRAYS if name not in file]
                if missing:
                    raise ConfigError(
                        f"{path} holds no {', '.join(missing)}; `imssa train` writes such a file beside a bundle"
                    )
                keys = [name for name in ("float", "null") if f"{name}_accuracy" in file]
                return cls(
                    calibration_inputs=np.asarray(file["calibration_inputs"], dtype=np.float64),
                    test_inputs=np.asarray(file["test_inputs"], dtype=np.float64),
                    test_labels=np.asarray(file["test_labels"], dtype=np.int64),
                    reference={name: float(file[f"{name}_accuracy"]) for name in keys},
                    test_units=np.asarray(file["test_units"], dtype=np.int64) if "test_units" in file else None,
                )
        except FileNotFoundError as error:
            raise ConfigError(f"{path}: no such file; `imssa train` writes it beside the bundle") from error
        except (OSError, EOFError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
            raise ConfigError(f"{path} is not a readable .npz file of sequences ({error})") from error
