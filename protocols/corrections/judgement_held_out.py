"""Whether a correction is kept: judged on held-out sequences by the outputs of software."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.hal import FloatArray

_SURE = 0.95


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


@dataclass(frozen=True)
class Gain:
    """How much better a corrected net decides, sequence by sequence: what is gone of the log loss of its classes.

    Attributes:
        mean: over the held-out sequences, nats; low: lower end of its one-sided 95 % interval (paired, Student's t).
    """

    mean: float
    low: float

    @classmethod
    def of(cls, before: FloatArray, after: FloatArray, software: FloatArray) -> Gain:
        """Of logits before and after, beside those of software, all (n, classes).

        The log loss is that of the class that software gives. It counts what moves a decision: a drift that all
        logits share, or that only makes sure decisions surer, is far in squares and costs no class.
        """
        from scipy.special import stdtrit  # loaded where a correction is judged

        classes = software.argmax(axis=1)
        gone = _log_losses(before, classes) - _log_losses(after, classes)
        mean, n = float(gone.mean()), len(gone)
        if n < 2:
            return cls(mean, -np.inf)
        return cls(mean, mean - float(stdtrit(n - 1, _SURE)) * float(gone.std(ddof=1)) / n**0.5)

    def __str__(self) -> str:
        return f"log loss lower by {self.mean:.3g}, surely by {self.low:.3g}"


def _log_losses(logits: FloatArray, classes: NDArray[np.intp]) -> FloatArray:
    """-ln of the probability of a class by softmax, (n,), for logits (n, classes) and class numbers (n,)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    chosen = np.take_along_axis(shifted, classes[:, None], axis=1)[:, 0]
    return np.asarray(np.log(np.exp(shifted).sum(axis=1)) - chosen)


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
