"""Endurance: RESETs wear the cells out, and the window between what RESETs leave and SETs reach closes."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from imssa_lab.contract.hal import FloatArray
from twin.profile_section import Section


class Endurance(Section):
    """The window of a cell closes towards one conductance, by RESETs alone, and the sooner the higher their voltage.

    Each RESET adds 10^((V - voltage)/v_per_decade)/cycles to the wear w of its cell, cycles lognormal over the cells.
    What pulses aim at comes nearer to `middle` in ln G by the closed share c = w^steepness / (1 + w^steepness): half
    of the window is left at w = 1. That the number of cycles falls exponentially with the voltage of RESETs is
    reported for HfOx (Balatti et al., IEEE Trans. Electron Devices 62:3365, 2015; from memory). Assumed: the shape of
    the closing, that a lower RESET wears less in this way too, and that SETs do not wear.
    """

    cycles: float = Field(gt=0, description="RESETs of `voltage` that close half of the window, median of the cells")
    voltage: float = Field(gt=0, description="V across cell and transistor")
    v_per_decade: float = Field(gt=0, description="V more for a tenth of the cycles")
    middle: float = Field(gt=0, description="S, where the window closes")
    spread: float = Field(default=0.0, ge=0, description="sd of ln cycles from cell to cell")
    steepness: float = Field(default=1.0, gt=0, description="how suddenly it closes: power of the wear")

    def added(self, voltage: FloatArray, score: FloatArray) -> FloatArray:
        """Wear by one RESET of this voltage (V) of cells with these scores, standard normal; broadcast together."""
        decades = (voltage - self.voltage) / self.v_per_decade - np.log10(self.cycles)
        with np.errstate(over="ignore"):  # far above `voltage`: worn out at once
            return np.asarray(10.0**decades * np.exp(-self.spread * score))

    def closed(self, wear: FloatArray) -> FloatArray:
        """Which part of the window of ln G is closed, same shape."""
        with np.errstate(over="ignore"):
            worn = wear**self.steepness
        return np.asarray(1.0 - 1.0 / (1.0 + worn))

    def narrowed(self, aim: FloatArray, wear: FloatArray, *, rises: bool) -> FloatArray:
        """Conductances in S that pulses of worn cells aim at, (n,), where fresh ones would aim at `aim`."""
        beyond = aim > self.middle if rises else aim < self.middle
        closed = self.closed(wear)
        inside = np.where(beyond, aim, self.middle) ** (1.0 - closed) * self.middle**closed
        return np.where(beyond, inside, aim)
