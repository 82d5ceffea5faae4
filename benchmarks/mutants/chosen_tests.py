"""The tests that a mutant meets: those that execute its statement, the quickest first."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from benchmarks.mutants.line_map import LineMap
from benchmarks.mutants.mutations import Mutant
from benchmarks.mutants.unseen_code import COMPILERS, last_name

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def tests_of(mutant: Mutant, tree: Path, known: LineMap) -> set[str]:
    """Tests that execute the statement of the mutant.

    The lines of a compiled loop are seen by no coverage tool: its callers answer for it. What a file does while it is
    imported concerns every test that imports it.
    """
    module = _parsed(tree / mutant.path)
    inside = _function_of(module, mutant.line)
    if inside is not None:
        if is_compiled(inside):
            return set().union(*(known.tests_of_lines(path, lines) for path, lines in _calls(tree, inside.name)))
        return known.tests_of_lines(mutant.path, _statement_of(inside, mutant.line))
    return known.tests_of_lines(mutant.path, [0])


def in_order(tests: Iterable[str], known: LineMap, limit_s: float) -> tuple[list[str], int]:
    """The quickest tests whose times add up to `limit_s` at most, file by file, and how many were left out.

    At least one is taken. The tests of one file remain together: they share fixtures.
    """
    quickest = sorted(tests, key=lambda test: (known.seconds[test], test))
    taken: list[str] = []
    total = 0.0
    for test in quickest:
        total += known.seconds[test]
        if taken and total > limit_s:
            break
        taken.append(test)
    cost: dict[str, float] = {}
    for test in taken:
        cost[_file(test)] = cost.get(_file(test), 0.0) + known.seconds[test]
    taken.sort(key=lambda test: (cost[_file(test)], _file(test), known.seconds[test]))
    return taken, len(quickest) - len(taken)


def compiled_with(tree: Path, path: Path) -> set[Path]:
    """The files whose compiled loops hold code of `path`: itself, and those that mention a name of such a file.

    numba's cache on disk looks at the time stamp of the loop's own file and would miss a change elsewhere.
    """
    found, asked = {path}, set[Path]()
    while found - asked:
        one = min(found - asked)
        asked.add(one)
        module = one.relative_to(tree).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
        found |= {other for other in _source_files(tree) if other not in found and _loops_mention(other, module)}
    return {one for one in found if _compiled(one)}


def _loops_mention(path: Path, module: str) -> bool:
    """Whether a compiled loop of this file uses a name that the file imports from `module`, not only as a type."""
    loops = _compiled(path)
    names = {
        one.asname or one.name
        for node in (ast.walk(_parsed(path)) if loops else ())
        if isinstance(node, ast.ImportFrom) and node.module == module
        for one in node.names
    }
    return any(_mentions(statement, names) for loop in loops for statement in loop.body)


@cache
def _compiled(path: Path) -> list[_Function]:
    return [node for node in ast.walk(_parsed(path)) if isinstance(node, _Function) and is_compiled(node)]


def is_compiled(function: _Function) -> bool:
    """Whether a function is compiled by numba."""
    return any(last_name(one) in COMPILERS for one in function.decorator_list)


class ChosenTests:
    """A pytest plugin: of the collected tests only those chosen, in their order; notes those that fail."""

    def __init__(self, tests: list[str], note: Path) -> None:
        self._order = {test: at for at, test in enumerate(tests)}
        self._note = note

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Keep and sort."""
        kept = sorted((one for one in items if one.nodeid in self._order), key=lambda one: self._order[one.nodeid])
        config.hook.pytest_deselected(items=[one for one in items if one.nodeid not in self._order])
        items[:] = kept

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A failure is written at once: the process may not live to its end."""
        if report.failed:
            with self._note.open("a", encoding="utf-8") as file:
                file.write(f"{report.nodeid}\n")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """What runs now, for a test that never ends."""
        self._note.with_suffix(".now").write_text(nodeid, encoding="utf-8")


def _file(test: str) -> str:
    return test.partition("::")[0]


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _function_of(module: ast.Module, line: int) -> _Function | None:
    """The innermost function whose body holds the line; a signature belongs to what surrounds it."""
    around = [
        node
        for node in ast.walk(module)
        if isinstance(node, _Function) and node.body[0].lineno <= line <= (node.end_lineno or 0)
    ]
    return max(around, key=lambda node: node.lineno) if around else None


def _statement_of(function: _Function, line: int) -> range:
    """Lines of the innermost statement at `line`; of a compound statement only its head."""
    best = range(line, line + 1)
    for node in ast.walk(function):
        if isinstance(node, ast.stmt | ast.ExceptHandler | ast.match_case) and node is not function:
            first = node.pattern.lineno if isinstance(node, ast.match_case) else node.lineno
            body = getattr(node, "body", None)
            last = max(first, body[0].lineno - 1) if body else int(getattr(node, "end_lineno", first))
            if first <= line <= last and (len(best) == 1 or last - first < len(best)):
                best = range(first, last + 1)
    return best


def _calls(tree: Path, name: str) -> Iterator[tuple[str, set[int]]]:
    """Lines that mention a compiled function, or one that mentions it, outside compiled functions."""
    names, asked = {name}, set[str]()
    while names - asked:
        asked |= names
        for path in _source_files(tree):
            for node in ast.walk(_parsed(path)):
                if isinstance(node, _Function) and is_compiled(node) and _mentions(node, asked):
                    names.add(node.name)
                elif isinstance(node, ast.Assign) and _mentions(node.value, asked):
                    # another name for it, such as that of the faster of two
                    names |= {one.id for one in node.targets if isinstance(one, ast.Name) and _is_choice(node.value)}
    for path in _source_files(tree):
        lines = set().union(
            *(
                _mentions(node, names)
                for node in ast.walk(_parsed(path))
                if isinstance(node, _Function) and not is_compiled(node)
            )
        )
        if lines:
            yield path.relative_to(tree).as_posix(), lines


def _is_choice(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) or (isinstance(value, ast.IfExp) and isinstance(value.body, ast.Name))


def _mentions(node: ast.AST, names: set[str]) -> set[int]:
    return {
        one.lineno
        for one in ast.walk(node)
        if (isinstance(one, ast.Name) and one.id in names) or (isinstance(one, ast.Attribute) and one.attr in names)
    }


@cache
def _source_files(tree: Path) -> tuple[Path, ...]:
    return tuple(
        path
        for folder in sorted(tree.iterdir())
        if folder.is_dir() and folder.name not in ("tests", "benchmarks", "docs", "bench", "build")
        for path in sorted(folder.rglob("*.py"))
    )
