"""What two runs found in their arrays, cell by cell and column by column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imssa_lab.contract.array_types import BoolArray, FloatArray
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.errors import DataError
from imssa_lab.contract.programming_report import CellOutcome
from imssa_lab.log.run import Run
from imssa_lab.report.measured.calibrated import calibrated
from imssa_lab.report.measured.programmed import last_readings, programmed

_STUCK = (CellOutcome.STUCK_LOW, CellOutcome.STUCK_HIGH)


@dataclass(frozen=True)
class ComparedArray(FrozenArrays):
    """One array of two runs.

    Attributes:
        index: its number in both; chips: what each run says it was, name and serial number.
        first, second: last reading of every cell, S, (rows, cols), NaN where there is none.
        stuck, programmed: cells that programming called stuck, and all that it was to move, (2, rows, cols) each.
        gains: of the newest column calibrations, (2, cols), NaN without one.
    """

    index: int
    chips: tuple[str, str]
    first: FloatArray
    second: FloatArray
    stuck: BoolArray
    programmed: BoolArray
    gains: FloatArray

    @property
    def change(self) -> FloatArray:
        """Second minus first, S, (rows, cols), NaN where one of them has no reading."""
        return self.second - self.first

    def facts(self) -> list[tuple[str, str]]:
        """The comparison in numbers, each with what it is of."""
        change = self.change[np.isfinite(self.change)]
        tried = self.programmed.all(axis=0)
        came, went = tried & self.stuck[1] & ~self.stuck[0], tried & self.stuck[0] & ~self.stuck[1]
        both = tried & self.stuck.all(axis=0)
        facts = [("chips", self.chips[0] if self.chips[0] == self.chips[1] else " against ".join(self.chips))]
        facts.append(("cells with a last reading in both", f"{change.size} of {self.change.size}"))
        if change.size:
            middle = float(np.median(change))
            spread = 1.4826 * float(np.median(np.abs(change - middle)))
            facts += [
                ("change of these cells, median", f"{1e6 * middle:+.3f} uS"),
                ("change, robust sd (1.4826 MAD)", f"{1e6 * spread:.3f} uS"),
                ("change, 95 % of these cells within", f"{1e6 * float(np.quantile(np.abs(change), 0.95)):.3f} uS"),
            ]
        if (
            change.size > 1
            and self.first[np.isfinite(self.change)].std()
            and self.second[np.isfinite(self.change)].std()
        ):
            pair = self.first[np.isfinite(self.change)], self.second[np.isfinite(self.change)]
            facts.append(("correlation of the two", f"{float(np.corrcoef(*pair)[0, 1]):.4f}"))
        ends = f"{both.sum()} in both, {came.sum()} came, {went.sum()} went, of {tried.sum()} programmed in both"
        facts.append(("stuck", ends if tried.any() else "not decidable: no cell was programmed in both"))
        ratio = self.gains[1] / self.gains[0]
        known = ratio[np.isfinite(ratio)]
        facts.append(
            (
                "column gains, second over first",
                f"mean {known.mean():.4f}, sd {known.std():.4f} of {known.size} columns",
            )
            if known.size
            else ("column gains, second over first", "not decidable: a run without calibration")
        )
        return facts


def compared_arrays(first: Run, second: Run) -> list[ComparedArray]:
    """The arrays of two runs, by their numbers.

    Raises:
        DataError: another number or shape of arrays; LogError: damaged records.
    """
    shapes = [(len(run.infos), *run.infos[0].shape) for run in (first, second)]
    if shapes[0] != shapes[1]:
        there = " and ".join(
            f"{run.path} has {count} arrays of {rows} x {cols}"
            for run, (count, rows, cols) in zip((first, second), shapes, strict=True)
        )
        raise DataError(f"{there}; only equal ones are compared")
    ends, gains = [_ends(run) for run in (first, second)], [_gains(run) for run in (first, second)]
    return [
        ComparedArray(
            index,
            tuple(f"{run.infos[index].name} ({run.infos[index].serial})" for run in (first, second)),  # type: ignore[arg-type]
            last_readings(first, index),
            last_readings(second, index),
            np.stack([stuck[index] for stuck, _ in ends]),
            np.stack([tried[index] for _, tried in ends]),
            np.stack([each[index] for each in gains]),
        )
        for index in range(shapes[0][0])
    ]


def _ends(run: Run) -> tuple[BoolArray, BoolArray]:
    """Cells that programming called stuck, and all that it was to move, (arrays, rows, cols) each."""
    data = programmed(run)
    shape = (len(run.infos), *run.infos[0].shape)
    stuck, tried = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    for place, index in enumerate(data["array"].values.tolist()):
        outcome = data["outcome"].values[place]
        stuck[index], tried[index] = np.isin(outcome, _STUCK), outcome != CellOutcome.NOT_SELECTED
    return stuck, tried


def _gains(run: Run) -> FloatArray:
    data = calibrated(run)
    found = np.full((len(run.infos), run.infos[0].cols), np.nan)
    for place, index in enumerate(data["array"].values.tolist()):
        found[index] = data["gain"].values[place]
    return found
