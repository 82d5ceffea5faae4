"""Null controls: a good deployment passes every level, and each level catches the faults that it is there for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.bars import Bars
from benchmarks.deploy.trained_bundles import trained
from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.hal import BoolArray, Readout
from imssa_lab.mapping import arrays_needed
from imssa_lab.s4d.inference import layer_inputs, run_kernels, run_network
from imssa_lab.studies.written_chips import healthy_profile
from protocols.deployment.choices import DeploymentChoices
from protocols.deployment.deployment import deploy
from protocols.deployment.verification import (
    Bounds,
    LevelResult,
    reread,
    verify_cells,
    verify_kernels,
    verify_mvm,
    verify_task,
)
from protocols.recurrence import KernelRunner
from twin import DigitalTwin

BOUNDS = Bounds(cells=0.99, mvm=0.12, kernel=0.35, impulse=0.7)
"""Of a chip without faults; kernels with a memory of a second err more than those of short words."""
_AVERAGES = 4


class Blind(DigitalTwin):
    """A twin whose `silent` word lines can be cut off from the inputs of products."""

    silent: BoolArray | None = None

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        return super()._read_mvm(voltages if self.silent is None else np.where(self.silent, 0.0, voltages))


class Deployed:
    """A verified deployment of one bundle, its arrays, and its levels measured again."""

    def __init__(self, folder: Path | None) -> None:
        self.bundle, self.sequences = trained("fsdd-order", "4bit", 0, folder)
        count = arrays_needed(self.bundle, (64, 64))
        self.arrays = [Blind(healthy_profile(), (64, 64), seed=70 + index) for index in range(count)]
        judged = self.sequences.first(64, 200)
        self.words, self.tests, self.labels = judged.calibration_inputs, judged.test_inputs, judged.test_labels
        choices = DeploymentChoices(bounds=BOUNDS, averages=_AVERAGES)
        self.result = deploy(self.bundle, self.arrays, judged, choices)
        self.good = [array.cells.conductance.copy() for array in self.arrays]
        self.inputs = layer_inputs(self.bundle, self.words)

    def levels(self) -> list[LevelResult]:
        """All four, with new output corrections: no digital correction may hide a fault."""
        mapping = self.result.mapping
        runner = KernelRunner(self.arrays, mapping, averages=_AVERAGES)
        for layer, values in enumerate(self.inputs):
            exact = run_kernels(self.bundle.layers[layer], values[:32])
            runner.recalibrate(layer, runner.raw(layer, values[:32]), exact)
        achieved = reread(self.arrays, self.result.targets)
        maps = [replace(old, achieved=read) for old, read in zip(self.result.cell_maps, achieved, strict=True)]
        cells, _ = verify_cells(maps, mapping.window, BOUNDS)
        kernels, _ = verify_kernels(self.bundle, runner, [values[32:] for values in self.inputs], BOUNDS)
        got = run_network(self.bundle, self.tests, runner).argmax(axis=1)
        right = float(np.mean(got == self.labels))
        task = verify_task(right, self.result.software_accuracy, BOUNDS)
        return [cells, verify_mvm(self.arrays, mapping, BOUNDS), kernels, task]

    def restore(self) -> None:
        """As it was when it had been verified."""
        for array, conductance in zip(self.arrays, self.good, strict=True):
            array.cells.conductance = conductance.copy()
            array.silent = None

    def swap_columns(self) -> None:
        """Two columns of every kernel in each other's place."""
        for kernel in self.result.mapping.kernels:
            cells = self.arrays[kernel.array].cells.conductance
            one, other = kernel.bit_lines[:2], kernel.bit_lines[-2:]
            lines = np.concatenate([one, other])
            cells[np.ix_(kernel.word_lines, lines)] = cells[np.ix_(kernel.word_lines, np.concatenate([other, one]))]

    def zero_state(self) -> None:
        """The word lines of every state silent."""
        for kernel in self.result.mapping.kernels:
            array = self.arrays[kernel.array]
            array.silent = np.zeros(64, dtype=np.bool_) if array.silent is None else array.silent
            array.silent[kernel.word_lines[1:]] = True

    def flip_one_kernel(self) -> None:
        """The pairs of one kernel the other way round."""
        kernel = self.result.mapping.kernels[0]
        cells = self.arrays[kernel.array].cells.conductance
        block = cells[kernel.cells].copy()
        cells[kernel.cells] = block[:, np.arange(block.shape[1]) ^ 1]

    def stick(self) -> None:
        """5 % of all cells stuck after programming, half of them at either end."""
        for index, array in enumerate(self.arrays):
            lot = np.random.default_rng([9, index]).random((64, 64))
            cells = array.cells.conductance
            array.cells.conductance = np.where(lot < 0.025, 150e-6, np.where(lot < 0.05, 0.8e-6, cells))


MUST_CATCH = {
    "swapped columns": ("cells", "mvm", "kernel"),
    "zeroed state": ("mvm", "kernel", "task"),
    "sign flip of one kernel": ("mvm",),
    "5 % stuck after programming": ("cells", "mvm", "kernel"),
}


def levels(bars: Bars, folder: Path | None) -> None:
    """Every fault against every level."""
    deployed = Deployed(folder)
    for level in deployed.levels():
        bars.check(f"good deployment, level {level.level} passes", int(level.passed), "==", 1, str(level))
    faults: dict[str, Callable[[], None]] = {
        "swapped columns": deployed.swap_columns,
        "zeroed state": deployed.zero_state,
        "sign flip of one kernel": deployed.flip_one_kernel,
        "5 % stuck after programming": deployed.stick,
    }
    for name, fault in faults.items():
        deployed.restore()
        fault()
        for level in deployed.levels():
            note = f"{level.measured:.3g}, bound {level.bound:g}"
            if level.level in MUST_CATCH[name]:
                bars.check(f"{name}: caught by level {level.level}", int(not level.passed), "==", 1, note)
            else:
                print(f"     {name}: level {level.level} {'passes' if level.passed else 'catches it too'}, {note}")
