"""What every task is: sequences with labels or values in three splits, and what one must know about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.checks.frozen_arrays import own
from imssa_lab.contract.errors import ConfigError, DataError
from imssa_lab.s4d.bundle import Pooling
from imssa_lab.s4d.scores import Goal, Score, Wanted, goal_of, scored

Inputs = NDArray[np.float32]
Split = tuple[Inputs, Wanted]
SplitName = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Augmentation:
    """How training may vary a sequence without changing its class or values; the defaults vary nothing.

    Attributes:
        shift_steps: smallest and largest circular shift along time, steps.
        shift_inputs: largest shift to either side along the inputs.
        gain: smallest and largest factor on a whole sequence.
        noise: sd of the Gaussian noise added to the inputs, in their unit.
    """

    shift_steps: tuple[int, int] = (0, 0)
    shift_inputs: int = 0
    gain: tuple[float, float] = (1.0, 1.0)
    noise: float = 0.0


@dataclass(frozen=True)
class NullControl:
    """A model that cannot do what the task is to prove, and what it reaches all the same.

    Attributes:
        model: the control, in words.
        accuracy: score that it was measured to reach, None where it was not measured.
        note: size of the control, or what follows from its score.
    """

    model: str
    accuracy: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Task:
    """Sequences with what is to be said of them, split before anything was combined.

    Attributes:
        train, validation, test: inputs (n, steps, inputs) float32, and class numbers (n,) int64 or values
            (n, outputs) float64 in their own unit.
        labels: names of the classes, or of the values; preprocessing: how raw data became inputs; licence: of the
            data, with source.
        augmentation: what training may vary; step_rate: steps per second, None where steps are no time.
        null_control: what a model without the needed ability reaches.
        held_out_speaker: who is heard in `test` and nowhere else; None where speakers are in all splits.
        test_units: (n, k), numbers of the independent recordings that each test sequence is made of, which an
            interval of a score rests on; None where every sequence is one of its own; unit: what they are, in words.
        pooling: what the head is to see of the steps, where the training does not say otherwise.

    Raises:
        DataError: values that are no finite numbers, one for each label; a value that never changes in a split; or
            test sequences with values from a single independent recording.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    labels: tuple[str, ...]
    preprocessing: str
    licence: str
    augmentation: Augmentation = Augmentation()
    step_rate: float | None = None
    null_control: NullControl | None = None
    held_out_speaker: str | None = None
    test_units: NDArray[np.int64] | None = None
    unit: str = "sequences"
    pooling: Pooling = "mean"

    def __post_init__(self) -> None:
        for split in get_args(SplitName) if self.goal == "values" else ():
            inputs, values = self.load(split)
            if values.shape != (len(inputs), len(self.labels)) or not np.isfinite(values).all():
                raise DataError(
                    f"{self.name}: values of {split} must be finite, one row for each of {len(inputs)} sequences and "
                    f"one column for each of {len(self.labels)} names; they have shape {values.shape}"
                )
            for column in np.flatnonzero(np.ptp(values, axis=0) == 0):
                raise DataError(
                    f"{self.name}: {self.labels[column]} never changes in {split}: there is nothing to explain; give "
                    "more sequences or another split, or leave it out"
                )
        if self.goal == "values" and len(self.test[1] if self.test_units is None else np.unique(self.test_units)) < 2:
            raise DataError(
                f"{self.name}: all test sequences come from one independent recording ({self.unit}), so no interval "
                "can be given; give more of them"
            )
        if self.test_units is not None:  # sequences stay the caller's: they may be large
            object.__setattr__(self, "test_units", own(self.test_units))

    @property
    def goal(self) -> Goal:
        """Whether a net is to give classes or values."""
        return goal_of(self.train[1])

    def scored(self, said: Wanted) -> Score:
        """Score on `test`, with its 95 % interval, of what a net said there: (n,) classes or (n, outputs) values."""
        return scored(said, self.test[1], self.test_units)

    @property
    def steps(self) -> int:
        """Length of a sequence."""
        return int(self.train[0].shape[1])

    @property
    def inputs(self) -> int:
        """Values per step."""
        return int(self.train[0].shape[2])

    def load(self, split: SplitName) -> Split:
        """Inputs (n, steps, inputs) float32 and what is right for them of one split.

        Raises:
            ConfigError: there is no such split.
        """
        if split not in get_args(SplitName):
            raise ConfigError(f"split {split!r}: no such split; choose one of {', '.join(get_args(SplitName))}")
        splits: dict[str, Split] = {"train": self.train, "validation": self.validation, "test": self.test}
        return splits[split]
