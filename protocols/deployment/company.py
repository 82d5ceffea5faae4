"""Which kernels may be read together although cells between them are damaged: reading them apart costs reads."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imssa_lab.contract.hal import FloatArray
from imssa_lab.mapping import Mapping, PlacedKernel, between, reads_a_step, separate
from protocols.deployment.predict import Predictor

_log = logging.getLogger(__name__)
_DAMAGED = 0.1
"""Fraction of the largest weight above which a pair of cells between kernels counts as damaged, not as noise."""
SPOILT = 0.04
"""Share of the power of a kernel's products that another may add, where products are too far off."""


@dataclass(frozen=True)
class Company:
    """The rule for reading two kernels together.

    Reading them apart costs a product a time step for ever after, so damaged cells alone are no reason.

    Attributes:
        harm: squared NRMSE that one kernel may be predicted to add to another; share: of the power of its products
            that it may add, infinite where products are as they should be.
    """

    predictor: Predictor
    harm: float
    share: float = np.inf

    def separated(self, mapping: Mapping, held: Sequence[FloatArray]) -> tuple[Mapping, int]:
        """The mapping with kernels read apart that must be, and how many changed; `held` per array, S."""
        before = reads_a_step(mapping)

        def apart(one: PlacedKernel, other: PlacedKernel) -> bool:
            return any(self._spoils(mapping, held[one.array], *pair) for pair in ((one, other), (other, one)))

        new, moved = separate(mapping, apart)
        if moved:
            _log.info("%d kernels read apart: %d reads a step, before %d", moved, reads_a_step(new), before)
        return new, moved

    def _spoils(self, mapping: Mapping, held: FloatArray, driving: PlacedKernel, disturbed: PlacedKernel) -> bool:
        weights = between(mapping, held, driving, disturbed)
        weights = np.where(np.abs(weights) > _DAMAGED, weights, 0.0)
        if not weights.any():
            return False
        if float((weights**2).sum()) > self.share * float((disturbed.weights**2).sum()):
            return True
        return self.predictor.crosstalk(driving, disturbed, weights) > self.harm
