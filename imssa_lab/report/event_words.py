"""Events of a log for people: what programs write as JSON, in words."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from imssa_lab.log.write.programming_events import AIM, read_aim
from imssa_lab.report.measured.deployment_result import OUTCOME, RESULT_EVENT
from protocols.deployment.journal import JOURNAL, finished_cells


def event_words(kind: str, text: str, longest: int = 160) -> str:
    """An event without the maps that it carries; other text is cut to so many characters and "..."."""
    if kind == AIM:
        aim = read_aim(text)
        return f"array {aim.array}: programming of {int(np.isfinite(aim.target).sum())} cells begins"
    if kind == JOURNAL:
        return _journal_words(json.loads(text))
    if kind in (RESULT_EVENT, OUTCOME):
        return f"{len(text)} characters of JSON, for reports and replay"
    if text.startswith('{"kind": "array"'):
        return _journal_words(json.loads(text))
    return text if len(text) <= longest else f"{text[:longest]} ..."


def _journal_words(entry: dict[str, Any]) -> str:
    if entry["kind"] == "plan":
        arrays, dense = {kernel["at"][2] for kernel in entry["kernels"]}, entry.get("dense", [])
        words = f"plan: {len(entry['kernels'])} kernels on arrays {', '.join(map(str, sorted(arrays)))}"
        held = ", ".join(map(str, sorted({tile["array"] for tile in dense})))
        return f"{words}; dense layers in {len(dense)} tiles on arrays {held}" if dense else words
    if entry["kind"] == "array":
        finished = int(finished_cells(entry).sum())
        return (
            f"array {entry['array']}: {finished} cells finished, {len(entry['stuck'])} stuck, "
            f"{entry['pulses']} pulses on all arrays so far"
        )
    return f"all levels judged: {'verified' if entry['passed'] else 'NOT verified'}"
