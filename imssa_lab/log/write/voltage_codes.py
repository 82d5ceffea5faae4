"""Voltages of products as the codes that they are, where they are: a closed loop asks for whole steps of a DAC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class VoltageCodes:
    """What the columns of `read_mvm` hold for voltages.

    `steps`: of each array's inputs, V, None where it is not known; `dtype`: of the codes.
    """

    def __init__(self, steps: Sequence[float | None], dtype: np.dtype[Any]) -> None:
        self._steps = list(steps)
        self._dtype = dtype
        self._none = np.zeros(1)

    def columns(self, array: int, voltages: Any) -> dict[str, NDArray[Any] | None]:
        """Columns by name for voltages of array number `array`, V, (vectors, rows); None for one that holds nothing.

        They are codes only if each voltage comes back from its code in every bit: -0.0, which has no code, does not.
        """
        step = self._steps[array]
        count = len(voltages)
        if step is not None and isinstance(voltages, np.ndarray) and voltages.dtype == np.float64:
            with np.errstate(invalid="ignore", over="ignore"):
                codes = np.rint(voltages / step).astype(self._dtype)
            if np.array_equal((codes * step).view(np.int64), np.ascontiguousarray(voltages).view(np.int64)):
                return {"voltage": None, "voltage_code": codes, "voltage_step": np.full(count, step)}
        nothing = self._none if count == 1 else np.zeros(count)
        return {"voltage": voltages, "voltage_code": None, "voltage_step": nothing}
