"""Figures of fits: parameters, their intervals and verdicts, from tables that were drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.hal import FloatArray
from tests.twin.fitting.conftest import relaxed
from twin.fitting.bit_lines import fit_columns
from twin.fitting.checking.share_test import share_chance
from twin.fitting.comparison import fitted_chance
from twin.fitting.goodness import anderson_darling, anderson_p, banded
from twin.fitting.noise.traces import allan_deviation
from twin.fitting.quantities import FitChoices, fit_quantity
from twin.fitting.session.session_matching import _means_between_ranks
from twin.fitting.tables.measured_tables import Table
from twin.wires.wire_resistance import Wires, effective_matrix

CLOSE = 1e-3
"""Fits end where an optimiser ends; machines agree less well there."""


def fitted(make: Callable[[], Table], quantity: str, **choices: object) -> object:
    asked = FitChoices(**choices)  # type: ignore[arg-type]
    outcome = fit_quantity(make(), quantity, asked, np.random.default_rng(7))
    shares = [outcome.levels_passed, outcome.bands_passed, outcome.steps_passed, outcome.coverage]
    return [outcome, shares, outcome.coverage_by_time(), [one.poor for one in outcome.parameters]]


def drawn(**columns: NDArray[Any]) -> Table:
    size = len(next(iter(columns.values())))
    values = {name: np.asarray(value, dtype=np.float64) for name, value in columns.items()}
    return Table(values, np.arange(2, size + 2), "synthetic")


def relaxation() -> Table:
    made: Table = relaxed(cells=700, seed=2, times=(0.1, 10.0))  # type: ignore[no-untyped-call]
    return made


def programming() -> Table:
    rng = np.random.default_rng(3)
    target = np.repeat(np.linspace(10e-6, 100e-6, 6), 60)
    tail = np.where(rng.random(target.size) < 0.2, -rng.exponential(3e-6, target.size), 0.0)
    reached = target * 1.01 + rng.normal(0, 1e-6 + 0.01 * target) + tail
    return drawn(cell=np.arange(target.size), target=target, conductance=np.maximum(reached, 1e-7))


def curves(power: int, points: int = 15) -> Table:
    rng = np.random.default_rng(5)
    g = np.linspace(20e-6, 80e-6, 40)
    volts = np.tile(np.linspace(-0.35 if power == 2 else 0.0, 0.35, points), g.size)
    every = np.repeat(g, points)
    bend = 0.9 * (every / 50e-6) ** -0.5
    current = every * volts * (1 + bend * volts**power) + 2e-8 + 1e-9 * rng.standard_normal(every.size)
    return drawn(cell=np.repeat(np.arange(g.size), points), voltage=volts, current=current)


def bits() -> Table:
    rng = np.random.default_rng(6)
    bit = np.tile([0.0, 1.0], 150)
    g = np.where(bit == 1, 3e-6, 60e-6) * np.exp(0.2 * rng.standard_normal(bit.size))
    g[[1, 3, 9]], g[[2, 8]] = (70e-6, 95e-6, 50e-6), 2e-6
    return drawn(bit=bit, conductance=g)


def traces(kind: str, cells: int = 8, readings: int = 192) -> Table:
    rng = np.random.default_rng(8)
    level = np.linspace(10e-6, 90e-6, cells)[:, None]
    values = level + 0.4e-6 * rng.standard_normal((cells, readings)) * np.exp(0.3 * rng.standard_normal((cells, 1)))
    if kind in ("wanders", "all"):
        values += np.cumsum(0.05e-6 * rng.standard_normal((cells, readings)), axis=1)
    if kind in ("switches", "all"):
        stays = np.cumsum(rng.random((cells // 2, readings)) < 0.06, axis=1) % 2
        values[: cells // 2] *= np.where(stays == 1, 0.85, 1.0)
    if kind in ("hums", "all"):
        values += 0.5e-6 * np.sin(2 * np.pi * 0.2 * np.arange(readings))
    time = {} if kind == "hums" else {"time": np.tile(0.01 * np.arange(readings), cells)}
    read = {"read": np.tile(np.arange(readings), cells)}
    return drawn(cell=np.repeat(np.arange(cells), readings), conductance=values.ravel(), **time, **read)


def columns() -> object:
    rng = np.random.default_rng(10)
    cells, volts = rng.uniform(5e-6, 100e-6, (10, 6)), rng.uniform(-0.2, 0.2, (40, 10))
    wired = effective_matrix(cells, Wires(r_word=4.0, r_bit=4.0))
    noise = 1e-8 * rng.standard_normal((40, 6))
    seen = np.linspace(0.8, 1.2, 6) * (volts @ wired) + np.linspace(-1e-7, 2e-7, 6) + noise
    return [fit_columns(cells, volts, each, rng) for each in (seen, volts @ cells + noise)]


def tests() -> Iterator[tuple[str, object]]:
    rng = np.random.default_rng(9)
    uniform: FloatArray = rng.random(80)
    yield "anderson", [anderson_darling(uniform), anderson_p(0.5), anderson_p(2.5), anderson_p(8.0)]
    yield "banded", banded(np.linspace(0, 1, 11), 3)
    yield "shares", [share_chance(a, 40, b, 60) for a, b in ((0, 0), (4, 6), (4, 20), (40, 10))]
    yield "chances", [fitted_chance(0.1, chip, 300, fitted) for chip in (50, 500) for fitted in (None, 40, 900)]
    few = [_means_between_ranks(rng.standard_normal((2, cells))) for cells in (1, 4, 40)]
    yield "between ranks", few
    yield "allan", allan_deviation(np.cumsum(rng.standard_normal(200)))


CASES: Mapping[str, Callable[[], object]] = {
    "relaxation": partial(fitted, relaxation, "relaxation"),
    "relaxation broken": partial(fitted, relaxation, "relaxation", broken_at=(10.0,)),
    "programming": partial(fitted, programming, "programming"),
    **{f"iv {power}": partial(fitted, partial(curves, power), "iv") for power in (1, 2)},
    "iv in series": partial(fitted, partial(curves, 2), "iv", series=500.0),
    "stuck": partial(fitted, bits, "stuck"),
    "columns": columns,
    **{
        f"noise that {kind}": partial(fitted, partial(traces, kind), "noise", read_interval=None)
        for kind in ("hums", "all")
    },
    "tests": lambda: dict(tests()),
}
