"""The report of a run, also of one that ended early."""

from __future__ import annotations

from pathlib import Path

from imssa_lab.errors import ImssaError


def leave_report(log_path: Path, path: Path) -> None:
    """The report of a log, in the place of an older one: the logs of a folder keep every result."""
    from imssa_lab.report.html import write_report

    path.unlink(missing_ok=True)
    write_report(log_path, path)


def leave_report_unfinished(log_path: Path, path: Path, error: BaseException) -> None:
    """A report also of what ended early; if that fails too, the first error is the one to tell."""
    try:
        leave_report(log_path, path)
    except ImssaError as further:
        error.add_note(f"and no report could be written: {further}")
