"""`write_report`: a run file as one self-contained HTML file, for a phone, a screen or paper."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import xarray

from imssa_lab.contract.errors import ConfigError
from imssa_lab.log.run import Run, open_run
from imssa_lab.report import measured, report_tables
from imssa_lab.report.deployment_progress import progress_tables
from imssa_lab.report.measured.deployment_result import Outcome
from imssa_lab.report.page import Cited, Picture, in_page, templates, write_new
from imssa_lab.report.records import cited_records
from imssa_lab.report.report_tables import Table
from imssa_lab.report.run_pictures import MOST_PICTURES, run_pictures
from imssa_lab.report.verdict import Verdict, verdict

Progress = Callable[[int, int], None]


def write_report(
    run_file: str | Path, path: str | Path, title: str = "", progress: Progress = lambda done, total: None
) -> None:
    """Write the report of a run to a new HTML file; it needs nothing but the run file and refers to nothing outside.

    The verdict comes first, then pictures, tables and provenance; every measured number links to its record.

    Args:
        run_file: as `record` wrote it; also of a running or interrupted run.
        path: the new file; title: of the page, by default what the run says of itself.
        progress: called with pictures drawn so far, and as many as a run can have.

    Raises:
        ConfigError: the file exists or cannot be written, or matplotlib is not installed; LogError: the run cannot be
            read.
    """
    if Path(path).exists():
        raise ConfigError(f"{path} exists; choose another name, nothing was overwritten")
    with open_run(run_file) as run:
        page = report_page(run, title, progress)
    write_new(Path(path), page)


def report_page(run: Run, title: str = "", progress: Progress = lambda done, total: None) -> str:
    """The report of an open run, as HTML text; `progress` as in `write_report`.

    Raises:
        LogError: damaged records.
    """
    outcome, data = measured.outcome_of(run), measured.programmed(run)
    found = verdict(run, outcome, data)
    cards = [] if outcome is None else report_tables.accuracies(outcome)
    levels = None if outcome is None else report_tables.levels(run, outcome)
    pictures: list[Picture] = []
    progress(0, MOST_PICTURES)
    for drawn in run_pictures(run, outcome, data):
        pictures.append(in_page(drawn))
        progress(len(pictures), MOST_PICTURES)
    progress(MOST_PICTURES, MOST_PICTURES)
    shown = [table for table in _tables(run, outcome, data) if table.rows]
    cited = _cited(found, cards, [*shown, *([levels] if levels else [])], pictures)
    return (
        templates()
        .get_template("report.html.j2")
        .render(
            title=title or _title(run),
            verdict=found,
            cards=cards,
            levels=levels,
            pictures=pictures,
            tables=shown,
            provenance=_provenance(run),
            file=run.path.name,
            records=cited_records(run, cited),
        )
    )


def _title(run: Run) -> str:
    chips = ", ".join(dict.fromkeys(info.name for info in run.infos))
    return run.provenance.get("title", f"{run.path.name}: {chips}")


def _tables(run: Run, outcome: Outcome | None, data: xarray.Dataset) -> list[Table]:
    found: list[Table] = [report_tables.said(run)]
    if outcome is not None:
        found += [report_tables.deployment(outcome, data), report_tables.kernel_ends(run)]
    else:
        found += progress_tables(run)
    found += [report_tables.cell_classes(run, data), report_tables.arrays(run, data), report_tables.programming(run)]
    if outcome is not None:
        found.append(report_tables.figures(run, outcome))
    return [*found, report_tables.calls(run)]


def _provenance(run: Run) -> dict[str, str]:
    known = run.environment
    computer = ("host", "user", "platform", "python", "folder", "git")
    packages = ", ".join(f"{name} {version}" for name, version in known.get("packages", {}).items())
    return {
        "run file": str(run.path.name),
        "uuid": run.uuid,
        "created": run.created.isoformat(" ", "seconds"),
        **{f"chip {index}": _chip(run, index) for index in range(len(run.infos))},
        **run.provenance,
        **{name: str(known[name]) for name in computer if known.get(name) and name not in run.provenance},
        **({"packages": packages} if packages else {}),
    }


def _chip(run: Run, index: int) -> str:
    info = run.infos[index]
    more = ", ".join(f"{name} {value}" for name, value in info.provenance.items())
    return f"{info.name} ({info.serial}), {info.rows} x {info.cols}{f'; {more}' if more else ''}"


def _cited(found: Verdict, cards: list[tuple[str, Cited]], shown: list[Table], pictures: list[Picture]) -> set[int]:
    """The numbers of all records that the page links to."""
    values = [found.words, *(value for _, value in cards)]
    values += [value for table in shown for row in table.rows for value in row]
    numbers = {value.record for value in values if value.record is not None}
    return numbers | {record for one in pictures for record in one.records}
