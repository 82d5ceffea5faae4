"""Which tests execute which line: one file of the map for each test file, kept while nothing changed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import coverage
from coverage.exceptions import DataError

from benchmarks.mutants.line_contexts import CONTEXT, FIXTURE, LineContexts
from benchmarks.mutants.tested_parts import digest
from benchmarks.mutants.trial_process import in_child, run_pytest

Lines = dict[int, set[str]]


@dataclass
class LineMap:
    """`lines[path][line]`: the tests that execute it; line 0: that import the file. `seconds`: what each takes."""

    lines: dict[str, Lines] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def tests_of_lines(self, path: str, lines: Iterable[int]) -> set[str]:
        """All tests that execute one of the lines."""
        here = self.lines.get(path, {})
        return set().union(*(here.get(line, set()) for line in lines))


def read_map(store: Path, test_files: Iterable[str]) -> LineMap:
    """The map of those test files that have one in `store`."""
    result = LineMap()
    for name in test_files:
        where = _where(store, name)
        if where.is_file():
            raw = json.loads(where.read_text(encoding="utf-8"))
            tests = list(raw["seconds"])
            result.seconds.update(raw["seconds"])
            for path, lines in raw["lines"].items():
                here = result.lines.setdefault(path, {})
                for line, indices in lines.items():
                    here.setdefault(int(line), set()).update(tests[index] for index in indices)
    return result


def out_of_date(tree: Path, store: Path, test_files: Iterable[str]) -> list[str]:
    """Test files without a map, or whose map was made with other files than those of `tree`."""
    return [name for name in test_files if not _is_current(tree, _where(store, name))]


def make_map(tree: Path, store: Path, folder: Path, test_file: str) -> list[str]:
    """Run one test file under coverage in `tree`, a private copy, and store its map.

    Returns:
        The tests that failed or were skipped; no mutant meets them.
    """
    work = folder / "coverage"
    work.mkdir(parents=True, exist_ok=True)
    for old in work.glob("data*"):
        old.unlink()
    times = work / "times.json"
    times.unlink(missing_ok=True)
    settings = work / "settings.ini"
    settings.write_text(
        f"[run]\ndata_file = {work / 'data'}\nparallel = true\nsource_dirs = {tree}\ncontext = ${{{CONTEXT}}}\n"
        "core = ctrace\ndisable_warnings = no-data-collected,module-not-imported,module-not-measured\n"
        f"omit =\n    {tree}/tests/*\n"
    )

    def measure() -> int:
        os.environ.pop(CONTEXT, None)
        # Every Python process that a test starts reads this, and takes the test's name from the environment.
        os.environ["COVERAGE_PROCESS_START"] = str(settings)
        measured = coverage.Coverage(config_file=str(settings))
        measured.start()
        contexts = LineContexts(measured)
        status = run_pytest([test_file], contexts)
        measured.stop()
        measured.save()
        contexts.write(times)
        return status

    status = in_child(tree, folder / "caches", measure, work / "log.txt", cpu_s=1800, wall_s=1800)
    if not times.is_file():
        raise RuntimeError(
            f"{test_file} ended with status {status} before its lines were known; see {work / 'log.txt'}"
        )
    raw = json.loads(times.read_text(encoding="utf-8"))
    _store(tree, _where(store, test_file), test_file, raw, dict(_executed(tree, work, raw)))
    return [str(test) for test in raw["failed"]]


def _executed(tree: Path, work: Path, raw: dict[str, Any]) -> Iterator[tuple[str, Lines]]:
    """Lines of each source file with the tests that execute them; line 0 where the file is only imported."""
    data = coverage.CoverageData(basename=str(work / "all"))
    for part in sorted(work.glob("data.*")):
        one = coverage.CoverageData(basename=str(part))
        try:
            one.read()
        except DataError:  # of a process that a test killed while this was written
            continue
        data.update(one)
    users: dict[str, set[str]] = {}
    for test, fixtures in raw["fixtures"].items():
        for fixture in fixtures:
            users.setdefault(FIXTURE + fixture, set()).add(test)
    passed = set(raw["seconds"])
    for path in data.measured_files():
        executed = data.contexts_by_lineno(path)
        if not executed:  # listed because it lies in the tree; nothing imported it
            continue
        lines: dict[int, set[str]] = {0: passed}
        for line, contexts in executed.items():
            tests = set().union(*(users.get(one, {one} & passed) for one in contexts))
            if tests:
                lines[line] = tests
        yield Path(path).resolve().relative_to(tree.resolve()).as_posix(), lines
    data.close()
    (work / "all").unlink(missing_ok=True)


def _store(tree: Path, where: Path, test_file: str, raw: dict[str, Any], lines: dict[str, Lines]) -> None:
    index = {test: at for at, test in enumerate(raw["seconds"])}
    beside = [test_file, *(str(path.relative_to(tree)) for path in _conftests(tree, test_file))]
    content = {
        "made_from": {path: digest(tree / path) for path in [*beside, *lines]},
        "seconds": {test: round(seconds, 3) for test, seconds in raw["seconds"].items()},
        "failed": raw["failed"],
        "lines": {
            path: {str(line): sorted(index[test] for test in tests) for line, tests in here.items()}
            for path, here in lines.items()
        },
    }
    where.parent.mkdir(parents=True, exist_ok=True)
    draft = where.with_suffix(".draft")
    draft.write_text(json.dumps(content))
    draft.replace(where)


def _conftests(tree: Path, test_file: str) -> list[Path]:
    folders = [tree / parent for parent in Path(test_file).parents if parent.parts]
    return [folder / "conftest.py" for folder in folders if (folder / "conftest.py").is_file()]


def _is_current(tree: Path, where: Path) -> bool:
    if not where.is_file():
        return False
    made_from = json.loads(where.read_text(encoding="utf-8"))["made_from"]
    return all(digest(tree / path) == known for path, known in made_from.items())


def _where(store: Path, test_file: str) -> Path:
    return store / (test_file.replace("/", ".") + ".json")
