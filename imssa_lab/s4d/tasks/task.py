"""What every task is: labelled sequences in three splits, and what one must know about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.checks.frozen_arrays import own
from imssa_lab.contract.errors import ConfigError
from imssa_lab.s4d.intervals import Interval, accuracy_interval

Inputs = NDArray[np.float32]
Classes = NDArray[np.int64]
Split = tuple[Inputs, Classes]
SplitName = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Augmentation:
    """How training may vary a sequence without changing its class; the defaults vary nothing.

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
        accuracy: fraction that it was measured to reach, None where it was not measured.
        note: size of the control, or what follows from its score.
    """

    model: str
    accuracy: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Task:
    """Labelled sequences, split before anything was combined.

    Attributes:
        train, validation, test: inputs (n, steps, inputs) float32 and class numbers (n,) int64.
        labels: names of the classes; preprocessing: how raw data became inputs; licence: of the data, with source.
        augmentation: what training may vary; step_rate: steps per second, None where steps are no time.
        null_control: what a model without the needed ability reaches.
        held_out_speaker: who is heard in `test` and nowhere else; None where speakers are in all splits.
        test_units: (n, k), numbers of the independent recordings that each test sequence is made of, which an
            accuracy's interval rests on; None where every sequence is one of its own; unit: what they are, in words.
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

    def __post_init__(self) -> None:
        if self.test_units is not None:  # sequences stay the caller's: they may be large
            object.__setattr__(self, "test_units", own(self.test_units))

    def interval(self, right: NDArray[np.bool_]) -> Interval:
        """95 % interval of the accuracy on `test`, (n,) of which were classified rightly."""
        return accuracy_interval(right, self.test_units)

    @property
    def steps(self) -> int:
        """Length of a sequence."""
        return int(self.train[0].shape[1])

    @property
    def inputs(self) -> int:
        """Values per step."""
        return int(self.train[0].shape[2])

    def load(self, split: SplitName) -> Split:
        """Inputs (n, steps, inputs) float32 and class numbers (n,) int64 of one split.

        Raises:
            ConfigError: there is no such split.
        """
        if split not in get_args(SplitName):
            raise ConfigError(f"split {split!r}: no such split; choose one of {', '.join(get_args(SplitName))}")
        splits: dict[str, Split] = {"train": self.train, "validation": self.validation, "test": self.test}
        return splits[split]
