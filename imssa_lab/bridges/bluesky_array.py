"""`BlueskyArray`: an array as a `Readable` of bluesky, for its plans and documents."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

import numpy as np
from bluesky.protocols import Readable, Reading
from event_model import DataKey

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from imssa_lab.contract.hal import CrossbarArray


class BlueskyArray(Readable[object]):
    """One quantity of an array, read when a plan reads it, with the device time beside it.

    Args:
        name: of the readable; its keys in documents are NAME_conductances or NAME_currents, and NAME_device_time.
        array: open.
        quantity: "conductances" (S) of all cells, or "currents" (A) of one product of `voltages`.
    """

    parent = None

    def __init__(
        self,
        name: str,
        array: CrossbarArray,
        quantity: Literal["conductances", "currents"] = "conductances",
        voltages: ArrayLike | None = None,
    ) -> None:
        self._name, self.array, self.quantity = name, array, quantity
        self.voltages = np.zeros(array.info.rows) if voltages is None else np.array(voltages, dtype=np.float64)

    @property
    def name(self) -> str:
        """Of the readable."""
        return self._name

    def read(self) -> dict[str, Reading[object]]:
        """Drive the array and give what it answered, with the wall time."""
        cells = self.quantity == "conductances"
        value = self.array.read_conductances() if cells else self.array.read_mvm(self.voltages)
        now = time.time()
        return {
            f"{self._name}_{self.quantity}": {"value": value, "timestamp": now},
            f"{self._name}_device_time": {"value": self.array.time, "timestamp": now},
        }

    def describe(self) -> dict[str, DataKey]:
        """Shapes, units and source of what `read` gives."""
        info = self.array.info
        shape: list[int | None] = [*info.shape] if self.quantity == "conductances" else [info.cols]
        source = f"imssa_lab:{info.name} ({info.serial})"
        unit = "S" if self.quantity == "conductances" else "A"
        return {
            f"{self._name}_{self.quantity}": DataKey(source=source, dtype="array", shape=shape, units=unit),
            f"{self._name}_device_time": DataKey(source=source, dtype="number", shape=[], units="s"),
        }
