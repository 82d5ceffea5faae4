"""`ReadsCounted`: an array whose products are counted as they are asked for."""

from __future__ import annotations

from imssa_lab.contract.hal import CrossbarArray, FloatArray, Readout
from imssa_lab.contract.wrapper import Wrapper
from protocols.cost.read_counts import ReadCounts, products_counted


class ReadsCounted(Wrapper):
    """The contract of `array`; `counts` holds what its products took so far.

    Args:
        conductance: S, (rows, cols), what its cells count as holding; NaN where it is not known.
    """

    def __init__(self, array: CrossbarArray, conductance: FloatArray) -> None:
        super().__init__(array)
        self.counts = ReadCounts()
        self._conductance = conductance

    def _after_products(self, voltages: FloatArray, readout: Readout) -> None:
        self.counts += products_counted(self._info, voltages, self._conductance)
