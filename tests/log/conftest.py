"""A small deterministic chip: seeded noise, ADC codes with two ranges, its own clock, a pulse that moves cells."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imssa_lab.contract.array_types import (
    AdcRanges,
    ArrayInfo,
    BoolArray,
    FloatArray,
    Limits,
    PulseKind,
    PulseLimits,
    Pulses,
    Readout,
    Window,
)
from imssa_lab.contract.errors import LinkTimeout
from imssa_lab.contract.hal import CrossbarArray, Programmer
from imssa_lab.contract.programming_report import CellOutcome, ProgrammingReport
from imssa_lab.log import record

PULSE = PulseLimits(voltage_max=3.0, gate_max=3.0, width_min=1e-9, width_max=1e-3)


def chip_info(shape: tuple[int, int], name: str = "chip", bits: int | None = 14, coarser: float = 1.0) -> ArrayInfo:
    scale = (1e-8 * coarser, 1.3e-7 * coarser)
    adc = None if bits is None else AdcRanges(bits=bits, scale=scale, offset=(2e-9, -3e-9))
    return ArrayInfo(
        name=name,
        serial="7",
        rows=shape[0],
        cols=shape[1],
        window=Window(low=1e-6, high=2e-4),
        limits=Limits(read_voltage=0.2, set=PULSE, reset=PULSE),
        read_voltage=0.2,
        input_coding="analog",
        input_signed=True,
        input_step=0.1,  # some voltages below are codes and some are not
        adc=adc,
        provenance={"profile": "x" * 100_000},
    )


class Chip(CrossbarArray):
    def __init__(
        self, seed: int = 1, shape: tuple[int, int] = (5, 4), bits: int | None = 14, coarser: float = 1.0
    ) -> None:
        super().__init__(chip_info(shape, f"chip {seed}", bits, coarser))
        self.random = np.random.default_rng(seed)
        self.cells = self.random.uniform(2e-5, 1e-4, shape)
        self.now = 0.125 * seed
        self.sent = 0
        self.fail: list[Exception] = []

    def _step(self, seconds: float) -> None:
        if self.fail:
            raise self.fail.pop()
        self.now += seconds
        self.sent += 1

    def _digitise(self, current: FloatArray) -> Readout:
        noisy = current + self.random.normal(0, 1e-7, current.shape)
        adc = self._info.adc
        if adc is None:
            return Readout(noisy)
        ranges = (np.abs(noisy) > 8e-5).astype(np.uint8)
        codes = np.round((noisy - np.asarray(adc.offset)[ranges]) / np.asarray(adc.scale)[ranges])
        return Readout(codes.astype(np.int16 if adc.bits <= 16 else np.int32), ranges)

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        self._step(1.1e-5 * len(voltages))
        return self._digitise(voltages @ self.cells)

    def _read_conductances(self, mask: BoolArray, averages: int) -> Readout:
        self._step(3.3e-4 * averages)
        return self._digitise(np.repeat(self.cells[None] * self._info.read_voltage, averages, axis=0))

    def _apply_pulses(self, pulses: Pulses) -> None:
        self._step(pulses.width)
        sign = 1 if pulses.kind is PulseKind.SET else -1
        moved = self.cells + sign * 5e-6 * self.random.uniform(0.5, 1.5, self.cells.shape)
        self.cells = np.where(pulses.mask, moved, self.cells)

    def _default_programmer(self) -> Programmer:
        return nudge

    def _wait(self, seconds: float) -> None:
        self._step(seconds)

    def _time(self) -> float:
        return self.now

    def _make_safe(self) -> None: ...

    def _close(self) -> None: ...


def nudge(array: CrossbarArray, target: FloatArray, mask: BoolArray) -> ProgrammingReport:
    """Three rounds of one pulse per cell towards the target."""
    began, count = array.time, np.zeros(target.shape, dtype=np.int32)
    for _ in range(3):
        seen = array.read_conductances(mask)
        for kind, cells in ((PulseKind.SET, seen < target), (PulseKind.RESET, seen > target)):
            if cells.any():
                array.apply_pulses(Pulses.on(cells, kind, 1.0, 1.5, 1e-7))
                count += cells
    achieved = array.read_conductances(mask, averages=4)
    return ProgrammingReport(
        target=target,
        achieved=achieved,
        pulses=count,
        outcome=np.where(mask, CellOutcome.REACHED, CellOutcome.NOT_SELECTED).astype(np.uint8),
        tolerance=5e-6,
        seconds=array.time - began,
        reads=7,
    )


def session(array: CrossbarArray) -> list[Any]:
    """A script that uses all of the contract; gives everything that it saw, as bytes where it can."""
    from imssa_lab.contract.array_types import ColumnCalibration

    rows, cols = array.info.shape
    seen: list[Any] = [array.time]

    def note(values: FloatArray) -> None:
        seen.extend([values.tobytes(), values.shape, array.time])

    note(array.read_mvm(np.linspace(-0.2, 0.2, 3 * rows).reshape(3, rows)))
    note(array.read_mvm(np.full(rows, 0.1)))
    array.set_calibration(ColumnCalibration(np.full(cols, 1.01), np.full(cols, 1e-8), np.zeros(cols), "2026-01-02"))
    note(array.read_mvm(np.full(rows, 0.1)))
    note(array.read_mvm(np.full(rows, 0.1), raw=True))
    array.set_calibration(None)
    mask = np.zeros((rows, cols), dtype=np.bool_)
    mask[1:3] = True
    note(array.read_conductances(mask, averages=3))
    array.apply_pulses(Pulses.on(mask, "RESET", 1.2, 2.0, 2e-7))
    array.wait(0.75)
    for programmer in (None, nudge):
        report = array.program_conductances(np.full((rows, cols), 6e-5), mask, programmer)
        note(report.achieved)
        seen += [report.target.tobytes(), report.pulses.tobytes(), report.outcome.tobytes()]
        seen += [report.tolerance, report.seconds, report.reads, str(report)]
    note(array.read_conductances())
    return seen


def with_retry(array: CrossbarArray) -> list[Any]:
    """A script that lives with a link that fails once."""
    seen: list[Any] = []
    for _ in range(2):
        try:
            seen.append(array.read_mvm(np.full(array.info.rows, 0.1)).tobytes())
        except LinkTimeout as error:
            seen.append(str(error))
    return seen


@pytest.fixture(scope="session")
def _master(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    path = tmp_path_factory.mktemp("log") / "run.h5"
    with record(path, [Chip()], {"git": "abc", "command": "test"}) as (array,), array:
        seen = session(array)
    return path, seen


@pytest.fixture
def finished(_master: tuple[Path, list[Any]], tmp_path: Path) -> tuple[Path, list[Any]]:
    """A closed run file of one `session` (a copy to spoil) and what the script saw."""
    return Path(shutil.copy(_master[0], tmp_path / "run.h5")), _master[1]
