"""Measuring a programmed mapping, and remedies for a level that fails, the cheapest first.

Remedies that need no pulse (calibration of columns and outputs) are part of every measurement. The others: program
again what left its window, leave bit lines that do not answer and arrange kernels for their products, read kernels
apart, arrange single kernels for their outputs, program their cells finer, tune by products, each followed by
arranging kernels around what turned out stuck. A remedy that does not help is taken back, cells included.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from imssa_lab.contract.cell_classes import CellShares, cell_shares
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.hal import ColumnCalibration, CrossbarArray, FloatArray
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.inference import run_kernels
from imssa_lab.s4d.scores import Wanted
from protocols.characterisation.column_calibration import calibrate_columns
from protocols.dense_runner import DenseRunner
from protocols.deployment.choices import DeploymentChoices
from protocols.deployment.dense_level import LEVEL, correct_dense, verify_dense
from protocols.deployment.mapping_programmer import ProgrammedMapping
from protocols.deployment.mending.remedied import Remedied, judged_remedy
from protocols.deployment.verification import LevelResult, reread, verify_cells, verify_kernels, verify_mvm
from protocols.probes import probe_voltages
from protocols.recurrence import KernelRunner, read_signed

_log = logging.getLogger(__name__)
_FEW = 0.01
"""Fraction of a class of cells that must be out of tolerance, and movable, for programming again to be worth it."""
_CALIBRATING = 4
"""Readings of every cell that columns are calibrated by."""
_WITHOUT_KERNELS = 2
"""Levels that are measured before the kernels."""
_DEAD = 0.5
"""A bit line does not answer when its products are off by more than this fraction of their rms."""


_Task = tuple[LevelResult, Wanted]
Judge = Callable[[], _Task]
"""Runs the task: its level, and the classes that the arrays choose, (n,)."""


@dataclass(frozen=True)
class _Measured(FrozenArrays):
    """All that was measured of one state of the arrays."""

    levels: list[LevelResult]
    achieved: list[FloatArray]
    shares: CellShares
    calibrations: list[ColumnCalibration | None]
    runners: tuple[KernelRunner, DenseRunner] | None
    kernel_nrmse: FloatArray
    dense_nrmse: dict[str, FloatArray]
    task: _Task | None

    def all(self) -> list[LevelResult]:
        """Every level that was measured."""
        return [*self.levels, *([] if self.task is None else [self.task[0]])]


class Loop:
    """Levels 1 to 3 of a programmed mapping, measured and mended.

    Attributes:
        levels: cells, products, kernels, and dense layers where arrays hold some, as last measured.
        achieved: per array, S, by their re-read; shares: of them.
        kernel_nrmse: (kernels,), on real input; dense_nrmse: by dense layer, (outputs,).
        tried: remedies that changed something, in order; mended: kernels that changed by those that were kept.
        task: the last level, and the classes (n,) or values (n, values) that the arrays gave; only after `for_task`.
    """

    levels: list[LevelResult]
    achieved: list[FloatArray]
    shares: CellShares
    kernel_nrmse: FloatArray
    dense_nrmse: dict[str, FloatArray]
    task: _Task | None

    def __init__(
        self,
        bundle: KernelBundle,
        arrays: Sequence[CrossbarArray],
        programmed: ProgrammedMapping,
        inputs: Sequence[FloatArray],
        dense_inputs: Mapping[str, FloatArray],
        choices: DeploymentChoices,
        tell: Callable[[str, int, int], None],
    ) -> None:
        self.tried: list[Remedied] = []
        self.mended = 0
        self.levels, self.kernel_nrmse, self.task = [], np.array([]), None
        self._runners: list[tuple[KernelRunner, DenseRunner]] = []
        self._now: tuple[KernelRunner, DenseRunner] | None = None
        self._judge: Judge | None = None
        self._dense_inputs, self._run_dense_on = dense_inputs, choices.dense_runner
        self.dense_nrmse = {}
        self._bundle, self._arrays, self._programmed = bundle, arrays, programmed
        self._inputs, self._bounds, self._run_on, self._tell = inputs, choices.bounds, choices.runner, tell
        self._correcting = choices.corrections
        tuner = choices.tuner
        self._remedies: list[tuple[str, str, Callable[[], int]]] = [
            ("cells", "program again", self._program_again),
            ("mvm", "arrange for products", self._arrange_for_products),
            ("mvm", "read apart", programmed.read_apart),
            *([("mvm", "tune by products", partial(programmed.tune, tuner))] if tuner else []),
            ("kernel", "read apart", programmed.read_apart),
            ("kernel", "program again", self._program_again),
            ("kernel", "arrange for outputs", partial(self._of_single_kernels, programmed.arrange_for_outputs)),
            ("kernel", "program finer", partial(self._of_single_kernels, programmed.program_finer)),
            (LEVEL, "arrange for products", self._arrange_for_products),
            (LEVEL, "program again", self._program_again),
            *([("kernel", "tune by products", partial(programmed.tune, tuner))] if tuner else []),
        ]
        self._done: set[str] = set()

    @property
    def reads(self) -> int:
        """Vectors that kernels and dense layers read so far."""
        return sum(runner.reads for pair in self._runners for runner in pair)

    @property
    def runner(self) -> KernelRunner:
        """The kernels in closed loop, outputs corrected, as last measured."""
        return self._pair[0]

    @property
    def dense(self) -> DenseRunner:
        """The dense layers on arrays, outputs corrected, as last measured."""
        return self._pair[1]

    @property
    def _pair(self) -> tuple[KernelRunner, DenseRunner]:
        assert self._now is not None, "kernels were not measured yet"
        return self._now

    def measure(self) -> None:
        """Calibrate columns and outputs, and measure levels 1 to 3."""
        self._measure_products()
        self._measure_kernels()

    def look(self) -> None:
        """Calibrate the columns and measure cells and products, for `improve` to start from."""
        self._measure_products()

    def _measure_products(self) -> None:
        """Calibrate the columns; measure cells and products, which takes a small part of what the kernels take."""
        mapping = self._programmed.mapping
        used = list(self._arrays[: mapping.arrays])
        if self._correcting:
            self._calibrate(used)
        self._tell("verify cells and products", 0, 2)
        self.achieved = reread(used, self._programmed.targets)
        cells, self.shares = verify_cells(self._programmed.cell_maps(self.achieved), mapping.window, self._bounds)
        self._tell("verify cells and products", 1, 2)
        mvm = verify_mvm(used, mapping, self._bounds)
        self._tell("verify cells and products", 2, 2)
        self.levels = [cells, mvm]

    def _calibrate(self, used: Sequence[CrossbarArray]) -> None:
        for index, array in enumerate(used):
            self._tell("calibrate the columns", index, len(used))
            calibrate_columns(array, averages=_CALIBRATING)
        self._tell("calibrate the columns", len(used), len(used))

    def _measure_kernels(self) -> None:
        """Correct the outputs of kernels and dense layers, and measure them."""
        mapping = self._programmed.mapping
        used = list(self._arrays[: mapping.arrays])
        self._now = self._run_on(used, mapping), self._run_dense_on(used, mapping)
        self._runners.append(self._now)
        half = len(self._inputs[0]) // 2
        if self._correcting:
            self._correct([values[:half] for values in self._inputs])
        judged = [values[half:] for values in self._inputs]
        n, steps = judged[0].shape[:2]
        with self.runner.watched("verify the kernels", n + 1, steps, self._tell):  # one more: the impulse
            kernels, self.kernel_nrmse = verify_kernels(self._bundle, self.runner, judged, self._bounds)
        self.levels = [*self.levels[:_WITHOUT_KERNELS], kernels]
        if self.dense.layers:
            self.levels.append(self._measured_dense())

    def _measured_dense(self) -> LevelResult:
        half = len(self._inputs[0]) // 2
        if self._correcting:
            correct_dense(self._bundle, self.dense, {name: x[:half] for name, x in self._dense_inputs.items()})
        judged = {name: x[half:] for name, x in self._dense_inputs.items()}
        result, self.dense_nrmse = verify_dense(self._bundle, self.dense, judged, self._bounds)
        return result

    def _correct(self, inputs: Sequence[FloatArray]) -> None:
        for layer, fit in enumerate(inputs):
            self._tell("correct the outputs", layer, len(inputs))
            self.runner.recalibrate(layer, self.runner.raw(layer, fit), run_kernels(self._bundle.layers[layer], fit))
        self._tell("correct the outputs", len(inputs), len(inputs))

    def improve(self) -> None:
        """Try the remedies of every level that fails, from the cheapest on, each once; then all levels are measured.

        Kernels are measured once the remedies of cells and products are through.
        """
        for level, name, remedy in self._remedies:
            if level not in ("cells", "mvm") and len(self.levels) == _WITHOUT_KERNELS:
                self._measure_kernels()
            failed = next((result for result in self.levels if result.level == level), None)
            if failed is not None and not failed.passed and name not in self._done:
                self._apply(level, name, remedy)
        if len(self.levels) == _WITHOUT_KERNELS:
            self._measure_kernels()

    def for_task(self, judge: Judge, mending: bool) -> _Task:
        """The level of the task and what the arrays say; programs again where it fails and the task can tell.

        A remedy that moves cells at random would pass a task by luck in the end, so there is no other.
        """
        self._judge, self.task = judge, judge()
        level = self.task[0]
        if mending and level.decidable and not level.passed and "program again" not in self._done:
            self._apply("task", "program again", self._program_again)
        return self.task

    def _apply(self, level: str, name: str, remedy: Callable[[], int]) -> None:
        """Try a remedy; what it changed is taken back if it does not help, and it may be tried for another level."""
        programmed = self._programmed
        if programmed.spent:
            return
        before, mark = self._measured(), programmed.mark(self.achieved)
        if not remedy():
            self._done.add(name)
            _log.info("%s: %s: nothing to change", level, name)
            return
        changed = programmed.mend()
        self._measure_again(level)
        counting = ("cells",) if name == "program again" else ()
        found = judged_remedy(level, name, before.all(), self._measured().all(), counting)
        if found.kept:
            self.mended += changed
        elif programmed.spent and programmed.asked:
            found = replace(found, kept=True, why="the budget was spent before it could be taken back")
        elif programmed.take_back(mark):
            self._measure_again(level)
            again = {each.level: each.measured for each in self._measured().all()}
            found = replace(found, again=again[level])
        else:
            self._restore(before)
        if found.kept:
            self._done.add(name)
        self.tried.append(found)
        _log.info("%s", found)

    def _measure_again(self, level: str) -> None:
        self._measure_products()
        if level not in ("cells", "mvm"):
            self._measure_kernels()
        if self._judge is not None:
            self.task = self._judge()

    def _measured(self) -> _Measured:
        return _Measured(
            self.levels,
            self.achieved,
            self.shares,
            [array.calibration for array in self._arrays],
            self._now,
            self.kernel_nrmse,
            self.dense_nrmse,
            self.task,
        )

    def _restore(self, before: _Measured) -> None:
        """What was measured holds again, since no cell has moved."""
        self.levels, self.achieved, self.shares, self.task = (
            before.levels,
            before.achieved,
            before.shares,
            before.task,
        )
        self._now, self.kernel_nrmse, self.dense_nrmse = before.runners, before.kernel_nrmse, before.dense_nrmse
        for array, calibration in zip(self._arrays, before.calibrations, strict=True):
            if array.calibration is not calibration:
                array.set_calibration(calibration)

    def _owners(self) -> list[tuple[int, int]]:
        """Layer and channel of every kernel, in the order of `kernel_nrmse`."""
        return sorted({(kernel.layer, kernel.channel) for kernel in self._programmed.mapping.kernels})

    def _of_single_kernels(self, remedy: Callable[[Collection[tuple[int, int]]], int]) -> int:
        """A remedy of the kernels beyond their bound on real input; of all where that is none, but on an impulse."""
        beyond = ~(self.kernel_nrmse <= self._bounds.number("kernel"))
        beyond = beyond if beyond.any() else ~beyond
        return remedy({owner for owner, far in zip(self._owners(), beyond, strict=True) if far})

    def _program_again(self) -> int:
        """Only where it can help: enough cells of a class must be out of tolerance that are not known to be stuck."""
        window = self._programmed.mapping.window
        free = []
        for index, cells in enumerate(self._programmed.cell_maps(self.achieved)):
            stuck = self._programmed.states[index].stuck
            free.append(replace(cells, target=np.where(stuck, np.nan, cells.target), made_up=None))
        shares = cell_shares(free, window, self._bounds.tolerance_in(window))
        due = any(each.cells and each.cells - each.inside >= _FEW * each.cells for each in shares.classes)
        return self._programmed.refresh() if due else 0

    def _arrange_for_products(self) -> int:
        """Leave bit lines that do not answer, and arrange kernels around them and what else spoils products.

        One remedy, measured once: to leave the lines alone changes hardly anything.
        """
        left = self._leave_dead_lines()
        return self._programmed.arrange_for_products() + left

    def _leave_dead_lines(self) -> int:
        """Treat bit lines that do not answer to products as what they are: cells without conductance."""
        found = 0
        for index, held in enumerate(self.achieved):
            array, target = self._arrays[index], self._programmed.targets[index]
            driven = np.isfinite(target).any(axis=1)
            voltages = probe_voltages(64, array.info.rows, array.info.limits.read_voltage) * driven
            ideal = voltages @ np.nan_to_num(array.read_conductances())  # half of it is missing, or it is not dead
            error = np.sqrt(((read_signed(array, voltages) - ideal) ** 2).mean(axis=0))
            dead = np.isfinite(target).any(axis=0) & (error > _DEAD * np.sqrt((ideal**2).mean(axis=0)))
            if dead.any():
                _log.warning("%s: bit lines %s do not answer", array.info.name, np.flatnonzero(dead).tolist())
                self._programmed.give_up_lines(index, dead, held)
                found += int(dead.sum())
        return found
