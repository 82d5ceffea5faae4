"""make measure-record: the log, its speed, size, kills, damage and replays (20 minutes, 3 GB of disk)."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.bars import Bars
from benchmarks.parts import Part, measure
from benchmarks.record.bare_system import bare_demo, bare_suite, bare_writer
from benchmarks.record.bit_flips import bit_flips
from benchmarks.record.crashes import kills, large_repair
from benchmarks.record.damage import flips, replay
from benchmarks.record.days import days, demos
from benchmarks.record.demo_size import demo_size
from benchmarks.record.nexus_view import nexus_view
from benchmarks.record.odd_files import odd_files
from benchmarks.record.overhead import overhead
from benchmarks.record.read_only import read_only
from benchmarks.record.snapshots import snapshots
from benchmarks.record.watching import watching
from benchmarks.record.writing import memory, writing


def _part(run: Callable[[Bars, Path], None], profile: str, cells: str, array: str, seeds: str) -> Part:
    def in_folder(bars: Bars, given: argparse.Namespace) -> None:
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            run(bars, Path(folder))

    return Part(in_folder, profile, cells, array, seeds)


_COUNTING = ("none: an instrument that answers from a table", "none", "in process")
PARTS = {
    "kills": _part(kills, *_COUNTING, "3, 7"),
    "writing": _part(writing, *_COUNTING, "1, 2"),
    "watching": _part(watching, *_COUNTING, "1"),
    "flips": _part(flips, *_COUNTING, "5, 7"),
    "bit-flips": _part(bit_flips, *_COUNTING, "11, 7"),
    "snapshots": _part(snapshots, *_COUNTING, "13, 7"),
    "repair": _part(large_repair, *_COUNTING, "1"),
    "replay": _part(replay, *_COUNTING, "7"),
    "days": _part(days, "supert-a0-easy", "pulses", "drivers of superT A0 and SCPI, virtual instruments", "3"),
    "overhead": _part(overhead, "supert-a0-easy", "pulses", "driver of the superT A0, virtual board", "3"),
    "demos": _part(demos, "supert-a0", "pulses", "drivers of superT A0 and SCPI, virtual instruments", "0"),
    "demo-size": _part(demo_size, "supert-a0", "pulses", "in process", "0"),
    "bare-writer": _part(bare_writer, *_COUNTING, "3, 7, 1, 2, 5"),
    "bare-demo": _part(bare_demo, "supert-a0", "pulses", "in process; driver of the superT A0 on TCP", "0"),
    "bare-suite": _part(bare_suite, "those of the tests", "those of the tests", "those of the tests", "theirs"),
    "nexus": _part(nexus_view, "supert-a0", "pulses", "in process", "0, 1"),
    "read-only": _part(read_only, "supert-a0", "pulses", "in process", "0, 1"),
    "odd-files": _part(odd_files, *_COUNTING, "7"),
    "memory": _part(memory, *_COUNTING, "7"),
}


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, help="on the disk to measure; a temporary folder without")


if __name__ == "__main__":
    sys.exit(measure(__doc__, PARTS, quick=True, options=_options))
