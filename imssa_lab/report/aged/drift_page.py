"""`drift_page`: what aging costs a deployed net, as one HTML page, refreshed while the study runs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.report.aged.drift_figures import accuracy_by_time, errors_by_time, moved_by_level
from imssa_lab.report.page import picture, templates
from imssa_lab.report.plots.style import counted
from imssa_lab.studies.aged_chips import in_words
from imssa_lab.studies.drift_summary import DriftStudy
from protocols.deployment.verification import Bounds


def drift_page(study: DriftStudy, facts: Mapping[str, str]) -> str:
    """The page, as HTML text that refers to nothing outside.

    Args:
        facts: provenance, by name.
    """
    chips = counted(len(study.at_once), "chip")
    pictures = [
        picture(
            accuracy_by_time(study),
            f"Test accuracy on {study.tests} sequences: {chips} as small marks, their mean as a line. "
            "Chance is a guess among the classes; the control is the same net trained without memory.",
            narrow=accuracy_by_time(study, narrow=True),
        ),
        picture(
            errors_by_time(study),
            "Kernels and cells as deployed, before any recalibration. An accuracy hides what these show. Dashed is "
            "what a deployment may have.",
            narrow=errors_by_time(study, narrow=True),
        ),
        picture(
            moved_by_level(study),
            "Conductance of the programmed cells against the last read of the deployment, by level of the target: "
            "median, half and 90 % of the cells, means over the chips. Dashed is the tolerance of a cell.",
            narrow=moved_by_level(study, narrow=True),
        ),
    ]
    return (
        templates()
        .get_template("aged/drift.html.j2")
        .render(
            study=study,
            verdict=_verdict(study),
            chips=chips,
            until=in_words(study.until),
            pictures=pictures,
            rows=_rows(study),
            levels=_levels(study),
            last=in_words(float(study.times[-1])),
            facts=facts,
        )
    )


def _verdict(study: DriftStudy) -> tuple[str, str, str]:
    """Kind, head and words."""
    chips = len(study.at_once)
    if not chips:
        return "plain", "Under way.", "No chip is through yet."
    if study.failed_cells:
        head = f"{study.failed_cells} of {counted(chips, 'chip')} had cells out of tolerance before aging."
        return "bad", head, "Their deployment failed, so their accuracies say little about drift."
    if study.null is not None and float(study.at_once.mean()) <= study.null:
        return "bad", "This decides nothing.", "At once, the chips were no better than a net without memory."
    deployed, recalibrated, refreshed = (
        f"{lost.mean():.1f} ({lost.min():.1f} to {lost.max():.1f})" for lost in study.lost
    )
    most, time = 100 * Bounds().task_loss, in_words(float(study.times[-1]))
    good = float(study.lost[0].mean()) <= most
    head = f"After {time} the net {'keeps' if good else 'has lost'} its accuracy."
    words = (
        f"Points below software, mean and range of {counted(chips, 'chip')}: {deployed} as deployed, {recalibrated} "
        f"with outputs recalibrated, {refreshed} with cells re-programmed; a deployment may lose {most:g}."
    )
    return "good" if good else "bad", head, words


def _rows(study: DriftStudy) -> list[list[str]]:
    """A line for each time."""
    if not len(study.at_once):
        return []
    found = [["at once", _percent(study.at_once), "", "", "", _percent(study.cells_at_once)]]
    for place, time in enumerate(study.times.tolist()):
        mine = {name: values[:, place] for name, values in study.rows.items()}
        kept = f"{int(mine['kept'].sum())} of {len(study.at_once)}"
        nrmse = _spread(mine["nrmse"], "{:.3f}")
        accuracies = _percent(mine["deployed"]), _percent(mine["recalibrated"])
        found.append([in_words(time), *accuracies, kept, nrmse, _percent(mine["cells"])])
    return [*found, ["re-programmed", _percent(study.refreshed), "", "", "", ""]]


def _levels(study: DriftStudy) -> list[list[str]]:
    """A line for each level that has cells: what its cells had moved by at the last time, µS."""
    found = []
    for place, name in enumerate(study.levels):
        if len(study.moved) and study.of_level[:, place].any():
            low, _, middle, _, high = 1e6 * np.nanmean(study.moved[:, -1, place], axis=0)
            cells = f"{study.of_level[:, place].mean():.0f}"
            found.append([name, cells, f"{middle:+.2f}", f"{low:+.2f} to {high:+.2f}"])
    return found


def _percent(values: FloatArray) -> str:
    return _spread(100 * values, "{:.1f}")


def _spread(values: FloatArray, form: str) -> str:
    """The mean over the chips, and the least and the most of them where they are several."""
    mean, low, high = (form.format(float(each)) for each in (values.mean(), values.min(), values.max()))
    return mean if len(values) == 1 else f"{mean} ({low} to {high})"
