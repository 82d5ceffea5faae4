"""The tables of a report, every number with its record."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import xarray

from imssa_lab.contract.programming_report import CellOutcome
from imssa_lab.log.run import Run
from imssa_lab.log.schema import TABLES
from imssa_lab.report.inference_words import inference_facts
from imssa_lab.report.measured.deployment_result import Outcome, verdict_of
from imssa_lab.report.measured.held_layers import held_layers
from imssa_lab.report.measured.programmed import shares
from imssa_lab.report.page import Cited

_MOST_ROWS = 200
_GOOD_END = "good"
_LEVELS = 4


@dataclass(frozen=True)
class Table:
    """Rows of cited values under a title."""

    title: str
    head: list[str]
    rows: list[list[Cited]]
    note: str = ""


def accuracies(outcome: Outcome) -> list[tuple[str, Cited]]:
    """Test accuracies by name, or NRMSE of a net that gives values, in words; those not known are left out."""
    values = accuracy_values(outcome)
    if "nrmse" in outcome.result:
        return [(name, Cited(f"NRMSE {value:.4f}", outcome.record)) for name, value in values]
    return [(name, Cited(f"{100 * value:.1f} %", outcome.record)) for name, value in values]


def accuracy_values(outcome: Outcome) -> list[tuple[str, float]]:
    """Test accuracies by name, fractions; of a net that gives values, the NRMSE."""
    accuracy = outcome.result.get("accuracy") or outcome.result["nrmse"]
    names = {"float": "float", "quantised": "quantised", "on_arrays": "on arrays", "null_control": "null control"}
    return [(words, float(accuracy[name])) for name, words in names.items() if accuracy[name] is not None]


def least_accuracy(outcome: Outcome) -> float | None:
    """The least accuracy on the arrays that the task level lets pass, a fraction; None where it was not judged."""
    software = outcome.result["accuracy"]["quantised"]
    bounds = [level["bound"] for level in outcome.result["levels"] if level["level"] == "task"]
    return None if software is None or not bounds else float(software - bounds[0])


def levels(run: Run, outcome: Outcome) -> Table:
    """The levels, each with its event: four, and a fifth where arrays hold dense layers."""
    events = {text.split(":", 1)[0]: seq for seq, kind, text in run.numbered_events() if kind == "level"}
    rows = []
    for level in outcome.result["levels"]:
        record = events.get(level["level"], outcome.record)
        rows.append(
            [
                Cited(level["level"]),
                Cited(verdict_of(level), record),
                Cited(level["requirement"]),
                Cited(f"{level['measured']:.4g}", record),
                Cited(f"{level['bound']:.4g}", record),
            ]
        )
    number = "Five" if len(rows) > _LEVELS else "Four"
    return Table(
        f"{number} levels of verification", ["level", "verdict", "what is judged", "measured", "bound"], rows
    )


def figures(run: Run, outcome: Outcome) -> Table:
    """Everything that the levels measured."""
    rows = [
        [Cited(level["level"]), Cited(name), Cited(f"{value:.6g}", outcome.record)]
        for level in outcome.result["levels"]
        for name, value in level["figures"].items()
    ]
    return Table("Everything that was measured", ["level", "figure", "value"], rows)


def deployment(outcome: Outcome, data: xarray.Dataset) -> Table:
    """The deployment in numbers."""
    result, record = outcome.result, outcome.record
    facts = [
        ("kernels", f"{result['kernels']}, packed for {result.get('packing', 'time')}"),
        ("arrays", f"{result['arrays']} of {data.sizes['row']} x {data.sizes['col']}"),
        ("programmed cells", str(int(np.isfinite(data["target"].values).sum()))),
        ("programming pulses", str(result["pulses"])),
        ("reads while programming", str(result["reads"])),
        ("device time, all arrays", f"{result['device_seconds']:.1f} s"),
        ("median kernel NRMSE on real input", f"{result['kernel_nrmse_median']:.4f}"),
    ]
    if result.get("inference"):  # files of earlier versions have none
        steps = result["reads_a_step"]
        facts.append(("products a time step", f"{steps['mended']}, as planned without faults {steps['planned']}"))
        facts += inference_facts(result["inference"]["mended"])
    return Table("The deployment", [], [[Cited(name), Cited(value, record)] for name, value in facts])


def arrays(run: Run, data: xarray.Dataset) -> Table:
    """Every array that was programmed, by the last reading of its cells."""
    rows, held = [], held_layers(run)
    for place, index in enumerate(data["array"].values.tolist()):
        one = data.isel(array=place)
        error = (one["achieved"] - one["target"]).values
        chosen, tolerance, record = np.isfinite(error), float(one["tolerance"]), int(one["record"])
        info = run.infos[index]
        found = shares(run, data.isel(array=[place]))
        moved = "" if found is None else f"{found.classes[0].inside} of {found.classes[0].cells}"
        rest = "" if found is None else f"{found.whole.inside} of {found.whole.cells}"
        rows.append(
            [
                Cited(str(index)),
                Cited(f"{info.name} ({info.serial})"),
                *([] if held is None else [Cited(", ".join(held.on(index)) or "nothing", held.record)]),
                Cited(moved, record),
                Cited(rest, record),
                Cited(f"±{1e6 * tolerance:g} µS", record),
                Cited(f"{1e6 * error[chosen].mean():+.2f} µS", record),
                Cited(f"{1e6 * error[chosen].std():.2f} µS", record),
                Cited(str(int(one["pulses"].sum())), record),
            ]
        )
    holds = [] if held is None else ["holds"]
    head = ["array", "chip", *holds, "had to move", "all", "tolerance", "mean error", "sd of error", "pulses"]
    note = "Cells in tolerance, of those that had to move and of all programmed ones."
    return Table("Arrays, by the last reading of their cells", head, rows, note)


def cell_classes(run: Run, data: xarray.Dataset) -> Table:
    """The programmed cells by class, a chip that was never programmed beside them."""
    found = shares(run, data)
    rows = []
    for part in [] if found is None else found.all_parts():
        percent = [f"{100 * part.share:.2f} %", f"{100 * part.null_share:.1f} %"]
        values = [part.name, part.cells, part.inside, part.made_up, *percent]
        rows.append([Cited(str(value), int(data["record"].max())) for value in values])
    note = (
        "Cells that only had to stay at the bottom of the window are in tolerance on a chip that was never "
        "programmed, so each class is judged separately."
    )
    head = ["cells", "programmed", "in tolerance", "made up for by partner", "share", "never programmed"]
    return Table("Cells in tolerance, by the last reading of them", head, rows, note)


def programming(run: Run) -> Table:
    """Every programming call."""
    rows = []
    for row in range(min(run.records("program"), _MOST_ROWS)):
        one = {name: run.column("program", name, row) for name in _PROGRAM}
        record, chosen = int(one["seq"]), one["mask"] != 0
        error = np.abs(one["achieved"] - one["target"])[chosen]
        inside = float(np.mean(error <= one["tolerance"])) if error.size else 1.0
        counts = Counter(one["outcome"][chosen].tolist())
        ends = ", ".join(f"{counts[e]} {e.name.lower().replace('_', ' ')}" for e in CellOutcome if counts[e])
        values = [
            str(record),
            str(int(one["array"])),
            str(int(chosen.sum())),
            f"{100 * inside:.2f} %",
            f"±{1e6 * float(one['tolerance']):g} µS",
            str(int(one["pulses"][chosen].sum())),
            str(int(one["reads"])),
            f"{float(one['seconds']):.1f} s",
            ends,
        ]
        rows.append([Cited(value, record) for value in values])
    note = '"In tolerance" is by the re-read at the end of the call, the last column is what the loop believed.'
    if run.records("program") > _MOST_ROWS:
        note += f" The first {_MOST_ROWS} of {run.records('program')}."
    head = [
        "record",
        "array",
        "cells",
        "in tolerance",
        "tolerance",
        "pulses",
        "reads",
        "device time",
        "how cells ended",
    ]
    return Table("Programming, call by call", head, rows, note)


_PROGRAM = ("seq", "array", "mask", "target", "achieved", "outcome", "pulses", "tolerance", "reads", "seconds")


def kernel_ends(run: Run) -> Table:
    """How many kernels came out how, and each of those that are not simply good."""
    outcomes = [(seq, *text.partition(": ")[::2]) for seq, kind, text in run.numbered_events() if kind == "kernel"]
    good = [seq for seq, _, end in outcomes if end == _GOOD_END]
    rows = [[Cited(f"{len(good)} kernels", good[-1]), Cited(_GOOD_END, good[-1])]] if good else []
    rows += [[Cited(name), Cited(end, seq)] for seq, name, end in outcomes if end != _GOOD_END]
    return Table("Kernels", ["kernel", "outcome"], rows)


def said(run: Run) -> Table:
    """Events of the log in words: remedies, failures, stops."""
    kinds = ("remedy", "failed", "error", "make_safe_asked")
    rows = [[Cited(kind), Cited(text, seq)] for seq, kind, text in run.numbered_events() if kind in kinds]
    return Table("Remedies, failures, stops", ["kind", "what"], rows[-_MOST_ROWS:])


def calls(run: Run) -> Table:
    """How many records of each kind, linked to the last one."""
    rows = []
    for table in (name for name in TABLES if "seq" in TABLES[name]):
        count = run.records(table)
        if count:
            last = int(run.column(table, "seq", count - 1))
            time = run.column(table, "device_time", count - 1) if "device_time" in TABLES[table] else None
            at = "" if time is None or math.isnan(time) else f"{float(time):.3f} s"
            rows.append([Cited(table), Cited(str(count), last), Cited(at, last)])
    undone = np.flatnonzero(run.column("pulses", "done") == 0)
    if undone.size:
        first = int(run.column("pulses", "seq", int(undone[0])))
        rows.append([Cited("pulses not known to be complete"), Cited(str(undone.size), first), Cited("")])
    return Table("Calls", ["kind", "records", "device time of the last one"], rows)
