"""What a run amounts to, in one sentence and a few numbers, each with the record that says so."""

from __future__ import annotations

from dataclasses import dataclass

import xarray

from imssa_lab.log.run import Run
from imssa_lab.log.schema import TABLES
from imssa_lab.report.measured.deployment_result import Outcome, verdict_of
from imssa_lab.report.measured.programmed import shares
from imssa_lab.report.page import Cited
from protocols.deployment.journal import JOURNAL


@dataclass(frozen=True)
class Verdict:
    """The first thing on the page: `kind` is "good", "bad" or "plain" (nothing was judged)."""

    kind: str
    head: str
    words: Cited


def verdict(run: Run, outcome: Outcome | None, data: xarray.Dataset) -> Verdict:
    """The verdict: a deployment by its levels, an error or interruption as such, other runs by their last readings.

    Args:
        data: what `measured.programmed` made of the run.
    """
    events = {kind: (seq, text) for seq, kind, text in run.numbered_events()}
    if outcome is not None:
        return _of_levels(outcome)
    if "error" in events:
        seq, text = events["error"]
        return Verdict("bad", "Not finished, so not verified.", Cited(text, seq))
    if not run.closed_cleanly:
        words = run.repaired or "The log was not closed: its session is still running, or was cut off."
        return Verdict("bad", "Not finished.", Cited(words, _last(run)))
    if JOURNAL in events:
        words = "The deployment did not come to its end; the log does not say why."
        return Verdict("bad", "Not finished, so not verified.", Cited(words, events[JOURNAL][0]))
    failed = run.events("failed")
    if failed:
        words = f"{len(failed)} calls failed; the last one: {failed[-1][1]}"
        return Verdict("bad", "With failures.", Cited(words, events["failed"][0]))
    found = shares(run, data)
    if found is not None:
        moved = found.classes[0]
        words = f"Cells that {moved.name}, by their last reading: {moved}."
        return Verdict("plain", "Programmed.", Cited(words, int(data["record"].max())))
    words = f"{run.records('read_mvm')} products and {run.records('read_conductances')} readings of cells."
    return Verdict("plain", "Nothing was programmed.", Cited(words, _last(run)))


def _of_levels(outcome: Outcome) -> Verdict:
    levels = outcome.result["levels"]
    failed = [level["level"] for level in levels if verdict_of(level) == "FAILED"]
    undecided = [level["level"] for level in levels if verdict_of(level) == "not decidable"]
    if not failed and not undecided:
        words = (
            f"All {len(levels)} levels passed: what runs on the arrays is the trained model, within the bounds below."
        )
        return Verdict("good", "Verified.", Cited(words, outcome.record))
    found = [
        f"{len(names)} of {len(levels)} levels {what}: {', '.join(names)}"
        for names, what in ((failed, "failed"), (undecided, "not decidable"))
        if names
    ]
    return Verdict("bad", "Not verified.", Cited("; ".join(found) + ".", outcome.record))


def _last(run: Run) -> int | None:
    tables = [table for table, columns in TABLES.items() if "seq" in columns]
    last = [int(run.column(table, "seq", run.records(table) - 1)) for table in tables if run.records(table)]
    return max(last, default=None)
