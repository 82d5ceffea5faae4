"""`imssa study origin`: the experiment that this package exists for, from recordings to chips, in one command."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imssa_lab.cli.models.bundles import training
from imssa_lab.cli.models.origin_models import ASKED, PRECISION, Asked, Trained, example_spikes, trained
from imssa_lab.cli.models.trial_runs import count_of_tests, run_due
from imssa_lab.cli.shared import completion
from imssa_lab.cli.shared.interrupts import when_stopped
from imssa_lab.cli.shared.json_output import answer, takes_json
from imssa_lab.cli.shared.session import Stages, console, new_folder, provenance, stages

if TYPE_CHECKING:
    from imssa_lab.report.origin.origin_page import OriginStudy
    from imssa_lab.s4d.tasks import Task
    from imssa_lab.studies.pulsed_chips import PulsedResult
    from imssa_lab.studies.study_model import StudyModel
    from imssa_lab.studies.study_store import StudyStore
    from imssa_lab.studies.trials import StudyTrial
    from imssa_lab.studies.workers import Workers
    from twin import TwinProfile

STORE, PAGE, TABLE = "study.h5", "report.html", "origin.csv"
_DEPLOYED = "deploy on the chips"


@takes_json
def origin(
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with your SHD files; by default the stand-in of spoken digits is used."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for models, results and page; new or empty.")] = Path(
        "study-origin"
    ),
    chips: Annotated[int, typer.Option(min=1, help="Number of chips for each model.")] = 10,
    seeds: Annotated[int, typer.Option(min=1, help="Number of models, trained from seeds 0, 1, ...")] = 1,
    stuck: Annotated[
        list[float] | None,
        typer.Option(
            min=0,
            max=1,
            help="Fraction of stuck cells (half at each end) of additional chips; may be repeated.",
        ),
    ] = None,
    classes: Annotated[str, typer.Option(help="Which two classes of SHD; 0-9 English, 10-19 German digits.")] = "0,1",
    tests: Annotated[int, typer.Option(min=1, help="Test sequences of every deployment, at most 400.")] = 300,
    profile: Annotated[
        str, typer.Option(help="Profile of the chips: a preset or a TOML file.", autocompletion=completion.profiles)
    ] = "supert-a0",
    pairs: Annotated[int, typer.Option(min=20, help="Number of training recordings of the stand-in.")] = 1000,
    epochs_float: Annotated[
        int | None, typer.Option(min=1, help="Epochs of the float net and of the null control.")
    ] = None,
    epochs_quantised: Annotated[int | None, typer.Option(min=1, help="Epochs with quantised weights.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Number of processes on this machine, best one per core.")] = 1,
    scheduler: Annotated[str | None, typer.Option(help="Dask scheduler to use instead, as tcp://HOST:8786.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the study in --out.")] = False,
) -> None:
    """Repeat the experiment of the original paper: two classes, three levels, three arrays of the measured board.

    Each chip is deployed in three ways: naively, naively with columns and outputs corrected, and by our loop.

    With --data, it uses your copy of the Spiking Heidelberg Digits and shows the published accuracies too. Without,
    it uses spoken digits (`imssa data download fsdd`) as spikes in the same layout, with a question that needs
    memory.

    Finished results are kept: a study that was stopped or killed continues with --resume.

    Example: imssa study origin --chips 10 --stuck 0.05 --workers 2 --out origin
    """
    training()
    from imssa_lab.report.page import require_plots

    require_plots()
    from imssa_lab.studies.pulsed_chips import FIGURES
    from imssa_lab.studies.study_model import StudyModel
    from imssa_lab.studies.study_store import StudyStore
    from imssa_lab.studies.trials import plan
    from twin import TwinProfile

    chip_profile = TwinProfile.load(profile)
    asked = Asked.of(data, classes, pairs, seeds, (epochs_float, epochs_quantised))
    if not resume:
        new_folder(out)
    asked.keep(out / ASKED, resume=resume)
    with stages() as bars:
        with when_stopped(lambda: "to continue: the same command with --resume"):
            task, found = _prepared(out, asked, bars)
        models = [
            StudyModel(each.bundle, each.sequences, count_of_tests(tests, each.sequences), chip_profile)
            for each in found
        ]
        trials = plan([None, *(stuck or [])], [None], chips, seeds=seeds)
        rows = {"right": models[0].tests, "nrmse": found[0].told.kernels}
        digest = " ".join(model.digest() for model in models)
        with StudyStore(out / STORE, trials, digest, FIGURES, rows) as store:
            seen = _Seen(out, asked, task, found, models, chip_profile, trials, store, bars)
            bars(_DEPLOYED, len(trials) - len(store.due), len(trials))
            left = f"{out / PAGE}, {out / TABLE}"
            run_due(trials, store.due, seen.run, seen.keep, seen.draw, left, workers, scheduler)
            bars.end()
            seen.draw()
            study = seen.study()
    _show(study, out)
    files = {"page": out / PAGE, "table": out / TABLE, "store": out / STORE, "models": out / "models"}
    answer(_as_json(study) | {"files": files, "wall_seconds": bars.seconds})


def _prepared(out: Path, asked: Asked, bars: Stages) -> tuple[Task, list[Trained]]:
    """The task of the first model, and all models."""
    found, first = [], None
    for seed in range(asked.seeds):
        task = asked.task(out, seed, bars)
        first = first or task
        found.append(trained(out / "models" / f"seed-{seed}", task, seed, asked.epochs, bars))
    assert first is not None
    return first, found


class _Seen:
    """A study under way: its results as they come, and its page."""

    def __init__(
        self,
        out: Path,
        asked: Asked,
        task: Task,
        found: Sequence[Trained],
        models: list[StudyModel],
        profile: TwinProfile,
        trials: Sequence[StudyTrial],
        store: StudyStore,
        bars: Stages,
    ) -> None:
        self._out, self._task, self._found, self._models = out, task, found, models
        self._profile, self._trials, self._store, self._bars = profile, trials, store, bars
        numbers = (0, 1) if asked.data is None else asked.classes
        self._spikes, self._channels = example_spikes(asked.folder(out), task, numbers)
        self._facts = provenance()
        self._inference = _inference(models[0])

    def run(self, pool: Workers, jobs: Sequence[tuple[int, StudyTrial]]) -> Iterator[tuple[int, PulsedResult]]:
        """Deployments, as they end."""
        from imssa_lab.studies.pulsed_chips import pulsed_trial

        return pool.run(pulsed_trial, self._models, jobs)

    def keep(self, index: int, result: PulsedResult) -> None:
        """Put one into the store."""
        import numpy as np

        self._store.put(
            index, result.figures.tolist(), {"right": result.right.astype(np.float64), "nrmse": result.nrmse}
        )

    def study(self) -> OriginStudy:
        """As far as it came."""
        from imssa_lab.report.origin.origin_page import OriginStudy

        task = self._task
        return OriginStudy(
            task=task.name,
            labels=task.labels,
            preprocessing=task.preprocessing,
            licence=task.licence,
            precision=PRECISION,
            models=tuple(each.told for each in self._found),
            profile=self._profile,
            trials=tuple(self._trials),
            results=self._store.results,
            right=self._store.rows("right"),
            nrmse=self._store.rows("nrmse"),
            units=tuple(model.units for model in self._models),
            spikes=self._spikes,
            channels=self._channels,
            inference=self._inference,
            facts=self._facts,
            wall=dict(self._bars.seconds),
        )

    def draw(self) -> None:
        """Page and table of what there is, in place of those before; whole at any time."""
        from imssa_lab.report.origin.origin_page import origin_page

        study = self.study()
        new = self._out / "page.new"
        new.write_text(origin_page(study), encoding="utf-8")
        new.replace(self._out / PAGE)
        _write_table(self._out / "table.new", study)
        (self._out / "table.new").replace(self._out / TABLE)


def _inference(model: StudyModel) -> tuple[tuple[str, str], ...]:
    """What one sequence costs on chips of a study, as planned without faults; words by name."""
    from imssa_lab.report.inference_words import inference_facts
    from imssa_lab.studies.pulsed_chips import planned_cost

    return tuple(inference_facts(planned_cost(model).counts.facts()))


def _write_table(path: Path, study: OriginStudy) -> None:
    """Every deployment there is as a line of CSV; times in s."""
    from imssa_lab.studies.pulsed_chips import FIGURES

    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["stuck_fraction", "arm", "model", "chip", *FIGURES])
        for trial, figures in zip(study.trials, study.results.tolist(), strict=True):
            if figures[1] == figures[1]:  # not NaN: it is through
                writer.writerow([trial.stuck, trial.arm, trial.seed, trial.chip, *figures])


def _show(study: OriginStudy, out: Path) -> None:
    from rich.table import Table

    from imssa_lab.report.origin.origin_figures import stuck_words
    from imssa_lab.report.origin.origin_page import lost_words
    from imssa_lab.studies.trials import ARM_WORDS, PUBLISHED

    table = Table(
        "chips", "deployed", "accuracy", "points lost (each chip)", "pulses", "device time", title=study.task
    )
    for row in study.rows:
        table.add_row(
            stuck_words(row.stuck),
            ARM_WORDS[row.arm],
            f"{100 * row.accuracies.mean():.1f} %",
            lost_words(row),
            f"{row.pulses:,.0f}",
            f"{row.seconds / 3600:.2f} h",
        )
    screen = console()
    screen.print(table)
    for model in study.models:
        words = "" if model.needs_memory else "; this task needs no memory: it decides nothing"
        software, null = 100 * model.software[0], 100 * model.null[0]
        screen.print(f"model {model.seed}: software {software:.1f} %, control without memory {null:.1f} %{words}")
    if study.published:
        screen.print(f"published: {PUBLISHED[0]} % in software, {PUBLISHED[1]} % on the chip")
    screen.print(f"page   {out / PAGE}\ntable  {out / TABLE}")


def _as_json(study: OriginStudy) -> dict[str, Any]:
    return {
        "task": study.task,
        "profile": study.profile.name,
        "published": study.published,
        "models": [asdict(model) | {"needs_memory": model.needs_memory} for model in study.models],
        "rows": [asdict(row) | {"mean": float(row.accuracies.mean())} for row in study.rows],
    }
