"""What is left of a deployment after a time: one chip, deployed once and looked at again and again as it ages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.cell_classes import level_ranges, target_levels
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.errors import ConfigError
from imssa_lab.contract.hal import FloatArray
from imssa_lab.s4d.inference import layer_inputs
from imssa_lab.studies.pulsed_chips import chip_arrays
from imssa_lab.studies.study_model import CALIBRATED, StudyModel
from imssa_lab.studies.trials import StudyTrial
from protocols.corrections.deployed_network import DeployedNetwork, Remembered
from protocols.deployment.choices import DeploymentChoices
from protocols.deployment.deployment import Deployment, deploy
from protocols.deployment.verification import Bounds, reread, verify_cells, verify_kernels
from twin import DigitalTwin, TwinProfile

UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "month": 30 * 86400.0, "y": 365.25 * 86400.0}
"""s; a month has 30 days."""
TIMES = ("1s", "1min", "1h", "1d", "1month")
RECALIBRATING = 64
"""Sequences of a recalibration: a quarter fits gain and offset of every output, the others decide if it is kept."""
_JUDGED = 8
"""Sequences that kernels are judged with."""
FIGURES = (
    "accuracy in software",
    "accuracy on the chip",
    "worst class of cells in tolerance at the deployment",
    "1 where all four levels passed",
    "products of a recalibration",
    "accuracy refreshed, after the last time",
    "pulses of that",
)
"""Of a chip, in this order."""
ROWS = ("age", "deployed", "recalibrated", "kept", "nrmse", "cells")
"""Of a chip at every time: s since the deployment ended, as the first test began; accuracy with the corrections of
the deployment, and with outputs recalibrated where that was kept (1); median NRMSE of kernels as deployed; worst
class of cells in tolerance."""

MOVED, OF_LEVEL = "moved", "cells of level"
"""Further lists of a chip: by how much its cells have moved since the last read of the deployment, S, `QUANTILES` of
each level at every time, flat; and how many cells each level has. Levels are those of `DriftModel.levels`."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def seconds(text: str) -> float:
    """s of "90s", "1min", "1h", "1d", "1month" or "1y".

    Raises:
        ConfigError: none of these.
    """
    found = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([a-z]+)\s*", text)
    try:
        if found is None or found[2] not in UNITS or not float(found[1]) > 0:
            raise ValueError
        return float(found[1]) * UNITS[found[2]]
    except ValueError:
        raise ConfigError(f"--at {text!r}: write a time above zero with its unit: {', '.join(UNITS)}") from None


def in_words(time: float) -> str:
    """A time in s in the largest unit that it has one or more of."""
    unit = next((name for name in reversed(UNITS) if time >= UNITS[name]), "s")
    return f"{time / UNITS[unit]:.3g} {unit}"


def times_within(profile: TwinProfile, asked: Sequence[str] | None) -> tuple[list[float], list[str]]:
    """The times of a study in s, ascending, and what was left out of `TIMES` because the profile does not reach it.

    Args:
        asked: in words; None for as many of `TIMES` as the profile's law holds for.

    Raises:
        ConfigError: cells of this profile do not relax, nobody has said for how long its law holds, or a time lies
            beyond that.
    """
    law = profile.relaxation
    if law is None:
        raise ConfigError(
            f"profile {profile.name}: its cells keep what pulses gave them (no [relaxation]), so nothing drifts; "
            "choose hfox-cmo, wan-2022, pcm-joshi or a profile that `imssa fit` made of measured relaxation"
        )
    until = law.valid_until
    if until is None:
        raise ConfigError(
            f"profile {profile.name}: it does not state how long its [relaxation] is valid; add `until`, in s since "
            "the last pulse, with its source"
        )
    named = {text: seconds(text) for text in asked or TIMES}
    beyond = [text for text, time in named.items() if time > until]
    if asked and beyond:
        raise ConfigError(
            f"profile {profile.name}: its relaxation is valid until {in_words(until)} after the last pulse; "
            f"{', '.join(beyond)} asked. Beyond it is extrapolation: leave these out, or state another `until`"
        )
    within = sorted({time for time in named.values() if time <= until})
    if not within:
        raise ConfigError(
            f"profile {profile.name}: its relaxation is valid until {in_words(until)}; name times with --at"
        )
    return within, beyond


@dataclass(frozen=True)
class DriftModel:
    """What all chips of a study share: model and profile, and the `times` in s at which chips are looked at."""

    model: StudyModel
    times: tuple[float, ...]

    def digest(self) -> str:
        """Of all of it, as text."""
        return f"{self.model.digest()} by level at {' '.join(map(repr, self.times))}"

    @property
    def levels(self) -> list[str]:
        """Programmed cells by target, in words: those that stay at the bottom, then the ranges of the others."""
        assert self.model.profile is not None
        window = self.model.profile.window
        ranges = level_ranges(window, Bounds().tolerance_in(window))
        return ["to stay at the bottom", *(f"to {1e6 * low:.0f}-{1e6 * high:.0f} µS" for low, high in ranges)]

    def lengths(self) -> dict[str, int]:
        """Of the lists of a result, by name."""
        levels, times = len(self.levels), len(self.times)
        return dict.fromkeys(ROWS, times) | {MOVED: times * levels * len(QUANTILES), OF_LEVEL: levels}


@dataclass(frozen=True)
class AgedResult(FrozenArrays):
    """What came of one chip.

    Attributes:
        figures: (figures,), in the order of `FIGURES`; rows: lists by name, as long as `DriftModel.lengths` says.
    """

    figures: FloatArray
    rows: dict[str, FloatArray]


def aged_trial(shared: DriftModel, trial: StudyTrial) -> AgedResult:
    """Deploy on one chip, and look at it after each of the times, counted from the end of the deployment.

    Looking takes device time itself. At each time the corrections of the deployment are tested first, then outputs
    are recalibrated, beginning with those corrections, and tested again. After the last time cells that have left
    their window are re-programmed.
    """
    model = shared.model
    arrays = chip_arrays(model, trial)
    journal: list[str] = []
    judged = model.sequences.first(CALIBRATED, model.tests)
    choices = DeploymentChoices(layers=model.layers)
    result = deploy(model.bundle, arrays, judged, choices, journal=journal.append)
    ended = [array.time for array in arrays]
    with DeployedNetwork(model.bundle, arrays, result.mapping, result.corrections) as network:
        looks = [_look(model, network, result, arrays, ended, time) for time in shared.times]
    again = deploy(model.bundle, arrays, judged, choices, resume=journal)
    cells = next(level.measured for level in result.levels if level.level == "cells")
    figures = (
        *(result.software_accuracy, result.accuracy, cells, result.passed, looks[-1][0]["products"]),
        *(again.accuracy, again.pulses),
    )
    rows = {name: np.array([look[name] for look, _ in looks]) for name in ROWS}
    level = _levels(result)
    rows[MOVED] = np.concatenate([_moved(result, level, read, len(shared.levels)).ravel() for _, read in looks])
    rows[OF_LEVEL] = np.array([np.count_nonzero(level == place) for place in range(len(shared.levels))], np.float64)
    return AgedResult(np.array(figures, dtype=np.float64), rows)


def _look(
    model: StudyModel,
    network: DeployedNetwork,
    result: Deployment,
    arrays: Sequence[DigitalTwin],
    ended: Sequence[float],
    time: float,
) -> tuple[dict[str, float], FloatArray]:
    """Rows of one time, and what the cells hold then, S, (arrays, rows, cols)."""
    for array, end in zip(arrays, ended, strict=True):
        array.wait(max(0.0, time - (array.time - end)))
    age = max(array.time - end for array, end in zip(arrays, ended, strict=True))
    sequences = model.sequences
    tests, labels = sequences.test_inputs[: model.tests], sequences.test_labels[: model.tests]
    calibration = sequences.calibration_inputs[CALIBRATED:][:RECALIBRATING]
    if len(calibration) < 4:
        calibration = sequences.calibration_inputs[-RECALIBRATING:]
    network.adopt(result.corrections)
    raw, dense = Remembered(network.runner.raw), Remembered(network.dense.raw)

    def accuracy() -> float:
        logits = network.run_with(network.corrections, tests, raw, dense)
        return float(np.mean(logits.argmax(axis=1) == labels))

    deployed, before = accuracy(), network.runner.reads + network.dense.reads
    kept = network.recalibrate(calibration).kept
    products = network.runner.reads + network.dense.reads - before
    recalibrated = accuracy() if kept else deployed
    network.adopt(result.corrections)
    inputs = layer_inputs(model.bundle, calibration[-_JUDGED:])
    _, nrmse = verify_kernels(model.bundle, network.runner, inputs, result.bounds)
    achieved = reread(network.arrays, result.targets)
    maps = [replace(cells, achieved=read) for cells, read in zip(result.cell_maps, achieved, strict=True)]
    cells, _ = verify_cells(maps, result.mapping.window, result.bounds)
    found = {
        "age": age,
        "deployed": deployed,
        "recalibrated": recalibrated,
        "kept": float(kept),
        "nrmse": float(np.median(nrmse)),
        "cells": cells.measured,
        "products": float(products),
    }
    return found, np.stack(achieved)


def _levels(result: Deployment) -> NDArray[np.int64]:
    """Which of `DriftModel.levels` each cell is in, -1 where none is programmed, (arrays, rows, cols)."""
    target, window = np.stack(result.targets), result.mapping.window
    return np.where(np.isfinite(target), 1 + target_levels(target, window, result.bounds.tolerance_in(window)), -1)


def _moved(result: Deployment, level: NDArray[np.int64], now: FloatArray, levels: int) -> FloatArray:
    """`QUANTILES` of how far the cells of each level have moved, S, (levels, quantiles); NaN where it has none."""
    found = np.full((levels, len(QUANTILES)), np.nan)
    moved = now - np.stack(result.achieved)
    for place in range(levels):
        if (level == place).any():
            found[place] = np.quantile(moved[level == place], QUANTILES)
    return found
