"""`imssa program`: target conductances on the cells of one array, by write-verify, recorded and reported."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imssa_lab.cli.shared import completion
from imssa_lab.cli.shared.dry_run import DryRunOption, LikeOption, show_dry_run
from imssa_lab.cli.shared.end_commands import reports_end
from imssa_lab.cli.shared.json_output import answer, takes_json
from imssa_lab.cli.shared.last_report import leave_report, leave_report_unfinished
from imssa_lab.cli.shared.recipe_options import ProgrammerOption, RecipeOption, recipe_changes, with_recipe
from imssa_lab.cli.shared.run_folder import bench_facts, run_place
from imssa_lab.cli.shared.session import Stages, console, facts_table, new_folder, provenance, stages
from imssa_lab.contract.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from imssa_lab.contract.array_types import BoolArray, FloatArray
    from imssa_lab.contract.hal import CrossbarArray
    from imssa_lab.contract.programming_report import ProgrammingReport
    from protocols.wrappers.counting_array import CountingArray
    from protocols.wrappers.dry_run_report import DryRun

LOG, CELLS, REPORT = "run.h5", "cells.csv", "report.html"
OUTSIDE = 3
_LISTED = 20
_STAGE = "cells in tolerance, as the loop reads them"


@takes_json
@reports_end
def program(
    targets: Annotated[
        Path, typer.Argument(help="Conductances, word lines x bit lines, .npy or .csv; nan leaves alone.")
    ],
    array: Annotated[str, typer.Option(help="Address or alias of the array.", autocompletion=completion.arrays)],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for log, cells and report; new or empty. By default named by the time."),
    ] = None,
    unit: Annotated[list[str] | None, typer.Option(help="target=UNIT if the file is not in S: mS, uS or nS.")] = None,
    separator: Annotated[str, typer.Option(help="Between the columns of a .csv file; a tab as \\t.")] = ",",
    decimal: Annotated[str, typer.Option(help="Decimal point of a .csv file: . or ,")] = ".",
    programmer: ProgrammerOption = None,
    recipe: RecipeOption = None,
    chip_record: Annotated[Path | None, typer.Option(help="Chip record (SQLite) that counts every pulse.")] = None,
    dry_run: DryRunOption = False,
    like: LikeOption = None,
) -> None:
    """Program cells to target conductances, and print which are in tolerance by an independent re-read.

    Exit code 3: cells are out of tolerance; the table lists them, and cells.csv lists all cells. The first Ctrl-C
    lets the current call finish, makes the array safe and writes the report; a second one stops at once.

    Example: imssa program targets.csv --unit target=uS --array "twin:supert-a0?seed=1" --dry-run
    """
    import numpy as np

    from imssa_lab.cli.shared.target_files import load_targets, read_separator, read_unit
    from imssa_lab.log.write.record_sizes import check_room
    from imssa_lab.report.page import require_plots
    from imssa_lab.station.addresses import open_array
    from protocols.wrappers.counting_array import CountingArray
    from protocols.wrappers.dry_run_report import DryRun

    require_plots()
    wanted = load_targets(targets, unit=read_unit(unit), separator=read_separator(separator), decimal=decimal)
    changes = recipe_changes(recipe)
    with ExitStack() as stack:
        opened = with_recipe(stack.enter_context(open_array(array)), programmer, changes)
        if wanted.shape != opened.info.shape:
            raise ConfigError(
                f"{targets}: {wanted.shape[0]} x {wanted.shape[1]} targets, the array has {opened.info.rows} word "
                f"lines x {opened.info.cols} bit lines; an empty field or nan leaves a cell alone"
            )
        dry = CountingArray(opened)
        dry.program_conductances(wanted, np.isfinite(wanted))  # raises for what would go outside the limits half way
        if dry_run:
            show_dry_run("program", _rehearsed(opened, wanted, dry, like), out and out / LOG)
            return
        console(stderr=True).print(f"programming, {DryRun.of([dry]).device_time} of device time")
        folder = out or run_place(array, "program")
        new_folder(folder)
        check_room(folder, DryRun.of([dry]).log_bytes)
        if chip_record is not None:
            from protocols.chip_record import ChipRecord
            from protocols.wrappers.counted import Counted

            opened = Counted(opened, stack.enter_context(ChipRecord(chip_record)))
        with stages() as bars:
            facts = bench_facts(array, f"{targets.name} on {opened.info.name}") | {"targets": str(targets)}
            try:
                report = _logged(opened, wanted, folder / LOG, facts, bars)
            except BaseException as error:
                leave_report_unfinished(folder / LOG, folder / REPORT, error)
                raise
    _write_cells(folder / CELLS, report)
    leave_report(folder / LOG, folder / REPORT)
    _show(report, folder)
    if _outside(report).any():
        raise typer.Exit(OUTSIDE)


def _rehearsed(opened: CrossbarArray, wanted: FloatArray, counted: CountingArray, like: str | None) -> DryRun:
    """What programming would ask for: as a twin in the place of the array takes it, at most what was counted."""
    import numpy as np

    from imssa_lab.cli.arrays.before_deploying import stand_ins
    from protocols.wrappers.dry_run_report import DryRun

    twins, words = stand_ins([opened], like)
    if not twins:
        return DryRun.of([counted])
    twins[0].program_conductances(wanted, np.isfinite(wanted))
    return DryRun.of([counted]).rehearsed([twins], words, bounded=True)


def _logged(
    opened: CrossbarArray, wanted: FloatArray, path: Path, facts: dict[str, str], bars: Stages
) -> ProgrammingReport:
    """Program, with every call and, where it ends early, the reason in the log; the array is safe and closed then."""
    import numpy as np

    from imssa_lab.log import Recorded, RunLog
    from protocols.wrappers.progress import ProgressReported

    with RunLog.create(path, [opened], provenance() | facts) as log:
        reported = ProgressReported(opened, wanted, lambda done, total: bars(_STAGE, done, total))
        with Recorded(reported, log) as recorded:
            try:
                return recorded.program_conductances(wanted, np.isfinite(wanted))
            except BaseException as error:
                log.note("error", f"{type(error).__name__}: {error}")
                raise


def _outside(report: ProgrammingReport) -> BoolArray:
    """Selected cells (rows, cols) that the re-read finds out of tolerance, whatever the loop believes."""
    import numpy as np

    return np.asarray(report.selected & ~(np.abs(report.error) <= report.tolerance))


def _write_cells(path: Path, report: ProgrammingReport) -> None:
    """Every selected cell: target, what the re-read found, pulses, what the loop believed."""
    import numpy as np

    from imssa_lab.contract.hal import CellOutcome
    from protocols.characterisation.experiments import of_cells
    from protocols.characterisation.protocol import write_table

    ends = np.array([CellOutcome(int(end)).name.lower().replace("_", " ") for end in report.outcome.ravel()])
    table = of_cells(
        report.selected,
        target=report.target,
        conductance=report.achieved,
        in_tolerance=~_outside(report),
        pulses=report.pulses,
        outcome=ends.reshape(report.outcome.shape),
    )
    write_table(path, table)


def _show(report: ProgrammingReport, folder: Path) -> None:
    """What the re-read says, then the cells out of tolerance, then which files were written."""
    import numpy as np

    from imssa_lab.contract.hal import CellOutcome

    outside, error = _outside(report), report.error[report.selected]
    believed = int(np.count_nonzero(outside & (report.outcome == CellOutcome.REACHED)))
    files = {name: str(folder / file) for name, file in (("log", LOG), ("cells", CELLS), ("report", REPORT))}
    facts = facts_table("programmed" if not outside.any() else "programmed, NOT all cells in tolerance")
    window = f"{100 * report.within():.2f} % of {error.size} cells, tolerance {1e6 * report.tolerance:g} uS"
    for name, value in (
        ("in tolerance, by independent re-read", window),
        ("out of tolerance", f"{np.count_nonzero(outside)}, of which the loop believed {believed} in"),
        ("error", f"mean {1e6 * error.mean():+.2f} uS, sd {1e6 * error.std():.2f} uS"),
        ("pulses", f"{report.pulses.sum()}, at most {report.pulses.max()} to a cell"),
        ("reads, device time", f"{report.reads}, {report.seconds:.1f} s"),
        *files.items(),
    ):
        facts.add_row(name, value)
    console().print(facts)
    listed = [
        {
            "word_line": row,
            "bit_line": col,
            "target": report.target[row, col],
            "conductance": report.achieved[row, col],
            "pulses": report.pulses[row, col],
            "outcome": CellOutcome(int(report.outcome[row, col])).name.lower(),
        }
        for row, col in np.argwhere(outside)
    ]
    if listed:
        console().print(_cells_table(listed, folder / CELLS))
    answer(
        {
            "cells": error.size,
            "in_tolerance": report.within(),
            "tolerance": report.tolerance,
            "out_of_tolerance": listed,
            "believed_in_tolerance": believed,
            "error_mean": error.mean(),
            "error_sd": error.std(),
            "pulses": report.pulses.sum(),
            "most_pulses": report.pulses.max(),
            "reads": report.reads,
            "device_seconds": report.seconds,
            "files": files,
        }
    )


def _cells_table(outside: list[dict[str, Any]], file: Path) -> Table:
    """The first of the cells out of tolerance."""
    from rich.table import Table

    title = f"out of tolerance: the first {_LISTED}, all in {file}" if len(outside) > _LISTED else "out of tolerance"
    table = Table("word line", "bit line", "target, uS", "holds, uS", "pulses", "the loop says", title=title)
    for cell in outside[:_LISTED]:
        levels = (f"{1e6 * cell[name]:.2f}" for name in ("target", "conductance"))
        says = cell["outcome"].replace("_", " ")
        table.add_row(str(cell["word_line"]), str(cell["bit_line"]), *levels, str(cell["pulses"]), says)
    return table
