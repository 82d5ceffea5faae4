"""`Decorated`: the contract of another array, for decorators that change a few of its calls."""

from __future__ import annotations

from collections.abc import Sequence

from imssa_lab.contract.closed_loop import ClosedLoop, LoopRun
from imssa_lab.contract.hal import (
    BoolArray,
    ColumnCalibration,
    CrossbarArray,
    FloatArray,
    Programmer,
    Pulses,
    Readout,
)

# A decorator of the contract acts on the backend half of the array inside it.
# ruff: noqa: SLF001


class Decorated(CrossbarArray):
    """The contract of `array`, which closes with it; a decorator overrides what it changes."""

    def __init__(self, array: CrossbarArray) -> None:
        super().__init__(array.info, array.calibration)
        self._array = array

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        with self._array._call():
            return self._array._read_mvm(voltages)

    def _read_loop(
        self,
        loop: ClosedLoop,
        inputs: FloatArray,
        states: Sequence[FloatArray],
        calibration: ColumnCalibration | None,
    ) -> LoopRun | None:
        with self._array._call():
            return self._array._read_loop(loop, inputs, states, calibration)

    def _read_conductances(self, mask: BoolArray, averages: int) -> Readout:
        with self._array._call():
            return self._array._read_conductances(mask, averages)

    def _apply_pulses(self, pulses: Pulses) -> None:
        with self._array._call():
            self._array._apply_pulses(pulses)

    def _default_programmer(self) -> Programmer:
        return self._array._default_programmer()

    def _calibrate(self, calibration: ColumnCalibration | None) -> None:
        self._array.set_calibration(calibration)

    def _wait(self, seconds: float) -> None:
        with self._array._call():
            self._array._wait(seconds)

    def _time(self) -> float:
        return self._array._time()

    def _make_safe(self) -> None:
        self._array._make_safe()

    def _close(self) -> None:
        self._array.close()
