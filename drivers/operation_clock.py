"""`OperationClock`: the device time of an instrument that has no clock."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable

from imssa_lab.contract.hal import CrossbarArray


class OperationClock(CrossbarArray, ABC):
    """An array whose `time` adds up what its operations take, s: a driver adds the time of each to `_clock`."""

    _clock: float
    _sleep: Callable[[float], None]

    def _wait(self, seconds: float) -> None:
        self._sleep(seconds)
        self._clock += seconds

    def _time(self) -> float:
        return self._clock
