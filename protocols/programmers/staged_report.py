"""Reports of programmers that work in several stages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.hal import BoolArray, CellOutcome, CrossbarArray, FloatArray, ProgrammingReport

Counts = NDArray[np.int32]


def followed(
    array: CrossbarArray,
    report: ProgrammingReport,
    target: FloatArray,
    mask: BoolArray,
    *,
    pulses: Counts,
    reads: int,
    started: float,
) -> ProgrammingReport:
    """The report of a last stage on some cells, made one of all cells of `mask`.

    Args:
        pulses, reads, started: what the stages before it used, and the device time when they began, s.
    """
    others = mask & ~report.selected
    outcome = np.where(others, CellOutcome.REACHED, report.outcome).astype(np.uint8)
    achieved = report.achieved
    if others.any():  # all cells by a re-read of the same moment: the first ones may have moved since
        averages = 8
        achieved = array.read_conductances(mask, averages)
        reads += averages
    return replace(
        report,
        target=target,
        achieved=achieved,
        pulses=np.asarray(report.pulses + pulses, dtype=np.int32),
        outcome=outcome,
        seconds=array.time - started,
        reads=report.reads + reads,
    )
