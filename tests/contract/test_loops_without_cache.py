"""Compiled loops where their machine code cannot be kept, and where what was kept is damaged; in new processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from imssa_lab.contract.jit import AVAILABLE

ROOT = Path(__file__).parents[2]
CODE = """
from pathlib import Path
import numpy as np
from imssa_lab.log import open_run, record
from imssa_lab.log.file.compiled_checksum import overwrite
from tests.log.conftest import Chip, session
with record("run.h5", [Chip()], {}) as (array,):
    seen = session(array)
with open_run("run.h5") as run:
    assert session(*run.arrays()) == seen
print("same", len(overwrite.machine_code.stats.cache_hits))
"""
pytestmark = pytest.mark.skipif(not AVAILABLE, reason="numba is not installed")


def ran(folder: Path, **environment: str) -> tuple[str, str]:
    folder.mkdir(exist_ok=True)
    (folder / "run.h5").unlink(missing_ok=True)
    paths = os.pathsep.join(map(str, (ROOT / "trials" / "refusals", ROOT)))
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": paths} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_without_a_folder_for_the_cache_it_works_and_says_once_what_that_costs(tmp_path: Path) -> None:
    said, warned = ran(tmp_path / "a", REFUSED="home")
    assert said.startswith("same")
    assert warned.count("NUMBA_CACHE_DIR") == 1
    assert len(warned.splitlines()) == 1


def test_a_damaged_cache_is_made_again(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    ran(tmp_path / "a", NUMBA_CACHE_DIR=str(cache))
    files = sorted(file for file in cache.rglob("*overwrite*") if file.suffix in (".nbi", ".nbc"))
    assert {file.suffix for file in files} == {".nbi", ".nbc"}
    whole = {file: file.read_bytes() for file in files}
    for file in files:
        file.write_bytes(whole[file][: len(whole[file]) // 2])
    assert ran(tmp_path / "a", NUMBA_CACHE_DIR=str(cache)) == ("same 0\n", "")
    assert ran(tmp_path / "a", NUMBA_CACHE_DIR=str(cache)) == ("same 1\n", "")  # it was kept again
