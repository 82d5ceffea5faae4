"""Picture and table of a study of aging chips."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.report.plots.style import BLUE, GREEN, GREY, ORANGE, nothing_to_show
from imssa_lab.studies.aged_chips import ROWS, in_words
from imssa_lab.studies.drift_summary import DriftStudy


def drift_figure(study: DriftStudy) -> Figure:
    """Accuracy, and below it errors of kernels and cells out of tolerance, against time; a dot for every chip."""
    figure = Figure(figsize=(6.4, 6.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    for axis in (above, below):
        axis.spines[["top", "right"]].set_visible(False)
    if not len(study.at_once):
        nothing_to_show(above, "no chip is through yet")
        return figure

    def curve(values: FloatArray, colour: str, mark: str, label: str) -> None:
        above.plot(study.times, 100 * values.mean(axis=0), color=colour, marker=mark, label=label)
        for chip in values:
            above.plot(study.times, 100 * chip, mark, color=colour, alpha=0.3, markersize=4)

    curve(study.rows["deployed"], ORANGE, "o", "as deployed")
    curve(study.rows["recalibrated"], BLUE, "s", "outputs recalibrated, where that helps")
    last = np.full(len(study.refreshed), study.times[-1])
    above.plot(last, 100 * study.refreshed, "^", color=GREEN, label="cells re-programmed")
    for value, words in ((study.software, "in software"), (study.null, "without memory")):
        if value is not None:
            above.axhline(100 * value, color=GREY, linestyle="--" if words == "in software" else ":", linewidth=1)
            above.annotate(words, (study.times[0], 100 * value), color=GREY, fontsize=8, va="bottom")
    above.set(ylabel="test accuracy (%)", title=study.name, xscale="log")
    above.legend(fontsize=8)
    below.plot(study.times, study.rows["nrmse"].mean(axis=0), color=ORANGE, marker="o", label="kernels, median NRMSE")
    below.plot(
        study.times, 1 - study.rows["cells"].mean(axis=0), color=GREY, marker="s", label="cells out, worst class"
    )
    below.set(xlabel="time since the deployment", ylabel="error, share", xscale="log", ylim=(0, None))
    below.set_xticks(study.times, [in_words(float(time)) for time in study.times])
    below.minorticks_off()
    below.legend(fontsize=8)
    return figure


def write_drift_table(path: Path, study: DriftStudy) -> None:
    """Every chip at every time as a line of CSV; times in s, accuracies as fractions."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["chip", "time_s", *(f"{name}_s" if name == "age" else name for name in ROWS), "software"])
        for chip in range(len(study.at_once)):
            for place, time in enumerate(study.times.tolist()):
                values = [float(study.rows[name][chip, place]) for name in ROWS]
                writer.writerow([chip, time, *values, study.software])
