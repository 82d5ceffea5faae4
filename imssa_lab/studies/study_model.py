"""`StudyModel`: what all trials of a study share."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.errors import ConfigError
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.dense_layer import Layers
from protocols.deployment.sequences import Sequences
from twin import TwinProfile

CALIBRATED = 64
"""Calibration sequences that outputs are corrected with."""


@dataclass(frozen=True)
class StudyModel:
    """What all trials of a study share: the bundle, its sequences, and how many of them are tests.

    Attributes:
        profile: of the chips that are programmed by pulses; None where conductances are written.
        layers: what arrays compute: the kernels, or dense layers too.

    Raises:
        ConfigError: the bundle gives values: studies count classes that are right; or dense layers are asked for
            where conductances are written.
    """

    bundle: KernelBundle
    sequences: Sequences
    tests: int
    profile: TwinProfile | None = None
    layers: Layers = "kernels"

    def __post_init__(self) -> None:
        if self.layers != "kernels" and self.profile is None:
            raise ConfigError(
                "dense layers on arrays are studied by pulses alone: give the profile of the chips instead of "
                "Gaussian errors, or leave the dense layers digital"
            )
        if self.bundle.goal == "values":
            raise ConfigError(
                "studies compare accuracies, and this bundle gives values: not decidable; `imssa deploy` judges them"
            )

    @property
    def units(self) -> NDArray[np.int64]:
        """Numbers of the independent recordings of each test sequence, (tests, k)."""
        named = self.sequences.test_units
        alone = np.arange(self.tests, dtype=np.int64)[:, None]
        return alone if named is None else named[: self.tests].reshape(self.tests, -1)

    def digest(self, device: str | None = None) -> str:
        """SHA-256 of all of it, and of the device of torch on which chips are computed together, if on any."""
        total = hashlib.sha256(f"{self.bundle.digest()} {self.tests}{device or ''}".encode())
        if self.layers != "kernels":
            total.update(self.layers.encode())
        if self.profile is not None:
            total.update(self.profile.model_dump_json().encode())
        for values in (
            self.sequences.calibration_inputs,
            self.sequences.test_inputs[: self.tests],
            self.sequences.test_labels[: self.tests],
        ):
            total.update(np.ascontiguousarray(values).tobytes())
        return total.hexdigest()
