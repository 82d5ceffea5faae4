"""What the origin's experiment came to: the rows of its table, from the trials and their results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.s4d.intervals import accuracy_interval
from imssa_lab.studies.trials import Arm, StudyTrial

Accuracy = tuple[float, float, float]
"""An accuracy and the ends of its 95 % interval, fractions."""
LOSS_BAR = {None: 1.0, 0.05: 3.0}
"""Points that our loop may lose against software, by the fraction of stuck cells; None: as the board was measured."""


@dataclass(frozen=True)
class OriginModel:
    """One trained model, judged on the whole test split.

    Attributes:
        seed: number of the model; seconds: processor time of its training, s.
        software, floating, null: quantised, float, and the control without memory.
        test_set: of how many sequences and independent recordings, in words.
        arrays: that it needs; kernels: on them.
        kernel_macs, digital_macs, head_macs: multiplications, the first two a time step, the last a sequence.
        steps: of a sequence.
    """

    seed: int
    software: Accuracy
    floating: Accuracy
    null: Accuracy
    test_set: str
    arrays: int
    kernels: int
    kernel_macs: int
    digital_macs: int
    head_macs: int
    steps: int
    seconds: float

    @property
    def needs_memory(self) -> bool:
        """Whether the software is surely better than the control without memory."""
        return self.software[1] > self.null[0]

    @classmethod
    def of(cls, facts: dict[str, Any]) -> OriginModel:
        """From what `dataclasses.asdict` made, by way of JSON."""
        triples = {name: tuple(facts[name]) for name in ("software", "floating", "null")}
        return cls(**{**facts, **triples})


@dataclass(frozen=True)
class OriginRow(FrozenArrays):
    """All chips and models of one arm at one fraction of stuck cells.

    Attributes:
        arm, stuck: as for `StudyTrial`.
        accuracies: of each chip and model, (n,); lost: points against software on the same sequences, (n,).
        interval: 95 % ends of the mean accuracy, which count clips and chips.
        pulses, seconds, products: means: pulses; device time, s; products a time step.
        levels: of so many chips each level of verification passed, (4,), in the order of `pulsed_chips.LEVELS`.
        nrmse: median over kernels and chips, on real input.
        processor: time of a deployment, s, mean.
    """

    arm: Arm
    stuck: float | None
    accuracies: FloatArray
    lost: FloatArray
    interval: tuple[float, float]
    pulses: float
    seconds: float
    products: float
    levels: FloatArray
    nrmse: float
    processor: float


def origin_rows(
    trials: Sequence[StudyTrial],
    results: FloatArray,
    right: FloatArray,
    nrmse: FloatArray,
    units: Sequence[NDArray[np.int64]],
) -> list[OriginRow]:
    """The rows of which there are results, in the order of the plan.

    Args:
        results: (trials, figures) in the order of `pulsed_chips.FIGURES`, NaN where there is none yet.
        right: (trials, tests), 1 where a sequence was classified rightly; nrmse: (trials, kernels).
        units: per model the numbers of the independent recordings of each test sequence, (tests, k).
    """
    groups: dict[tuple[Arm, float | None], list[int]] = {}
    for index, trial in enumerate(trials):
        if np.isfinite(results[index, 1]):
            groups.setdefault((trial.arm, trial.stuck), []).append(index)
    rows = []
    for (arm, stuck), places in groups.items():
        mine = results[places]
        mean = mine.mean(axis=0)
        rows.append(
            OriginRow(
                arm,
                stuck,
                mine[:, 1],
                100 * (mine[:, 0] - mine[:, 1]),
                _interval([trials[place] for place in places], right[places], units),
                pulses=float(mean[2]),
                seconds=float(mean[3]),
                products=float(mean[4]),
                levels=mine[:, 5:9].sum(axis=0),
                nrmse=float(np.median(nrmse[places])),
                processor=float(mean[9]),
            )
        )
    return rows


def _interval(
    trials: Sequence[StudyTrial], right: FloatArray, units: Sequence[NDArray[np.int64]]
) -> tuple[float, float]:
    """Ends of the interval of all answers: those of one clip are not independent, nor are those of one chip."""
    names = []
    beyond = 1 + max(int(each.max()) for each in units)
    for trial in trials:
        clips = units[trial.seed]
        chip = np.full((len(clips), 1), beyond + trial.chip)
        names.append(np.concatenate([clips, chip], axis=1))
    found = accuracy_interval(right.ravel() > 0, np.concatenate(names))
    return found.low, found.high
