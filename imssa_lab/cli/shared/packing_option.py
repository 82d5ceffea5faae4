"""`--packing`: whether kernels are packed for few arrays or for few products; what both cost, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from imssa_lab.cli.shared import completion
from imssa_lab.contract.errors import ConfigError

if TYPE_CHECKING:
    from imssa_lab.mapping import Packing
    from protocols.cost.energy_figures import NetworkEnergy
    from protocols.cost.predicted_cost import InferenceCost

PackingOption = Annotated[
    str | None,
    typer.Option(
        "--packing",
        help="How kernels share arrays. time: few products a time step; area: few arrays. By default time, or area "
        "if only that fits.",
        autocompletion=completion.packings,
    ),
]


def packing_asked(name: str | None, began: Packing | None = None) -> Packing | None:
    """The packing of `--packing`; None for what fits.

    Args:
        began: that of the deployment which is resumed.

    Raises:
        ConfigError: no such packing, or another one than the deployment began with.
    """
    from imssa_lab.mapping import Packing

    if name is None:
        return began
    if name not in get_args(Packing):
        raise ConfigError(f"--packing {name!r}: choose one of {', '.join(get_args(Packing))}")
    if began not in (None, name):
        raise ConfigError(
            f"--packing {name}: the deployment began packed for {began}, and kernels stay where they are; leave the "
            "option out, or deploy into a new --out"
        )
    return cast("Packing", name)


def packing_words(cost: InferenceCost, spent: NetworkEnergy) -> str:
    """What an inference with kernels packed one way takes."""
    from imssa_lab.mapping import reads_a_step
    from imssa_lab.report.inference_words import with_prefix

    mapping, latency, whole = cost.mapping, cost.counts.latency, spent.reads.whole
    time = "" if latency is None else f" in {latency[0]:.3g} s (arrays one after another: {latency[1]:.3g} s)"
    open_ = " without that of the cells" if spent.reads.cells is None else ""
    number = "1 array" if mapping.arrays == 1 else f"{mapping.arrays} arrays"
    counts = cost.counts
    return (
        f"{number}, {cost.cells} cells to program; {reads_a_step(mapping)} products a time step; an inference reads "
        f"{sum(counts.products)} products{time}, with {counts.conversions} conversions of bit lines in use, "
        f"{counts.every_line} of all; energy on the arrays{open_} {with_prefix(whole.low, 'J')} to "
        f"{with_prefix(whole.high, 'J')}, bit lines in use alone"
    )


def packing_facts(cost: InferenceCost, spent: NetworkEnergy) -> dict[str, object]:
    """The same for machines."""
    from imssa_lab.mapping import reads_a_step

    return {
        "arrays": cost.mapping.arrays,
        "kernels": len(cost.mapping.kernels),
        "cells": cost.cells,
        "reads_a_step": reads_a_step(cost.mapping),
        "inference": cost.counts.facts(),
        "energy": spent,
    }
