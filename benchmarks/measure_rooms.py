"""make measure-rooms: files, folders, names, circles, start-up, replay of an earlier file (a minute)."""

from __future__ import annotations

import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bars import Bars
from benchmarks.mutants.mutant_table import TALLY, check_tally
from benchmarks.mutants.tested_parts import DEFAULT, read_parts
from benchmarks.parts import Part, measure
from benchmarks.rooms import tree
from trials.earlier_session import SHA256, replayed_bytes, unpacked
from trials.import_graph import ROOT

MUTANTS = ROOT / "build" / "mutants" / TALLY
"""What `make mutants` leaves."""


def start_up(bars: Bars) -> None:
    """Import and help, as a user waits for them: the median, as seen from outside of the process."""
    code = "from imssa_lab.cli import main; main()"
    for what, command, required in (
        ("import imssa_lab, s", ["-c", "import imssa_lab"], 0.3),
        ("imssa --help, s", ["-c", code, "--help"], 0.5),
    ):
        times = [_seconds(command) for _ in range(bars.size(11, 1))]
        bars.check(what, statistics.median(times), "<=", required, f"best {min(times):.2f}, median of {len(times)}")


def _seconds(arguments: Sequence[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - started


def earlier_file(bars: Bars) -> None:
    """A run file that the code before the move wrote."""
    with tempfile.TemporaryDirectory() as folder:
        answers, left = replayed_bytes(unpacked(Path(folder)))
    same = hashlib.sha256(answers).hexdigest() == SHA256 and left == 0
    bars.check("run file written before the move replays byte for byte", float(same), "==", 1)


def mutants(bars: Bars) -> None:
    """The share of non-equivalent mutants that tests killed, where `make mutants` has run."""
    if not MUTANTS.is_file():
        print(f"      no {MUTANTS.relative_to(ROOT)}: run `make mutants` first")
        return
    parts = json.loads(MUTANTS.read_text(encoding="utf-8"))
    bars.check("parts in the last run of `make mutants`", len(parts), "==", len(read_parts(DEFAULT, ROOT)))
    for name, part in parts.items():
        bars.check(f"mutants sampled, {name}", part["mutants"], ">=", 60)
    check_tally(bars, parts)


_SOURCE = ("none", "none", "none: the source", "none")
PARTS = {
    "tree": Part(lambda bars, given: tree.measure(bars), *_SOURCE),
    "start": Part(lambda bars, given: start_up(bars), "none", "none", "none: processes of their own", "none"),
    "earlier": Part(
        lambda bars, given: earlier_file(bars),
        "supert-a0-easy, two chips of 6 x 4",
        "pulses",
        "replayed",
        "1, 2 and 11",
    ),
    "mutants": Part(
        lambda bars, given: mutants(bars), "none", "none", "none: results of `make mutants`", "named there"
    ),
}

if __name__ == "__main__":
    sys.exit(measure(__doc__, PARTS))
