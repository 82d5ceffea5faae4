"""Residual pairs: further arrays hold the residual errors of the arrays before them, magnified.

Arbitrary precision from imprecise cells (Song et al., Science 383, 903 (2024)): each array is programmed, read back,
and the difference to the wanted weights goes to the next one. The error shrinks with every array until read noise
and relaxation are what is left.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, SkipValidation, model_validator

from imssa_lab.contract.errors import DeploymentError
from imssa_lab.contract.hal import BoolArray, CrossbarArray, FloatArray, Programmer, ProgrammingReport
from protocols.recurrence import read_signed


class ResidualPairs(BaseModel):
    """Differential pairs (bit lines 2j and 2j + 1) over several arrays, a `Programmer` of the first of them.

    The report is that of the first array; those of all are in `reports` after `program`.

    Attributes:
        programmer: what brings each array to its targets; None for each chip's own recipe.
        further: arrays for the remainders, of the shape of the first.
        scale: magnification from one array to the next, 8 to 32 in practice.
        averages: reads averaged to find a remainder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    further: tuple[CrossbarArray, ...] = Field(min_length=1)
    programmer: SkipValidation[Programmer | None] = None
    scale: float = Field(default=16.0, gt=1)
    averages: int = Field(default=16, ge=1)

    @model_validator(mode="after")
    def _alike(self) -> ResidualPairs:
        shapes = {array.info.shape for array in self.further}
        if len(shapes) > 1 or any(cols % 2 for _, cols in shapes):
            raise ValueError("residual: all arrays need one shape with an even number of bit lines")
        return self

    def __call__(self, array: CrossbarArray, target: FloatArray, mask: BoolArray) -> ProgrammingReport:
        """Program `array` and, after it, the remainders; see `CrossbarArray.program_conductances`."""
        return self.program(array, target, mask)[0]

    def program(self, array: CrossbarArray, target: FloatArray, mask: BoolArray) -> list[ProgrammingReport]:
        """The reports of all arrays, the first one's targets being `target` (rows, cols), S.

        Raises:
            DeploymentError: the first array has another shape than the further ones, or a pair is masked by half.
        """
        if array.info.shape != self.further[0].info.shape:
            raise DeploymentError(
                f"residual: {array.info.name} is {array.info.shape}, the arrays for the remainder are "
                f"{self.further[0].info.shape}; use arrays of one shape"
            )
        if (mask[:, 0::2] != mask[:, 1::2]).any():
            raise DeploymentError("residual: the mask takes one cell of a pair without its partner")
        pairs = mask[:, 0::2]
        remainder = np.where(pairs, target[:, 0::2] - target[:, 1::2], 0.0)
        reports = []
        for index, each in enumerate((array, *self.further)):
            wanted = target if index == 0 else self._around(each, remainder)
            reports.append(each.program_conductances(np.where(mask, wanted, np.nan), mask, self.programmer))
            read = each.read_conductances(mask, self.averages)
            # what this array holds is counted as measured, in its own magnification
            held = np.where(pairs, np.nan_to_num(read[:, 0::2] - read[:, 1::2]), 0.0)
            remainder = (remainder - held) * self.scale
        return reports

    def _around(self, array: CrossbarArray, remainder: FloatArray) -> FloatArray:
        """Targets (rows, cols) in S of pairs that hold a signed remainder, about the middle of the window.

        A remainder beyond the span, as a stuck cell leaves, is held as far as the window goes.
        """
        window = array.info.window
        half = np.minimum(np.abs(remainder), window.span) / 2 * np.sign(remainder)
        middle = (window.low + window.high) / 2
        wanted = np.empty(array.info.shape)
        wanted[:, 0::2], wanted[:, 1::2] = middle + half, middle - half
        return np.clip(wanted, window.low, window.high)  # rounding of the middle

    def products(self, array: CrossbarArray, voltages: FloatArray) -> FloatArray:
        """Pair currents (n, cols / 2) in A of all arrays together, for voltages (n, rows)."""
        return combine([read_signed(each, voltages) for each in (array, *self.further)], self.scale)


def combine(currents: Sequence[FloatArray], scale: float) -> FloatArray:
    """Pair currents of all arrays, (n, cols / 2) in A, from their bit-line currents (n, cols)."""
    total = np.zeros((currents[0].shape[0], currents[0].shape[1] // 2))
    for index, current in enumerate(currents):
        total += (current[:, 0::2] - current[:, 1::2]) / scale**index
    return total
