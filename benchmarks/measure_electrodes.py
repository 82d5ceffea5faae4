"""make measure-electrodes: what electrodes see of drivers, under faults, stops and planted bugs (an hour)."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable

from benchmarks.bars import Bars
from benchmarks.electrodes import chaos
from benchmarks.electrodes.limits import limits
from benchmarks.electrodes.planted_bugs import planted, survivors
from benchmarks.electrodes.restarts import restarts
from benchmarks.electrodes.stopped_scripts import stopped_scripts
from benchmarks.parts import Part, measure
from benchmarks.wires.speed import speed
from benchmarks.wires.whole import contract, instruments

_SUPERT, _KEITHLEY = "tests/instruments/supert_a0/test_supert_", "tests/instruments/keithley/test_smu_matrix"
_NO_CHAOS = "not faults_give and not judge_of"  # they are a part of their own
_PLANTED = {
    "superT A0": (
        "planted_supert.toml",
        [
            *(f"{_SUPERT}{name}.py" for name in ("electrodes", "driver", "firmware", "dangers")),
            "-k",
            _NO_CHAOS,
        ],
        30,
    ),
    "meters and matrices": ("planted_keithley.toml", [f"{_KEITHLEY}.py", f"{_KEITHLEY}_trouble.py"], 25),
    "SCPI": (
        "planted_scpi.toml",
        [
            *(f"tests/instruments/test_scpi_{name}.py" for name in ("array", "restarts")),
            "tests/contract/test_lowered_limits.py",
            "-k",
            "not (superT or smu) and (not each_kind or flip or twice or late)",
        ],
        15,
    ),
    "ArC TWO": ("planted_arc_two.toml", ["tests/instruments/test_arc_two.py"], 15),
}


def _planted(driver: str) -> Callable[[Bars, argparse.Namespace], None]:
    name, tests, least = _PLANTED[driver]

    def part(bars: Bars, given: argparse.Namespace) -> None:
        if bars.smoke:
            bars.left_out(f"{len(planted(name))} planted bugs, of which each was found once in the code")
            return
        tried, left = survivors(name, tests)
        bars.check(f"bugs planted in the driver, {driver}", tried, ">=", least)
        bars.check(f"share of them that its tests see, {driver}", 1 - len(left) / tried, ">=", 0.97, "; ".join(left))

    return part


def _faulty(run: Callable[[Bars], None], driver: str) -> Part:
    return Part(
        lambda bars, given: run(bars), "supert-a0-easy", "pulses", f"{driver}, virtual, on failing wires", "0 to 3"
    )


def _with_bugs(driver: str) -> Part:
    return Part(_planted(driver), "supert-a0-easy", "as drawn, and set", f"{driver}, virtual", "those of the tests")


def _tests(run: Callable[[Bars], None], array: str) -> Part:
    return Part(lambda bars, given: run(bars), "supert-a0-easy", "pulses", array, "those of the tests")


PARTS = {
    "contract": _tests(contract, "every kind of tests/contract"),
    "instruments": _tests(instruments, "drivers, virtual instruments"),
    "faults-supert": _faulty(chaos.supert, "superT A0"),
    "faults-scpi": _faulty(chaos.scpi, "SCPI"),
    "faults-smu": _faulty(chaos.smu, "meters and matrices"),
    "restarts": Part(lambda bars, given: restarts(bars), "supert-a0-easy", "pulses", "every wire, virtual", "3, 21"),
    "limits": Part(lambda bars, given: limits(bars), "supert-a0-easy", "pulses", "every driver, virtual", "3, 7"),
    "stopped": Part(
        lambda bars, given: stopped_scripts(bars),
        "supert-a0-easy",
        "pulses",
        "drivers of superT A0, SCPI and SMU with matrix, virtual instruments that do not help",
        "0, 3, 18",
    ),
    "planted-supert": _with_bugs("superT A0"),
    "planted-keithley": _with_bugs("meters and matrices"),
    "planted-scpi": _with_bugs("SCPI"),
    "planted-arc2": _with_bugs("ArC TWO"),
    "speed": Part(
        lambda bars, given: speed(bars), "supert-a0-easy", "pulses", "drivers of superT A0 and SCPI, virtual", "0, 1"
    ),
}

if __name__ == "__main__":
    logging.disable(logging.WARNING)  # that links get back in step thousands of times
    sys.exit(measure(__doc__, PARTS))
