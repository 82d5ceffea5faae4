"""`DigitalTwin`: a crossbar array in software, behind the same contract as a real one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from imssa_lab.contract.closed_loop import ClosedLoop, LoopRun
from imssa_lab.contract.errors import ConfigError
from imssa_lab.contract.hal import (
    AdcRanges,
    ArrayInfo,
    BoolArray,
    ColumnCalibration,
    CrossbarArray,
    Durations,
    FloatArray,
    Programmer,
    ProgrammingReport,
    Pulses,
    Readout,
)
from protocols.programmers.hysteretic import WriteVerify
from twin.cells import Cells
from twin.fast.chip_reads import CompiledReads, ReadParts
from twin.fast.exact_products import ExactProduct, SteppedProduct
from twin.kept_state import KeptChip, StateFile, kept_chip
from twin.noise import CellNoise
from twin.periphery.columns import ColumnAmplifiers, Sag
from twin.periphery.converter import Converters, adc_ranges
from twin.periphery.inputs import pulse_trains, weighted_sum
from twin.periphery.pulse_sums import PulseSums
from twin.profile import TwinProfile
from twin.programming_law import programming_report
from twin.relaxing_cells import RelaxingCells
from twin.thermal.temperature import Warmth, turn
from twin.wires.nodal import CubicCells, solve
from twin.wires.selection import SelectedCells
from twin.wires.wire_resistance import WiredCells, WiredView, pulse_paths

_VECTORS_AT_ONCE = 128
"""What fits the processor's cache; larger blocks take longer per vector."""


class DigitalTwin(CrossbarArray):
    """A simulated array of 1T1R cells.

    Device parameters, pulses and reads draw from streams of their own, all from `seed`: the same seed and the
    same requests give the same bits, and reads do not change what later pulses do.

    Args:
        profile: a `TwinProfile`, the name of a preset or the path of a TOML file.
        shape: word lines, bit lines.
        seed: which chip of this kind it is.
        state: file that keeps cells, clock and streams between sessions, see `twin.kept_state`; it is read here and
            written when the twin is closed. None: every twin is a new chip.

    Raises:
        ConfigError: the profile's wires are not of this shape; the state is open elsewhere, damaged, or of another
            chip.
    """

    KEPT = ("_clock", "_writes", "_sag", "noise", "cells", "columns", "_converters", "_wired", "warmth", "_relaxing")

    def __init__(
        self,
        profile: TwinProfile | str = "supert-a0",
        shape: tuple[int, int] = (64, 64),
        seed: int = 0,
        state: Path | str | None = None,
    ) -> None:
        self.profile = profile if isinstance(profile, TwinProfile) else TwinProfile.load(profile)
        p = self.profile
        self._sums = sums = PulseSums.of(p.adc, p.inputs)
        super().__init__(
            ArrayInfo(
                name=f"twin:{p.name}",
                serial=f"seed {seed}",
                rows=shape[0],
                cols=shape[1],
                window=p.window,
                limits=p.limits,
                read_voltage=p.read_voltage,
                input_coding=p.inputs.coding,
                input_bits=p.inputs.bits,
                input_step=p.inputs.step,
                input_signed=p.inputs.signed,
                adc=_ranges_of(p, sums),
                durations=Durations(
                    product=p.timing.mvm * len(p.inputs.weights),
                    cell_read=p.timing.cell_read,
                    pulse=p.timing.pulse,
                    applied=p.timing.applied,
                ),
                provenance={"profile": p.model_dump_json(), "seed": str(seed)},
            )
        )
        devices, cycles, reads = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3))
        self.columns = ColumnAmplifiers(p.columns, shape[1], devices)
        self._converters = Converters(p.adc, shape[1], devices)
        self._sag = Sag(p.read_rate)
        self.noise = CellNoise(p.read_noise, shape, devices, reads)
        paths = None if p.wires is None else pulse_paths(shape, p.wires)
        self.cells = Cells(p, shape, devices, cycles, paths)
        self._wired = self._selected = None
        if p.wires is not None:
            p.wires.word_lines(shape), p.wires.bit_lines(shape)
            self._wired = WiredCells(p.wires)
            self._selected = None if p.wires.selection == "ground" else SelectedCells(p.wires)
        self.warmth = None if p.temperature is None else Warmth(p.temperature)
        self._product = self._product_with(self.conducting)
        parts = ReadParts(p, self.columns, self._converters, self._sag, self.noise, self._wired, sums, self._beside)
        self._compiled = CompiledReads.of(parts)
        self._writes = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(101,)))
        self._clock = 0.0
        self._relaxing: RelaxingCells | None = None
        if p.relaxation is not None:
            ages = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(100,)))
            self._relaxing = RelaxingCells(p.relaxation, self.cells.conductance, ages, self.warmth)
        self._state: StateFile | None = None
        if state is not None:
            self._state = StateFile(Path(state), KeptChip(p, shape, seed))
            self._state.bring_back(self)
            self._state.begin(self)

    def rest(self, seconds: float) -> None:
        """Let a kept chip age, s, before its session begins; nothing is written before the first call.

        Raises:
            LimitError: negative or not finite.
        """
        self.wait(seconds)
        if self._state is not None:
            self._state.begin(self)

    @property
    def conducting(self) -> FloatArray:
        """Conductances of the cells at the temperature of the chip, S, (rows, cols): those that reads meet."""
        conductance = self.cells.conductance
        return conductance if self.warmth is None else self.warmth.conducting(conductance)

    def set_temperature(self, kelvin: float) -> None:
        """Bring the chip to a temperature at once, K; until now it has relaxed at the old one.

        Raises:
            ConfigError: the profile does not say what temperature does. LimitError: not finite, or not above 0 K.
        """
        turn(self.warmth, kelvin, self._clock)

    def wired_view(self) -> WiredView | None:
        """The effective conductances at the ends of the lines for the present cells; None without wires."""
        return None if self._wired is None else self._wired.view(self.conducting)

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        if self._compiled is not None:
            return self._read_compiled(self._compiled, voltages)
        inputs, start, period = self.profile.inputs, self._clock, self.profile.timing.mvm
        driven = pulse_trains(voltages, inputs)
        parts = [self._products(driven[part], times) for part, times in self._steady(len(driven), period)]
        left = self._sag.left(start, len(driven), period, self._clock)
        current = left[:, None] * self.columns.apply(np.concatenate(parts))
        if self._sums is not None:
            return self._sums.products(self._converters.convert(current), inputs)
        if len(inputs.weights) > 1:
            return Readout(weighted_sum(self._converters.amperes(current), inputs))
        return self._converters.convert(current)

    def _read_compiled(self, reads: CompiledReads, voltages: FloatArray) -> Readout:
        vectors = len(voltages)
        products, readout = vectors * reads.pulses, reads.room(vectors, self._info.cols)
        if self._relaxing is None:
            self._clock = reads.read(self.conducting, voltages, 0, products, self._clock, readout)
        else:
            for part, times in self._steady(products, self.profile.timing.mvm):
                reads.read(self.conducting, voltages, part.start, part.stop, float(times[0]), readout)
        return reads.told(readout)

    def _read_loop(
        self,
        loop: ClosedLoop,
        inputs: FloatArray,
        states: Sequence[FloatArray],
        calibration: ColumnCalibration | None,
    ) -> LoopRun | None:
        if self._compiled is None or self._relaxing is not None:
            return None
        run = self._compiled.run(self.conducting, loop, inputs, states, calibration, self._clock)
        if run is not None:
            self._clock = float(run.times[-1])
        return run

    def _clock_after(self, reads: int, seconds: float) -> FloatArray:
        """Device time now and after each of so many reads, `seconds` each.

        Adding up one by one makes the clock, and with it every bit, the same for any batch size.
        """
        return np.cumsum(np.concatenate([[self._clock], np.full(reads, seconds)]))

    def _products(self, driven: FloatArray, times: FloatArray) -> FloatArray:
        """Bit-line currents in A, (n, cols), of the cells as they are now, read at `times` (n,)."""
        view = self._follow_cells()
        blocks = [slice(start, start + _VECTORS_AT_ONCE) for start in range(0, len(driven), _VECTORS_AT_ONCE)]
        return np.concatenate(
            [
                self._product.of(driven[block])
                + self._bent(driven[block], view)
                + self._noise_of_mvm(driven[block], times[block], view)
                for block in blocks
            ]
        )

    def _follow_cells(self) -> WiredView | None:
        """Have the product of the cells as they are now, and what the ends of the lines see of them."""
        view = self.wired_view()
        matrix = self.conducting if view is None else view.matrix
        if not self._product.is_of(matrix):
            self._product = self._product_with(matrix)
        return view

    def _product_with(self, matrix: FloatArray) -> ExactProduct | SteppedProduct:
        limit, inputs = self.profile.limits.read_voltage, self.profile.inputs
        if inputs.pulse_step is not None and SteppedProduct.suits(limit, inputs.pulse_step):
            return SteppedProduct(matrix, inputs.pulse_step, single=inputs.coding != "analog")
        return ExactProduct(matrix, limit)

    def _beside(self, driven: FloatArray) -> FloatArray:
        """What products carry that is not in the sums of `SteppedProduct`, A, (n, cols)."""
        view = self._follow_cells()
        bent = np.zeros((len(driven), self._info.cols)) + self._bent(driven, view)
        return bent if isinstance(self._product, SteppedProduct) else self._product.of(driven) + bent

    def _bent(self, driven: FloatArray, view: WiredView | None) -> FloatArray | float:
        """What the nonlinearity of the cells adds to the products, A, (n, cols)."""
        cubic = self.cells.cubic
        if cubic is None:
            return 0.0
        if view is not None and self.profile.wires is not None:
            law = CubicCells(self.conducting, cubic)
            return solve(law, self.profile.wires, driven).current - self._product.of(driven)
        return ExactProduct(cubic * self.conducting, self.profile.limits.read_voltage**3).of(driven**3)

    def _noise_of_mvm(self, driven: FloatArray, times: FloatArray, view: WiredView | None) -> FloatArray:
        if view is None:
            return self.noise.of_mvm(self.conducting, driven, times)
        return view.bit_share * self.noise.of_mvm(self.conducting, driven * view.word_share, times)

    def _read_conductances(self, mask: BoolArray, averages: int) -> Readout:
        cells, period, start = int(np.count_nonzero(mask)), self.profile.timing.cell_read, self._clock
        seconds = period * cells
        if self._compiled is not None:
            return self._read_cells_compiled(self._compiled, mask, averages)
        parts = [self._reads_of_cells(times) for _, times in self._steady(averages, seconds)]
        left = np.ones((averages, *mask.shape))
        left[:, mask] = self._sag.left(start, averages * cells, period, self._clock).reshape(averages, cells)
        current = left * np.concatenate(parts) * self._info.read_voltage
        if self._info.adc is None:
            return Readout(self._converters.amperes(current))
        reading = self._converters.convert(current)
        return reading if self._sums is None else self._sums.cells(reading)

    def _read_cells_compiled(self, reads: CompiledReads, mask: BoolArray, averages: int) -> Readout:
        cells, period = int(np.count_nonzero(mask)), self.profile.timing.cell_read
        readout = reads.room(averages, *mask.shape)
        for part, times in self._steady(averages, period * cells):
            for number, clock in enumerate(times, start=part.start):
                cells_now = self.conducting, self.cells.cubic, self._info.read_voltage
                left = reads.sagged(mask, cells, float(clock), period)
                reads.read_cells(*cells_now, left, float(clock), readout, number)
        return reads.told(readout)

    def _reads_of_cells(self, times: FloatArray) -> FloatArray:
        """Conductances in S that reads at `times` (n,) take the cells to have, (n, rows, cols)."""
        noise = self.noise.of_cells(self.conducting, self._info.read_voltage, times)
        cubic = self.cells.cubic
        chord = 1.0 if cubic is None else 1.0 + cubic * self._info.read_voltage**2
        if self._selected is not None:
            return self._selected.reads(self.conducting * chord).after(noise)
        if self._wired is None:
            return self.conducting * chord + noise
        view = self._wired.view(self.conducting * chord)
        return view.cells + view.cell_share * noise

    def _apply_pulses(self, pulses: Pulses) -> None:
        self._relax()
        crept = self.cells.apply(pulses)
        if crept is not None and self._relaxing is not None:
            self._relaxing.carry(self.cells.conductance, crept)
        self._clock += (self.profile.timing.pulse + pulses.width) * np.count_nonzero(pulses.mask)
        self._see_new_conductances()

    def _lower(self, lowered: ArrayInfo) -> None:
        """Every read asks `info`."""

    def _default_programmer(self) -> Programmer:
        if self.profile.programming is not None:
            return self._write_by_statistics
        return WriteVerify.model_validate(self.profile.recipe.model_dump())

    def _write_by_statistics(self, array: CrossbarArray, target: FloatArray, mask: BoolArray) -> ProgrammingReport:
        """The programmer of chips of which only the result of programming is known: no pulses."""
        assert self.profile.programming is not None
        started = self._clock
        self._relax()
        moved = mask & ~self.cells.stuck
        written = self.profile.programming.draw(np.where(moved, target, 0.0), self._writes)
        self.cells.conductance = np.where(moved, written, self.cells.conductance)
        return programming_report(array, target, mask, self.profile.recipe.tolerance_out, started)

    def _wait(self, seconds: float) -> None:
        self._see_new_conductances()
        self._clock += seconds
        self._relax()

    def _steady(self, reads: int, seconds: float) -> Iterator[tuple[slice, FloatArray]]:
        """Parts of so many reads, `seconds` each, in which no conductance moves, and when each read begins, s.

        The clock goes with them.
        """
        self._see_new_conductances()
        clock = self._clock_after(reads, seconds)
        done = 0
        while done < reads:
            end = reads
            if self._relaxing is not None:
                end = done + self._relaxing.steady(clock[done:-1])
                self.cells.conductance = self._relaxing.conductance
            yield slice(done, end), clock[done:end]
            done = end
            self._clock = float(clock[done])

    def _see_new_conductances(self) -> None:
        if self._relaxing is not None:
            self._relaxing.notice(self.cells.conductance, self.cells.stuck, self._clock)

    def _relax(self) -> None:
        if self._relaxing is not None:
            self._see_new_conductances()
            self._relaxing.advance(self._clock)
            self.cells.conductance = self._relaxing.conductance

    def _time(self) -> float:
        return self._clock

    def _make_safe(self) -> None:
        """A twin has no outputs that could hurt anything."""

    def _close(self) -> None:
        """Keep the state, where that was asked for."""
        if self._state is not None:
            try:
                self._state.save(self)
            finally:
                self._state.close()


def _ranges_of(profile: TwinProfile, sums: PulseSums | None) -> AdcRanges | None:
    """The ranges of an array that answers in codes; None for one that answers in amperes."""
    if sums is not None:
        return sums.ranges
    return None if profile.adc is None or len(profile.inputs.weights) > 1 else adc_ranges(profile.adc)


def open_twin(address: str, options: Mapping[str, str]) -> DigitalTwin:
    """The driver behind ``twin:PROFILE?seed=N&shape=64x64&state=FILE&rest=SECONDS``.

    With `state` the chip is the same from one session to the next; seed and shape are then those of the file where
    they are left out, and it rests for so many seconds of its own time before this session.

    Raises:
        ConfigError: an unknown option, a value that cannot be read, or a state that cannot be used; see `StateFile`.
    """
    unknown = set(options) - {"seed", "shape", "state", "rest"}
    if unknown:
        raise ConfigError(
            f"twin:{address}: unknown option {sorted(unknown)[0]!r}; a twin takes seed, shape, state and rest"
        )
    state = Path(options["state"]) if "state" in options else None
    if state is None and "rest" in options:
        raise ConfigError(f"twin:{address}: only a chip with a kept state can rest; give state=FILE as well")
    kept = None if state is None else kept_chip(state)
    given_seed, given_shape = ("0", "64x64") if kept is None else (str(kept.seed), f"{kept.shape[0]}x{kept.shape[1]}")
    try:
        seed, rest = int(options.get("seed", given_seed)), float(options.get("rest", "0"))
        rows, cols = (int(part) for part in options.get("shape", given_shape).split("x"))
    except ValueError as error:
        raise ConfigError(f"twin:{address}: {error}; write for example ?seed=1&shape=64x64") from error
    if seed < 0 or rows < 1 or cols < 1:
        raise ConfigError(f"twin:{address}: seed must be 0 or more and the shape at least 1x1")
    if not 0 <= rest < math.inf:
        raise ConfigError(f"twin:{address}: rest must be a finite time of 0 s or more, {rest:g} s given")
    opened = DigitalTwin(address, (rows, cols), seed, state)
    if rest:
        opened.rest(rest)
    return opened
