"""Where to add what: every example of the page, applied to a copy of the code, works and touches few files."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.docs.code_blocks import ROOT

PAGE = (ROOT / "docs/howto/where-to-add.md").read_text(encoding="utf-8")
KINDS = ("Noise law", "Driver", "Programmer", "Verb", "Plot", "Task", "Log table")
MOST = 3
_BLOCK = r"\n\n```(?:py|toml)\n(.*?)```"
_EDIT = re.compile(r"^`([\w./]+)`, (?:new|below `([^\n]+)`):" + _BLOCK, re.MULTILINE | re.DOTALL)
_THEN = re.compile(r"\bThen[^\n]*:" + _BLOCK, re.DOTALL)
_CODE = ("imssa_lab", "protocols", "twin", "drivers")


class Edit(NamedTuple):
    """A file that is new (`below` is empty), or lines that are put below a line of one."""

    path: str
    below: str
    text: str


def section(kind: str) -> str:
    (found,) = re.findall(rf"^## {kind}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return found


def edits(kind: str) -> list[Edit]:
    return [Edit(*match.groups(default="")) for match in _EDIT.finditer(section(kind))]


def apply(edit: Edit, root: Path) -> None:
    path = root / edit.path
    if not edit.below:
        assert not path.exists(), f"{edit.path} is there already"
        path.write_text(edit.text, encoding="utf-8")
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    found = [number for number, line in enumerate(lines) if line.strip() == edit.below]
    assert len(found) == 1, f"{edit.path} holds {len(found)} lines {edit.below!r}; mend the page"
    at = found[0]
    path.write_text("".join([*lines[: at + 1], edit.text, *lines[at + 1 :]]), encoding="utf-8")


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code with all examples of the page in it."""
    root = tmp_path_factory.mktemp("code")
    for name in _CODE:
        shutil.copytree(ROOT / name, root / name)
    shutil.copy(ROOT / "pyproject.toml", root)
    for kind in KINDS:
        for edit in edits(kind):
            apply(edit, root)
    return root


@pytest.mark.parametrize("kind", KINDS)
def test_an_addition_touches_few_files(kind: str) -> None:
    touched = {edit.path for edit in edits(kind)}
    assert 1 <= len(touched) <= MOST
    # what the page calls a file and shows code for is counted: no block escapes the pattern
    assert len(edits(kind)) + 1 == section(kind).count("```py\n") + section(kind).count("```toml\n")


@pytest.mark.parametrize("kind", KINDS)
def test_an_addition_works(kind: str, changed: Path) -> None:
    (check,) = _THEN.findall(section(kind))
    around = {**os.environ, "PYTHONPATH": str(changed), "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=changed, env=around, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_without_the_addition_the_same_lines_fail(kind: str, tmp_path: Path) -> None:
    """Null control."""
    (check,) = _THEN.findall(section(kind))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    around = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", check], cwd=tmp_path, env=around, capture_output=True, check=False)
    assert done.returncode != 0


def test_the_examples_are_written_as_the_rest_is(changed: Path) -> None:
    files = sorted({edit.path for kind in KINDS for edit in edits(kind) if edit.path.endswith(".py")})
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *files], cwd=changed, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
