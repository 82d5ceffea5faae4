"""One mutant against its tests, in a private copy of the tree."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.mutants.chosen_tests import ChosenTests, compiled_with, in_order, tests_of
from benchmarks.mutants.line_map import LineMap
from benchmarks.mutants.mutations import Mutant
from benchmarks.mutants.trial_process import TIMED_OUT, in_child, run_pytest

KILLED, TIMED, SURVIVED, NOT_EXECUTED = "killed", "timed out", "survived", "not executed"
_NO_TEST_COLLECTED = 5
_COMPILING_S = 120.0
_CONTROL_S = 1800.0


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant.

    `killer`: the test that failed; `round`: "part" or "whole", the last that was run; `tests`, `left_out`: how many
    tests were chosen, and how many cost too much time.
    """

    outcome: str
    killer: str = ""
    round: str = ""
    tests: int = 0
    left_out: int = 0


@dataclass(frozen=True)
class Round:
    """Tests that a mutant meets together, the quickest first; `left_out`: how many are too slow; `seconds`: sum."""

    name: str
    tests: list[str]
    left_out: int
    seconds: float


def rounds(mutant: Mutant, tree: Path, of_part: LineMap, of_all: LineMap, limit_s: float) -> list[Round]:
    """First the tests of its part that execute its line, then all others that do."""
    own = tests_of(mutant, tree, of_part)
    others = tests_of(mutant, tree, of_all) - own
    result = []
    for name, tests, known in (("part", own, of_part), ("whole", others, of_all)):
        if tests:
            taken, left_out = in_order(tests, known, limit_s)
            result.append(Round(name, taken, left_out, sum(known.seconds[test] for test in taken)))
    return result


def try_mutant(mutant: Mutant, tree: Path, folder: Path, planned: list[Round]) -> Outcome:
    """Meet the tests, round by round, until one fails.

    Args:
        mutant: the bug.
        tree: the private copy; the file is put back afterwards.
        folder: for caches and notes.
        planned: the rounds; none where no test executes the line.
    """
    result = Outcome(NOT_EXECUTED)
    for one in planned:
        found = _meet(mutant, tree, folder, one)
        result = replace(found, tests=result.tests + found.tests, left_out=result.left_out + found.left_out)
        if result.outcome in (KILLED, TIMED):
            break
    return result


def failing(tests: list[str], tree: Path, folder: Path) -> list[str]:
    """Those of the tests that fail in the copy as it is, without a mutant.

    Raises:
        RuntimeError: pytest did not come to its end.
    """
    note, log = folder / "failing.txt", folder / "control.txt"
    note.unlink(missing_ok=True)
    files = sorted({test.partition("::")[0] for test in tests})
    chosen = ChosenTests(tests, note)
    status = in_child(
        tree, folder / "caches", lambda: run_pytest(["--tb=short", *files], chosen), log, _CONTROL_S, 4 * _CONTROL_S
    )
    if status not in (0, 1):
        raise RuntimeError(f"the null control ended with status {status}; see {log}")
    return sorted(set(_text(note).splitlines()))


def _meet(mutant: Mutant, tree: Path, folder: Path, planned: Round) -> Outcome:
    place = tree / mutant.path
    compiled = compiled_with(tree, place)
    caches = _without_loops(folder, compiled) if compiled else folder / "caches"
    note = folder / "killer.txt"
    for old in (note, note.with_suffix(".now")):
        old.unlink(missing_ok=True)
    limit = 3 * planned.seconds + 15 + (_COMPILING_S if compiled else 0.0)
    kept = place.with_suffix(".kept")
    place.rename(kept)
    try:
        place.write_text(mutant.code_from(kept.read_text(encoding="utf-8")), encoding="utf-8")
        chosen = ChosenTests(planned.tests, note)
        files = sorted({test.partition("::")[0] for test in planned.tests})
        status = in_child(
            tree,
            caches,
            lambda: run_pytest(["-x", "--tb=short", *files], chosen),
            folder / "trial.txt",
            cpu_s=limit,
            wall_s=4 * limit + 30,
        )
    finally:
        kept.replace(place)
    count = (planned.name, len(planned.tests), planned.left_out)
    if status == TIMED_OUT:
        return Outcome(TIMED, _text(note.with_suffix(".now")), *count)
    if status in (0, _NO_TEST_COLLECTED):
        return Outcome(SURVIVED, "", *count)
    failed = _text(note).splitlines() or [f"pytest ended with {status}"]
    return Outcome(KILLED, failed[0], *count)


def _without_loops(folder: Path, files: set[Path]) -> Path:
    """A copy of numba's cache without the loops of these files, which are compiled again."""
    caches = folder / "caches_of_mutant"
    shutil.rmtree(caches, ignore_errors=True)
    if (folder / "caches").is_dir():
        # numba calls the files of its cache by the source file, a dot, and the function
        names = shutil.ignore_patterns(*(f"{one.stem}.*" for one in files))
        shutil.copytree(folder / "caches", caches, ignore=names)
    return caches


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
