"""`imssa study`: what faults cost, on the digital twin."""

from __future__ import annotations

import time
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imssa_lab.cli.shared.interrupts import when_stopped
from imssa_lab.cli.shared.json_output import answer, takes_json
from imssa_lab.cli.shared.session import console, new_folder
from imssa_lab.contract.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imssa_lab.s4d.bundle import KernelBundle
    from imssa_lab.studies.trials import StudyPoint

STORE, TABLE, FIGURE = "study.h5", "stuck.csv", "stuck.svg"
_DRAW_EVERY = 60.0  # s
_SHOWN = 10
study = typer.Typer(no_args_is_help=True, help="What faults cost a model, on the digital twin.")


@study.callback()
def studies() -> None:
    """What faults cost a model, on the digital twin."""


@study.command()
@takes_json
def stuck(
    bundle: Annotated[Path, typer.Option(help="Kernel bundle, as `imssa train` writes it.")],
    sequences: Annotated[Path | None, typer.Option(help="By default the sequences.npz beside the bundle.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for figure and table; new or empty.")] = Path("study-stuck"),
    fraction: Annotated[list[float] | None, typer.Option(help="Fraction of stuck cells; may be repeated.")] = None,
    sigma: Annotated[list[float] | None, typer.Option(help="Programming error, uS; may be repeated.")] = None,
    chips: Annotated[int, typer.Option(min=1, help="Chips per point.")] = 3,
    tests: Annotated[int, typer.Option(min=1, help="Number of test sequences.")] = 100,
    workers: Annotated[int, typer.Option(min=1, help="Processes on this machine; one a core.")] = 1,
    scheduler: Annotated[str | None, typer.Option(help="Dask scheduler to use instead, as tcp://HOST:8786.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or auto: torch computes naive chips there.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the study in --out.")] = False,
) -> None:
    """Accuracy against stuck cells and programming error, naive programming against ours.

    Results go to study.h5 in the folder as they come, figure and table are redrawn every minute. A study that was
    stopped or killed continues with --resume; results depend neither on that nor on the number of workers.

    With --device the naive deployments are computed many chips at once by torch, on that device. Chips are the same,
    the noise of their reads is another: accuracies agree by statistics.

    Example: imssa study stuck --bundle model/bundle.safetensors --out study --workers 2
    """
    from rich.progress import Progress
    from rich.table import Table

    from imssa_lab.report.page import require_plots
    from imssa_lab.s4d.bundle import KernelBundle
    from protocols.deployment.sequences import Sequences

    require_plots()
    from imssa_lab.studies.study_store import StudyStore
    from imssa_lab.studies.trials import plan, points
    from imssa_lab.studies.workers import workers as started
    from imssa_lab.studies.written_chips import StudyModel, study_trial

    torch_device = None if device is None else _device(device)
    if not resume:
        new_folder(out)
    elif not (out / STORE).exists():
        raise ConfigError(f"{out / STORE} is not there; begin the study without --resume")
    model = StudyModel(
        KernelBundle.load(bundle), Sequences.load(sequences or bundle.parent / "sequences.npz"), tests=tests
    )
    trials = plan(fraction or [0.0, 0.01, 0.02, 0.05, 0.1], [1e-6 * s for s in sigma or [1.0, 3.0]], chips)
    screen = console(stderr=True)
    with StudyStore(out / STORE, trials, model.digest(torch_device)) as store:
        due = store.due
        with (
            when_stopped(lambda: _stopped(out, points(trials, store.results), model.bundle)),
            Progress(console=screen, disable=not screen.is_terminal) as bar,
            started(workers, scheduler) as pool,
        ):
            task = bar.add_task("deployments", total=len(trials), completed=len(trials) - len(due))
            drawn = time.monotonic()
            alone = [(i, trials[i]) for i in due if torch_device is None or trials[i].mending]
            ended = pool.run(study_trial, model, alone)
            if torch_device is not None:
                from imssa_lab.studies.written_chips_in_torch import study_together

                naive = [(i, trials[i]) for i in due if not trials[i].mending]
                ended = chain(study_together(model, naive, torch_device), ended)
            for index, (software, accuracy) in ended:
                store.put(index, software, accuracy)
                bar.advance(task)
                if time.monotonic() - drawn > _DRAW_EVERY:
                    _draw(out, points(trials, store.results), model.bundle)
                    drawn = time.monotonic()
        found = points(trials, store.results)
    _draw(out, found, model.bundle)
    table = Table("stuck", "sigma", "programming", "accuracy", "each chip")
    for point in found:
        table.add_row(
            f"{100 * point.stuck:g} %",
            f"{1e6 * point.sigma:g} uS",
            "ours" if point.mending else "naive",
            f"{100 * point.mean:.1f} %",
            " ".join(f"{100 * value:.1f}" for value in point.accuracies[:_SHOWN])
            + (" ..." if len(point.accuracies) > _SHOWN else ""),
        )
    console().print(table)
    files = {name: out / file for name, file in (("store", STORE), ("table", TABLE), ("figure", FIGURE))}
    answer({"points": [asdict(point) | {"mean": point.mean} for point in found], "files": files})


def _stopped(out: Path, found: Sequence[StudyPoint], bundle: KernelBundle) -> str:
    """What Ctrl-C leaves: figure and table of the points there are."""
    _draw(out, found, bundle)
    return f"what is done: {out / TABLE}, {out / FIGURE}; go on: the same command with --resume"


def _device(name: str) -> str:
    """The device of torch by that name; ConfigError where there is none, or no torch."""
    try:
        from imssa_lab.s4d.train.device import chosen_device
    except ImportError as error:
        raise ConfigError(f'--device needs torch ({error}): pip install "imssa-lab[train]"') from error
    return chosen_device(name)


def _draw(out: Path, found: Sequence[StudyPoint], bundle: KernelBundle) -> None:
    """Figure and table of the points there are, in place of those before; whole at any time."""
    from imssa_lab.report.study_figure import stuck_figure, write_table
    from imssa_lab.report.svg import save_svg

    write_table(out / "new.csv", found)
    (out / "new.csv").replace(out / TABLE)
    save_svg(stuck_figure(found, bundle), out / "new.svg")
    (out / "new.svg").replace(out / FIGURE)
