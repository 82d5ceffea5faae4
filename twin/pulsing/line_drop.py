"""What the lines leave of a programming pulse while the cell changes under it.

A 1T1R cell is alone with its path during its pulse: driver, segments of word line and bit line, transistor. So its
pulse is a divider, and where it ends is a fixed point: the conductance at which the voltage that is left does nothing
more. A SET limits itself, as the current that it lets through takes the voltage away from it. A RESET begins at the
least voltage that it will ever have, so that it may not begin at all, and drives itself once it has begun.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.hal import FloatArray
from twin.profile_section import Section

_HALVINGS = 60
_ROUNDS = 200
"""A cell that still creeps after these is beside a conductance at which it just stops: its pulse ends there."""
_STILL = 1e-13

Towards = Callable[[FloatArray], FloatArray]
"""Conductances that pulses aim at, S, by the voltages that act on the cells, V; both (n,)."""


class LineDrop(Section):
    """Pulses lose voltage on the lines of the section `wires`, by the current that their own cell lets through.

    The voltage that acts is V (1 + through G)/(1 + R G), with R the resistance of the path of a cell without its
    transistor, as `set` and `reset` are of cell and transistor together. Line resistance as a divider in writing is
    that of Chen, IEEE Trans. Electron Devices 60:1318 (2013), from memory; assumed: the current of a pulse is that of
    the conductance that reads find, though cells bend at voltages of pulses and transistors saturate.
    """

    through: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="Ohm in series with the cells that set and reset were measured on; 0: they are of cells alone",
    )


@dataclass(frozen=True)
class SeriesPaths(FrozenArrays):
    """Cells in series with their lines.

    Attributes:
        path: Ohm, inf where a line leads nowhere, (n,).
        through: Ohm that the response of the cells was measured through.
    """

    path: FloatArray
    through: float

    def of(self, cells: NDArray[np.intp]) -> SeriesPaths:
        """Those of some of the cells."""
        return SeriesPaths(self.path.take(cells), self.through)

    def acting(self, voltage: FloatArray, conductance: FloatArray) -> FloatArray:
        """Voltage that acts on cells with these conductances (S) of these voltages at the drivers, V, all (n,)."""
        reached = np.isfinite(self.path)
        lost = 1.0 + np.where(reached, self.path, 0.0) * conductance
        return np.asarray(voltage * np.where(reached, (1.0 + self.through * conductance) / lost, 0.0))

    def settled(self, before: FloatArray, voltage: FloatArray, towards: Towards, *, rises: bool) -> FloatArray:
        """Conductances in S after pulses, (n,): the first from `before` upward, or downward, that no more moves.

        Args:
            before: S; voltage: V, at the drivers; both (n,).
            towards: must not fall with the voltage where cells rise, and not rise where they fall.
        """
        further = np.maximum if rises else np.minimum

        def aim(conductance: FloatArray) -> FloatArray:
            return np.asarray(further(towards(self.acting(voltage, conductance)), conductance))

        driven = (self.path < self.through) == rises  # what has changed makes the voltage that acts larger
        return np.where(driven, _driven(before, aim), _limited(before, aim))


def _driven(before: FloatArray, aim: Towards) -> FloatArray:
    """Where cells come to rest whose every step makes the next one larger: none can be left out."""
    now = before
    for _ in range(_ROUNDS):
        after = aim(now)
        moved, now = np.abs(after - now) > _STILL * now, after
        if not moved.any():
            break
    return now


def _limited(before: FloatArray, aim: Towards) -> FloatArray:
    """Where cells come to rest whose every step makes the next one smaller: there is one such place."""
    near, far = before, aim(before)
    for _ in range(_HALVINGS):
        middle = 0.5 * (near + far)
        moves = aim(middle) != middle
        near, far = np.where(moves, middle, near), np.where(moves, far, middle)
    return far
