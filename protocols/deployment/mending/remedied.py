"""Whether a remedy helped, by the levels before and after it; and what is said of it."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from protocols.deployment.verification import LevelResult

LEAST = 0.1
"""Share of a level's distance from perfect that a remedy must take away to count as help.

Where nothing is changed, products of a good chip differ by 1.9 % (sd, the measured board) to 4.3 % (the easy one)
from one calibration of the columns to the next, at most by 7.9 % in 44 pairs.
"""
_PERFECT = {"cells": 1.0}
"""Figures of levels whose best is not zero."""


@dataclass(frozen=True)
class Remedied:
    """A remedy that was tried.

    Attributes:
        level: which had failed; remedy: in words.
        before, after: that level's figure; better: share of the distance from perfect that the remedy took away,
            negative where it made it worse.
        kept: whether what it changed remains; why: in words, where that is not simply that it helped.
        again: the level's figure once it was taken back, where that had to be measured.
    """

    level: str
    remedy: str
    before: float
    after: float
    better: float
    kept: bool
    why: str = ""
    again: float | None = None

    def __str__(self) -> str:
        by = f"{'better' if self.better >= 0 else 'worse'} by {100 * abs(self.better):.0f} %"
        words = f"{self.level}: {self.remedy}: {self.before:.4g} -> {self.after:.4g}, {by}"
        why = f", {self.why}" if self.why else ""
        if self.kept:
            return f"{words}, kept{why}"
        return f"{words}, taken back{why}" + ("" if self.again is None else f" ({self.again:.4g} then)")


def better(before: LevelResult, after: LevelResult) -> float:
    """Share of the distance from perfect that is gone, at most 1; negative where a level got worse.

    The figure of a level that counts (of kernels: the share beyond a bound) may stay as it is while what it counts
    comes closer; a level's figure "excess" is taken then.
    """
    gained = _gained(*(abs(level.measured - _PERFECT.get(level.level, 0.0)) for level in (before, after)))
    if gained == 0 and "excess" in before.figures and "excess" in after.figures:
        return _gained(before.figures["excess"], after.figures["excess"])
    return gained


def _gained(before: float, after: float) -> float:
    if math.isnan(after):
        return -math.inf
    if before <= 0:
        return 0.0 if after <= 0 else -math.inf
    return (before - after) / before


def judged_remedy(
    level: str,
    remedy: str,
    before: Sequence[LevelResult],
    after: Sequence[LevelResult],
    counting: Collection[str] = (),
) -> Remedied:
    """Whether a remedy for a failed level is kept.

    It is if that level passes now, or is better by `LEAST`, and no level fails that passed before. Where it is
    neither better nor worse, one of the levels `counting` may be better instead: programming again is for cells too.

    Args:
        before, after: all levels that were measured, this one among them.
    """
    old, new = {each.level: each for each in before}, {each.level: each for each in after}
    gained = better(old[level], new[level])
    made = Remedied(level, remedy, old[level].measured, new[level].measured, gained, kept=False)
    broken = [name for name, each in new.items() if name in old and old[name].passed and not each.passed]
    if broken:
        return replace(made, why=f"because level {' and level '.join(broken)} failed by it")
    if new[level].passed or gained >= LEAST:
        return replace(made, kept=True)
    also = [name for name in counting if name in old and name in new and better(old[name], new[name]) >= LEAST]
    if also and gained > -LEAST:
        return replace(made, kept=True, why=f"because level {also[0]} is better by it")
    return made
