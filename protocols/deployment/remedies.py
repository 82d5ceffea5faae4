"""Measuring a programmed mapping, and remedies for a level that fails, the cheapest first.

Remedies that need no pulse (calibration of columns and outputs) are part of every measurement. The others: program
again what left its window, leave bit lines that do not answer and arrange kernels for their products, read kernels
apart, tune by products, each followed by arranging kernels around what turned out stuck.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from imssa_lab.contract.cell_classes import CellShares, cell_shares
from imssa_lab.contract.hal import CrossbarArray, FloatArray
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.inference import run_kernels
from protocols.characterisation.column_calibration import calibrate_columns
from protocols.dense_runner import DenseRunner
from protocols.deployment.choices import DeploymentChoices
from protocols.deployment.dense_level import LEVEL, correct_dense, verify_dense
from protocols.deployment.mapping_programmer import ProgrammedMapping
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


@dataclass(frozen=True)
class Remedied:
    """A remedy that was tried: for which level, and that level's figure before and after."""

    level: str
    remedy: str
    before: float
    after: float

    def __str__(self) -> str:
        return f"{self.level}: {self.remedy}: {self.before:.4g} -> {self.after:.4g}"


class Loop:
    """Levels 1 to 3 of a programmed mapping, measured and mended.

    Attributes:
        levels: cells, products, kernels, and dense layers where arrays hold some, as last measured.
        achieved: per array, S, by their re-read; shares: of them.
        kernel_nrmse: (kernels,), on real input; dense_nrmse: by dense layer, (outputs,).
        tried: remedies, in order; mended: kernels that changed by them; reads: vectors read in closed loop.
    """

    levels: list[LevelResult]
    achieved: list[FloatArray]
    shares: CellShares
    kernel_nrmse: FloatArray
    dense_nrmse: dict[str, FloatArray]

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
        self._runners: list[tuple[KernelRunner, DenseRunner]] = []
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
        return self._runners[-1][0]

    @property
    def dense(self) -> DenseRunner:
        """The dense layers on arrays, outputs corrected, as last measured."""
        return self._runners[-1][1]

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
        self._runners.append((self._run_on(used, mapping), self._run_dense_on(used, mapping)))
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
                self._apply(failed.level, name, remedy, failed.measured)
        if len(self.levels) == _WITHOUT_KERNELS:
            self._measure_kernels()

    def again(self, level: str, measured: float) -> bool:
        """Program again what left its window, for a level that `improve` does not know; False if nothing changed."""
        if "program again" in self._done:
            return False
        return self._apply(level, "program again", self._program_again, measured)

    def _apply(self, level: str, name: str, remedy: Callable[[], int], before: float) -> bool:
        if self._programmed.spent:
            return False
        self._done.add(name)
        if not remedy():
            return False
        self.mended += self._programmed.mend()
        self._measure_products()
        if level not in ("cells", "mvm"):
            self._measure_kernels()
        after = {result.level: result.measured for result in self.levels}.get(level, np.nan)
        self.tried.append(Remedied(level, name, before, after))
        _log.info("%s", self.tried[-1])
        return True

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
