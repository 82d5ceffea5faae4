"""Every verb of the command line on every file of a folder of odd ones: one line that names the file, no more."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from benchmarks.bars import Bars
from benchmarks.record.damage import make
from imssa_lab.cli import app
from trials.record.odd_folder import odd_folder


def odd_files(bars: Bars, folder: Path) -> None:
    """What each verb says of each odd file; and that `log list` shows the good runs among them."""
    make(folder / "run.h5")
    where = odd_folder(folder / "data", folder / "run.h5")
    good, out = str(where.good[0]), str(folder / "out")
    odd = where.odd[:: bars.size(1, smoke=len(where.odd) // 2)]
    verbs = {
        "log show": [],
        "log verify": [],
        "log repair": [],
        "log copy": [out],
        "log publish": [out],
        "log export": ["--out", out],
        "log tail": [],
        "log stats": [],
        "log diff": [good],
        "log replay": [],
        "report": [],
        "monitor": ["--once"],
        "twin-check": ["supert-a0"],
    }
    before = {path: path.read_bytes() for path in odd if path.is_file()}
    found = wrong = 0
    for verb, more in verbs.items():
        for path in odd:
            done = CliRunner().invoke(app, [*verb.split(), str(path), *more])
            lines = done.stderr.splitlines()
            good_word = len(lines) == 1 and path.name in lines[0] and not done.stdout and done.exit_code == 1
            found, wrong = found + good_word, wrong + (not good_word)
            if not good_word:
                print(f"     {verb} {path.name}: exit code {done.exit_code}, {lines[:3]}, {done.exception!r}")
    bars.check(f"one line on each of {len(odd)} odd files by each of {len(verbs)} verbs", found, "==", found + wrong)
    touched = sum(path.read_bytes() != data for path, data in before.items()) + Path(out).exists()
    bars.check("odd files changed, or something made of them", touched, "==", 0)
    listed = CliRunner().invoke(app, ["log", "list", str(where.path)]).stdout.splitlines()
    files = [path for path in (*where.good, *where.odd) if path.is_file()]
    once = sum(sum(f" {path} " in f"{line} " for line in listed) == 1 for path in files)
    bars.check("files that have one line in log list", once, "==", len(files))
    shown = sum("closed" in line for line in listed)
    bars.check("good runs in log list", shown, "==", len(where.good))
