"""Whether a correction is kept: judged on held-out sequences by the outputs of software."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.hal import FloatArray


@dataclass(frozen=True)
class Judged:
    """A deployed net on held-out sequences.

    Attributes:
        error: rms difference of its logits to those of software, in units of the spread of software's.
        agreement: share of the sequences that get the class that software gives them.
        accuracy: share that gets its label; None where there are no labels.
    """

    error: float
    agreement: float
    accuracy: float | None = None

    def figures(self, when: str) -> dict[str, float]:
        """By name, each followed by `when`."""
        named = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {f"{name}_{when}": value for name, value in named.items() if value is not None}

    def __str__(self) -> str:
        words = f"error {self.error:.3f}, as software says {100 * self.agreement:.1f} %"
        return words if self.accuracy is None else f"{words}, right {100 * self.accuracy:.1f} %"


def judged(logits: FloatArray, software: FloatArray, labels: NDArray[np.int64] | None = None) -> Judged:
    """The net that gave these logits where software gives others, both (n, classes); labels (n,), class numbers."""
    got, exact = (values - values.mean(axis=1, keepdims=True) for values in (logits, software))
    error = float(np.sqrt(np.mean((got - exact) ** 2)) / max(float(exact.std()), np.finfo(float).tiny))
    agreement = float(np.mean(got.argmax(axis=1) == exact.argmax(axis=1)))
    if labels is None:
        return Judged(error, agreement)
    return Judged(error, agreement, float(np.mean(got.argmax(axis=1) == labels)))


def closer(before: Judged, after: Judged) -> bool:
    """Whether the outputs came closer to those of software, with no fewer classes right."""
    no_fewer = after.agreement >= before.agreement
    if before.accuracy is not None and after.accuracy is not None:
        no_fewer = no_fewer or after.accuracy > before.accuracy
    return after.error < before.error and no_fewer


def more_right(before: Judged, after: Judged) -> bool:
    """Whether more sequences get their label; False where there are no labels."""
    if before.accuracy is None or after.accuracy is None:
        return False
    return after.accuracy > before.accuracy
