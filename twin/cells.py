"""Pulse response of a 1T1R array: gate-limited SET, staircase RESET, stuck cells.

One state, the conductance, moved by pulses. Device-to-device spread is drawn once when the array is made,
cycle-to-cycle spread at every pulse.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field, model_validator

from imssa_lab.hal import BoolArray, FloatArray, PulseKind, Pulses
from twin.section import Section


class FreshCells(Section):
    """Conductance of formed cells in their RESET state before anything is programmed: lognormal."""

    median: float = Field(gt=0, description="S")
    spread: float = Field(ge=0, description="sd of ln G")


class SetResponse(Section):
    """SET: the gate limits what a pulse can reach, the voltage how much of that it does reach.

    G_after = max(G, limit * (1 - exp(-(V - v_threshold)/v_scale))), limit = slope * (V_gate - gate_threshold).
    """

    slope: float = Field(gt=0, description="S of compliance conductance per V of gate")
    gate_threshold: float = Field(description="gate voltage at which the compliance conductance is zero, V")
    v_threshold: float = Field(gt=0, description="voltage below which nothing happens, V")
    v_scale: float = Field(gt=0, description="V over which the response saturates")
    device_spread: float = Field(ge=0, description="sd of v_threshold from cell to cell, V")
    slope_spread: float = Field(ge=0, description="sd of ln slope from cell to cell")
    cycle_spread: float = Field(ge=0, description="sd of ln limit from pulse to pulse")


class ResetResponse(Section):
    """RESET: a pulse brings a cell down to a conductance that falls exponentially with voltage.

    G_after = min(G, g_at_1v * exp(-(V + v_per_decade log10(width/width_reference) - 1 V)/v_scale)), never below the
    cell's own floor; nothing happens below v_threshold or below gate_on.
    """

    g_at_1v: float = Field(gt=0, description="S left after a pulse of 1 V and the reference width")
    v_scale: float = Field(gt=0, description="V per factor e")
    v_threshold: float = Field(gt=0, description="V")
    v_per_decade: float = Field(ge=0, description="V of extra effect per decade of width")
    width_reference: float = Field(gt=0, description="s")
    gate_on: float = Field(gt=0, description="gate voltage from which the transistor is fully on, V")
    floor: float = Field(ge=0, description="median of the lowest conductance of a cell, S")
    floor_spread: float = Field(ge=0, description="sd of ln floor from cell to cell")
    device_spread: float = Field(ge=0, description="sd of an offset of the pulse voltage from cell to cell, V")
    cycle_spread: float = Field(ge=0, description="sd of ln G from pulse to pulse")


class StuckCells(Section):
    """Cells that no pulse moves: fraction stuck on and off, and where they stick."""

    on_fraction: float = Field(ge=0, le=1)
    off_fraction: float = Field(ge=0, le=1)
    on_conductance: float = Field(gt=0, description="S")
    off_conductance: float = Field(ge=0, description="S")

    @model_validator(mode="after")
    def _at_most_all(self) -> StuckCells:
        if self.on_fraction + self.off_fraction > 1:
            raise ValueError("stuck: on_fraction + off_fraction exceed 1")
        return self


class Cells:
    """The cells of one array.

    Attributes:
        conductance: S, (rows, cols).
        stuck: True where no pulse moves the cell.
    """

    def __init__(
        self,
        fresh: FreshCells,
        set_: SetResponse,
        reset: ResetResponse,
        stuck: StuckCells,
        shape: tuple[int, int],
        devices: np.random.Generator,
        cycles: np.random.Generator,
    ) -> None:
        self._set, self._reset = set_, reset
        self._cycles = cycles
        self._set_threshold = set_.v_threshold + set_.device_spread * devices.standard_normal(shape)
        self._set_slope = set_.slope * np.exp(set_.slope_spread * devices.standard_normal(shape))
        self._reset_shift = reset.device_spread * devices.standard_normal(shape)
        self._floor = reset.floor * np.exp(reset.floor_spread * devices.standard_normal(shape))
        start = fresh.median * np.exp(fresh.spread * devices.standard_normal(shape))
        lot = devices.random(shape)
        stuck_on = lot < stuck.on_fraction
        stuck_off = ~stuck_on & (lot < stuck.on_fraction + stuck.off_fraction)
        self.stuck: BoolArray = stuck_on | stuck_off
        self.conductance: FloatArray = np.where(
            stuck_on,
            stuck.on_conductance,
            np.where(stuck_off, stuck.off_conductance, np.maximum(start, self._floor)),
        )

    def apply(self, pulses: Pulses) -> None:
        """Move the cells that `pulses` selects; stuck ones stay."""
        mask = pulses.mask & ~self.stuck
        voltage, gate = np.where(mask, pulses.voltage, 0.0), np.where(mask, pulses.gate, 0.0)
        scatter = self._cycles.standard_normal(mask.shape)
        if pulses.kind is PulseKind.RESET:
            after = self._after_reset(voltage, gate, pulses.width, scatter)
        else:
            after = self._after_set(voltage, gate, scatter)
        self.conductance = np.where(mask, after, self.conductance)

    def stick(self, mask: BoolArray, conductance: float) -> None:
        """Break the cells of `mask` so that they stay at `conductance` (S): what a bad night does to a chip."""
        self.stuck = self.stuck | mask
        self.conductance = np.where(mask, conductance, self.conductance)

    def _after_set(self, voltage: FloatArray, gate: FloatArray, scatter: FloatArray) -> FloatArray:
        p = self._set
        limit = self._set_slope * np.maximum(gate - p.gate_threshold, 0.0) * np.exp(p.cycle_spread * scatter)
        share = -np.expm1(-np.maximum(voltage - self._set_threshold, 0.0) / p.v_scale)
        return np.maximum(self.conductance, limit * share)

    def _after_reset(self, voltage: FloatArray, gate: FloatArray, width: float, scatter: FloatArray) -> FloatArray:
        p = self._reset
        effective = voltage + self._reset_shift + p.v_per_decade * np.log10(width / p.width_reference)
        left = p.g_at_1v * np.exp(-(effective - 1.0) / p.v_scale + p.cycle_spread * scatter)
        lowered = np.minimum(self.conductance, np.maximum(left, self._floor))
        works = (voltage > p.v_threshold) & (gate >= p.gate_on)
        return np.where(works, lowered, self.conductance)
