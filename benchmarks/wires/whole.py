"""What tests and commands prove as a whole: the contract on every kind of array, instruments, traps, both demos."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.bars import Bars
from benchmarks.collected_tests import collected

_ROOT = Path(__file__).parents[2]
_RESULT = re.compile(r"^(PASSED|FAILED|ERROR|SKIPPED) (\S+?)(?:\[(.*)\])?(?: - .*)?$", re.MULTILINE)
ARRAYS = (
    "twin",
    "recorded",
    "replayed",
    "scpi over tcp",
    "superT over a pty",
    "scpi, its wire replayed",
    "superT, its wire replayed",
    "smu and matrix over tcp",
    "ArC TWO's stand-in",
)


def contract(bars: Bars) -> None:
    """The contract suite, counted by kind of array."""
    passed, failed = _pytest(bars, "tests/contract")
    for kind in ARRAYS:
        bars.check(f"contract tests that fail: {kind}", _of(failed, kind), "==", 0, f"{_of(passed, kind)} pass")
        bars.check(f"contract tests that pass: {kind}", _of(passed, kind), ">=", 25)


def traps(bars: Bars) -> None:
    """The traps of pyvisa-py and of pseudo-terminals, one test each."""
    passed, failed = _pytest(
        bars,
        "tests/drivers",
        *(str(path) for path in sorted(_ROOT.glob("tests/instruments/supert_a0/test_supert_*.py"))),
    )
    bars.check("tests of traps, dangers and recorded wires that fail", failed.total(), "==", 0)
    for number in range(1, 11):
        bars.check(f"tests that pass: pyvisa-py trap {number}", _named(passed, f"::test_p{number}_"), ">=", 1)
    for number in range(1, 4):
        bars.check(f"tests that pass: pty trap {number}", _named(passed, f"::test_s{number}_"), ">=", 1)


def instruments(bars: Bars) -> None:
    """Tests on virtual instruments; whatever meters and matrices are asked there passes a strict IEEE 488.2 wire."""
    passed, failed = _pytest(bars, "tests/instruments")
    bars.check("tests on virtual instruments that fail", failed.total(), "==", 0, f"{passed.total()} pass")
    strict = sum(count for name, count in passed.items() if "/test_smu_matrix" in name)
    bars.check("of these, meters and matrices on a strict IEEE 488.2 wire", strict, ">=", 60)
    bars.check("of these, PyMeasure's and QCoDeS's own drivers", _named(passed, "/test_peer_drivers.py::"), ">=", 4)


def demos(bars: Bars) -> None:
    """The whole demo through both drivers."""
    if bars.smoke:
        bars.left_out("whole demos")
        return
    for kind in ("supert-a0", "scpi"):
        with tempfile.TemporaryDirectory() as folder:
            command = ["make", "-s", "demo", f"ARRAY={kind}", f"ARGS=--out {folder}/demo"]
            code = subprocess.run(command, cwd=_ROOT, stdout=subprocess.DEVNULL, check=False).returncode
        bars.check(f"make demo ARRAY={kind}: exit code", code, "==", 0)


def _pytest(bars: Bars, *paths: str) -> tuple[Counter[str], Counter[str]]:
    """Tests that passed, and those that did not, by name with their parameters; in a smoke run all that exist."""
    if bars.smoke:
        return Counter(collected(*paths)), Counter()
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "--tb=no", "--capture=fd", *paths]
    said = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False).stdout
    passed, failed = Counter[str](), Counter[str]()
    for verdict, name, parameters in _RESULT.findall(said):
        if verdict == "PASSED":
            passed[f"{name}[{parameters}]"] += 1
        elif verdict != "SKIPPED":
            failed[f"{name}[{parameters}]"] += 1
    if not passed:
        failed[said[-200:]] += 1
    return passed, failed


def _of(names: Counter[str], kind: str) -> int:
    return sum(count for name, count in names.items() if name.partition("[")[2].startswith((f"{kind}]", f"{kind}-")))


def _named(names: Counter[str], part: str) -> int:
    return sum(count for name, count in names.items() if part in name)
