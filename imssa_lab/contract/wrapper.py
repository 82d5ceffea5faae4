"""`Wrapper`: an array around an array; this file alone defines how a call passes from one to the other."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from imssa_lab.contract.checks import incoming
from imssa_lab.contract.closed_loop import ClosedLoop, LoopRun
from imssa_lab.contract.hal import (
    ArrayInfo,
    BoolArray,
    ColumnCalibration,
    CrossbarArray,
    FloatArray,
    Programmer,
    ProgrammingReport,
    Pulses,
    Readout,
)
from imssa_lab.contract.safe_stop import SafeStop

# A wrapper acts on the backend half of the array inside it.
# ruff: noqa: SLF001


class Wrapper(CrossbarArray):
    """The contract of `array`, which is closed with it; a wrapper overrides only the hooks that it needs.

    Every call passes in the same way: inside `_around`, a hook sees what will be sent, the array inside is asked, and
    a hook sees what came of it. Those hooks change nothing; what raises in one of them ends the call. A closed loop
    is handed on as one call and its products are seen as one batch. A wrapper that changes what a product is
    overrides `_read_mvm`, and its loops are read step by step (see `CrossbarArray`).
    """

    def __init__(self, array: CrossbarArray) -> None:
        super().__init__(array.info, array.calibration)
        self._array = array
        self._safe_stop = SafeStop(array.info.name, self._make_safe, array._safe_stop)

    # ---- what a wrapper may override

    def _around(self, call: str) -> AbstractContextManager[None]:
        """Around one call and its hooks; `call` is the table of the log that such calls go to."""
        return self._array._pause() if call == "waits" else self._array._call()

    def _after_products(self, voltages: FloatArray, readout: Readout) -> None:
        """`readout` (n, cols) was read for `voltages` (n, rows) in V."""

    def _after_loop(self, run: LoopRun) -> None:
        """A closed loop was run by the array inside: its products as one batch."""
        values, ranges = run.readout.values, run.readout.ranges
        cols = values.shape[-1]
        readout = Readout(values.reshape(-1, cols), None if ranges is None else ranges.reshape(-1, cols))
        self._after_products(run.voltages.reshape(-1, run.voltages.shape[-1]), readout)

    def _after_cells(self, mask: BoolArray, averages: int, readout: Readout) -> None:
        """`readout` (averages, rows, cols) was read of the cells of `mask` (rows, cols)."""

    def _before_pulses(self, pulses: Pulses) -> None:
        """`pulses` will be sent, unless this raises."""

    def _after_pulses(self, pulses: Pulses) -> None:
        """`pulses` were sent to the end."""

    def _after_calibration(self, calibration: ColumnCalibration | None) -> None:
        """The array inside carries `calibration` from now on."""

    def _after_wait(self, seconds: float) -> None:
        """`seconds` (s) of device time have passed."""

    def _after_programming(self, report: ProgrammingReport) -> None:
        """A programming loop ended with `report`, on this array or on a wrapper around it."""

    # ---- how a call passes

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        with self._around("read_mvm"):
            got = self._array._read_mvm(voltages)
            readout = incoming.readout(self.info, "read_mvm", got, (len(voltages), self.info.cols))
            self._after_products(voltages, readout)
        return readout

    def _read_loop(
        self,
        loop: ClosedLoop,
        inputs: FloatArray,
        states: Sequence[FloatArray],
        calibration: ColumnCalibration | None,
    ) -> LoopRun | None:
        with self._around("read_mvm"):
            run = self._array._read_loop(loop, inputs, states, calibration)
            if run is not None:
                incoming.loop_run(self.info, run, loop, *inputs.shape[:2])
                self._after_loop(run)
        return run

    def _read_conductances(self, mask: BoolArray, averages: int) -> Readout:
        with self._around("read_conductances"):
            got = self._array._read_conductances(mask, averages)
            readout = incoming.readout(self.info, "read_conductances", got, (averages, *mask.shape), mask)
            self._after_cells(mask, averages, readout)
        return readout

    def _apply_pulses(self, pulses: Pulses) -> None:
        with self._around("pulses"):
            self._before_pulses(pulses)
            self._array._apply_pulses(pulses)
            self._after_pulses(pulses)

    def _calibrate(self, calibration: ColumnCalibration | None) -> None:
        with self._around("calibrations"):
            self._array.set_calibration(calibration)
            self._after_calibration(calibration)

    def _wait(self, seconds: float) -> None:
        with self._around("waits"):
            self._array._wait(seconds)
            self._after_wait(seconds)

    def _program(self, programmer: Programmer | None, target: FloatArray, mask: BoolArray) -> ProgrammingReport:
        """The loop asks this array, so that its calls pass through every wrapper; its report then goes inwards."""
        report = super()._program(programmer, target, mask)
        inside: CrossbarArray = self
        while isinstance(inside, Wrapper):
            inside._after_programming(report)
            inside = inside._array
        return report

    def _default_programmer(self) -> Programmer:
        return self._array._default_programmer()

    def _lower(self, lowered: ArrayInfo) -> None:
        self._array.lower_limits(lowered.limits)

    def _time(self) -> float:
        return self._array._time()

    def _make_safe(self) -> None:
        self._array._make_safe()

    def _close(self) -> None:
        self._array.close()
