"""`imssa study`: what faults cost, on the digital twin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imssa_lab.cli.session import Sequences, console, new_folder

if TYPE_CHECKING:
    from protocols.study import StudyPoint

study = typer.Typer(no_args_is_help=True, help="What faults cost a model, on the digital twin.")


@study.callback()
def studies() -> None:
    """What faults cost a model, on the digital twin."""


@study.command()
def stuck(
    bundle: Annotated[Path, typer.Option(help="Kernel bundle, as `imssa train` writes it.")],
    sequences: Annotated[Path | None, typer.Option(help="Left out: the sequences.npz beside the bundle.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for figure and table; new or empty.")] = Path("study-stuck"),
    fraction: Annotated[list[float] | None, typer.Option(help="Stuck cells, a fraction; may be repeated.")] = None,
    sigma: Annotated[list[float] | None, typer.Option(help="Programming error, uS; may be repeated.")] = None,
    chips: Annotated[int, typer.Option(min=1, help="Chips a point.")] = 3,
    tests: Annotated[int, typer.Option(min=1, help="Test sequences.")] = 100,
) -> None:
    """Accuracy against stuck cells and programming error, naive programming against ours.

    Example: imssa study stuck --bundle model/bundle.safetensors --out study
    """
    from rich.table import Table

    from imssa_lab.report.page import require_plots
    from imssa_lab.s4d.bundle import KernelBundle
    from protocols.study import study as points_of

    require_plots()
    from imssa_lab.cli.statistical import deploy_statistical
    from imssa_lab.report.study import stuck_figure, write_table

    new_folder(out)
    model, inputs = KernelBundle.load(bundle), Sequences.load(sequences or bundle.parent / "sequences.npz")
    table = Table("stuck", "sigma", "programming", "accuracy", "each chip")
    points: list[StudyPoint] = []
    fractions, sigmas = fraction or [0.0, 0.01, 0.02, 0.05, 0.1], [1e-6 * s for s in sigma or [1.0, 3.0]]

    def deploy(part: float, error: float, mending: bool, chip: int) -> tuple[float, float]:
        result = deploy_statistical(model, inputs, chip=chip, stuck=part, sigma=error, mending=mending, tests=tests)
        return result.software_accuracy, result.accuracy

    for point in points_of(deploy, fractions, sigmas, chips):
        points.append(point)
        console(stderr=True).print(f"{100 * point.stuck:g} % stuck: {100 * point.mean:.1f} %")
        table.add_row(
            f"{100 * point.stuck:g} %",
            f"{1e6 * point.sigma:g} uS",
            "ours" if point.mending else "naive",
            f"{100 * point.mean:.1f} %",
            " ".join(f"{100 * value:.1f}" for value in point.accuracies),
        )
    write_table(out / "stuck.csv", points)
    stuck_figure(points, f"{model.task}, {model.precision}").savefig(out / "stuck.svg", metadata={"Date": None})
    console().print(table)
