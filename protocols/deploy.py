"""Deploy and verify: put a kernel bundle on arrays, and find out whether it really works there.

Plan, program, mend around stuck cells, move damaged kernels, calibrate the columns, verify cells and products,
correct the outputs, verify kernels and task. Every step goes through the contract, so the same code serves a chip, a
twin, a recorded or a replayed session.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imssa_lab.errors import DeploymentError
from imssa_lab.hal import CrossbarArray, FloatArray, Programmer, ProgrammingReport
from imssa_lab.mapping import Mapping, map_bundle
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.inference import layer_inputs, run_kernels, run_network
from protocols.column_calibration import calibrate_columns
from protocols.programming import ProgrammedMapping
from protocols.recurrence import KernelRunner
from protocols.verify import (
    Bounds,
    LevelResult,
    impulse_responses,
    verify_cells,
    verify_kernels,
    verify_mvm,
    verify_task,
)

_log = logging.getLogger(__name__)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Deployment:
    """What a deployment did and whether it holds.

    Attributes:
        mapping: where the kernels stand.
        targets, achieved: per array, S, (rows, cols), NaN outside the blocks; achieved by independent re-read.
        reports: the programming reports, in order; more than one per array where cells had to be mended.
        levels: the four verification levels; bounds: what they were judged by.
        kernel_nrmse: (kernels,), on real input.
        impulses: per layer (on the arrays, exact), each (steps, channels).
        accuracy, software_accuracy, null_accuracy: fractions on the test set; the last None if not given.
        predictions: (n,), classes that the arrays chose.
        seconds: device time, summed over the arrays.
    """

    mapping: Mapping
    targets: list[FloatArray]
    achieved: list[FloatArray]
    reports: list[ProgrammingReport]
    levels: list[LevelResult]
    bounds: Bounds
    kernel_nrmse: FloatArray
    impulses: list[tuple[FloatArray, FloatArray]]
    accuracy: float
    software_accuracy: float
    null_accuracy: float | None
    predictions: NDArray[np.int64]
    seconds: float

    @property
    def passed(self) -> bool:
        """True only if every level passed."""
        return all(level.passed for level in self.levels)

    @property
    def pulses(self) -> int:
        """Programming pulses sent."""
        return sum(int(report.pulses.sum()) for report in self.reports)

    def __str__(self) -> str:
        verdict = "verified" if self.passed else "NOT verified"
        return "\n".join([f"deployment {verdict}", *(f"  {level}" for level in self.levels)])


def deploy(
    bundle: KernelBundle,
    arrays: Sequence[CrossbarArray],
    *,
    calibration_inputs: FloatArray,
    test_inputs: FloatArray,
    test_labels: NDArray[np.int64],
    null_accuracy: float | None = None,
    bounds: Bounds | None = None,
    programmer: Programmer | None = None,
    progress: Progress | None = None,
) -> Deployment:
    """Put `bundle` on `arrays` and verify it on four levels.

    Args:
        arrays: of one shape and window; the first ones are used.
        calibration_inputs: (n, steps, inputs), n >= 2, from training data: half of them correct the outputs, half
            verify the kernels.
        test_inputs, test_labels: (n, steps, inputs) and (n,), for the task level.
        null_accuracy: test accuracy of the memoryless control, a fraction.
        bounds: what counts as good; programmer: None for each chip's own recipe.
        progress: called with (stage, done, total).

    Raises:
        DeploymentError: too few arrays, arrays of different kinds, or inputs of the wrong shape; nothing pulsed.
    """
    _check(arrays, calibration_inputs, test_inputs, test_labels)
    bounds = bounds or Bounds()
    tell = progress or (lambda stage, done, total: None)
    info = arrays[0].info
    mapping = map_bundle(bundle, info.shape, info.window, len(arrays))
    started = [array.time for array in arrays]
    programmed = ProgrammedMapping(
        arrays, mapping, programmer, lambda done, total: tell("program the arrays", done, total)
    )
    mapping, targets = programmed.mapping, programmed.targets
    used = list(arrays[: mapping.arrays])
    for index, array in enumerate(used):
        tell("calibrate the columns", index, len(used))
        calibrate_columns(array)
    tell("calibrate the columns", len(used), len(used))

    cells, achieved = verify_cells(used, targets, bounds)
    mvm = verify_mvm(used, mapping, bounds)
    runner = KernelRunner(used, mapping)
    inputs = layer_inputs(bundle, calibration_inputs)
    half = len(calibration_inputs) // 2
    for layer, values in enumerate(inputs):
        tell("correct the outputs", layer, len(inputs))
        fit = values[:half]
        runner.recalibrate(layer, runner.raw(layer, fit), run_kernels(bundle.layers[layer], fit))
    tell("correct the outputs", len(inputs), len(inputs))
    kernels, kernel_nrmse = verify_kernels(bundle, runner, [values[half:] for values in inputs], bounds)

    tell("run the task", 0, 1)
    predictions = run_network(bundle, test_inputs, runner).argmax(axis=1)
    software = run_network(bundle, test_inputs).argmax(axis=1)
    accuracy, software_accuracy = (float(np.mean(p == test_labels)) for p in (predictions, software))
    tell("run the task", 1, 1)
    levels = [cells, mvm, kernels, verify_task(accuracy, software_accuracy, bounds, null_accuracy)]
    for level in levels:
        _log.info("%s", level)
    return Deployment(
        mapping=mapping,
        targets=targets,
        achieved=achieved,
        reports=programmed.reports,
        levels=levels,
        bounds=bounds,
        kernel_nrmse=kernel_nrmse,
        impulses=impulse_responses(bundle, runner, calibration_inputs.shape[1]),
        accuracy=accuracy,
        software_accuracy=software_accuracy,
        null_accuracy=null_accuracy,
        predictions=predictions,
        seconds=sum(array.time - start for array, start in zip(arrays, started, strict=True)),
    )


def _check(
    arrays: Sequence[CrossbarArray],
    calibration_inputs: FloatArray,
    test_inputs: FloatArray,
    test_labels: NDArray[np.int64],
) -> None:
    if not arrays:
        raise DeploymentError("no array given; open at least one with open_array(...)")
    first = arrays[0].info
    for array in arrays[1:]:
        if array.info.shape != first.shape or array.info.window != first.window:
            raise DeploymentError(
                f"{array.info.name} ({array.info.serial}) has another shape or window than {first.name}; "
                "deploy on arrays of one kind"
            )
    for name, values in (("calibration_inputs", calibration_inputs), ("test_inputs", test_inputs)):
        if values.ndim != 3 or not np.isfinite(values).all():
            raise DeploymentError(f"{name} must be finite and of shape (n, steps, inputs), got {values.shape}")
    if len(calibration_inputs) < 2:
        raise DeploymentError("calibration_inputs: at least 2 sequences, half correct the outputs, half verify")
    if test_labels.shape != (len(test_inputs),) or not len(test_labels):
        raise DeploymentError(f"{len(test_inputs)} test inputs need as many labels, got {test_labels.shape}")
