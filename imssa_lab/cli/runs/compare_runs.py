"""`imssa compare`: two runs side by side, two chips or two days."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imssa_lab.cli.shared.json_output import answer, takes_json
from imssa_lab.cli.shared.session import console, facts_table


@takes_json
def compare(
    first: Annotated[Path, typer.Argument(help="Run file.")],
    second: Annotated[Path, typer.Argument(help="Run file of another chip, or of the same one later.")],
    file: Annotated[Path | None, typer.Option(help="New HTML file with pictures; by default none.")] = None,
) -> None:
    """Compare two runs: conductances cell by cell, changes of stuck cells, column gains, yield by class.

    It uses the last reading of each cell in each run. To compare the records themselves, use `imssa log diff`.

    Example: imssa compare monday/run.h5 tuesday/run.h5 --file change.html
    """
    from imssa_lab.log import open_run
    from imssa_lab.report.page import require_plots, write_new

    require_plots()
    from imssa_lab.report.comparison import compared_arrays, comparison_page
    from imssa_lab.report.measured.programmed import cell_figures

    with open_run(first) as one, open_run(second) as two:
        arrays = compared_arrays(one, two)
        figures = [cell_figures(run) for run in (one, two)]
        page = comparison_page(one, two) if file is not None else ""
    for compared in arrays:
        table = facts_table(f"array {compared.index}")
        for name, value in compared.facts():
            table.add_row(name, value)
        console().print(table)
    if file is not None:
        write_new(file, page)
        console().print(str(file), markup=False)
    answer(
        {
            "arrays": [{"array": one.index, "facts": dict(one.facts()), "change": one.change} for one in arrays],
            "cells": {"first": figures[0], "second": figures[1]},
            "files": {} if file is None else {"page": file},
        }
    )
