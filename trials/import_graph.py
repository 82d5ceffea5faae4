"""Which file imports which, read from the source: at the top, inside functions, and for type checkers alone."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("imssa_lab", "drivers", "twin", "protocols")
Graph = Mapping[str, frozenset[str]]


def code_files(root: Path = ROOT) -> list[Path]:
    """Every .py file of the repository, relative to `root`: what git tracks or would track; all files without git."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        found = [Path(line) for line in listed.stdout.splitlines() if (root / line).is_file()]
    else:
        found = [path.relative_to(root) for path in root.rglob("*.py") if not any(p[0] == "." for p in path.parts)]
    return sorted(set(found))


def module_of(file: Path) -> str:
    """The dotted name of a file below the root: `a/b.py` and `a/b/__init__.py` are both `a.b`."""
    parts = file.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def import_graph(files: Iterable[Path], root: Path = ROOT) -> Graph:
    """The modules of `files` that each of them imports anywhere in its source.

    ``from a import b`` leads to the module ``a.b`` where there is one, and to ``a`` for any other name. An import
    written as a string (entry points, lazy attributes of a package) is not seen.
    """
    named = {module_of(file): file for file in files}
    return {
        module: frozenset(target for target in _targets(root / file, module, named) if target != module)
        for module, file in named.items()
    }


def _targets(path: Path, module: str, named: Mapping[str, Path]) -> Iterator[str]:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in named)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            for alias in node.names:
                if (inner := f"{base}.{alias.name}") in named:
                    yield inner
                elif base in named:
                    yield base


def circles(graph: Graph) -> list[list[str]]:
    """Groups of modules each of which leads to all others of its group, by Tarjan's algorithm (SIAM J. Comput. 1972).

    Each group is sorted; an empty list says that the modules have an order.
    """
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    path: list[str] = []
    found: list[list[str]] = []
    for start in graph:
        if start in index:
            continue
        work = [(start, iter(sorted(graph[start])))]
        index[start] = low[start] = len(index)
        path.append(start)
        while work:
            module, targets = work[-1]
            for target in targets:
                if target not in index:
                    index[target] = low[target] = len(index)
                    path.append(target)
                    work.append((target, iter(sorted(graph[target]))))
                    break
                if target in path:
                    low[module] = min(low[module], index[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[module])
                if low[module] == index[module]:
                    at = path.index(module)
                    group, path[at:] = sorted(path[at:]), []
                    if len(group) > 1:
                        found.append(group)
    return found
