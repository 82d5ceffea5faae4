"""What a programmed mapping was before a remedy, and what cells must hold for it to be so again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.hal import BoolArray, FloatArray
from imssa_lab.mapping import Mapping
from protocols.deployment.company import Company
from protocols.deployment.journal import ArrayState


@dataclass(frozen=True)
class Mark(FrozenArrays):
    """A programmed mapping before a remedy.

    Attributes:
        mapping: places of the kernels; company: the rule for reading them together.
        states: per array, a copy of what was known of its cells.
        held: per array, S, (rows, cols), what its cells held by their last re-read, NaN where never read.
        wanted: per array, S, (rows, cols), the targets that cells were programmed to last.
    """

    mapping: Mapping
    company: Company
    states: tuple[ArrayState, ...]
    held: tuple[FloatArray, ...]
    wanted: tuple[FloatArray, ...]


def copied(states: Sequence[ArrayState]) -> tuple[ArrayState, ...]:
    """States that do not change with these."""
    return tuple(ArrayState(s.finished.copy(), s.stuck.copy(), s.standing.copy()) for s in states)


def known_after(mark: ArrayState, now: ArrayState, given_up: BoolArray) -> ArrayState:
    """What is known of an array once a remedy is taken back: cells that programming found stuck stay known.

    Args:
        given_up: cells, (rows, cols), that the remedy only called stuck; they are not any more.
    """
    found = now.stuck & ~mark.stuck & ~given_up
    standing = np.where(found, now.standing, mark.standing)
    return ArrayState(mark.finished & ~found, mark.stuck | found, standing)


def to_hold(mark: Mark, index: int, target: FloatArray) -> FloatArray:
    """S, (rows, cols), what cells of an array get back: their target where they had reached it, else what they held.

    What they held is taken as near as the window allows: a cell that lay below it is brought to its bottom. NaN where
    nobody knows what a cell held.
    """
    finished = mark.states[index].finished & np.isfinite(target)
    window = mark.mapping.window
    return np.where(finished, target, np.clip(mark.held[index], window.low, window.high))
