"""Bugs from a list, planted one by one in a copy of the repository, and whether the tests of the driver see each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_COPIED = ("drivers", "twin", "protocols", "imssa_lab", "trials", "tests", "docs", "pyproject.toml")
_PATIENCE = 300.0


@dataclass(frozen=True)
class Planted:
    """A bug: `new` in place of `old`, which occurs once in `path`."""

    what: str
    path: str
    old: str
    new: str


def planted(name: str) -> list[Planted]:
    """The bugs of a list beside this file."""
    text = (Path(__file__).parent / name).read_text(encoding="utf-8")
    return [Planted(**entry) for entry in tomllib.loads(text)["planted"]]


def survivors(bugs: list[Planted], tests: list[str]) -> list[str]:
    """What the bugs are that no test sees.

    Raises:
        ValueError: the text of a bug does not occur exactly once, or the tests fail without any.
    """
    left = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in _COPIED:
            source = _ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy / name)
        if not _pass(copy, tests):
            raise ValueError("the tests fail without any bug; mend them first")
        for bug in bugs:
            file = copy / bug.path
            text = file.read_text(encoding="utf-8")
            if text.count(bug.old) != 1:
                raise ValueError(f"{bug.what}: {bug.old!r} occurs {text.count(bug.old)} times in {bug.path}")
            file.write_text(text.replace(bug.old, bug.new), encoding="utf-8")
            survived = _pass(copy, tests)
            file.write_text(text, encoding="utf-8")
            print(f"      {'SURVIVED' if survived else 'seen'}: {bug.what}", flush=True)
            if survived:
                left.append(bug.what)
    return left


def _pass(copy: Path, tests: list[str]) -> bool:
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command,
            cwd=copy,
            env=os.environ | {"PYTHONPATH": str(copy)},
            capture_output=True,
            check=False,
            timeout=_PATIENCE,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
