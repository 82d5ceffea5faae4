"""What a study of aging chips came to: one row for every time, over the chips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.studies.aged_chips import MOVED, OF_LEVEL, QUANTILES, ROWS, DriftModel
from protocols.deployment.verification import Bounds


@dataclass(frozen=True)
class DriftStudy(FrozenArrays):
    """Chips that are through.

    Attributes:
        name: of task, precision and profile, in words.
        times: s, (times,), as asked for; until: s, how long the profile's law is known.
        software, null, chance: accuracies, fractions; `null` (without memory) None where it is not known; `chance` of
            a guess among the classes.
        tests: test sequences; tolerance: S, of a cell; nrmse_bound: of a kernel in a deployment.
        at_once: accuracy of each chip as verified, (chips,); refreshed: after the last time, re-programmed, (chips,).
        cells_at_once: worst class of cells in tolerance when deployed, (chips,); products: of a recalibration.
        rows: by the names of `aged_chips.ROWS`, (chips, times).
        levels: of the programmed cells, in words; moved: S, how far they have moved since the deployment, by
            `aged_chips.QUANTILES`, (chips, times, levels, quantiles); of_level: cells of each, (chips, levels).
    """

    name: str
    times: FloatArray
    until: float
    software: float
    null: float | None
    chance: float
    tests: int
    tolerance: float
    nrmse_bound: float
    at_once: FloatArray
    refreshed: FloatArray
    cells_at_once: FloatArray
    products: int
    rows: Mapping[str, FloatArray]
    levels: tuple[str, ...]
    moved: FloatArray
    of_level: FloatArray

    @property
    def lost(self) -> FloatArray:
        """Points of accuracy below software, as deployed and recalibrated at the last time, re-programmed after it;
        (3, chips).
        """
        last = [self.rows[name][:, -1] for name in ("deployed", "recalibrated")]
        return 100 * (self.software - np.array([*last, self.refreshed]))

    @property
    def failed_cells(self) -> int:
        """Chips whose level of cells had failed before anything aged."""
        return int((self.cells_at_once < Bounds().cells).sum())

    def facts(self) -> dict[str, Any]:
        """For machines."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return fields | {"failed_cells": self.failed_cells}


def drift_study(shared: DriftModel, results: FloatArray, rows: Mapping[str, FloatArray]) -> DriftStudy:
    """The study so far.

    Args:
        results: (chips, figures) in the order of `aged_chips.FIGURES`, NaN where a chip is not through; rows: lists
            by name, (chips, their lengths by `DriftModel.lengths`).
    """
    model, through, levels = shared.model, np.isfinite(results[:, 1]), shared.levels
    bounds = Bounds().of(model.bundle)
    done, profile = results[through], model.profile
    assert profile is not None and profile.relaxation is not None  # noqa: PT018 - `times_within` has seen to it
    return DriftStudy(
        name=f"{model.bundle.task}, {model.bundle.precision}, on {profile.name}"
        + (", with dense layers on arrays" if model.layers == "all" else ""),
        times=np.array(shared.times),
        until=profile.relaxation.valid_until or float("nan"),
        software=float(done[:, 0].mean()) if len(done) else float("nan"),
        null=model.sequences.reference.get("null"),
        chance=1.0 / len(model.bundle.labels),
        tests=model.tests,
        tolerance=bounds.tolerance_in(profile.window),
        nrmse_bound=bounds.number("kernel"),
        at_once=done[:, 1],
        refreshed=done[:, 5],
        cells_at_once=done[:, 2],
        products=int(done[0, 4]) if len(done) else 0,
        rows={name: rows[name][through] for name in ROWS},
        levels=tuple(levels),
        moved=rows[MOVED][through].reshape(-1, len(shared.times), len(levels), len(QUANTILES)),
        of_level=rows[OF_LEVEL][through],
    )
