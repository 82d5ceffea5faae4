"""The cells of an array: one state, the conductance, moved by pulses.

Device-to-device spread and faults are drawn once when the array is made, cycle-to-cycle spread at every pulse.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from imssa_lab.contract.hal import BoolArray, FloatArray, PulseKind, Pulses
from twin.chip_faults import DeadLines, Faults, StuckCells, WeakCells
from twin.device_spread import DeviceSpread
from twin.measured_pulses import MeasuredPulses, PulseRanks
from twin.profile_section import Section
from twin.pulse_response import Forming, Overdrive, ResetResponse, SetResponse
from twin.pulsing.half_selected import CreepTime, HalfSelected, crept
from twin.pulsing.line_drop import LineDrop, SeriesPaths
from twin.pulsing.wear import Endurance

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
    half_selected: HalfSelected | None = Field(default=None, description="None: pulses move their own cells alone")
    endurance: Endurance | None = Field(default=None, description="None: cells do not wear")


class Drawn(NamedTuple):
    """What is drawn for each of n pulses: standard normal scatter and jitter, and a lot between 0 and 1; (n,)."""

    scatter: FloatArray
    felt: FloatArray
    lot: FloatArray

    @classmethod
    def of(cls, rng: np.random.Generator, count: int, kind: PulseKind, cells: CellSections) -> Drawn:
        """From a stream, as much of it as pulses of this kind on such cells need."""
        scatter, none = rng.standard_normal(count), np.zeros(count)
        felt = rng.standard_normal(count) if cells.measured_pulses is not None else none
        breaks = cells.overdrive is not None and kind is PulseKind.RESET
        return cls(scatter, felt, rng.random(count) if breaks else none)


class Batch(NamedTuple):
    """Pulses of one kind and width (s) on some cells, flat, each once: voltage and gate in V, all (n,)."""

    kind: PulseKind
    voltage: FloatArray
    gate: FloatArray
    width: float
    cells: NDArray[np.intp]
    drawn: Drawn

    @classmethod
    def of(cls, pulses: Pulses, cells: NDArray[np.intp], drawn: Drawn) -> Batch:
        """Those of `pulses` on `cells`."""
        return cls(pulses.kind, pulses.voltage.take(cells), pulses.gate.take(cells), pulses.width, cells, drawn)

    def one(self, at: int) -> Batch:
        """The pulse with this number alone."""
        only = slice(at, at + 1)
        drawn = Drawn(*(values[only] for values in self.drawn))
        return Batch(self.kind, self.voltage[only], self.gate[only], self.width, self.cells[only], drawn)


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
        wear: by RESETs, 1 where they have closed half of the window, (rows, cols); None without `endurance`.
    """

    KEPT = ("conductance", "stuck", "formed", "wear", "_cycles", "_beside", "_ranks")
    DEVICES = (
        *("_set_threshold", "_set_slope", "_reset_shift", "_floor", "_ceiling", "_share", "_forming_voltage"),
        *("_creep_score", "_life_score"),
    )

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
        self._beside: np.random.Generator | None = None
        if kind.half_selected is not None:
            self._beside = cycles.spawn(1)[0]
            self._creep_score = self._beside.standard_normal(shape)
        self.wear: FloatArray | None = None
        if kind.endurance is not None:
            self.wear = np.zeros(shape)
            self._life_score = devices.standard_normal(shape)
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

    def apply(self, pulses: Pulses) -> BoolArray | None:
        """Move the cells that `pulses` selects, and the half-selected ones beside them where the profile has such.

        Stuck cells stay. A cell that is not formed is moved by a FORM pulse that reaches its forming voltage and by
        no other; on a formed cell FORM acts as SET.

        Returns:
            Cells that crept and were moved by no pulse, (rows, cols); None in a profile without `half_selected`.
        """
        cells = np.flatnonzero(pulses.mask & ~self.stuck)
        batch = Batch.of(pulses, cells, Drawn.of(self._cycles, cells.size, pulses.kind, self._kind))
        if self._kind.half_selected is None:
            self._pulse(batch)
            return None
        return self._one_by_one(pulses, batch, self._kind.half_selected)

    def _one_by_one(self, pulses: Pulses, batch: Batch, law: HalfSelected) -> BoolArray:
        """Pulses one after another, word line by word line, each with what it does to cells beside its own."""
        creeping, driven = np.zeros((2, self.conductance.size), dtype=np.bool_)
        number = {int(cell): at for at, cell in enumerate(batch.cells)}
        for cell in map(int, np.flatnonzero(pulses.mask)):  # a stuck cell takes its pulse as well
            if cell in number and not self.stuck.flat[cell]:
                driven |= self._moves(batch.one(number[cell]))
            for half, time in self._halves(pulses, cell, law):
                driven |= self._moves(half)
                if time is not None:
                    creeping |= self._creeps(half, time)
        return (creeping & ~driven).reshape(self.stuck.shape)

    def _halves(self, pulses: Pulses, cell: int, law: HalfSelected) -> Iterator[tuple[Batch, CreepTime | None]]:
        """What the other cells see of the pulse on one: along its direction, and against it."""
        assert self._beside is not None, "belongs to half_selected"
        around = law.around(cell, self.stuck.shape)
        up = pulses.kind is not PulseKind.RESET
        for seen, rises in ((around.shares > 0, up), (around.shares < 0, not up)):
            there = seen & ~self.stuck.take(around.cells)
            cells = around.cells[there]
            if cells.size:
                volts = np.abs(around.shares[there]) * pulses.voltage.flat[cell]
                gate = np.full(cells.size, pulses.gate.flat[cell])
                kind = pulses.kind if rises == up else PulseKind.SET if rises else PulseKind.RESET
                drawn = Drawn.of(self._beside, cells.size, kind, self._kind)
                yield Batch(kind, volts, gate, pulses.width, cells, drawn), law.set if rises else law.reset

    def _moves(self, batch: Batch) -> BoolArray:
        """Apply pulses; which cells they moved, flat."""
        before = self.conductance
        self._pulse(batch)
        return np.asarray(self.conductance != before).ravel()

    def _creeps(self, batch: Batch, time: CreepTime) -> BoolArray:
        """What voltages below the threshold do for as long as these pulses last; which cells crept, flat."""
        rises, before = batch.kind is not PulseKind.RESET, self.conductance
        cells, still = batch.cells, np.zeros(batch.cells.size)
        whole, score = np.full(cells.size, np.inf), self._creep_score.take(cells)
        if rises:
            towards = np.minimum(self._reached(whole, batch.gate, cells, (still, still)), self._ceiling.take(cells))
            free = self.formed.take(cells)
        else:
            towards = np.maximum(self._left(whole, batch.width, cells, (still, still)), self._lowest(cells))
            free = self.formed.take(cells) & (batch.gate >= self._kind.reset.gate_on)
        towards = self._narrowed(towards, cells, rises=rises)
        exposure = np.where(free, batch.width * time.rate(batch.voltage, score), 0.0)
        conductance = before.copy()
        conductance.put(cells, crept(before.take(cells), towards, exposure, rises=rises))
        self.conductance = conductance
        return np.asarray(conductance != before).ravel()

    def _pulse(self, batch: Batch) -> None:
        cells, voltage, gate = batch.cells, batch.voltage, batch.gate
        before, drawn = self.conductance.take(cells), (batch.drawn.scatter, batch.drawn.felt)
        lines = None if self._lines is None else self._lines.of(cells)
        acts = voltage if lines is None else lines.acting(voltage, before)
        if batch.kind is PulseKind.FORM and self._kind.forming is not None:
            formed = self.formed.copy()
            formed.put(cells[acts >= self._forming_voltage.take(cells)], True)
            self.formed = formed
        moved = self.formed.take(cells)
        if batch.kind is PulseKind.RESET:
            floor = self._lowest(cells)
            works = self._kind.reset.works(acts, gate) if self._ranks is None else gate >= self._kind.reset.gate_on
            moved &= works

            def towards(volts: FloatArray) -> FloatArray:
                left = np.maximum(self._left(volts, batch.width, cells, drawn), floor)
                return self._narrowed(left, cells, rises=False)

        else:
            ceiling = self._ceiling.take(cells)

            def towards(volts: FloatArray) -> FloatArray:
                reached = np.minimum(self._reached(volts, gate, cells, drawn), ceiling)
                return self._narrowed(reached, cells, rises=True)

        rises = batch.kind is not PulseKind.RESET
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
        if batch.kind is PulseKind.RESET:
            strongest = voltage if lines is None else np.maximum(acts, lines.acting(voltage, after))
            self._take_harm(batch, moved, strongest)

    def _take_harm(self, batch: Batch, moved: BoolArray, strongest: FloatArray) -> None:
        """RESETs wear and break cells: those of the batch that they `moved`, by the `strongest` V on each, (n,)."""
        cells, endurance, overdrive = batch.cells, self._kind.endurance, self._kind.overdrive
        if endurance is not None and self.wear is not None:
            wear = self.wear.copy()
            more = endurance.added(strongest, self._life_score.take(cells))
            wear.put(cells[moved], (wear.take(cells) + more)[moved])
            self.wear = wear
        if overdrive is not None:
            broken = np.zeros_like(self.stuck)
            broken.put(cells[moved & (batch.drawn.lot < overdrive.chance(strongest))], True)
            self.stick(broken, overdrive.conductance)

    def _narrowed(self, aim: FloatArray, cells: NDArray[np.intp], *, rises: bool) -> FloatArray:
        """What worn cells, flat, aim at in place of `aim`, S, (n,)."""
        law = self._kind.endurance
        if law is None or self.wear is None:
            return np.asarray(aim)
        return law.narrowed(aim, self.wear.take(cells), rises=rises)

    def _lowest(self, cells: NDArray[np.intp]) -> FloatArray | float:
        """Below it no RESET brings these cells, flat, S, (n,); measured tables have an end of their own."""
        return self._floor.take(cells) if self._ranks is None else 0.0

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
