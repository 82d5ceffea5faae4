"""`make measure-speed [ARGS="reads loop programming wires s4d study"]`: speed beside what the machine can do.

One thread. Floors are measured in the same run: keep the machine idle. All parts take about ten minutes.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import platform
import sys

from benchmarks.bars import Bars
from benchmarks.speed import loop, programming, reads, s4d, study_speed, wire_speed

PARTS = {
    "reads": reads.measure,
    "loop": loop.measure,
    "programming": programming.measure,
    "wires": wire_speed.measure,
    "s4d": s4d.measure,
    "study": study_speed.measure,
}


def main(names: list[str]) -> int:
    """Measure the parts named, or all; the exit code."""
    unknown = set(names) - set(PARTS)
    if unknown:
        raise SystemExit(f"no part {sorted(unknown)[0]!r}; there are {', '.join(PARTS)}")
    bars = Bars()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for name in names or PARTS:
        print(f"-- {name}", flush=True)
        PARTS[name](bars)
    return bars.exit_code()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
