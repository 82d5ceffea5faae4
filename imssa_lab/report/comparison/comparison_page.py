"""The page of two runs side by side."""

from __future__ import annotations

from imssa_lab.log.run import Run
from imssa_lab.report.comparison.compared_arrays import compared_arrays
from imssa_lab.report.comparison.comparison_figure import change_figure
from imssa_lab.report.measured.programmed import cell_figures
from imssa_lab.report.page import picture, templates


def comparison_page(first: Run, second: Run) -> str:
    """A self-contained HTML page: each array in numbers and pictures, and the yield of both runs.

    Raises:
        DataError: another number or shape of arrays; LogError: damaged records.
    """
    arrays = [
        (
            compared,
            picture(
                change_figure(compared),
                f"Array {compared.index}: each cell by its last readings. Cells that only one of the runs read are "
                "left out, grey in the map.",
                narrow=change_figure(compared, narrow=True),
            ),
        )
        for compared in compared_arrays(first, second)
    ]
    figures = [cell_figures(run) for run in (first, second)]
    names = list(dict.fromkeys([*figures[0], *figures[1]]))
    cells = [(name, *(f"{found[name]:.0f}" if name in found else "none" for found in figures)) for name in names]
    return (
        templates()
        .get_template("comparison/comparison.html.j2")
        .render(
            names=(first.path.name, second.path.name),
            runs=[(run.path, run.created.isoformat(" ", "seconds")) for run in (first, second)],
            arrays=arrays,
            cells=cells,
        )
    )
