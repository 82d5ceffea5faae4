"""The report of a run, also of one that ended early."""

from __future__ import annotations

from pathlib import Path

from imssa_lab.cli.shared.session import console
from imssa_lab.contract.errors import ImssaError


def leave_report(log_path: Path, path: Path) -> None:
    """The report of a log, replacing an older one: the logs of a folder keep every result."""
    from imssa_lab.report.run_report import write_report

    path.unlink(missing_ok=True)
    write_report(log_path, path)


def leave_report_unfinished(log_path: Path, path: Path, error: BaseException) -> None:
    """A report also of what ended early, where there is a log; notes of `error` say where, or why there is none."""
    if not log_path.exists():
        return
    try:
        if isinstance(error, KeyboardInterrupt):
            console(stderr=True).print("stopped; writing a report of the progress so far, Ctrl-C leaves it out")
        leave_report(log_path, path)
        error.add_note(f"report so far: {path}")
    except ImssaError as further:
        error.add_note(f"no report could be written: {further}")
    except KeyboardInterrupt as again:
        again.add_note(f"the report was not waited for; to make it: imssa report {log_path}")
        raise
