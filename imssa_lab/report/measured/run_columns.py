"""Columns of one table that belong together, also while another process adds records."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from imssa_lab.log.run import Run


def columns(run: Run, table: str, *names: str) -> list[NDArray[Any]]:
    """Columns of a table, each (records, ...), all cut to the records there were when the first was read."""
    rows = slice(0, run.records(table))
    return [run.column(table, name, rows) for name in names]
