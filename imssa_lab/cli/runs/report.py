"""`imssa report`: a run file as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imssa_lab.cli.shared.json_output import answer, takes_json
from imssa_lab.cli.shared.session import console, stages


@takes_json
def report(
    run: Annotated[Path, typer.Argument(help="Run file; the run may be running or interrupted.")],
    file: Annotated[
        Path | None, typer.Option(help="New HTML file; by default the name of the run with .html at its end.")
    ] = None,
    title: Annotated[str, typer.Option(help="Title of the page; by default the description in the run.")] = "",
) -> None:
    """Show a run as one self-contained HTML file: verdict, pictures, tables, provenance; numbers link to records.

    Example: imssa report imssa-demo/run.h5 --file night-1.html
    """
    from imssa_lab.report.page import require_plots

    require_plots()
    from imssa_lab.report.run_report import write_report

    path = file or run.with_suffix(".html")
    with stages() as bars:
        write_report(run, path, title, lambda done, total: bars("draw the pictures", done, total))
    console().print(str(path), markup=False)
    answer({"files": {"report": path}})
