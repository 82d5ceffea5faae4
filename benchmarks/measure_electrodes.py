"""make measure-electrodes: what electrodes see of drivers, and bugs planted in these (35 minutes)."""

from __future__ import annotations

import argparse
import logging
import sys

from benchmarks.bars import Bars
from benchmarks.electrodes import chaos
from benchmarks.electrodes.planted_bugs import planted, survivors
from benchmarks.electrodes.stopped_scripts import stopped_scripts
from benchmarks.parts import Part, measure

_SUPERT_TESTS = [
    "tests/instruments/supert_a0/test_supert_electrodes.py",
    "tests/instruments/supert_a0/test_supert_driver.py",
    "tests/instruments/supert_a0/test_supert_firmware.py",
    "tests/instruments/supert_a0/test_supert_dangers.py",
]
_KEITHLEY_TESTS = [
    "tests/instruments/keithley/test_smu_matrix.py",
    "tests/instruments/keithley/test_smu_matrix_trouble.py",
]


def planted_in_supert(bars: Bars, given: argparse.Namespace) -> None:
    """Bugs in codes, sequences, pins, order and safe states of the superT A0's driver."""
    every = planted("planted_supert.toml")
    bugs = bars.size(every, smoke=every[:2])
    left = survivors(bugs, _SUPERT_TESTS)
    bars.check("bugs planted in the driver of the superT A0", len(bugs), ">=", bars.size(30, smoke=2))
    bars.check("share of them that its tests see", 1 - len(left) / len(bugs), ">=", 0.97, "; ".join(left))


def planted_in_keithley(bars: Bars, given: argparse.Namespace) -> None:
    """Bugs in ranges, compliance, widths, status bits, safe state, and the order of relays, gate and source."""
    every = planted("planted_keithley.toml")
    bugs = bars.size(every, smoke=every[:2])
    left = survivors(bugs, _KEITHLEY_TESTS)
    bars.check("bugs planted in the drivers of meters and matrices", len(bugs), ">=", bars.size(25, smoke=2))
    bars.check("share of them that their tests see", 1 - len(left) / len(bugs), ">=", 0.97, "; ".join(left))


_BOARD, _METERS = (
    "driver of the superT A0, virtual board with faults",
    "drivers of SMU and matrix, virtual with faults",
)
PARTS = {
    "faults-supert": Part(lambda bars, given: chaos.supert(bars), "supert-a0-easy", "pulses", _BOARD, "0 to 3"),
    "faults-scpi": Part(
        lambda bars, given: chaos.scpi(bars),
        "supert-a0-easy",
        "pulses",
        "driver of SCPI, virtual with faults",
        "0 to 3",
    ),
    "faults-smu": Part(lambda bars, given: chaos.smu(bars), "supert-a0-easy", "pulses", _METERS, "0 to 3"),
    "stopped": Part(
        lambda bars, given: stopped_scripts(bars),
        "supert-a0-easy",
        "pulses",
        "drivers of superT A0, SCPI and SMU with matrix, virtual instruments that do not help",
        "0, 3, 18",
    ),
    "planted-supert": Part(planted_in_supert, "supert-a0-easy", "as drawn, and set", "virtual superT A0", "5"),
    "planted-keithley": Part(
        planted_in_keithley, "supert-a0-easy", "as drawn, and set", "virtual meters and matrices", "5"
    ),
}

if __name__ == "__main__":
    logging.disable(logging.WARNING)  # that links get back in step thousands of times
    sys.exit(measure(__doc__, PARTS))
