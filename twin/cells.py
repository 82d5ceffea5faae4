"""Pulse response of a 1T1R array: gate-limited SET, staircase RESET, stuck cells.

One state, the conductance, moved by pulses. Device-to-device spread is drawn once when the array is made,
cycle-to-cycle spread at every pulse.
"""

from __future__ import annotations

import numpy as np

from imssa_lab.hal import BoolArray, FloatArray, PulseKind, Pulses
from twin.profile import TwinProfile


class Cells:
    """The cells of one array.

    Attributes:
        conductance: S, (rows, cols).
        stuck: True where no pulse moves the cell.
    """

    def __init__(
        self, profile: TwinProfile, shape: tuple[int, int], devices: np.random.Generator, cycles: np.random.Generator
    ) -> None:
        self._profile = profile
        self._cycles = cycles
        self._set_threshold = profile.set.v_threshold + profile.set.device_spread * devices.standard_normal(shape)
        self._set_slope = profile.set.slope * np.exp(profile.set.slope_spread * devices.standard_normal(shape))
        self._reset_shift = profile.reset.device_spread * devices.standard_normal(shape)
        self._floor = profile.reset.floor * np.exp(profile.reset.floor_spread * devices.standard_normal(shape))
        fresh = profile.fresh.median * np.exp(profile.fresh.spread * devices.standard_normal(shape))
        lot = devices.random(shape)
        stuck_on = lot < profile.stuck.on_fraction
        stuck_off = ~stuck_on & (lot < profile.stuck.on_fraction + profile.stuck.off_fraction)
        self.stuck: BoolArray = stuck_on | stuck_off
        self.conductance: FloatArray = np.where(
            stuck_on,
            profile.stuck.on_conductance,
            np.where(stuck_off, profile.stuck.off_conductance, np.maximum(fresh, self._floor)),
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
        p = self._profile.set
        limit = self._set_slope * np.maximum(gate - p.gate_threshold, 0.0) * np.exp(p.cycle_spread * scatter)
        share = -np.expm1(-np.maximum(voltage - self._set_threshold, 0.0) / p.v_scale)
        return np.maximum(self.conductance, limit * share)

    def _after_reset(self, voltage: FloatArray, gate: FloatArray, width: float, scatter: FloatArray) -> FloatArray:
        p = self._profile.reset
        effective = voltage + self._reset_shift + p.v_per_decade * np.log10(width / p.width_reference)
        left = p.g_at_1v * np.exp(-(effective - 1.0) / p.v_scale + p.cycle_spread * scatter)
        lowered = np.minimum(self.conductance, np.maximum(left, self._floor))
        works = (voltage > p.v_threshold) & (gate >= p.gate_on)
        return np.where(works, lowered, self.conductance)
