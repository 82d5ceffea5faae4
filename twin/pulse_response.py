"""The effect of one pulse on a 1T1R cell: gate-limited SET, RESET staircase, forming, overdrive. Laws, no state."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from imssa_lab.contract.hal import FloatArray
from twin.profile_section import Section


class SetResponse(Section):
    """SET: the gate limits the conductance that a pulse can reach; the voltage determines the fraction reached.

    G_after = max(G, limit * (1 - exp(-(V - v_threshold)/v_scale))), limit = slope * (V_gate - gate_threshold), and
    never above the ceiling.
    """

    slope: float = Field(gt=0, description="S of compliance conductance per V of gate")
    gate_threshold: float = Field(description="gate voltage at which the compliance conductance is zero, V")
    v_threshold: float = Field(gt=0, description="voltage below which nothing happens, V")
    v_scale: float = Field(gt=0, description="V over which the response saturates")
    device_spread: float = Field(ge=0, description="sd of v_threshold from cell to cell, V")
    slope_spread: float = Field(ge=0, description="sd of ln slope from cell to cell")
    cycle_spread: float = Field(ge=0, description="sd of ln limit from pulse to pulse")
    ceiling: float | None = Field(
        default=None, gt=0, description="S that no SET exceeds; None: the gate alone limits"
    )

    def reached(
        self, voltage: FloatArray, gate: FloatArray, threshold: FloatArray, slope: FloatArray, scatter: FloatArray
    ) -> FloatArray:
        """Conductance that a pulse can reach, S, for cells with these thresholds (V) and slopes (S/V).

        Args:
            scatter: standard normal, drawn for this pulse.
        """
        limit = slope * np.maximum(gate - self.gate_threshold, 0.0) * np.exp(self.cycle_spread * scatter)
        share = -np.expm1(-np.maximum(voltage - threshold, 0.0) / self.v_scale)
        return np.asarray(limit * share if self.ceiling is None else np.minimum(limit * share, self.ceiling))


class ResetResponse(Section):
    """RESET: a pulse lowers a cell to a conductance that decreases exponentially with the voltage.

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

    def left(self, voltage: FloatArray, width: float, shift: FloatArray, scatter: FloatArray) -> FloatArray:
        """Conductance that a pulse leaves at most, S, for cells with these offsets of the pulse voltage (V)."""
        effective = voltage + shift + self.v_per_decade * np.log10(width / self.width_reference)
        return np.asarray(self.g_at_1v * np.exp(-(effective - 1.0) / self.v_scale + self.cycle_spread * scatter))

    def works(self, voltage: FloatArray, gate: FloatArray) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """True where a pulse can do anything."""
        return np.asarray((voltage > self.v_threshold) & (gate >= self.gate_on))


class Forming(Section):
    """Forming: a cell of a fresh chip conducts next to nothing, and no SET or RESET moves it before it is formed.

    A FORM pulse of at least the cell's forming voltage forms it, up to the conductance that the gate allows.
    """

    voltage: float = Field(gt=0, description="median forming voltage, V")
    spread: float = Field(ge=0, description="sd of ln forming voltage from cell to cell")
    pristine: float = Field(gt=0, description="S of a cell before forming")
    formed_fraction: float = Field(default=0.0, ge=0, le=1, description="of cells that come formed")


class Overdrive(Section):
    """A RESET pulse that is too strong can leave a cell stuck low permanently.

    Probability per pulse = min(1, probability * 10^((V - voltage)/v_per_decade)).
    """

    voltage: float = Field(gt=0, description="V at which `probability` holds")
    probability: float = Field(gt=0, le=1, description="that one RESET pulse of that voltage sticks a cell")
    v_per_decade: float = Field(gt=0, description="V for ten times that")
    conductance: float = Field(ge=0, description="S of a cell stuck so")

    def chance(self, voltage: FloatArray) -> FloatArray:
        """Probability that a RESET pulse of this voltage (V) sticks a cell."""
        decades = np.minimum((voltage - self.voltage) / self.v_per_decade, -np.log10(self.probability))
        return np.asarray(self.probability * 10.0**decades)
