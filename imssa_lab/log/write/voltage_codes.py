"""Voltages of products as the codes that they are, where they are: a closed loop asks for whole steps of a DAC."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.jit import AVAILABLE, compiled


@compiled
def _encode(voltages: Any, step: float, codes: Any) -> bool:
    most = (1 << 8 * codes.itemsize - 1) - 1
    for i in range(voltages.shape[0]):
        for j in range(voltages.shape[1]):
            volt = voltages[i, j]
            number = np.rint(volt / step)
            if number * step != volt or abs(number) > most or (volt == 0.0 and math.copysign(1.0, volt) < 0.0):
                return False
            codes[i, j] = number
    return True


def encode_by_numpy(voltages: Any, step: float, codes: Any) -> bool:
    """`encode` without numba."""
    some = np.rint(voltages[:1] / step)  # a look at one vector settles it for most
    if (some * step != voltages[:1]).any():
        return False
    numbers = np.rint(voltages / step) if len(voltages) > 1 else some
    if not (np.abs(numbers) <= np.iinfo(codes.dtype).max).all():
        return False
    codes[...] = numbers
    return bool((codes * step).tobytes() == voltages.tobytes())  # -0.0 equals 0.0 otherwise


encode = _encode if AVAILABLE else encode_by_numpy
"""Write the codes of voltages, and say whether each voltage is `code * step` in every bit; -0.0, of no code, is not.

Args:
    voltages: V, (vectors, rows). step: V. codes: whole numbers of the same shape; written.
"""


class VoltageCodes:
    """What the columns of `read_mvm` hold for voltages.

    `steps`: of each array's inputs, V, None where it is not known; `dtype`: of the codes.
    """

    def __init__(self, steps: Sequence[float | None], dtype: np.dtype[Any]) -> None:
        self._steps = list(steps)
        self._dtype = dtype
        self._none, self._one = np.zeros(1), [np.full(1, step or 0.0) for step in steps]
        self._codes(np.zeros((1, 1)), 1.0)  # compiles, before it matters

    def columns(self, array: int, voltages: Any) -> dict[str, NDArray[Any] | None]:
        """Columns by name for voltages of array number `array`, V, (vectors, rows); None: holds nothing."""
        step, count = self._steps[array], len(voltages)
        codes = None if step is None else self._codes(voltages, step)
        if codes is None:
            nothing = self._none if count == 1 else np.zeros(count)
            return {"voltage": voltages, "voltage_code": None, "voltage_step": nothing}
        each = self._one[array] if count == 1 else np.full(count, step)
        return {"voltage": None, "voltage_code": codes, "voltage_step": each}

    def _codes(self, voltages: Any, step: float) -> NDArray[Any] | None:
        if not (isinstance(voltages, np.ndarray) and voltages.dtype == np.float64 and voltages.ndim == 2):
            return None
        given = np.ascontiguousarray(voltages).view()
        given.flags.writeable = False  # one type for the compiler
        codes = np.empty(given.shape, self._dtype)
        return codes if encode(given, step, codes) else None
