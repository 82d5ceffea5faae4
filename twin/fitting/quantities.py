"""Which quantity can be fitted to a table, and its fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from imssa_lab.contract.errors import DataError
from twin.fitting.current_voltage import fit_current_voltage
from twin.fitting.fit_outcome import Outcome
from twin.fitting.programming_error import fit_programming
from twin.fitting.read_noise import fit_read_noise
from twin.fitting.relaxation_fit import fit_relaxation
from twin.fitting.stuck import fit_stuck
from twin.fitting.tables.measured_tables import Table

NEEDS = {
    "relaxation": ("cell", "time", "initial", "conductance"),
    "programming": ("cell", "target", "conductance"),
    "iv": ("cell", "voltage", "current"),
    "stuck": ("bit", "conductance"),
    "noise": ("time", "conductance"),
}
"""The columns that each quantity needs, the most specific first; `noise` also takes readings without times."""


@dataclass(frozen=True)
class FitChoices:
    """What a person may say beside the table; each counts for one quantity."""

    model: str = ""
    broken_at: tuple[float, ...] = ()
    series: float = 0.0
    read_interval: float | None = None


def quantity_of(table: Table) -> str:
    """The quantity that the columns of a table allow.

    Raises:
        DataError: none.
    """
    for quantity, roles in NEEDS.items():
        if all(role in table for role in roles):
            return quantity
    if "read" in table and "conductance" in table:
        return "noise"
    wanted = "; ".join(f"{quantity}: {', '.join(roles)}" for quantity, roles in NEEDS.items())
    raise DataError(
        f"{table.source}: columns {', '.join(table.columns)} allow no fit; the quantities need: {wanted}; "
        "name columns with --column ROLE=NAME"
    )


def fit_quantity(
    table: Table,
    quantity: str,
    choices: FitChoices,
    rng: np.random.Generator,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Outcome:
    """Fit one quantity; `progress` is called with the part of a long fit that is done.

    Raises:
        DataError: the table lacks columns for it.
    """
    fits: dict[str, Callable[[], Outcome]] = {
        "relaxation": lambda: fit_relaxation(
            table, rng, model=choices.model, crossed=True, broken_at=choices.broken_at, progress=progress
        ),
        "programming": lambda: fit_programming(table, rng, model=choices.model),
        "iv": lambda: fit_current_voltage(table, rng, series=choices.series),
        "stuck": lambda: fit_stuck(table),
        "noise": lambda: fit_read_noise(table, rng, interval=choices.read_interval),
    }
    return fits[quantity]()
