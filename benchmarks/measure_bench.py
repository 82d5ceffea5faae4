"""make measure-bench: bench scripts, commands, pages, documentation (40 minutes: most for tutorial and dry runs).

What tests prove is measured by running them: how many pass, and that none was skipped.
"""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import imssa_lab
from benchmarks.bars import Bars
from benchmarks.bench.dry_runs import IMSSA, dry_runs
from benchmarks.bench.jobs import (
    HOW_TOS,
    MOST_LINES,
    NOTEBOOK_TESTS,
    TRAPS,
    framework_versions,
    lines_of,
    live_cell_lines,
)
from benchmarks.bench.pages_in_browser import pages_in_browser
from benchmarks.collected_tests import collected
from benchmarks.parts import Part, measure

ROOT = Path(__file__).parents[1]
_TIMES = 7
_BENCH = """
[arrays.left]
address = "twin:supert-a0?seed=1"
"""


def speed(bars: Bars) -> None:
    """Wall times of the two commands that a person waits for; the best of several, as the machine may be busy.

    Beside each is the processor time, which says more where it is.
    """
    wall, note = _best(bars, ["--help"])
    bars.check("imssa --help, s", wall, "<=", 0.5, note)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "station.toml").write_text(_BENCH)
        wall, note = _best(bars, ["station", "check"], folder)
        bars.check("imssa station check on a twin, s", wall, "<=", 1.0, note)


def _best(bars: Bars, words: list[str], folder: str | None = None) -> tuple[float, str]:
    found, spent = [], []
    for _ in range(bars.size(_TIMES, smoke=1)):
        start, before = time.perf_counter(), os.times()
        subprocess.run([sys.executable, "-c", IMSSA, *words], cwd=folder, check=True, capture_output=True)
        found.append(time.perf_counter() - start)
        after = os.times()
        spent.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return min(found), f"{min(spent):.2f} s of processor time"


def helps(bars: Bars) -> None:
    """Commands with an example that the command line takes, and public names with a docstring."""
    passed, skipped, failed = _tests(bars, "tests/docs", "-k", "every_command or commands_of_a_page")
    bars.check("commands and pages whose examples fit the command line, not passed", failed + skipped, "==", 0)
    bars.check("commands and pages whose examples fit the command line, passed", passed, ">=", 25)
    bare = [name for name in imssa_lab.__all__ if not inspect.getdoc(getattr(imssa_lab, name))]
    bars.check("public names without a docstring", len(bare), "==", 0, ", ".join(bare))


def mistakes(bars: Bars) -> None:
    """Planted mistakes in station files and on command lines that are named and reach no instrument."""
    files = "tests/cli/station/test_station_file.py", "tests/cli/test_mistakes.py"
    passed, skipped, failed = _tests(bars, *files, "-k", "mistake")
    bars.check("planted mistakes that are named and reach no instrument", passed, ">=", 30)
    bars.check("planted mistakes that are not", skipped + failed, "==", 0)


def scripts(bars: Bars) -> None:
    """Six scripts on the twin, over serial and over VISA, each with the replay of its log."""
    passed, skipped, failed = _tests(bars, "tests/bench", "-k", "script_runs or compared")
    bars.check("bench scripts that pass, on three kinds of array, and replay", passed, "==", 18)
    bars.check("bench scripts that do not", skipped + failed, "==", 0)


def pages(bars: Bars) -> None:
    """The report and the live page in headless Chromium."""
    passed, skipped, failed = _tests(bars, "tests/report/test_browser.py", "tests/report/test_live.py")
    bars.check("tests of report and live page in Chromium, passed", passed, ">=", 15)
    bars.check("tests of report and live page in Chromium, failed or skipped", failed + skipped, "==", 0)


def site(bars: Bars) -> None:
    """The documentation: its code runs, its site builds without a warning."""
    _, skipped, failed = _tests(bars, "tests/docs")
    note = f"{skipped} skipped: the README runs elsewhere, and code on data that may not be here"
    bars.check("pages of the documentation that fail", failed, "==", 0, note)


def jobs(bars: Bars) -> None:
    """How-tos of the lab's jobs are short and each runs alone in an empty folder; the notebook with its widget."""
    for job, page in HOW_TOS.items():
        bars.check(f"job {job}: lines of code in {page}", lines_of(page), "<=", MOST_LINES)
    bars.check("job 8, notebook: lines of the cell that watches a run", live_cell_lines(), "<=", MOST_LINES)
    names = " or ".join(page.removesuffix(".md") for page in HOW_TOS.values())
    files = "tests/docs/test_docs.py", "tests/docs/test_first_afternoon.py"
    passed, skipped, failed = _tests(bars, *files, "-k", f"code_of_a_page and ({names}) or first_afternoon")
    what = "how-tos of these jobs run in an empty folder, and tests of the executed notebook"
    bars.check(f"{what}, passed", passed, "==", len(HOW_TOS) + NOTEBOOK_TESTS)
    bars.check(f"{what}, failed or skipped", skipped + failed, "==", 0)


def traps(bars: Bars) -> None:
    """Planted dishonesties, each by its own test."""
    passed, skipped, failed = _tests(bars, *TRAPS.values())
    bars.check("planted traps that a test sees", passed, "==", len(TRAPS), "; ".join(TRAPS))
    bars.check("planted traps that none sees", skipped + failed, "==", 0)


def frameworks(bars: Bars) -> None:
    """Bridges against the real libraries, in the versions that constraints.txt pins."""
    passed, skipped, failed = _tests(bars, "tests/bridges")
    bars.check("tests of QCoDeS, PyMeasure and bluesky, passed", passed, ">=", 4, framework_versions())
    bars.check("tests of QCoDeS, PyMeasure and bluesky, failed or skipped", skipped + failed, "==", 0)


def tutorial(bars: Bars) -> None:
    """The tutorial alone, on a copy of the last commit, in a new environment: machine time of its commands."""
    if bars.smoke:
        bars.left_out("the tutorial in a new environment")
        return
    with tempfile.TemporaryDirectory() as folder:
        start, home = time.perf_counter(), Path(folder)
        subprocess.run(["git", "clone", "-q", str(ROOT), str(home / "repository")], check=True)
        text = (home / "repository/docs/tutorial.md").read_text(encoding="utf-8")
        subprocess.run(["make", "-s", "env"], cwd=home / "repository", check=True, capture_output=True)
        bench, binaries = home / "bench", home / "repository/.venv/bin"
        bench.mkdir()
        blocks = re.findall(r"```(python|sh)\n(.*?)```", text, re.DOTALL)
        for kind, block in blocks:
            command = [str(binaries / "python"), "-c", block] if kind == "python" else ["bash", "-e", "-c", block]
            path = f"{binaries}:{os.environ['PATH']}"
            found = {**os.environ, "PATH": path}
            done = subprocess.run(command, cwd=bench, env=found, capture_output=True, text=True, check=False)
            bars.check(f"exit code of {block.strip().splitlines()[0][:50]!r} ...", done.returncode, "==", 0)
            if done.returncode:
                print(done.stdout[-1000:], done.stderr[-1000:])
        minutes = (time.perf_counter() - start) / 60
        bars.check("tutorial, machine time, min; a person reads and types meanwhile", minutes, "<=", 30)
        bars.check(
            "report of the first deployed kernels is there", (bench / "night-1/report.html").is_file(), "==", 1
        )


def _tests(bars: Bars, *words: str) -> tuple[int, int, int]:
    """How many tests passed, were skipped, and failed; in a smoke run how many there are instead of passed."""
    if bars.smoke:
        return len(collected(*words)), 0, 0
    command = [sys.executable, "-m", "pytest", "-q", *words]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    print(*(line for line in said.splitlines() if line.startswith(("FAILED", "ERROR"))), sep="\n", end="")
    last = said.strip().splitlines()[-1] if said.strip() else ""
    counts = {kind: int(count) for count, kind in re.findall(r"(\d+) (passed|skipped|failed|error)", last)}
    if not counts:
        print(said[-2000:])
        return 0, 0, 1
    return counts.get("passed", 0), counts.get("skipped", 0), counts.get("failed", 0) + counts.get("error", 0)


def _part(run: Callable[[Bars], None], profile: str, cells: str, array: str, seeds: str) -> Part:
    return Part(lambda bars, given: run(bars), profile, cells, array, seeds)


_TESTED = ("supert-a0-easy", "pulses", "that of the tests: in process and virtual instruments", "those of the tests")
PARTS = {
    "speed": _part(speed, "supert-a0", "fresh", "twin in process", "1"),
    "helps": _part(helps, "none", "none", "none", "none"),
    "mistakes": _part(mistakes, *_TESTED),
    "scripts": _part(scripts, *_TESTED),
    "pages": _part(pages, *_TESTED),
    "browser": _part(
        pages_in_browser, "supert-a0, supert-a0-easy", "pulses", "twin in process", "chips 1, 2, 11, 12"
    ),
    "site": _part(site, *_TESTED),
    "jobs": _part(jobs, *_TESTED),
    "traps": _part(traps, *_TESTED),
    "frameworks": _part(frameworks, *_TESTED),
    "dry-runs": _part(dry_runs, "supert-a0-easy, supert-a0", "fresh", "twin in process", "chips 41 to 45, model 0"),
    "tutorial": _part(tutorial, "supert-a0", "pulses", "twin in process", "those of the tutorial"),
}

if __name__ == "__main__":
    sys.exit(measure(__doc__, PARTS))
