"""Folders and files are where decision 6 and the rules of the repository say."""

from collections import Counter
from pathlib import Path

import pytest

from trials.import_graph import PACKAGES, ROOT, circles, code_files, import_graph

FILES = code_files()
MAY_BE_REPEATED = {"__init__", "wire", "conftest"}
MAY_IMPORT = {
    "trials": {*PACKAGES, "trials"},
    "tests": {*PACKAGES, "trials", "tests", "docs"},
    "benchmarks": {*PACKAGES, "trials", "benchmarks"},
    **{package: set(PACKAGES) for package in PACKAGES},
}


@pytest.fixture(scope="module")
def graph() -> dict[str, frozenset[str]]:
    return dict(import_graph(FILES))


def test_no_folder_imports_from_a_folder_that_it_may_not_know(graph: dict[str, frozenset[str]]) -> None:
    wrong = [
        f"{module} imports {target}"
        for module, targets in graph.items()
        for target in targets
        if (room := module.partition(".")[0]) in MAY_IMPORT and target.partition(".")[0] not in MAY_IMPORT[room]
    ]
    assert wrong == []


def test_virtual_instruments_know_of_the_drivers_their_wire_codecs_alone(graph: dict[str, frozenset[str]]) -> None:
    """Decision 8; a codec is a module or a package named `wire`."""
    known = {
        (module, target)
        for module, targets in graph.items()
        if module.startswith("imssa_lab.virtual.")
        for target in targets
        if target.startswith("drivers.")
    }
    assert known
    assert [pair for pair in known if "wire" not in pair[1].split(".")] == []


def test_no_two_files_have_one_name() -> None:
    names = Counter(file.stem for file in FILES if file.stem not in MAY_BE_REPEATED)
    assert [name for name, count in names.items() if count > 1] == []


def test_a_folder_is_taken_in_at_a_glance_and_so_is_a_file() -> None:
    folders = Counter(file.parent.as_posix() for file in FILES)
    assert {folder: count for folder, count in folders.items() if count > 16} == {}
    lines = {file.as_posix(): len((ROOT / file).read_text(encoding="utf-8").splitlines()) for file in FILES}
    assert {name: count for name, count in lines.items() if count > 400} == {}


def test_a_circle_is_found_wherever_the_import_is_written(tmp_path: Path) -> None:
    """Three files that lead to each other at the top, inside a function, and for type checkers alone."""
    (tmp_path / "a").mkdir()
    sources = {
        "a/__init__.py": "",
        "a/top.py": "from a import lazy\n",
        "a/lazy.py": "def f():\n    from .typed import T\n    return T\n",
        "a/typed.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a.top\nT = 1\n",
        "a/apart.py": "from a.top import f\nfrom a.typed import T\n",
    }
    for name, source in sources.items():
        (tmp_path / name).write_text(source)
    files = [Path(name) for name in sources]
    assert circles(import_graph(files, tmp_path)) == [["a.lazy", "a.top", "a.typed"]]
    (tmp_path / "a/lazy.py").write_text("T = 1\n")
    assert circles(import_graph(files, tmp_path)) == []


def test_the_list_of_files_is_not_empty() -> None:
    assert {"imssa_lab", "drivers", "twin", "protocols", "tests", "trials"} <= {file.parts[0] for file in FILES}
    assert all((ROOT / file).is_file() for file in FILES)
