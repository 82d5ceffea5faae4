"""`imssa study`: what faults cost, on the digital twin."""

from __future__ import annotations

from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imssa_lab.cli.arrays.layers_option import LayersOption, OnArrays
from imssa_lab.cli.models.study_drift import drift
from imssa_lab.cli.models.study_origin import origin
from imssa_lab.cli.models.trial_runs import count_of_tests, run_due
from imssa_lab.cli.shared import completion
from imssa_lab.cli.shared.json_output import answer, takes_json
from imssa_lab.cli.shared.number_options import finite
from imssa_lab.cli.shared.session import console, new_folder
from imssa_lab.contract.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imssa_lab.s4d.bundle import KernelBundle
    from imssa_lab.studies.study_model import StudyModel
    from imssa_lab.studies.trials import StudyPoint, StudyTrial
    from imssa_lab.studies.workers import Workers

STORE, TABLE, FIGURE = "study.h5", "stuck.csv", "stuck.svg"
_SHOWN = 10
_HEALTHY = "supert-a0-easy without faults and lasting noise, conductances written with Gaussian errors"
study = typer.Typer(no_args_is_help=True, help="Studies of what faults and drift cost a model, on the digital twin.")
study.command()(origin)
study.command()(drift)


@study.callback()
def studies() -> None:
    """Studies of what faults and drift cost a model, on the digital twin."""


@study.command()
@takes_json
def stuck(
    bundle: Annotated[Path, typer.Option(help="Kernel bundle, as `imssa train` writes it.")],
    sequences: Annotated[Path | None, typer.Option(help="By default the sequences.npz beside the bundle.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for figure and table; new or empty.")] = Path("study-stuck"),
    profile: Annotated[
        str,
        typer.Option(
            help="Profile of the chips, which are programmed by pulses: a preset or a TOML file.",
            autocompletion=completion.profiles,
        ),
    ] = "supert-a0",
    healthy_gaussian: Annotated[
        bool, typer.Option("--healthy-gaussian", help=f"Use, instead of a profile, {_HEALTHY}.")
    ] = False,
    fraction: Annotated[
        list[float] | None,
        typer.Option(min=0, max=1, help="Fraction of stuck cells; may be repeated."),
    ] = None,
    sigma: Annotated[
        list[float] | None,
        typer.Option(
            min=0, callback=finite, help="Error for --healthy-gaussian, uS; may be repeated; by default 1 and 3."
        ),
    ] = None,
    chips: Annotated[int, typer.Option(min=1, help="Number of chips for each point.")] = 3,
    tests: Annotated[int, typer.Option(min=1, help="Number of test sequences.")] = 100,
    layers: LayersOption = OnArrays.KERNELS,
    workers: Annotated[int, typer.Option(min=1, help="Number of processes on this machine, best one per core.")] = 1,
    scheduler: Annotated[str | None, typer.Option(help="Dask scheduler to use instead, as tcp://HOST:8786.")] = None,
    device: Annotated[
        str | None,
        typer.Option(help="Device on which torch computes corrected chips of --healthy-gaussian: cpu, cuda or auto."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the study in --out.")] = False,
) -> None:
    """Measure accuracy against stuck cells: naive, naive with columns and outputs corrected, and our loop.

    Chips are programmed by pulses with the recipe of their profile. Its dead lines and lasting noise are kept;
    --fraction replaces its stuck cells. With --healthy-gaussian, conductances are set directly instead.

    Each result is written to study.h5 in the folder at once; figure and table are redrawn every minute. A study that
    was stopped or killed continues with --resume. Results depend neither on that nor on the number of workers.

    With --device, torch computes the corrected deployments for many chips at once, on that device. The chips are the
    same, but the noise of their reads differs, so accuracies agree only statistically.

    Example: imssa study stuck --bundle model/bundle.safetensors --out study --workers 2
    """
    from imssa_lab.report.page import require_plots
    from imssa_lab.s4d.bundle import KernelBundle
    from protocols.deployment.sequences import Sequences

    require_plots()
    from imssa_lab.studies.study_model import StudyModel
    from imssa_lab.studies.study_store import StudyStore
    from imssa_lab.studies.trials import plan, points
    from twin import TwinProfile

    if not healthy_gaussian and (sigma or device):
        raise ConfigError("--sigma and --device belong to --healthy-gaussian; else the pulses make the errors")
    if healthy_gaussian and layers is not OnArrays.KERNELS:
        raise ConfigError("--layers all needs chips that are programmed by pulses; leave out --healthy-gaussian")
    torch_device = None if device is None else _device(device)
    given = Sequences.load(sequences or bundle.parent / "sequences.npz")
    chip_profile = None if healthy_gaussian else TwinProfile.load(profile)
    model = StudyModel(KernelBundle.load(bundle), given, count_of_tests(tests, given), chip_profile, layers.value)
    if not resume:
        new_folder(out)
    elif not (out / STORE).exists():
        raise ConfigError(f"{out / STORE} is not there; start the study without --resume")
    sigmas = [1e-6 * s for s in sigma or [1.0, 3.0]] if healthy_gaussian else [None]
    trials = plan(fraction or [0.0, 0.01, 0.02, 0.05, 0.1], sigmas, chips)
    with StudyStore(out / STORE, trials, model.digest(torch_device)) as store:

        def run(pool: Workers, jobs: Sequence[tuple[int, StudyTrial]]) -> Iterator[tuple[int, tuple[float, float]]]:
            return _results(model, torch_device, pool, jobs)

        run_due(
            trials,
            store.due,
            run,
            store.put,
            lambda: _draw(out, points(trials, store.results), model.bundle),
            f"{out / TABLE}, {out / FIGURE}",
            workers,
            scheduler,
        )
        found = points(trials, store.results)
    _show(found)
    files = {name: out / file for name, file in (("store", STORE), ("table", TABLE), ("figure", FIGURE))}
    chips_of = _HEALTHY if chip_profile is None else f"{chip_profile.name}, by pulses"
    answer({"chips": chips_of, "points": [_as_json(point) for point in found], "files": files})


def _results(
    model: StudyModel, torch_device: str | None, pool: Workers, jobs: Sequence[tuple[int, StudyTrial]]
) -> Iterator[tuple[int, tuple[float, float]]]:
    """Accuracies of numbered trials, as they end."""
    if model.profile is not None:
        from imssa_lab.studies.pulsed_chips import pulsed_trial

        for index, result in pool.run(pulsed_trial, [model], jobs):
            yield index, result.accuracies
        return
    from imssa_lab.studies import written_chips

    together = [job for job in jobs if torch_device is not None and job[1].arm == "corrected"]
    ended = pool.run(written_chips.study_trial, model, [job for job in jobs if job not in together])
    if torch_device is not None:
        from imssa_lab.studies.written_chips_in_torch import study_together

        ended = chain(study_together(model, together, torch_device), ended)
    yield from ended


def _as_json(point: StudyPoint) -> dict[str, Any]:
    return asdict(point) | {"software": point.software, "mean": point.mean}


def _show(found: Sequence[StudyPoint]) -> None:
    from rich.table import Table

    from imssa_lab.studies.trials import ARM_WORDS

    table = Table("stuck", "sigma", "programming", "software", "accuracy", "each chip")
    for point in found:
        table.add_row(
            f"{100 * (point.stuck or 0.0):g} %",
            "by pulses" if point.sigma is None else f"{1e6 * point.sigma:g} uS",
            ARM_WORDS[point.arm],
            f"{100 * point.software:.1f} %",
            f"{100 * point.mean:.1f} %",
            " ".join(f"{100 * value:.1f}" for value in point.accuracies[:_SHOWN])
            + (" ..." if len(point.accuracies) > _SHOWN else ""),
        )
    console().print(table)


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
