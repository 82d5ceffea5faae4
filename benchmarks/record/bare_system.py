"""The log, the tests and the demo where nothing of POSIX is to be had: in other processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from benchmarks.bars import Bars
from imssa_lab.log import open_run

_ROOT = Path(__file__).parents[2]
_REFUSING = _ROOT / "trials" / "refusals"
_IMSSA = "from imssa_lab.cli import main; main()"


def _python(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    paths = [str(_REFUSING), str(_ROOT), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "REFUSED": "posix"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, cwd=_ROOT, text=True, check=False, **options)  # type: ignore[call-overload,no-any-return]


def bare_writer(bars: Bars, folder: Path) -> None:
    """The kills and the rates again; what they print is held against their own bars there."""
    size = bars.size((), smoke=("--smoke",), quick=("--quick",))
    measured = _python(
        "-m", "benchmarks.measure_record", "--folder", str(folder), *size, "--only", "kills", "writing", "flips"
    )
    bars.check("kills, rates and flips without POSIX, exit code", measured.returncode, "==", 0)


def bare_suite(bars: Bars, folder: Path) -> None:
    """The whole suite, two processes side by side; tests of serial ports skip, each with its reason."""
    chosen = bars.size(["-n", "2", "--dist", "loadfile", "tests"], smoke=["tests/log/test_checksums.py"])
    done = _python("-m", "pytest", "-q", "-rfEs", "-p", "no:cacheprovider", *chosen, stdout=subprocess.PIPE)
    print("\n".join(line for line in done.stdout.splitlines() if line.startswith(("SKIPPED", "FAILED", "ERROR"))))
    passed, *_ = [*map(int, re.findall(r"(\d+) passed", done.stdout)), 0]
    bars.check("the suite without POSIX, exit code", done.returncode, "==", 0, f"{passed} passed")


def bare_demo(bars: Bars, folder: Path) -> None:
    """The demo, in process and through the driver of a board on TCP, and its replay."""
    if bars.smoke:
        bars.left_out("whole demos")
        return
    board = ["--virtual", "supert-a0"]
    for name, more in (("twin", []), ("superT A0", board)):
        out = folder / f"demo-{name[:4]}"
        done = _python("-c", _IMSSA, "demo", *more, "--out", str(out), stdout=subprocess.DEVNULL)
        again = _python("-c", _IMSSA, "log", "replay", str(out / "run.h5"))
        with open_run(out / "run.h5") as run:
            whole = run.closed_cleanly
        bars.check(f"demo on {name} without POSIX, exit codes", done.returncode + again.returncode, "==", 0)
        bars.check(f"its log on {name} closed cleanly", float(whole), "==", 1)
