"""`DigitalTwin`: a crossbar array in software, behind the same contract as a real one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from imssa_lab.errors import ConfigError
from imssa_lab.hal import (
    ArrayInfo,
    BoolArray,
    CellOutcome,
    CrossbarArray,
    FloatArray,
    Programmer,
    ProgrammingReport,
    Pulses,
    Readout,
)
from protocols.write_verify import WriteVerify
from twin.cells import Cells
from twin.noise import WhiteNoise
from twin.periphery import ColumnAmplifiers, adc_ranges, convert, dac_voltage
from twin.profile import TwinProfile


class DigitalTwin(CrossbarArray):
    """A simulated array of 1T1R cells.

    Device parameters, pulses and reads draw from streams of their own, all from `seed`: the same seed and the
    same requests give the same bits, and reads do not change what later pulses do.

    Args:
        profile: a `TwinProfile`, the name of a preset or the path of a TOML file.
        shape: word lines, bit lines.
        seed: which chip of this kind it is.
    """

    def __init__(
        self, profile: TwinProfile | str = "supert-a0", shape: tuple[int, int] = (64, 64), seed: int = 0
    ) -> None:
        self.profile = profile if isinstance(profile, TwinProfile) else TwinProfile.load(profile)
        p = self.profile
        super().__init__(
            ArrayInfo(
                name=f"twin:{p.name}",
                serial=f"seed {seed}",
                rows=shape[0],
                cols=shape[1],
                window=p.window,
                limits=p.limits,
                read_voltage=p.read_voltage,
                input_coding="analog",
                input_bits=p.inputs.bits,
                input_signed=True,
                adc=None if p.adc is None else adc_ranges(p.adc),
                provenance={"profile": p.model_dump_json(), "seed": str(seed)},
            )
        )
        devices, cycles, reads = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3))
        self.columns = ColumnAmplifiers(p.columns, shape[1], devices)
        self.noise = WhiteNoise(p.read_noise, shape, devices, reads)
        self.cells = Cells(p.fresh, p.set, p.reset, p.stuck, shape, devices, cycles)
        self._clock = 0.0

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        driven = dac_voltage(voltages, self.profile.inputs)
        current = driven @ self.cells.conductance + self.noise.of_mvm(driven, self.cells.conductance)
        self._clock += self.profile.timing.mvm * len(voltages)
        return convert(self.columns.apply(current), self._info.adc)

    def _read_conductances(self, mask: BoolArray, averages: int) -> Readout:
        conductance = self.cells.conductance + self.noise.of_cells(averages, self.cells.conductance)
        self._clock += self.profile.timing.cell_read * averages * np.count_nonzero(mask)
        return convert(conductance * self.profile.read_voltage, self._info.adc)

    def _apply_pulses(self, pulses: Pulses) -> None:
        self.cells.apply(pulses)
        self._clock += (self.profile.timing.pulse + pulses.width) * np.count_nonzero(pulses.mask)

    def _default_programmer(self) -> Programmer:
        if self.profile.exact_programming:
            return self._write_exactly
        return WriteVerify.model_validate(self.profile.recipe.model_dump())

    def _write_exactly(self, array: CrossbarArray, target: FloatArray, mask: BoolArray) -> ProgrammingReport:
        """The programmer of a perfect array: cells take their targets as they are."""
        self.cells.conductance = np.where(mask, target, self.cells.conductance)
        return ProgrammingReport(
            target=target,
            achieved=array.read_conductances(mask),
            pulses=np.zeros(mask.shape, dtype=np.int32),
            outcome=np.where(mask, CellOutcome.REACHED, CellOutcome.NOT_SELECTED).astype(np.uint8),
            tolerance=self.profile.recipe.tolerance_out,
            seconds=0.0,
            reads=1,
        )

    def _wait(self, seconds: float) -> None:
        self._clock += seconds

    def _time(self) -> float:
        return self._clock

    def _make_safe(self) -> None:
        """A twin has no outputs that could hurt anything."""

    def _close(self) -> None:
        """Nothing to let go of."""


def open_twin(address: str, options: Mapping[str, str]) -> DigitalTwin:
    """The driver behind ``twin:PROFILE?seed=N&shape=64x64``.

    Raises:
        ConfigError: an unknown option or a value that cannot be read.
    """
    unknown = set(options) - {"seed", "shape"}
    if unknown:
        raise ConfigError(f"twin:{address}: unknown option {sorted(unknown)[0]!r}; a twin takes seed and shape")
    try:
        seed = int(options.get("seed", "0"))
        rows, cols = (int(part) for part in options.get("shape", "64x64").split("x"))
    except ValueError as error:
        raise ConfigError(f"twin:{address}: {error}; write for example ?seed=1&shape=64x64") from error
    if seed < 0 or rows < 1 or cols < 1:
        raise ConfigError(f"twin:{address}: seed must be 0 or more and the shape at least 1x1")
    return DigitalTwin(address, (rows, cols), seed)
