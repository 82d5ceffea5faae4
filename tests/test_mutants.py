"""The mutation run itself: a bug that a test sees is killed, others survive, and the sample is that of its seed."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = """\
def doubled(x: int | None = None) -> int:
    return 2 if x is None else x + x


def unseen(x: int) -> int:
    return x - 7
"""
TESTS = """\
from tiny.sums import doubled


def test_doubled() -> None:
    assert (doubled(3), doubled()) == (6, 2)
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A package of two functions, of which one is tested."""
    for name, text in {
        "tiny/__init__.py": "",
        "tiny/sums.py": SOURCE,
        "tests/test_sums.py": TESTS,
        "pyproject.toml": '[tool.pytest.ini_options]\ntestpaths = ["tests"]\n',
        "parts.toml": '[tiny]\nsources = ["tiny"]\ntests = ["tests"]\n',
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def run(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    here = ["--tree", str(tree), "--parts", str(tree / "parts.toml"), "--folder", str(tree / "build")]
    command = [sys.executable, "-m", "benchmarks.mutants.run_mutants", *here, "--workers", "1", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)


pytestmark = pytest.mark.skipif(find_spec("cosmic_ray") is None, reason="needs the extra `mutants`")


def test_what_a_test_sees_is_killed_and_what_none_sees_survives(tree: Path) -> None:
    (tree / "tiny" / "apart.py").write_text("LIMIT = 7\n")  # which nothing imports
    done = run(tree)
    assert done.returncode == 1, done.stderr
    assert "not executed: tiny/apart.py:1" in done.stdout
    assert "null control: tests that fail without a mutant: 0, required == 0" in done.stdout
    ends = {line.rpartition(" ")[2]: line for line in done.stdout.splitlines() if line.startswith("tiny ")}
    assert ends
    assert all("killed" in end for place, end in ends.items() if place.endswith(":2"))
    assert "not executed: tiny/sums.py:6" in done.stdout
    assert "  - return x - 7\n  + return x + 7\n" in done.stdout
    assert (tree / "tiny" / "sums.py").read_text() == SOURCE
    # an interrupted run continues: nothing is tried twice
    assert not [line for line in run(tree).stdout.splitlines() if line.startswith("tiny 1/")]


def test_the_sample_is_that_of_its_seed_and_survives_edits_elsewhere(tree: Path) -> None:
    first = run(tree, "--list", "--count", "3", "--seed", "1").stdout
    assert first == run(tree, "--list", "--count", "3", "--seed", "1").stdout
    assert first.count("tiny/sums.py") == 3
    assert "int & None" not in run(tree, "--list").stdout
    others = {
        run(tree, "--list", "--count", "3", "--seed", str(seed)).stdout.partition("\n")[2] for seed in (2, 3, 4)
    }
    assert len(others | {first.partition("\n")[2]}) > 1
    (tree / "tiny" / "sums.py").write_text('"""Sums."""\n\n' + SOURCE)
    assert run(tree, "--list", "--count", "3", "--seed", "1").stdout == first


def test_stars_that_unpack_are_no_operators(tree: Path) -> None:
    (tree / "tiny" / "sums.py").write_text("def merged(a, b):\n    return {**a, **b}, [*a], max(*b, **a), *b\n")
    done = run(tree, "--list")
    assert done.returncode == 0, done.stderr
    assert "**" not in "".join(line.partition("->")[2] for line in done.stdout.splitlines() if "max(" in line)


COMPILED_WITH = """
import json, sys
from pathlib import Path
from benchmarks.mutants.chosen_tests import compiled_with
from benchmarks.mutants.unseen_code import COMPILERS

tree = Path(sys.argv[1])
files = {one.stem: sorted(each.stem for each in compiled_with(tree, one)) for one in (tree / "tiny").glob("*.py")}
print(json.dumps([sorted(COMPILERS), files]))
"""


def test_every_compiler_of_loops_is_known_and_loops_are_compiled_again_with_what_they_use(tmp_path: Path) -> None:
    for name, text in {
        "figures": "K = 3\n",
        "types": "Array = list\n",
        "sums": "from tiny.figures import K\n\n@jit.compiled\ndef once(x):\n    return x + K\n",
        "loops": "from tiny.sums import once\nfrom tiny.types import Array\n\n"
        "@inner\ndef loop(x: Array):\n    return once(x)\n",
        "plain": "from tiny.figures import K\n\ndef other():\n    return K\n",
    }.items():
        (tmp_path / "tiny").mkdir(exist_ok=True)
        (tmp_path / "tiny" / f"{name}.py").write_text(text)
    command = [sys.executable, "-c", COMPILED_WITH, str(tmp_path)]
    known, found = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)
    compilers = (ROOT / "imssa_lab" / "contract" / "jit.py").read_text()
    made = re.findall(r"^ +(\w+) = _compiles\(", compilers, re.MULTILINE)
    assert {"compiled", "inner"} <= set(made) <= set(known)
    assert found == {
        "figures": ["loops", "sums"],
        "types": [],
        "sums": ["loops", "sums"],
        "loops": ["loops"],
        "plain": [],
    }
