"""`DeviceTimeReported`: an array that reports the device time of its calls, by the figures of its driver."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from imssa_lab.contract.hal import BoolArray, CrossbarArray, FloatArray, Pulses, Readout
from imssa_lab.contract.wrapper import Wrapper
from protocols.wrappers.session_counts import Counts


class DeviceTimeReported(Wrapper):
    """The contract of `array`; after every call `report` gets the device time, s, of all calls so far.

    It is counted as a dry run counts it, so that the two can be held side by side; the instrument is not asked. NaN
    where the driver does not know how long operations take.
    """

    def __init__(self, array: CrossbarArray, report: Callable[[float], None]) -> None:
        super().__init__(array)
        self._counts, self._report = Counts(), report

    def _count(self, counts: Counts) -> None:
        self._counts += counts
        self._report(self._counts.seconds(self._info.durations))

    def _after_products(self, voltages: FloatArray, readout: Readout) -> None:
        self._count(Counts(products=len(voltages)))

    def _after_cells(self, mask: BoolArray, averages: int, readout: Readout) -> None:
        self._count(Counts(cell_reads=averages * int(np.count_nonzero(mask))))

    def _after_pulses(self, pulses: Pulses) -> None:
        count = int(np.count_nonzero(pulses.mask))
        self._count(Counts(pulses=count, widths=count * pulses.width))

    def _after_wait(self, seconds: float) -> None:
        self._count(Counts(waited=seconds))
