"""Measures every bar of the record; exits with 1 where one falls short.

``python -m benchmarks.measure_record [--quick] [--only PART ...]``; some minutes, needs 3 GB of disk.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.bars import Bars
from benchmarks.parts import asked_for, parser_of
from benchmarks.record.crashes import kills, large_repair
from benchmarks.record.damage import flips, replay
from benchmarks.record.days import days, demos
from benchmarks.record.overhead import overhead
from benchmarks.record.watching import watching
from benchmarks.record.writing import memory, writing

_PARTS = {
    "kills": kills,
    "writing": writing,
    "watching": watching,
    "flips": flips,
    "repair": large_repair,
    "replay": replay,
    "days": days,
    "overhead": overhead,
    "demos": demos,
    "memory": memory,
}


def main() -> int:
    """All parts, or the one asked for."""
    parser = parser_of(_PARTS, __doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: a look, not a measurement")
    parser.add_argument("--folder", type=Path, help="on the disk to measure; a temporary folder without")
    arguments = parser.parse_args()
    bars = Bars()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for part in asked_for(_PARTS, arguments):
            part(bars, Path(folder), arguments.quick)
    return bars.exit_code()


if __name__ == "__main__":
    sys.exit(main())
