"""`imssa study drift`: what is left of a deployment after a second, a day, a month."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imssa_lab.cli.arrays.layers_option import LayersOption, OnArrays
from imssa_lab.cli.models.trial_runs import count_of_tests, run_due
from imssa_lab.cli.shared import completion
from imssa_lab.cli.shared.json_output import answer, takes_json
from imssa_lab.cli.shared.session import console, new_folder, provenance
from imssa_lab.contract.errors import ConfigError

if TYPE_CHECKING:
    from imssa_lab.contract.array_types import FloatArray
    from imssa_lab.studies.aged_chips import AgedResult
    from imssa_lab.studies.drift_summary import DriftStudy
    from imssa_lab.studies.trials import StudyTrial
    from imssa_lab.studies.workers import Workers

STORE, PAGE, TABLE, FIGURE = "study.h5", "report.html", "drift.csv", "drift.svg"


@takes_json
def drift(
    bundle: Annotated[Path, typer.Option(help="Kernel bundle, as `imssa train` writes it.")],
    profile: Annotated[
        str,
        typer.Option(
            help="Profile of the chips, with [relaxation]: a preset or a TOML file.",
            autocompletion=completion.profiles,
        ),
    ],
    sequences: Annotated[
        Path | None, typer.Option(help="Test sequences; by default the sequences.npz beside the bundle.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for page, figure and table; new or empty.")] = Path("study-drift"),
    at: Annotated[
        list[str] | None,
        typer.Option(
            help="Age at a test, such as 90s, 1h, 1month; may be repeated. By default 1s 1min 1h 1d 1month."
        ),
    ] = None,
    chips: Annotated[int, typer.Option(min=1, help="Number of chips.")] = 3,
    tests: Annotated[int, typer.Option(min=1, help="Number of test sequences.")] = 200,
    layers: LayersOption = OnArrays.KERNELS,
    workers: Annotated[int, typer.Option(min=1, help="Number of processes on this machine, best one per core.")] = 1,
    scheduler: Annotated[str | None, typer.Option(help="Dask scheduler to use instead, as tcp://HOST:8786.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the study in --out.")] = False,
) -> None:
    """Measure accuracy, kernels and cells of deployed chips as they age, with and without recalibration.

    Each chip is deployed once and then ages. At each time it is tested with the corrections of its deployment, then
    with recalibrated outputs (no pulse; kept only if held-out sequences improve). After the last time, cells that
    have left their window are re-programmed and it is tested again.

    Times for which the profile's law is not valid are refused; without --at they are left out and listed.

    Example: imssa study drift --bundle model/bundle.safetensors --profile wan-2022 --at 1h --at 1d
    """
    from imssa_lab.report.page import require_plots
    from imssa_lab.s4d.bundle import KernelBundle
    from protocols.deployment.sequences import Sequences

    require_plots()
    from imssa_lab.studies.aged_chips import FIGURES, DriftModel, aged_trial, times_within
    from imssa_lab.studies.drift_summary import drift_study
    from imssa_lab.studies.study_model import StudyModel
    from imssa_lab.studies.study_store import StudyStore
    from imssa_lab.studies.trials import plan
    from twin import TwinProfile

    kind = TwinProfile.load(profile)
    times, left_out = times_within(kind, at)
    given = Sequences.load(sequences or bundle.parent / "sequences.npz")
    model = StudyModel(KernelBundle.load(bundle), given, count_of_tests(tests, given), kind, layers.value)
    shared = DriftModel(model, tuple(times))
    if not resume:
        new_folder(out)
    elif not (out / STORE).exists():
        raise ConfigError(f"{out / STORE} is not there; start the study without --resume")
    if left_out:
        console(stderr=True).print(
            f"left out, as the relaxation of {kind.name} is not known so long: {', '.join(left_out)}"
        )
    trials = plan([None], [None], chips, ["ours"])
    facts = {"chips": f"{kind.name}: {kind.source}"} | provenance()
    with StudyStore(out / STORE, trials, shared.digest(), FIGURES, shared.lengths()) as store:

        def found() -> DriftStudy:
            rows = {name: store.rows(name) for name in shared.lengths()}
            return drift_study(shared, store.results, rows)

        def run(pool: Workers, jobs: Sequence[tuple[int, StudyTrial]]) -> Iterator[tuple[int, AgedResult]]:
            return pool.run(aged_trial, shared, jobs)

        run_due(
            trials,
            store.due,
            run,
            lambda index, result: store.put(index, result.figures.tolist(), result.rows),
            lambda: _draw(out, found(), facts),
            f"{out / PAGE}, {out / TABLE}, {out / FIGURE}",
            workers,
            scheduler,
        )
        study = found()
    _show(study)
    files = {"store": out / STORE, "page": out / PAGE, "table": out / TABLE, "figure": out / FIGURE}
    answer(study.facts() | {"left_out": left_out, "files": files})


def _draw(out: Path, study: DriftStudy, facts: dict[str, str]) -> None:
    """Page, table and figure of the chips there are, in place of those before; whole at any time."""
    from imssa_lab.report.aged.drift_figures import drift_figure, write_drift_table
    from imssa_lab.report.aged.drift_page import drift_page
    from imssa_lab.report.svg import save_svg

    write_drift_table(out / "new.csv", study)
    (out / "new.csv").replace(out / TABLE)
    save_svg(drift_figure(study), out / "new.svg")
    (out / "new.svg").replace(out / FIGURE)
    (out / "new.html").write_text(drift_page(study, facts), encoding="utf-8")
    (out / "new.html").replace(out / PAGE)


def _show(study: DriftStudy) -> None:
    from rich.table import Table

    from imssa_lab.studies.aged_chips import in_words

    table = Table("after", "as deployed", "recalibrated", "kept", "NRMSE", "cells", title=study.name)
    rows, chips = study.rows, len(study.at_once)
    table.add_row("at once", _percent(study.at_once), "", "", "", _percent(study.cells_at_once))
    for place, time in enumerate(study.times.tolist()):
        mine = {name: values[:, place] for name, values in rows.items()}
        table.add_row(
            in_words(time),
            _percent(mine["deployed"]),
            _percent(mine["recalibrated"]),
            f"{int(mine['kept'].sum())} of {chips}",
            f"{mine['nrmse'].mean():.3f}",
            _percent(mine["cells"]),
        )
    table.add_row("re-programmed", _percent(study.refreshed), "", "", "", "")
    screen = console()
    screen.print(table)
    null = "not known" if study.null is None else f"{100 * study.null:.1f} %"
    screen.print(
        f"software {100 * study.software:.1f} %, control without memory {null}; a recalibration takes "
        f"{study.products} products and no pulse; the law is known until {in_words(study.until)}"
    )
    if study.failed_cells:
        screen.print(f"FAILED before aging: {study.failed_cells} of {chips} chips have cells out of tolerance")


def _percent(values: FloatArray) -> str:
    """The mean over the chips, and the least and the most of them where they are several."""
    mean, low, high = (100 * float(each) for each in (values.mean(), values.min(), values.max()))
    return f"{mean:.1f} %" if len(values) == 1 else f"{mean:.1f} % ({low:.1f}-{high:.1f})"
