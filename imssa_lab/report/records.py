"""The records that a report cites, in words."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from imssa_lab.log.read.follower import in_words
from imssa_lab.log.run import Run
from imssa_lab.log.schema import TABLES
from imssa_lab.report.event_words import event_words

_LONGEST = 300


@dataclass(frozen=True)
class CitedRecord:
    """One record for people: its number, its table, and what else is known, as texts."""

    seq: int
    table: str
    array: str
    device_time: str
    when: str
    words: str


def cited_records(run: Run, numbers: Iterable[int]) -> list[CitedRecord]:
    """The records with these numbers, in order.

    Raises:
        LogError: damaged records.
    """
    wanted = np.unique(np.fromiter(numbers, dtype=np.int64))
    events = {seq: f"{kind}: {event_words(kind, text, _LONGEST)}" for seq, kind, text in run.numbered_events()}
    found = []
    for table in (name for name in TABLES if "seq" in TABLES[name]):
        seqs = run.column(table, "seq").astype(np.int64)
        for row in np.flatnonzero(np.isin(seqs, wanted)).tolist():
            (said,) = in_words(run, table, slice(row, row + 1))
            words = events.get(said.seq, said.text) if table == "events" else said.text
            found.append(
                CitedRecord(
                    seq=said.seq,
                    table=table,
                    array=str(run.column(table, "array", row)) if "array" in TABLES[table] else "",
                    device_time="" if math.isnan(said.device_time) else f"{said.device_time:.3f} s",
                    when=datetime.fromtimestamp(said.wall_time, UTC)
                    .isoformat(" ", "seconds")
                    .replace("+00:00", " UTC"),
                    words=words if len(words) <= _LONGEST else f"{words[:_LONGEST]} ...",
                )
            )
    return sorted(found, key=lambda one: one.seq)
