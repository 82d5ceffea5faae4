"""`write_report`: a run file as one self-contained HTML file, for a phone, a screen or paper."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import xarray

from imssa_lab.contract.errors import ConfigError
from imssa_lab.log.run import Run, open_run
from imssa_lab.log.write.other_readings import MEASUREMENTS
from imssa_lab.report import measured, plots, report_tables
from imssa_lab.report.deployment_progress import progress_tables
from imssa_lab.report.measured.deployment_result import Outcome
from imssa_lab.report.page import Cited, Picture, picture, templates, write_new
from imssa_lab.report.plots.maps import worst_array
from imssa_lab.report.records import cited_records
from imssa_lab.report.report_tables import Table
from imssa_lab.report.verdict import Verdict, verdict

_FEWEST_REPEATS = 16
_MOST_PICTURES = 14
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
    progress(0, _MOST_PICTURES)
    for drawn in _pictures(run, outcome, data):
        pictures.append(drawn)
        progress(len(pictures), _MOST_PICTURES)
    progress(_MOST_PICTURES, _MOST_PICTURES)
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


def _pictures(run: Run, outcome: Outcome | None, data: xarray.Dataset) -> Iterator[Picture]:
    if outcome is not None:
        yield picture(
            plots.accuracy_bars(report_tables.accuracy_values(outcome), outcome.task_tests),
            "Accuracy in software, on the arrays, and of the control without memory.",
            [outcome.record],
        )
        yield picture(
            plots.nrmse_histogram(outcome),
            "How far each kernel's output strays from the exact one, in closed loop.",
            [outcome.record],
        )
        yield picture(
            plots.kernel_overlay(outcome),
            "Impulse responses on the arrays over the exact ones, from the best kernel to the worst.",
            [outcome.record],
        )
    if data.sizes["array"]:
        yield from _programming_pictures(run, data)
    yield from _product_pictures(run)
    yield from _repeat_pictures(run)
    if run.records(MEASUREMENTS):
        readings = measured.other_instruments(run)
        records = [int(readings[f"{name} record"].values[-1]) for name in readings.data_vars]
        yield picture(plots.other_instruments(readings), "What other instruments measured meanwhile.", records)


def _programming_pictures(run: Run, data: xarray.Dataset) -> Iterator[Picture]:
    worst = worst_array(data)
    record = int(data["record"].sel(array=worst))
    records = sorted({int(value) for value in data["record"].values})
    which = "" if data.sizes["array"] == 1 else f", array {worst}: the one with most cells out of tolerance"
    yield picture(
        plots.conductance_maps(data, worst),
        f"Conductances{which}. In the error map, white cells are on target; grey cells were not programmed.",
        [record],
        raster=True,
    )
    if data.sizes["array"] > 1:
        caption = "Errors of all arrays; a bad line would show as a stripe."
        yield picture(plots.error_maps(data), caption, records, raster=True)
    yield picture(
        plots.error_histogram(data),
        "What the cells hold, by the last reading of them, against their targets.",
        records,
    )
    yield picture(
        plots.error_quantiles(data),
        "The same errors against a normal law: dots that leave the line are tails heavier than chance.",
        records,
        raster=True,
    )
    programs = [int(value) for value in run.column("program", "seq")]
    ends = programs if len(programs) < 3 else [programs[0], programs[-1]]
    yield picture(plots.yield_by_pulse(data), "Cells within tolerance against the pulses that they took.", ends)
    if int(data["pulses"].max()):
        yield from _trajectory(run, data, worst)


def _trajectory(run: Run, data: xarray.Dataset, array: int) -> Iterator[Picture]:
    """The cell of an array that took most pulses; none where the run holds the report of them alone, as a replay."""
    one = data.sel(array=array)
    pulses = np.where(np.isfinite(one["target"].values), one["pulses"].values, -1)
    row, col = (int(value) for value in np.unravel_index(int(pulses.argmax()), pulses.shape))
    steps = measured.trajectory(run, array, row, col)
    if not steps.sizes["step"]:
        return
    target, tolerance = float(one["target"].values[row, col]), float(one["tolerance"])
    figure = plots.pulse_trajectory(steps, target=target, tolerance=tolerance)
    caption = "The cell that took most pulses: what it held after each, and the pulses."
    yield picture(figure, caption, [int(steps["record"].values[0]), int(steps["record"].values[-1])])


def _product_pictures(run: Run) -> Iterator[Picture]:
    if run.records("read_mvm"):
        data = measured.products(run)
        known = np.isfinite(data["expected"].values).any(axis=1)
        if known.any():
            records = data["record"].values[known]
            ends = sorted({int(records[0]), int(records[-1])})
            caption = "Products, an even sample of the run, against voltage times the conductances last read."
            yield picture(plots.mvm_scatter(data), caption, ends, raster=True)
            yield picture(plots.column_residuals(data), "The same products column by column.", ends)
    calibrations = measured.calibrated(run)
    if calibrations.sizes["array"]:
        records = sorted({int(value) for value in calibrations["record"].values if value >= 0})
        caption = "How columns were corrected, and what the correction leaves; one dot a column."
        yield picture(plots.column_calibration(calibrations), caption, records)


def _repeat_pictures(run: Run) -> Iterator[Picture]:
    for array in range(len(run.infos)):
        data = measured.repeats(run, array)
        if data.sizes["read"] < _FEWEST_REPEATS:
            continue
        ends = sorted({int(data["record"].values[0]), int(data["record"].values[-1])})
        caption = "How far cells moved by themselves after their last pulse; noise of single readings is in it."
        yield picture(plots.relaxation_fans(data), caption, ends)
        yield picture(plots.noise_spectra(data), "Noise of repeated readings.", ends)
        return


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
