"""`imssa twin-check`: does a twin behave like the chip that a run recorded?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imssa_lab.cli.shared import completion
from imssa_lab.cli.shared.json_output import answer, takes_json
from imssa_lab.cli.shared.session import console, stages
from imssa_lab.contract.errors import ConfigError, LimitError

if TYPE_CHECKING:
    from twin.fitting.comparison import Statistic

DIFFER, NOT_DECIDABLE = 3, 4

_MICRO = {"S": "uS", "A": "uA"}


@takes_json
def twin_check(
    log: Annotated[Path, typer.Argument(help="Run file of the chip, for example run.h5.")],
    profile: Annotated[
        str,
        typer.Argument(
            help="Profile to check: a preset or the path of a .toml file.", autocompletion=completion.profiles
        ),
    ],
    chips: Annotated[int, typer.Option(min=1, help="Number of twins for each recorded array.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first twin; the others count up from it.")] = 0,
) -> None:
    """Run the requests of a recorded session on a twin, and print where the two differ by more than chance.

    Exit code 3: they differ. 4: nothing differs, but too little could be compared to say that they agree.

    Example: imssa twin-check run.h5 my-chip/profile.toml
    """
    from imssa_lab.log import open_run
    from twin.fitting.comparison import compare_twin
    from twin.profile import TwinProfile

    wanted = TwinProfile.load(profile)
    with open_run(log) as run, stages() as bars:
        try:
            found = compare_twin(
                run,
                wanted,
                tuple(range(seed, seed + chips)),
                lambda done, total: bars("sessions of chips and twins", done, total),
            )
        except LimitError as error:
            raise ConfigError(
                f"{wanted.name} cannot repeat what {log} asked of its chip ({error}); is it a profile of that chip?"
            ) from error
    if found.statistics:
        _print(found.statistics, found.apart, f"{log} against {wanted.name}")
    for text in found.not_compared:
        console().print(f"not compared: {text}", markup=False)
    answer(
        {
            "profile": wanted.name,
            "verdict": found.verdict,
            "agree": found.verdict == "agree",
            "statistics": [asdict(one) | {"differs": one in found.apart} for one in found.statistics],
            "not_compared": found.not_compared,
        }
    )
    compared = len(found.statistics)
    if found.verdict == "differ":
        console().print(
            f"{len(found.apart)} of {compared} statistics differ more than chance (1 %, Holm's correction): "
            f"{', '.join(one.name for one in found.apart)}; fit them again with `imssa fit {log}`"
        )
        raise typer.Exit(DIFFER)
    if found.verdict == "not decidable":
        seen = f"nothing differs in {compared} statistics, but" if compared else "nothing could be compared:"
        console().print(
            f"not decidable: {seen} this session holds too little to say that "
            "twin and chip agree; record a characterisation (imssa characterise)"
        )
        raise typer.Exit(NOT_DECIDABLE)
    allowed = sum(one.misfit > 0 for one in found.statistics)
    beyond = f" and, in {allowed} of them, what the fit itself missed of its session" if allowed else ""
    console().print(
        f"twin and chip agree in all {compared} statistics within chance (1 %, Holm's correction){beyond}"
    )


def _print(statistics: list[Statistic], apart: list[Statistic], title: str) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title)
    for name in ("statistic", "chip", "twin", "values", "distance", "misfit of the fit", "p", "verdict"):
        table.add_column(name)
    for one in statistics:
        factor = 1e6 if one.unit in _MICRO else 1.0
        unit = _MICRO.get(one.unit, "")
        table.add_row(
            Text(one.name),
            f"{factor * one.chip:.4g} {unit}",
            f"{factor * one.twin:.4g} {unit}",
            str(one.samples),
            f"{one.distance:.3f}",
            f"{one.misfit:.3f}" if one.misfit else "",
            f"{one.p:.2g}",
            "DIFFERS" if one in apart else "agrees",
        )
    console().print(table)
