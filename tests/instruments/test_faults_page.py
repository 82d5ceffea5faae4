"""docs/faults.md: a recipe for every kind of fault, and every test that it names is there."""

import re
from pathlib import Path

from imssa_lab.virtual.wire_faults import KINDS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")


def test_every_kind_has_its_recipe() -> None:
    rows = re.findall(r"^\|[^|]*\|([^|]*)\|[^|]*\|[^|]*\|$", PAGE, re.MULTILINE)
    named = {kind for row in rows for kind in re.findall(r"`([a-z-]+)`", row)}
    assert named == set(KINDS)


def test_every_test_that_it_names_is_there() -> None:
    folders = ROOT / "tests", ROOT / "imssa_lab/contract/testing"
    tests = "\n".join(path.read_text(encoding="utf-8") for folder in folders for path in folder.rglob("*.py"))
    files = {"test_scpi_array", "test_supert_dangers", "test_safety"}
    named = set(re.findall(r"test_[a-z0-9_]+\b(?!\.py)", PAGE)) - files
    assert len(named) > 10
    assert {name for name in named if f"def {name}(" not in tests} == set()
    assert all((ROOT / path).exists() for path in re.findall(r"tests/[a-z_/]+\.py", PAGE))
