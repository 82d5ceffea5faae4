"""`origin_page`: one HTML page for people, refreshed while the study runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.report.origin.origin_figures import (
    Spikes,
    accuracy_figure,
    accuracy_in_rows,
    nrmse_figure,
    spikes_figure,
    stuck_words,
)
from imssa_lab.report.page import picture, templates
from imssa_lab.report.study_figure import ARM_COLOURS, published
from imssa_lab.studies.origin_summary import LOSS_BAR, OriginModel, OriginRow, origin_rows
from imssa_lab.studies.pulsed_chips import LEVELS
from imssa_lab.studies.trials import ARM_WORDS, PUBLISHED, StudyTrial
from twin import TwinProfile


@dataclass(frozen=True)
class OriginStudy(FrozenArrays):
    """The whole experiment, as far as it came.

    Attributes:
        task: its name; labels: of its classes; preprocessing, licence: words of its data.
        precision: of the models; models: one for each seed; profile: of the chips.
        trials: of the plan; results, right, nrmse: as for `origin_rows`; units: per model.
        spikes: a recording of each class; channels: of the cochlea.
        inference: what one costs, as planned without faults, by name in words.
        facts: provenance, by name; wall: wall time by stage, s.
    """

    task: str
    labels: tuple[str, ...]
    preprocessing: str
    licence: str
    precision: str
    models: tuple[OriginModel, ...]
    profile: TwinProfile
    trials: tuple[StudyTrial, ...]
    results: FloatArray
    right: FloatArray
    nrmse: FloatArray
    units: tuple[NDArray[np.int64], ...]
    spikes: tuple[Spikes, ...]
    channels: int
    inference: tuple[tuple[str, str], ...]
    facts: Mapping[str, str]
    wall: Mapping[str, float]

    @property
    def published(self) -> bool:
        """Whether this is the task that the published accuracies are of."""
        return published(self.task, len(self.labels))

    @property
    def rows(self) -> list[OriginRow]:
        """The rows of its table."""
        return origin_rows(self.trials, self.results, self.right, self.nrmse, self.units)


def origin_page(study: OriginStudy) -> str:
    """The page, as HTML text that refers to nothing outside."""
    rows = study.rows
    done = int(np.isfinite(study.results[:, 1]).sum())
    pictures = [
        picture(
            accuracy_figure(rows, study.models, published=study.published),
            "Accuracy of every chip (small dots) and the mean with its 95 % interval, which counts clips and chips.",
            narrow=accuracy_in_rows(rows, study.models, published=study.published),
        ),
        picture(
            nrmse_figure(_errors(study)),
            "Error of the kernels in closed loop, all chips; accuracy hides what this shows.",
        ),
        picture(
            spikes_figure(study.spikes, study.channels),
            "One test recording of each class, as spikes of the cochlea.",
            narrow=spikes_figure(study.spikes, study.channels, narrow=True),
        ),
    ]
    return (
        templates()
        .get_template("origin/origin.html.j2")
        .render(
            study=study,
            verdict=_verdict(study, rows),
            done=done,
            pictures=pictures,
            models=[_model(model) for model in study.models],
            rows=[_row(row) for row in rows],
            costs=_costs(study, rows),
            published=PUBLISHED,
            levels=LEVELS,
        )
    )


def lost_words(row: OriginRow) -> str:
    """Points lost against software, mean and range over the chips."""
    return f"{row.lost.mean():.1f} ({row.lost.min():.1f} to {row.lost.max():.1f})"


def _verdict(study: OriginStudy, rows: Sequence[OriginRow]) -> tuple[str, str, str]:
    """Kind, head and words."""
    useless = [model for model in study.models if not model.needs_memory]
    if useless:
        return (
            "bad",
            "This task needs no memory: it decides nothing.",
            "A control without memory is as good as the software, so no accuracy here shows that an array remembers.",
        )
    ours = [row for row in rows if row.arm == "ours"]
    if not ours:
        return "plain", "Under way.", "No chip of our loop is through yet."
    words, good = [], True
    for row in ours:
        bar = LOSS_BAR.get(row.stuck)
        lost = float(row.lost.mean())
        good = good and (bar is None or lost <= bar)
        at_most = "" if bar is None else f", at most {bar:g} wanted"
        words.append(f"{stuck_words(row.stuck)}: {lost:.2f} points lost on {len(row.lost)} chips{at_most}")
    head = "Our loop keeps the accuracy." if good else "Our loop loses more than it may."
    return "good" if good else "bad", head, "; ".join(words) + "."


def _errors(study: OriginStudy) -> list[tuple[str, str, FloatArray]]:
    found = []
    stuck = study.trials[0].stuck
    for arm, colour in ARM_COLOURS.items():
        mine = [
            index
            for index, trial in enumerate(study.trials)
            if trial.arm == arm and trial.stuck == stuck and np.isfinite(study.results[index, 1])
        ]
        if mine:
            found.append((ARM_WORDS[arm], colour, study.nrmse[mine].ravel()))
    return found


def _percent(accuracy: tuple[float, float, float]) -> str:
    value, low, high = (100 * part for part in accuracy)
    return f"{value:.1f} % ({low:.1f} to {high:.1f})"


def _model(model: OriginModel) -> list[str]:
    return [str(model.seed), *map(_percent, (model.floating, model.software, model.null)), model.test_set]


def _row(row: OriginRow) -> list[str]:
    low, high = (100 * end for end in row.interval)
    return [
        stuck_words(row.stuck),
        ARM_WORDS[row.arm],
        f"{100 * row.accuracies.mean():.1f} % ({low:.1f} to {high:.1f})",
        lost_words(row),
        ", ".join(f"{count:.0f}" for count in row.levels),
        f"{row.nrmse:.3f}",
        " ".join(f"{100 * value:.1f}" for value in row.accuracies),
    ]


def _costs(study: OriginStudy, rows: Sequence[OriginRow]) -> list[list[str]]:
    """Per row: pulses and device time of deploying; products and device time of one sequence; processor time."""
    steps, inputs = study.models[0].steps, study.profile.inputs
    passes = (inputs.bits if inputs.coding == "bit-serial" and inputs.bits else 1) * (1 if inputs.signed else 2)
    return [
        [
            stuck_words(row.stuck),
            ARM_WORDS[row.arm],
            f"{row.pulses:,.0f}",
            f"{row.seconds / 3600:.2f} h",
            f"{row.products:.1f}",
            f"{row.products * steps:,.0f}",
            f"{row.products * steps * passes * study.profile.timing.mvm:.2f} s",
            f"{row.processor:.1f} s",
        ]
        for row in rows
    ]
