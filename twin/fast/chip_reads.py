"""The compiled reads of one chip: what their loops take, made of the sections of its profile.

Every field of every section that acts on reads is claimed here. A profile with anything else, or a chip made of other
parts, is refused: it is read by numpy (`twin.digital_twin`), of which these reads give the bits, and a warning names
the part.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract import jit
from imssa_lab.contract.checks.frozen_arrays import frozen
from imssa_lab.contract.closed_loop import ClosedLoop, LoopRun
from imssa_lab.contract.hal import BoolArray, ColumnCalibration, FloatArray, Readout
from twin.cells import Nonlinearity
from twin.fast import chip_memory as at
from twin.fast import compiled_loop, compiled_reads
from twin.fast.chip_digits import digits_of
from twin.fast.chip_memory import ChipMemory
from twin.fast.compiled_digits import room_for
from twin.fast.compiled_sums import ANALOG, CONTINUOUS, SERIAL, UNARY
from twin.fast.coverage import NOT_OF_READS, Claims, any_value, fields, not_covered, optional, section
from twin.fast.exact_products import SteppedProduct
from twin.fluctuators import IntArray, Refreshes
from twin.noise import CellNoise, Electronic, Flicker, ReadNoise, Telegraph
from twin.periphery.columns import ColumnAmplifiers, Columns, ReadRate, Sag
from twin.periphery.converter import Adc, Converters
from twin.periphery.inputs import Inputs, pulse_trains
from twin.periphery.pulse_sums import PulseSums
from twin.profile import TwinProfile
from twin.wires.wire_resistance import WiredCells, Wires

CLAIMS: Claims = {
    TwinProfile: {
        **dict.fromkeys(NOT_OF_READS, any_value),
        **dict.fromkeys(("read_voltage", "temperature"), any_value),  # reads are given cells as they conduct
        **dict.fromkeys(("read_noise", "inputs", "columns"), section),
        **dict.fromkeys(("adc", "read_rate", "wires", "nonlinearity"), optional),
    },
    ReadNoise: fields("reference sd_median sd_spread exponent noisiest")
    | dict.fromkeys(("flicker", "telegraph", "electronic"), optional),
    Flicker: fields("sd spread exponent vanishes_at fastest resolved slowest slope with_white"),
    Telegraph: fields("fraction depth spread exponent deepest capture emission"),
    Electronic: fields("temperature bandwidth"),
    Inputs: fields("coding bits full_scale signed"),
    Adc: fields("bits full_scales signed headroom missing inl gain_spread offset_spread converters"),
    Columns: fields("gain gain_spread offset_spread"),
    ReadRate: fields("drain recovery"),
    Wires: fields("r_word r_bit r_in r_out r_access selector drive sense open_word open_bit")
    | {"selection": lambda selection: selection == "ground"},
    Nonlinearity: fields("cubic reference exponent lowest"),
}
"""What the compiled reads compute, field by field."""
Room = tuple[NDArray[Any], NDArray[np.uint8]]
"""For codes and their ranges; for currents in A and none."""
_WhatLasts = tuple[FloatArray, FloatArray, FloatArray, IntArray, FloatArray, IntArray, FloatArray]
"""A `Lasting` as compiled loops are handed it."""
_CODINGS = {"analog": ANALOG, "bit-serial": SERIAL, "unary": UNARY}
_RANGES = np.dtype(np.uint8)
_PRODUCTS_AT_ONCE = 512
"""Their noise is drawn ahead; it should fit the processor's cache."""
_log = logging.getLogger(__name__)
_said: set[str] = set()


@dataclass(frozen=True)
class ReadParts:
    """What a read of a chip goes through. A subclass of one of these may do something else: it is not compiled.

    Attributes:
        wired: None without wires. sums: None where products are not sums of codes.
        beside: what products carry beside the sums of `SteppedProduct`, A, (n, cols), for voltages of single products
            (n, rows) in V: all of them where voltages are continuous, and what nonlinear cells add.
    """

    profile: TwinProfile
    columns: ColumnAmplifiers
    converters: Converters
    sag: Sag
    noise: CellNoise
    wired: WiredCells | None
    sums: PulseSums | None
    beside: Callable[[FloatArray], FloatArray]

    def unknown(self) -> str | None:
        """The first part that the compiled reads do not compute; None where they compute all of them."""
        kinds = {"columns": ColumnAmplifiers, "converters": Converters, "sag": Sag, "noise": CellNoise}
        for name, kind in (kinds | ({} if self.wired is None else {"wired": WiredCells})).items():
            if type(getattr(self, name)) is not kind:
                return f"class {type(getattr(self, name)).__name__}"
        return not_covered(self.profile, CLAIMS)


class CompiledReads:
    """Reads of one chip.

    Args:
        parts: all of them known to these reads.
    """

    def __init__(self, parts: ReadParts) -> None:
        profile, adc, inputs = parts.profile, parts.profile.adc, parts.profile.inputs
        self._parts, self._noise, self._inputs = parts, parts.noise, inputs
        self._stream, self._states, self._sag = parts.noise.stream, parts.noise.states, parts.sag
        self._lasts = bool(parts.noise.cell.size)
        stepped = SteppedProduct.suits(profile.limits.read_voltage, inputs.pulse_step)
        self._coding = _CODINGS[inputs.coding] if stepped else CONTINUOUS
        self._has_beside = self._coding == CONTINUOUS or profile.nonlinearity is not None
        self._cols, self._period = parts.noise.shape[1], profile.timing.mvm
        self.pulses = len(inputs.weights)
        self._gives_codes = adc is not None and (self.pulses == 1 or parts.sums is not None)
        self._kind = np.dtype(np.int16 if adc is not None and adc.top < 2**15 and parts.sums is None else np.int32)
        self._memory, self._followed = self._laid_out(), -1
        self._known, self._moment = self._memory.part(at.KNOWN), self._memory.part(at.MOMENT)[0]
        self._whole, self._places = self._memory.whole, self._memory.places
        self._all, self._nothing = np.ones(parts.noise.shape), np.zeros((0, self._cols))
        none, no_cells = np.zeros(0), np.zeros(0, dtype=np.intp)
        self._what_lasts: _WhatLasts = (self._nothing, none, none, no_cells, none, no_cells, none)
        self._planned: Refreshes | None = None
        self._with_amplitudes = -1
        self._most = _PRODUCTS_AT_ONCE if self._period <= self._states.long_gap else 1

    def _laid_out(self) -> ChipMemory:
        """Memory with all that stays: word lines, columns and converters."""
        parts, profile, inputs = self._parts, self._parts.profile, self._inputs
        rows, cols = parts.noise.shape
        step = inputs.step if self._coding != CONTINUOUS else 0.0
        unit = inputs.pulse_step if self._coding != CONTINUOUS else 0.0
        slices = 0 if self._coding == CONTINUOUS else 2 if self._coding == ANALOG else 1
        shot = 0 if profile.read_noise.electronic is None else rows
        digits, of_cells = digits_of(parts.columns, parts.converters, profile.adc, parts.sums, self._gives_codes)
        counts = inputs.weights if parts.sums is None else inputs.pulse_counts
        healed = parts.sag.healed(self._period)
        drain = 0.0 if profile.read_rate is None else profile.read_rate.drain
        numbers = [self._coding, self.pulses, step or 0.0, unit or 0.0, digits.top, digits.signed]
        stays: dict[int, FloatArray] = {
            at.NUMBERS: np.array([numbers]),
            at.COLUMNS: digits.columns,
            at.FAULTS: digits.faults,
            at.RANGES: digits.ranges,
            at.CELL_RANGES: of_cells.ranges,
            at.MISSING: digits.missing,
            at.UNITS: digits.units[None],
            at.WEIGHTS: np.array([counts], dtype=np.float64),
            at.SAG: np.array([[drain, healed, self._period]]),
        }
        shapes: dict[int, tuple[int, ...]] = {part: values.shape for part, values in stays.items()} | {
            at.KNOWN: (rows, cols),
            at.SHARES: (1, rows),
            at.SLICES: (rows, slices * cols),
            at.WHITE: (rows, cols),
            at.SHOT: (shot, cols),
            at.THERMAL: (1, cols if shot else 0),
            at.MOMENT: (1, 4),
            at.ROOM: (1, room_for(max(self.pulses, compiled_reads.AT_ONCE), rows, cols)),
        }
        memory = ChipMemory(shapes)
        for part, values in stays.items():
            memory.part(part)[...] = values
        memory.part(at.KNOWN)[...] = np.nan
        return memory

    @staticmethod
    def of(parts: ReadParts) -> CompiledReads | None:
        """Of this chip; None without numba, or where they do not compute all of it, which is said once a process."""
        if not jit.AVAILABLE:
            return None
        unknown = parts.unknown()
        if unknown is None:
            return CompiledReads(parts)
        if unknown not in _said:
            _said.add(unknown)
            _log.warning(
                "twin %s: compiled reads do not cover %s; numpy reads this chip with all of its physics, which takes "
                "5 to 50 times longer",
                parts.profile.name,
                unknown,
            )
        return None

    def room(self, *shape: int) -> Room:
        """Room for what reads of this shape say, (..., cols)."""
        if self._gives_codes:
            return np.empty(shape, self._kind), np.empty(shape, _RANGES)
        return np.empty(shape), np.empty((*shape[:-1], 0), _RANGES)

    def told(self, readout: Room) -> Readout:
        """The same as the contract has it."""
        values, ranges = readout
        return Readout.of_own(values, ranges if self._gives_codes else None)

    def read(
        self, conductance: FloatArray, voltages: FloatArray, first: int, last: int, clock: float, readout: Room
    ) -> float:
        """Some of the products of vectors (n, rows) in V, written to `readout`; device time after them, s.

        Args:
            conductance: of the cells, S. first, last: of all n * pulses, up to but without the last.
            clock: device time before them, s.
        """
        sag, moment, states = self._sag, self._moment, self._states
        moment[0], moment[1] = clock, sag.lost_at(clock)
        while first < last:
            n = min(self._most, last - first)
            numbers, start = self._stream.ahead(n * self._cols)
            added = self._beside(voltages, first, n) if self._has_beside else self._nothing
            if self._followed != self._noise.followed:
                self._look_at(conductance)
            planned = not self._lasts or (clock - states.now > states.long_gap and self._jumped(clock, n))
            products = conductance, voltages, numbers, start, added, first, n, planned, self._whole, self._places
            while lacking := compiled_reads.read(*products, *self._lasting(), *readout):
                if lacking == compiled_reads.TABLES:
                    self._look_at(conductance)
                else:
                    states.plan_until(moment.item(3))
            if self._lasts:
                states.next, states.now = int(moment.item(2)), moment.item(3)
            first += n
            clock = moment.item(0)
        sag.keep(moment.item(1), clock)
        return clock

    def _beside(self, voltages: FloatArray, first: int, n: int) -> FloatArray:
        """What `n` products of `voltages` (n, rows) in V carry beside the sums, A, (n, cols), from `first` on."""
        vectors = slice(first // self.pulses, -(-(first + n) // self.pulses))
        skipped = first - vectors.start * self.pulses
        return self._parts.beside(pulse_trains(voltages[vectors], self._inputs)[skipped : skipped + n])

    def sagged(self, mask: BoolArray, cells: int, clock: float, period: float) -> FloatArray:
        """What is left of the readings of single cells, (rows, cols), from a device time (s) on.

        Args:
            mask: of the cells, (rows, cols), `cells` in number; period: of one, s.
        """
        if self._parts.profile.read_rate is None:
            return self._nothing
        left = np.ones(mask.shape)
        left[mask] = self._parts.sag.left(clock, cells, period, clock + period * cells)
        return left

    def read_cells(
        self,
        conductance: FloatArray,
        cubic: FloatArray | None,
        volt: float,
        left: FloatArray,
        clock: float,
        readout: Room,
        number: int,
    ) -> None:
        """One read of single cells, all of them, written to `readout` at this number.

        Args:
            conductance: S; cubic: of nonlinear cells, 1/V^2, see `Cells`; volt: V.
            left: of sagging, (rows, cols), or (0, cols) for nothing lost. clock: device time, s.
        """
        noise = self._noise
        chord = conductance if cubic is None else conductance * (1.0 + cubic * volt**2)
        cells, share = chord, self._all
        if self._parts.wired is not None:
            view = self._parts.wired.view(chord)
            cells, share = view.cells, view.cell_share
        variance = noise.cell_variance(conductance, volt)
        if self._lasts:
            noise.advance(clock)
        drawn = noise.stream.take(*conductance.shape)
        slow = noise.slow if self._lasts else self._nothing
        values, ranges = readout[0][number], readout[1][number]
        compiled_reads.read_cells(
            cells, share, variance, slow, drawn, left, volt, self._whole, self._places, values, ranges
        )

    def run(
        self,
        conductance: FloatArray,
        loop: ClosedLoop,
        inputs: FloatArray,
        states: Sequence[FloatArray],
        calibration: ColumnCalibration | None,
        clock: float,
    ) -> LoopRun | None:
        """A closed loop from a device time (s) on.

        None where a product carries what is not in the tables, or fluctuators are not followed one by one.
        """
        if self._has_beside or (self._lasts and self._period > self._states.long_gap):
            return None
        self._look_at(conductance)
        n, steps = inputs.shape[:2]
        passes = 1 if self._inputs.signed else 2
        adc = self._parts.profile.adc
        scale = np.zeros(0)
        if self._parts.sums is not None:
            scale = np.asarray(self._parts.sums.ranges.scale)
        elif adc is not None:
            scale = np.asarray(self._parts.converters.ranges.scale)
        wiring = compiled_loop.wiring(loop, passes, calibration, scale)
        state = np.concatenate([np.pad(x, ((0, 0), (0, 0), (1, 0))).reshape(n, -1) for x in states], axis=1)
        reads, vectors = steps * len(loop.banks) * passes, len(loop.spreads) * n
        outputs, voltages = np.empty((steps, n, loop.kernels)), np.empty((reads, vectors, conductance.shape[0]))
        values, ranges = self.room(reads, vectors, self._cols)
        times = np.add.accumulate(np.append(clock, np.full(reads * vectors * self.pulses, self._period)))
        given = np.ascontiguousarray(inputs.swapaxes(0, 1))
        by_step = len(loop.banks) * passes
        most = max(1, _PRODUCTS_AT_ONCE // (by_step * vectors * self.pulses))
        sag, moment = self._parts.sag, self._moment
        moment[0], moment[1] = clock, sag.lost_at(clock)
        for done in range(0, steps, most):
            now, then = slice(done, done + most), slice(done * by_step, (done + most) * by_step)
            products = len(values[then]) * vectors * self.pulses
            self._bring_to(float(moment[0]), products)
            drawn = self._noise.stream.take(products, self._cols)
            compiled_loop.run(
                given[now],
                state,
                tuple(wiring),
                drawn,
                self._whole,
                self._places,
                self._lasting(),
                (outputs[now], voltages[then], values[then], ranges[then]),
            )
            self._states.next = int(moment[2])
        sag.keep(float(moment[1]), float(moment[0]))
        for written in (outputs, state, voltages):
            frozen(written)
        cuts = np.cumsum([bank.rows.size for bank in loop.banks])[:-1]
        after = [
            part.reshape(n, *bank.rows.shape)[..., 1:]
            for part, bank in zip(np.split(state, cuts, axis=1), loop.banks, strict=True)
        ]
        ends = times[vectors * self.pulses :: vectors * self.pulses]
        return LoopRun(outputs.swapaxes(0, 1), after, voltages, self.told((values, ranges)), ends)

    def _bring_to(self, clock: float, products: int) -> None:
        """Have what lasts ready for so many products from a device time (s) on."""
        if not self._lasts:
            return
        jumped = clock - self._states.now > self._states.long_gap and self._jumped(clock, products)
        if not jumped:
            last = float(np.add.accumulate(np.append(clock, np.full(products - 1, self._period)))[-1])
            self._states.plan_until(last)
            self._states.now = last

    def _jumped(self, clock: float, products: int) -> bool:
        """Bring what lasts over a long gap to a device time (s); whether so many products need no plan after it.

        A plan is drawn when it is needed, as by numpy.
        """
        self._noise.advance(clock)
        return products == 1

    def _lasting(self) -> _WhatLasts:
        """What lasts, as it is and as it is planned; the next refresh goes to the moment."""
        if self._lasts:
            states = self._states
            self._moment[2] = states.next
            if self._planned is not states.planned or self._with_amplitudes != self._noise.followed:
                self._planned, self._with_amplitudes, noise = states.planned, self._noise.followed, self._noise
                amplitude, cell = noise.amplitude.take(self._planned.which), noise.cell.take(self._planned.which)
                self._what_lasts = (noise.slow, states.level, amplitude, cell, *self._planned)
        return self._what_lasts

    def _look_at(self, conductance: FloatArray) -> None:
        """Make the tables for these conductances, S, unless they are made for them."""
        noise, memory = self._noise, self._memory
        white = noise.variance_on_grid(conductance)
        if self._followed == noise.followed and np.array_equal(conductance, self._known):
            return
        matrix, shares = conductance, np.ones(len(conductance))
        if self._parts.wired is not None:
            view = self._parts.wired.view(conductance)
            matrix, shares, memory.part(at.COLUMNS)[2] = view.matrix, view.word_share, view.bit_share
        memory.part(at.SHARES)[0], memory.part(at.WHITE)[...] = shares, white
        if self._coding != CONTINUOUS:
            product = SteppedProduct(matrix, memory.part(at.NUMBERS).item(3), single=self._coding != ANALOG)
            memory.part(at.SLICES)[...] = product.slices
        electronic = noise.electronic(conductance)
        if electronic is not None:
            memory.part(at.THERMAL)[0], memory.part(at.SHOT)[...] = electronic
        self._known[...], self._followed = conductance, noise.followed
