"""Four levels of verification: cells, matrix-vector products, kernels, task. Each has a bound.

A level measures and compares; it repairs nothing. Null controls (swapped columns, zeroed state, stuck cells) must
make the level that watches them fail; the tests show that they do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Dictionary
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from imssa_lab.contract.cell_classes import TOLERANCE, CellMap, CellShares, cell_shares
from imssa_lab.contract.errors import ConfigError
from imssa_lab.contract.hal import BoolArray, CrossbarArray, FloatArray, Window
from imssa_lab.mapping import Mapping, PlacedKernel, PlacedTile
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.inference import run_kernels
from imssa_lab.s4d.output_correction import nrmse
from imssa_lab.s4d.scores import Goal, Wanted, goal_of, nrmse_of, scored
from protocols.probes import probe_voltages
from protocols.recurrence import KernelRunner, read_signed

_OF_NETS_UNKNOWN = {"mvm": 0.12, "kernel": 0.35, "impulse": 0.7}
_OF_DENSE_UNKNOWN = {"dense": 0.15, "dense_median": 0.1}
"""Bounds where a bundle does not say what its net tolerates, in the order in which it would."""


_SCORES: dict[Goal, str] = {"classes": "accuracy", "values": "share of the variance explained"}
_AT_LEAST: dict[Goal, str] = {"classes": "is at least {:.3f} right", "values": "explains at least {:.3f}"}
_ROUNDING = 1e-12
"""Of the difference of two accuracies: 0.98 - 0.96 is above 0.02."""


class Bounds(BaseModel):
    """What counts as a good deployment.

    Attributes:
        tolerance: how far a cell may be from its target, as a fraction of the conductance window.
        cells: least fraction of each class of programmed cells (`CellClass`) in tolerance by independent re-read.
        mvm: largest relative rms error of random and of worst-case vectors.
        kernel, impulse: largest NRMSE of one kernel on real input and on an impulse.
        beyond: largest fraction of the kernels that may exceed one of these two.
        dense, dense_median: largest NRMSE of a dense layer over all its outputs, and of its median output.
        task_loss: largest loss against software, as a fraction: of accuracy, or of the share of the values' variance
            that is explained.

    For mvm, kernel, impulse, dense and dense_median, None is what the bundle says that its net tolerates, or where it
    does not say, 0.12, 0.35, 0.7, 0.15 and 0.1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tolerance: float = Field(default=TOLERANCE, ge=1e-3, le=1)
    cells: float = Field(default=0.95, ge=0, le=1)
    mvm: float | None = Field(default=None, gt=0)
    kernel: float | None = Field(default=None, gt=0)
    impulse: float | None = Field(default=None, gt=0)
    beyond: float = Field(default=0.125, ge=0, le=1)
    dense: float | None = Field(default=None, gt=0)
    dense_median: float | None = Field(default=None, gt=0)
    task_loss: float = Field(default=0.02, ge=0)

    def of(self, bundle: KernelBundle) -> Self:
        """The same bounds with numbers instead of None."""
        known = dict(zip(_OF_NETS_UNKNOWN, bundle.tolerated_errors or _OF_NETS_UNKNOWN.values(), strict=True))
        of_dense = bundle.tolerated_dense_errors or _OF_DENSE_UNKNOWN.values()
        known |= dict(zip(_OF_DENSE_UNKNOWN, of_dense, strict=True))
        return self.model_copy(update={name: value for name, value in known.items() if getattr(self, name) is None})

    def number(self, name: str) -> float:
        """One of those that may be None, once `of` has been asked.

        Raises:
            ConfigError: it is None.
        """
        value = getattr(self, name)
        if value is None:
            raise ConfigError(f"bounds: {name} is left to the bundle; use bounds.of(bundle)")
        return float(value)

    def tolerance_in(self, window: Window) -> float:
        """The tolerance on an array with this window, S."""
        return self.tolerance * window.span


@dataclass(frozen=True)
class LevelResult:
    """The outcome of one level.

    Attributes:
        level: "cells", "mvm", "kernel", "dense" or "task".
        measured: the figure that is judged; bound: what it is judged by; passed: the verdict.
        requirement: the comparison in words.
        figures: everything else worth keeping, by name.
        decidable: False where the test itself cannot tell a good array from a bad one; then it does not pass either,
            and pulses would change nothing.
    """

    level: str
    measured: float
    bound: float
    passed: bool
    requirement: str
    figures: Dictionary[str, float] = field(default_factory=dict)
    decidable: bool = True

    @property
    def verdict(self) -> str:
        """The verdict in words: "passed", "FAILED" or "not decidable"."""
        return ("passed" if self.passed else "FAILED") if self.decidable else "not decidable"

    def __str__(self) -> str:
        return f"{self.level}: {self.verdict}, {self.requirement}: {self.measured:.4g} (bound {self.bound:.4g})"


def reread(arrays: Sequence[CrossbarArray], targets: Sequence[FloatArray], averages: int = 8) -> list[FloatArray]:
    """An independent re-read of every programmed cell, S, (rows, cols) per array, NaN elsewhere.

    Args:
        targets: per array, S, (rows, cols), NaN where not programmed.
    """
    return [
        array.read_conductances(np.isfinite(target), averages) for array, target in zip(arrays, targets, strict=True)
    ]


def verify_cells(maps: Sequence[CellMap], window: Window, bounds: Bounds) -> tuple[LevelResult, CellShares]:
    """Level 1: every class of programmed cells by an independent re-read, see `reread`.

    Each class is judged alone, because a chip that was never programmed has all cells right that only had to stay at
    the bottom of the window: most of them.

    Returns:
        The result, its figure that of the worst class, and the shares of all classes.
    """
    shares = cell_shares(maps, window, bounds.tolerance_in(window))
    error = np.concatenate([(cells.achieved - cells.target)[np.isfinite(cells.target)] for cells in maps])
    figures = {"cells": float(error.size)}
    for each in (*shares.classes, shares.whole):
        name = each.name.replace(" ", "_")
        figures |= {f"{name}_cells": float(each.cells), f"{name}_share": each.share}
        figures |= {f"{name}_share_never_programmed": each.null_share}
    figures |= {
        "error_sd_S": float(error.std()),
        "error_mean_S": float(error.mean()),
        "largest_error_S": float(np.abs(error).max()),
    }
    words = f"in tolerance (±{shares.tolerance * 1e6:.3g} uS by re-read), worst class of cells, fraction, at least"
    return LevelResult("cells", shares.worst, bounds.cells, shares.worst >= bounds.cells, words, figures), shares


def verify_mvm(arrays: Sequence[CrossbarArray], mapping: Mapping, bounds: Bounds, vectors: int = 64) -> LevelResult:
    """Level 2: every bank of every array against its weights, in pair currents.

    Random vectors are spread evenly over the read limit; worst-case vectors drive every word line of a bank fully,
    with the signs of one logical column, so that its current is as large as it can be. Tiles of dense layers are
    judged by random vectors of their own; the worst figure counts.
    """
    random = [
        _products(array, bank, mapping, probe_voltages(vectors, array.info.rows, array.info.limits.read_voltage))
        for array, bank in _banks(arrays, mapping)
    ]
    worst = [
        _products(array, bank, mapping, array.info.limits.read_voltage * np.sign(_weights(bank, array)[0].T))
        for array, bank in _banks(arrays, mapping)
    ]
    on_random, on_worst = _relative_rms(random), _relative_rms(worst)
    figures = {"random_vectors": on_random, "worst_case_vectors": on_worst}
    if mapping.tiles:
        of_tiles = [
            _products(
                arrays[tile.array],
                [tile],
                mapping,
                probe_voltages(vectors, mapping.shape[0], arrays[tile.array].info.limits.read_voltage),
            )
            for tile in mapping.tiles
        ]
        figures["dense_layers"] = _relative_rms(of_tiles)
    worse = max(figures.values())
    bound = bounds.number("mvm")
    return LevelResult("mvm", worse, bound, worse <= bound, "relative rms error of products, at most", figures)


def _banks(arrays: Sequence[CrossbarArray], mapping: Mapping) -> Iterator[tuple[CrossbarArray, list[PlacedKernel]]]:
    """Every array with the kernels of each of its banks."""
    for index, array in enumerate(arrays[: mapping.arrays]):
        for bank in mapping.banks(index):
            yield array, bank


def _weights(
    bank: Sequence[PlacedKernel] | Sequence[PlacedTile], array: CrossbarArray
) -> tuple[FloatArray, BoolArray, BoolArray]:
    """Weights (rows, logical columns) of a bank, its word lines and its logical columns."""
    weights = np.zeros((array.info.rows, array.info.cols // 2))
    driven, used = np.zeros(weights.shape[0], dtype=np.bool_), np.zeros(weights.shape[1], dtype=np.bool_)
    for kernel in bank:
        weights[np.ix_(kernel.word_lines, kernel.pairs)] = kernel.weights
        driven[kernel.word_lines], used[kernel.pairs] = True, True
    return weights, driven, used


def _products(
    array: CrossbarArray,
    bank: Sequence[PlacedKernel] | Sequence[PlacedTile],
    mapping: Mapping,
    voltages: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Errors and ideal values of the products of a bank with these voltages (n, rows), in units of weight."""
    weights, driven, used = _weights(bank, array)
    drive = voltages * driven
    limit = array.info.limits.read_voltage
    current = read_signed(array, drive)
    ideal = drive @ weights / limit
    error = (current[:, 0::2] - current[:, 1::2]) / (limit * mapping.window.span) - ideal
    return error[:, used], ideal[:, used]


def _relative_rms(products: Sequence[tuple[FloatArray, FloatArray]]) -> float:
    error, ideal = (np.concatenate([part.ravel() for part in parts]) for parts in zip(*products, strict=True))
    return float(np.sqrt(np.mean(error**2) / np.mean(ideal**2)))


def impulse_responses(bundle: KernelBundle, runner: KernelRunner, steps: int) -> list[tuple[FloatArray, FloatArray]]:
    """Per layer the impulse responses (steps, channels) on the arrays and exactly, for an input of full scale."""
    responses = []
    for index, layer in enumerate(bundle.layers):
        impulse = np.zeros((1, steps, len(layer.d)))
        impulse[:, 0] = layer.input_range
        responses.append((runner(index, impulse)[0], run_kernels(layer, impulse)[0]))
    return responses


def verify_kernels(
    bundle: KernelBundle, runner: KernelRunner, layer_inputs: Sequence[FloatArray], bounds: Bounds
) -> tuple[LevelResult, FloatArray]:
    """Level 3: every kernel in closed loop, on an impulse and on real inputs.

    Args:
        layer_inputs: per layer, (n, steps, channels), as the exact network sees them.

    Returns:
        The result and the NRMSE of every kernel on real input, (all kernels,).
    """
    steps = layer_inputs[0].shape[1]
    on_impulse = np.concatenate(
        [nrmse(got[None], exact[None]) for got, exact in impulse_responses(bundle, runner, steps)]
    )
    on_inputs = np.concatenate(
        [
            nrmse(runner(index, inputs), run_kernels(bundle.layers[index], inputs))
            for index, inputs in enumerate(layer_inputs)
        ]
    )
    kernel, impulse = bounds.number("kernel"), bounds.number("impulse")
    shares = {
        "beyond_on_input": float(np.mean(~(on_inputs <= kernel))),
        "beyond_on_impulse": float(np.mean(~(on_impulse <= impulse))),
    }
    worse = max(shares.values())
    figures = {
        **shares,
        "excess": float(np.mean(np.maximum(on_inputs / kernel, 1) + np.maximum(on_impulse / impulse, 1)) - 2),
        "kernels": float(len(on_inputs)),
        "input_median": float(np.median(on_inputs)),
        "input_90th_percentile": float(np.quantile(on_inputs, 0.9)),
        "impulse_median": float(np.median(on_impulse)),
    }
    words = (
        f"fraction of {len(on_inputs)} kernels with an NRMSE beyond {kernel:.3g} on real input, or beyond "
        f"{impulse:.3g} on an impulse, the larger of both, at most"
    )
    return LevelResult("kernel", worse, bounds.beyond, worse <= bounds.beyond, words, figures), on_inputs


def judge_task(
    said: Wanted,
    software: Wanted,
    wanted: Wanted,
    bounds: Bounds,
    null_control: float | None = None,
    units: NDArray[np.int64] | None = None,
) -> LevelResult:
    """`verify_task` by what the arrays and software say of single sequences, with the lower ends of 95 % intervals.

    Values are judged by the share of their variance that is explained, 1 - NRMSE^2, as classes by the accuracy. From
    a single independent recording no interval of it can be given, and the level says that it is not decidable.

    Args:
        said, software, wanted: class numbers (n,), or values (n, values): on the arrays, in software, and right.
        units: (n, k) or (n,), numbers of the recordings that each sequence is made of; None if all are independent.
    """
    found, exact = scored(said, wanted, units), scored(software, wanted, units)
    goal = goal_of(wanted)
    level = verify_task(found.value, exact.value, bounds, null_control, (found.low, exact.low), goal)
    if goal == "classes":
        return level
    figures = {
        **level.figures,
        "on_array_nrmse": nrmse_of(found.value),
        "on_array_nrmse_high": nrmse_of(found.low),
        "software_nrmse": nrmse_of(exact.value),
    }
    if found.units > 1:
        return replace(level, figures=figures)
    words = (
        "all test sequences come from one independent recording, so no interval can be given; deploy with sequences "
        "of more. Share of the variance lost against software, at most"
    )
    figures = {name: value for name, value in figures.items() if np.isfinite(value)}
    return replace(level, passed=False, requirement=words, figures=figures, decidable=False)


def verify_task(
    on_array: float,
    software: float,
    bounds: Bounds,
    null_control: float | None = None,
    lowest: tuple[float, float] | None = None,
    goal: Goal = "classes",
) -> LevelResult:
    """Level 4: the score on the arrays against software, and above the null control where there is one.

    A task that the software itself does not do better than the null control needs no memory: it decides nothing, and
    the level does not pass.

    Args:
        on_array, software, null_control: scores as fractions, on the same test set: accuracies, or by `goal` shares
            of the values' variance that are explained.
        lowest: lower ends of the 95 % intervals of the first two, which must lie above the null control; None for the
            scores themselves.
    """
    loss, score, decidable = software - on_array, _SCORES[goal], True
    figures = {"on_array": on_array, "software": software}
    passed = loss <= bounds.task_loss + _ROUNDING
    words = f"{score} lost against software, at most"
    if null_control is not None:
        figures["null_control"] = null_control
        surely, at_best = (on_array, software) if lowest is None else lowest
        figures["on_array_low"] = surely
        passed = passed and surely > null_control
        words = (
            f"{score} lost against software (and with its lower bound above the null control's {null_control:.3f}: "
            f"{surely:.3f}), at most"
        )
        if at_best <= null_control:
            passed = decidable = False
            words = (
                f"this task needs no memory: it decides nothing (software {_AT_LEAST[goal].format(at_best)}, the "
                f"null control {null_control:.3f}); choose another task. {score.capitalize()} lost against software, "
                "at most"
            )
    return LevelResult("task", loss, bounds.task_loss, passed, words, figures, decidable)
