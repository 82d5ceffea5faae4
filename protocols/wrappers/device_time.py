"""`Spending`: an array that tells how much device time its calls have taken, by its driver's own figures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from imssa_lab.contract.hal import BoolArray, CrossbarArray, FloatArray, Pulses, Readout
from imssa_lab.contract.wrapper import Decorated
from protocols.wrappers.counting_array import Counts


class Spending(Decorated):
    """The contract of `array`; after every call `tell` gets the device time, s, of all calls so far.

    It is counted as a dry run counts it, so that the two can be held side by side; the instrument is not asked. NaN
    where the driver does not know how long operations take.
    """

    def __init__(self, array: CrossbarArray, tell: Callable[[float], None]) -> None:
        super().__init__(array)
        self._counts, self._tell = Counts(), tell

    def _spent(self, counts: Counts) -> None:
        self._counts += counts
        self._tell(self._counts.seconds(self._info.durations))

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        readout = super()._read_mvm(voltages)
        self._spent(Counts(products=len(voltages)))
        return readout

    def _read_conductances(self, mask: BoolArray, averages: int) -> Readout:
        readout = super()._read_conductances(mask, averages)
        self._spent(Counts(cell_reads=averages * int(np.count_nonzero(mask))))
        return readout

    def _apply_pulses(self, pulses: Pulses) -> None:
        super()._apply_pulses(pulses)
        count = int(np.count_nonzero(pulses.mask))
        self._spent(Counts(pulses=count, widths=count * pulses.width))

    def _wait(self, seconds: float) -> None:
        super()._wait(seconds)
        self._spent(Counts(waited=seconds))
