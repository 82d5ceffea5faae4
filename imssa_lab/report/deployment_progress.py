"""The progress of an unfinished deployment, by the journal in its log."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from imssa_lab.log.run import Run
from imssa_lab.report.page import Cited
from imssa_lab.report.report_tables import Table
from protocols.deployment.journal import JOURNAL, finished_cells


def progress_tables(run: Run) -> list[Table]:
    """Cells finished and stuck by array, and every kernel; nothing for a run without the plan of a deployment."""
    entries = [(seq, json.loads(text)) for seq, kind, text in run.numbered_events() if kind == JOURNAL]
    plan = next(((seq, entry) for seq, entry in reversed(entries) if entry["kind"] == "plan"), None)
    if plan is None:
        return []
    seq, plan_entry = plan
    rows, cols = plan_entry["shape"]
    finished: dict[int, Any] = {}
    arrays = []
    latest = {entry["array"]: (number, entry) for number, entry in entries if entry["kind"] == "array"}
    for index, (number, entry) in sorted(latest.items()):
        done = finished_cells(entry, rows * cols).reshape(rows, cols)
        stuck = entry["stuck"]
        arrays.append([Cited(str(index)), Cited(str(int(done.sum())), number), Cited(str(len(stuck)), number)])
        for row, col, _ in stuck:
            done[row, col] = True
        finished[index] = done
    kernels = [_kernel(kernel, finished, rows, cols, seq) for kernel in plan_entry["kernels"]]
    return [
        Table("Arrays", ["array", "cells finished, by re-read", "cells stuck"], arrays),
        Table("Kernels", ["kernel", "place", "progress"], kernels),
    ]


def _kernel(kernel: dict[str, Any], finished: dict[int, Any], rows: int, cols: int, seq: int) -> list[Cited]:
    layer, channel, array, _, _ = kernel["at"]
    pairs = np.array(kernel["pairs"])
    lines = np.stack([2 * pairs, 2 * pairs + 1], axis=-1).ravel()
    done = finished.get(array, np.zeros((rows, cols), np.bool_))[np.ix_(kernel["word_lines"], lines)]
    words = (
        "programmed, not verified"
        if done.all()
        else f"{int(done.sum())} of {done.size} cells programmed or stuck"
        if done.any()
        else "nothing programmed"
    )
    return [Cited(f"layer {layer}, channel {channel}"), Cited(f"array {array}", seq), Cited(words, seq)]
