"""The jobs of a lab: how much code their how-tos take, and which tests show that reports and pages are honest."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_LINES = 15
HOW_TOS = {
    "7, one matrix": "one-matrix.md",
    "9, other instruments": "other-instruments.md",
    "10, QCoDeS, PyMeasure, bluesky": "frameworks.md",
    "11, how the night ended": "the-night.md",
    "12, two chips, two days": "compare-chips.md",
    "13, export": "export.md",
}
"""Pages of docs/howto by job; job 8 is the notebook."""
ALTERNATIVES = ("frameworks.md",)
"""Pages of which a reader follows one block alone."""
NOTEBOOK, NOTEBOOK_TESTS = "first_afternoon.ipynb", 5
TRAPS = {
    "105 wrong of 1,624 cells that had to move": (
        "tests/protocols/deployed/test_cells_level.py::test_six_and_a_half_per_cent_of_the_cells_that_had_to_move_fail"
    ),
    "a recheck keeps the first verdict": (
        "tests/cli/test_deployments.py::test_through_the_serial_driver_and_checked_again_after_drift"
    ),
    "no published line beside a task of another name": (
        "tests/report/test_origin_page.py::test_our_loop_within_its_points"
    ),
    "a dead session is not good, on the live page": (
        "tests/report/test_live.py::test_the_page_says_that_the_session_is_gone"
    ),
    "a dead session is not good, in a notebook": (
        "tests/report/test_watched_run.py::test_a_killed_writer_is_not_called_running"
    ),
}
"""Planted traps, by the test that each must fail in."""
_FENCE = re.compile(r"^ *```(python|sh)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def lines_of(page: str) -> int:
    """Lines of code that a reader of a how-to types or copies: of all blocks, or of the longest alternative."""
    text = (ROOT / "docs/howto" / page).read_text(encoding="utf-8")
    lines = [_code_lines(block) for _, block in _FENCE.findall(text)]
    return max(lines) if page in ALTERNATIVES else sum(lines)


def live_cell_lines() -> int:
    """Lines of the cell of the notebook that watches a run."""
    cells = json.loads((ROOT / "docs" / NOTEBOOK).read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return max(_code_lines(source) for source in code if "watch_run(" in source)


def framework_versions() -> str:
    """Of the frameworks that are installed here."""
    return ", ".join(f"{name} {version(name)}" for name in ("qcodes", "pymeasure", "bluesky"))


def _code_lines(block: str) -> int:
    return sum(1 for line in block.splitlines() if line.strip() and not line.strip().startswith("#"))
