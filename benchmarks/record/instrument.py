"""An instrument that costs nothing and always answers alike, so that the log is what is measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.array_types import (
    AdcRanges,
    ArrayInfo,
    BoolArray,
    FloatArray,
    Limits,
    PulseLimits,
    Pulses,
    Readout,
    Window,
)
from imssa_lab.contract.array_types import PulseKind as Kind
from imssa_lab.contract.hal import CrossbarArray, Programmer

_PULSE = PulseLimits(voltage_max=3.0, gate_max=3.0, width_min=1e-9, width_max=1e-3)
_PREPARED = 64


class Instrument(CrossbarArray):
    """Call number k gives the readout number k modulo 64: noise of a 14-bit converter in one range, seeded."""

    def __init__(self, shape: tuple[int, int] = (64, 64)) -> None:
        super().__init__(
            ArrayInfo(
                name="counting instrument",
                serial="0",
                rows=shape[0],
                cols=shape[1],
                window=Window(low=1e-6, high=2e-4),
                limits=Limits(read_voltage=0.2, set=_PULSE, reset=_PULSE),
                read_voltage=0.2,
                input_coding="analog",
                input_step=1e-4,
                input_signed=True,
                adc=AdcRanges(bits=14, scale=(1e-8, 1e-7), offset=(0.0, 0.0)),
            )
        )
        random = np.random.default_rng(7)
        self._codes: NDArray[np.int16] = random.normal(3000, 50, (_PREPARED, *shape)).astype(np.int16)
        self._calls = 0

    def _step(self) -> NDArray[np.int16]:
        self._calls += 1
        return np.asarray(self._codes[self._calls % _PREPARED])

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        codes = self._step()[np.arange(len(voltages)) % self._info.rows]
        return Readout(codes, np.zeros(codes.shape, dtype=np.uint8))

    def _read_conductances(self, mask: BoolArray, averages: int) -> Readout:
        codes = np.repeat(self._step()[None], averages, axis=0)
        return Readout(codes, np.zeros(codes.shape, dtype=np.uint8))

    def _apply_pulses(self, pulses: Pulses) -> None:
        self._step()

    def _default_programmer(self) -> Programmer:
        raise NotImplementedError

    def _wait(self, seconds: float) -> None:
        self._step()

    def _time(self) -> float:
        return self._calls * 1e-3

    def _make_safe(self) -> None: ...

    def _close(self) -> None: ...


def step(array: CrossbarArray, number: int) -> bytes:
    """Call number `number` of a script that mixes all kinds of calls; what it gave, as bytes."""
    rows, cols = array.info.shape
    mask = np.zeros((rows, cols), dtype=np.bool_)
    mask[number % rows, :: 1 + number % 3] = True
    match number % 5:
        case 0:
            # few vectors or many, whole steps of the inputs or not: each is kept in another way
            count = 300 if number % 25 == 0 else 1 + number % 4
            return array.read_mvm(np.full((count, rows), 1e-4 * (number % 1000) + 1e-5 * (number % 2))).tobytes()
        case 1:
            array.apply_pulses(Pulses.on(mask, Kind.SET, 1.0 + 0.01 * (number % 50), 1.5, 1e-7))
            return b""
        case 2:
            return array.read_conductances(mask, averages=1 + number % 2).tobytes()
        case 3:
            array.wait(0.01 * (number % 7))
            return b""
        case _:
            return array.read_conductances().tobytes()
