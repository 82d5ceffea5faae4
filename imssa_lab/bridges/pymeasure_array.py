"""`PyMeasureArray`: an array as a PyMeasure instrument, for its procedures and windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pymeasure.adapters import FakeAdapter
from pymeasure.instruments import Instrument

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from imssa_lab.contract.hal import BoolArray, CrossbarArray, FloatArray, Programmer, ProgrammingReport


class PyMeasureArray(Instrument):  # type: ignore[misc] # the library carries no types
    """Properties of an array; `shutdown` makes it safe, as a procedure does at its end.

    Args:
        array: open; the wire is the driver's own, so the adapter of PyMeasure is an empty one.
    """

    def __init__(self, array: CrossbarArray) -> None:
        super().__init__(FakeAdapter(), array.info.name, includeSCPI=False)
        self.array = array
        self._voltages = np.zeros(array.info.rows)

    @property
    def id(self) -> str:
        """Name and serial number of the array."""
        return f"{self.array.info.name} ({self.array.info.serial})"

    @property
    def voltages(self) -> FloatArray:
        """Word-line voltages of the next product, V, (rows,); setting them drives nothing."""
        return self._voltages.copy()

    @voltages.setter
    def voltages(self, values: ArrayLike) -> None:
        self._voltages = np.array(values, dtype=np.float64)

    @property
    def currents(self) -> FloatArray:
        """One product of `voltages`: bit-line currents, A, (cols,)."""
        return self.array.read_mvm(self._voltages)

    @property
    def conductances(self) -> FloatArray:
        """All cells, S, (rows, cols)."""
        return self.array.read_conductances()

    @property
    def device_time(self) -> float:
        """Device time, s."""
        return self.array.time

    def program(
        self, target: ArrayLike, mask: BoolArray | None = None, programmer: Programmer | None = None
    ) -> ProgrammingReport:
        """As `CrossbarArray.program_conductances`."""
        return self.array.program_conductances(target, mask, programmer)

    def shutdown(self) -> None:
        """Outputs to 0 V and to ground; the array stays open for the next procedure.

        Threads that used the array before are refused once (`ArrayStopped`), as after any `make_safe`.
        """
        self.array.make_safe()
        self.array.rearm()
        super().shutdown()
