"""Nine arrays with wires whose exact currents are known, from a calculation of our own outside of the twin."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imssa_lab.contract.array_types import FloatArray
from twin.wires.wire_resistance import Wires

_FILE = Path(__file__).with_name("irdrop_currents.json")


@dataclass(frozen=True)
class IrDropCase:
    """An array with wires.

    Attributes:
        conductance: S, (rows, cols); drive: V on the word lines, (rows,).
        wires: resistances of its lines; current: exact currents of the bit lines, A, (cols,).
    """

    conductance: FloatArray
    drive: FloatArray
    wires: Wires
    current: FloatArray

    def __str__(self) -> str:
        rows, cols = self.conductance.shape
        wires = self.wires
        return f"{rows}x{cols}-{wires.r_word:g}-{wires.r_bit:g}-{wires.r_in:g}-{wires.r_out:g}"

    def error(self, current: FloatArray) -> float:
        """Largest error of these currents (cols,), A, as a share of the largest current without wires."""
        return float(np.abs(current - self.current).max() / np.abs(self.drive @ self.conductance).max())


def irdrop_cases() -> list[IrDropCase]:
    """All nine. Conductances and drives are patterns of whole numbers, so that the file need not hold them."""
    cases = []
    for case in json.loads(_FILE.read_text(encoding="utf-8"))["cases"]:
        i, j = np.arange(case["m"]), np.arange(case["n"])
        pattern = (7 * i[:, None] + 13 * j + 3 * i[:, None] * j) % 17
        wires = Wires(r_word=case["r_w"], r_bit=case["r_b"], r_in=case["r_in"], r_out=case["r_out"])
        drive = 0.2 * ((5 * i + 3) % 11 / 5 - 1)
        cases.append(IrDropCase(10e-6 + 90e-6 * pattern / 16, drive, wires, np.array(case["I_A"])))
    return cases
