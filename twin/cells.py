"""The cells of an array: one state, the conductance, moved by pulses.

Device-to-device spread and faults are drawn once when the array is made, cycle-to-cycle spread at every pulse.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from imssa_lab.contract.hal import BoolArray, FloatArray, PulseKind, Pulses
from twin.chip_faults import DeadLines, Faults, StuckCells, WeakCells
from twin.device_spread import DeviceSpread
from twin.measured_pulses import MeasuredPulses, PulseRanks
from twin.profile_section import Section
from twin.pulse_response import Forming, Overdrive, ResetResponse, SetResponse
from twin.pulsing.line_drop import LineDrop, SeriesPaths

__all__ = ["CellSections", "Cells", "FreshCells", "Nonlinearity", "ResetResponse", "SetResponse", "StuckCells"]


class FreshCells(Section):
    """Conductance of formed cells in their RESET state before anything is programmed: lognormal."""

    median: float = Field(gt=0, description="S")
    spread: float = Field(ge=0, description="sd of ln G")


class Nonlinearity(Section):
    """I-V law of a cell in reads, I = G V (1 + b V^2), with b = cubic * (G / reference)^-exponent."""

    cubic: float = Field(ge=0, description="b at the reference, 1/V^2")
    reference: float = Field(gt=0, description="S")
    exponent: float = Field(default=0.0, ge=0, description="b falls as (G / reference) to minus this power")
    lowest: float = Field(default=0.0, ge=0, description="S; cells below bend as one of this conductance does")


class CellSections(Section):
    """The sections of a profile that describe cells."""

    fresh: FreshCells
    set: SetResponse
    reset: ResetResponse
    stuck: StuckCells
    devices: DeviceSpread = Field(default=DeviceSpread(), description="joint law of the device-to-device spreads")
    weak: WeakCells | None = Field(default=None, description="None: no limited and no slow cells")
    lines: DeadLines | None = Field(default=None, description="None: all lines work")
    forming: Forming | None = Field(default=None, description="None: all cells come formed")
    overdrive: Overdrive | None = Field(default=None, description="None: no RESET sticks a cell")
    nonlinearity: Nonlinearity | None = Field(default=None, description="None: cells are linear")
    measured_pulses: MeasuredPulses | None = Field(default=None, description="None: set and reset act as they say")
    line_drop: LineDrop | None = Field(default=None, description="None: pulses reach their cells in full")


class Cells:
    """The cells of one array.

    Args:
        kind: what chips of this kind are like; shape: (rows, cols).
        devices: draws what differs from cell to cell; cycles: what differs from pulse to pulse.
        paths: Ohm in series with each cell while it is pulsed, (rows, cols); None: none.

    Attributes:
        conductance: small-signal conductance in S, (rows, cols).
        stuck: True where no pulse moves the cell; cells of dead lines are among them.
        formed: False where a cell waits for its forming pulse.
        faults: what was wrong from the start.
    """

    KEPT = ("conductance", "stuck", "formed", "_cycles", "_ranks")
    DEVICES = ("_set_threshold", "_set_slope", "_reset_shift", "_floor", "_ceiling", "_share", "_forming_voltage")

    def __init__(
        self,
        kind: CellSections,
        shape: tuple[int, int],
        devices: np.random.Generator,
        cycles: np.random.Generator,
        paths: FloatArray | None = None,
    ) -> None:
        self._kind, self._cycles = kind, cycles
        set_, reset, deviation = kind.set, kind.reset, kind.devices.draw(shape, devices)
        self._set_threshold = set_.v_threshold + set_.device_spread * deviation["set_threshold"]
        self._set_slope = set_.slope * np.exp(set_.slope_spread * deviation["set_slope"])
        self._reset_shift = reset.device_spread * deviation["reset_shift"]
        self._floor = reset.floor * np.exp(reset.floor_spread * deviation["floor"])
        start = np.maximum(
            kind.fresh.median * np.exp(kind.fresh.spread * devices.standard_normal(shape)), self._floor
        )
        self.faults = Faults.draw(kind.stuck, kind.weak, kind.lines, shape, devices)
        self._ceiling, self._share = np.full(shape, np.inf), np.ones(shape)
        if kind.weak is not None:
            self._floor = np.where(self.faults.limited, kind.weak.limited_low, self._floor)
            self._ceiling = np.where(self.faults.limited, kind.weak.limited_high, self._ceiling)
            self._share = np.where(self.faults.slow, kind.weak.slow_share, self._share)
            start = np.clip(start, self._floor, self._ceiling)
        self.formed: BoolArray = np.ones(shape, dtype=np.bool_)
        if kind.forming is not None:
            self.formed = devices.random(shape) < kind.forming.formed_fraction
            spread = np.exp(kind.forming.spread * devices.standard_normal(shape))
            self._forming_voltage = kind.forming.voltage * spread
            start = np.where(self.formed, start, kind.forming.pristine)
        self._ranks: PulseRanks | None = None
        if kind.measured_pulses is not None:
            self._ranks = PulseRanks(kind.measured_pulses, shape, devices)
        self._shakes = kind.measured_pulses is not None
        self._lines: SeriesPaths | None = None
        if paths is not None and kind.line_drop is not None:
            self._lines = SeriesPaths(paths, kind.line_drop.through)
        self.stuck: BoolArray = self.faults.stuck
        self.conductance: FloatArray = np.where(self.stuck, self.faults.at, start)

    @property
    def cubic(self) -> FloatArray | None:
        """b of I = G V (1 + b V^2) of every cell as it is now, 1/V^2, (rows, cols); None for linear cells."""
        law = self._kind.nonlinearity
        if law is None:
            return None
        conducts = self.conductance > 0.0  # one that does not has no bend either
        ratio = np.where(conducts, np.maximum(self.conductance, law.lowest), law.reference) / law.reference
        return np.where(conducts, law.cubic * ratio**-law.exponent, 0.0)

    def apply(self, pulses: Pulses) -> None:
        """Move the cells that `pulses` selects.

        Stuck cells stay. A cell that is not formed is moved by a FORM pulse that reaches its forming voltage and by
        no other; on a formed cell FORM acts as SET.
        """
        cells = np.flatnonzero(pulses.mask & ~self.stuck)
        voltage, gate, before = (of.take(cells) for of in (pulses.voltage, pulses.gate, self.conductance))
        scatter = self._cycles.standard_normal(cells.size)
        felt = self._cycles.standard_normal(cells.size) if self._shakes else np.zeros(cells.size)
        lines = None if self._lines is None else self._lines.of(cells)
        acts = voltage if lines is None else lines.acting(voltage, before)
        if pulses.kind is PulseKind.FORM and self._kind.forming is not None:
            formed = self.formed.copy()
            formed.put(cells[acts >= self._forming_voltage.take(cells)], True)
            self.formed = formed
        moved = self.formed.take(cells)
        if pulses.kind is PulseKind.RESET:
            floor = self._floor.take(cells) if self._ranks is None else 0.0
            works = self._kind.reset.works(acts, gate) if self._ranks is None else gate >= self._kind.reset.gate_on
            moved &= works

            def towards(volts: FloatArray) -> FloatArray:
                return np.asarray(np.maximum(self._left(volts, pulses.width, cells, (scatter, felt)), floor))

        else:
            ceiling = self._ceiling.take(cells)

            def towards(volts: FloatArray) -> FloatArray:
                return np.asarray(np.minimum(self._reached(volts, gate, cells, (scatter, felt)), ceiling))

        rises = pulses.kind is not PulseKind.RESET
        if lines is not None:
            aim = lines.settled(before, voltage, towards, rises=rises)
        else:
            aim = (np.maximum if rises else np.minimum)(before, towards(voltage))
        tables = self._kind.measured_pulses
        if tables is not None and self._ranks is not None:
            slowness = (self._ranks.set_slowness if rises else self._ranks.reset_slowness).take(cells)
            aim = (tables.set if rises else tables.reset).moved(before, aim, slowness)
        share = self._share.take(cells)
        after = np.where(share == 1.0, aim, before + share * (aim - before))
        conductance = self.conductance.copy()
        conductance.put(cells[moved], after[moved])
        self.conductance = conductance
        overdrive = self._kind.overdrive
        if overdrive is not None and pulses.kind is PulseKind.RESET:
            broken = np.zeros_like(self.stuck)
            lot = self._cycles.random(cells.size)
            strongest = voltage if lines is None else np.maximum(acts, lines.acting(voltage, after))
            broken.put(cells[moved & (lot < overdrive.chance(strongest))], True)
            self.stick(broken, overdrive.conductance)

    def _reached(
        self, voltage: FloatArray, gate: FloatArray, cells: NDArray[np.intp], drawn: tuple[FloatArray, FloatArray]
    ) -> FloatArray:
        """Conductance that SETs can reach, S; all (n,), `cells` flat; drawn for each pulse: scatter and jitter."""
        law, tables = self._kind.set, self._kind.measured_pulses
        threshold = self._set_threshold.take(cells)
        if tables is None or self._ranks is None:
            return law.reached(voltage, gate, threshold, self._set_slope.take(cells), drawn[0])
        found = tables.set.leaves(gate, self._ranks.set.take(cells), self._ranks.set_spread.take(cells), *drawn)
        other = -np.expm1(-np.maximum(voltage - threshold, 0.0) / law.v_scale)
        usual = -np.expm1(-np.maximum(tables.set_voltage - threshold, 1e-9) / law.v_scale)
        return np.nan_to_num(found * np.where(voltage == tables.set_voltage, 1.0, other / usual), nan=0.0)

    def _left(
        self, voltage: FloatArray, width: float, cells: NDArray[np.intp], drawn: tuple[FloatArray, FloatArray]
    ) -> FloatArray:
        """Conductance that RESETs leave at most, S; all (n,), `cells` flat; drawn as for SETs."""
        law, tables = self._kind.reset, self._kind.measured_pulses
        if tables is None or self._ranks is None:
            return law.left(voltage, width, self._reset_shift.take(cells), drawn[0])
        acts = (
            voltage
            if width == tables.reset_width
            else voltage + law.v_per_decade * np.log10(width / tables.reset_width)
        )
        found = tables.reset.leaves(acts, self._ranks.reset.take(cells), self._ranks.reset_spread.take(cells), *drawn)
        return np.nan_to_num(found, nan=np.inf)

    def stick(self, mask: BoolArray, conductance: float | FloatArray) -> None:
        """Break the cells of `mask` so that they stay at `conductance` (S, one or (rows, cols)): simulates damage."""
        self.stuck = self.stuck | mask
        self.conductance = np.where(mask, conductance, self.conductance)
