"""Verdicts of a deployment: its own, which stays, and one more for every later check."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

RESULT, REPORT = "result.json", "report.html"
CHECKS = "checks"
_TIME = "%Y%m%dT%H%M%S%f"


def next_verdict(out: Path) -> Path:
    """Where the next result and report go: the folder itself until it holds a result, then checks/TIME (UTC)."""
    if not (out / RESULT).exists():
        return out
    return out / CHECKS / datetime.now(UTC).strftime(_TIME)[:-3]


def verdicts(out: Path) -> list[Path]:
    """The folders that hold a result, oldest first: that of the deployment, then those of its checks."""
    return [path.parent for path in (out / RESULT, *sorted(out.glob(f"{CHECKS}/*/{RESULT}"))) if path.exists()]


def verdict_lines(out: Path) -> list[str]:
    """All verdicts of a deployment, a line each."""
    lines = []
    for folder in verdicts(out):
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        passed = "verified" if result["passed"] else "NOT verified"
        if "nrmse" in result:
            score = f"NRMSE on the arrays {result['nrmse']['on_arrays']:.4f}"
        else:
            score = f"accuracy on the arrays {100 * result['accuracy']['on_arrays']:.1f} %"
        what = "deployment" if folder == out else f"check {folder.name}"
        lines.append(f"{what}: {passed}, {score}, {folder / REPORT}")
    return lines
