"""make measure-speed: speed as ratios to what the machine can do, one thread; keep it idle (ten minutes)."""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import sys
from collections.abc import Callable

from benchmarks.bars import Bars
from benchmarks.parts import Part, measure
from benchmarks.speed import loop, programming, reads, s4d, study_speed, wire_speed

_WITHOUT_WIRES = "supert-a0-easy without wires"


def _part(run: Callable[[Bars], None], profile: str, cells: str, array: str, seeds: str) -> Part:
    return Part(lambda bars, given: run(bars), profile, cells, array, seeds)


PARTS = {
    "reads": _part(reads.measure, f"{_WITHOUT_WIRES}, and supert-a0", "fresh", "twin in process", "0"),
    "loop": _part(loop.measure, f"{_WITHOUT_WIRES}, and supert-a0", "fresh", "twin in process, recorded or not", "0"),
    "programming": _part(programming.measure, f"{_WITHOUT_WIRES}, and supert-a0", "pulses", "twin in process", "0"),
    "wires": _part(wire_speed.measure, f"{_WITHOUT_WIRES}, or 1 ohm", "written", "twin in process", "0, 1"),
    "s4d": _part(s4d.measure, "none", "none", "none: torch", "0, 1"),
    "study": _part(
        study_speed.measure, "supert-a0-easy, healthy", "written, 1 uS off", "twin in process", "chips 0 to 31"
    ),
}

if __name__ == "__main__":
    sys.exit(measure(__doc__, PARTS))
