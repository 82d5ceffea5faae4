"""SET and RESET response by quantiles: tables for which twins in the same experiment show what the chip showed.

No formula of a device is assumed. What a sweep leaves is not what single pulses reach (a SET only raises, so scatter
adds up along a sweep), so the tables are corrected until sweeps of simulated cells have the measured quantiles and
the measured scatter from cycle to cycle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.errors import DataError
from imssa_lab.contract.hal import FloatArray
from twin.fitting.fit_outcome import Curve, Group, Outcome, Parameter
from twin.fitting.goodness import judge
from twin.fitting.session.session_tables import Named
from twin.measured_pulses import MeasuredPulses, PulseRanks, PulseTable
from twin.noise import CellNoise, ReadNoise

SCORES = np.linspace(-3.0, 3.0, 17)
CELLS_NEEDED = 40
_SIMULATED, _ROUNDS, _DAMPED, _HEAVIEST = 2048, 12, 0.7, 0.5
_LEAST = 1e-9
_NEAR = 1.5


@dataclass(frozen=True)
class Sweeps(FrozenArrays):
    """Readings after the pulses of one kind: strengths (k,), V, and conductances (k, cycles, cells), S."""

    strengths: FloatArray
    values: FloatArray


def fit_pulse_tables(
    table: Named, windows: Named | None, noise: ReadNoise | None, rng: np.random.Generator
) -> Outcome:
    """Fit tables to half of the cells, and judge the other half by simulated ones; the profile holds all of them.

    Args:
        table: of the pulse response, see `session_tables.COLUMNS`; windows: of the stuck map, whose stuck cells are
            left out here and whose ends of all cells the tables take over. noise: of single reads; None for none.

    Raises:
        DataError: too few cells, a cycle that is not whole, or several voltages of SETs or widths of RESETs.
    """
    outcome = Outcome("pulse response")
    bad = np.zeros(0)
    if windows is not None:
        state = windows["state"].astype(str)
        bad = np.asarray(windows["cell"], dtype=np.float64)[
            np.char.startswith(state, "stuck") | np.char.startswith(state, "dead")
        ]
    set_, set_voltage, _, cells = _sweeps(table, "SET", bad)
    reset, _, reset_width, _ = _sweeps(table, "RESET", bad)
    if cells.size < CELLS_NEEDED:
        raise DataError(f"pulse response: {cells.size} cells that move, {CELLS_NEEDED} are needed")
    ends = _ends(windows, bad)
    facts = set_voltage, reset_width
    half = rng.permutation(cells.size) % 2 == 0
    for train, test in ((half, ~half), (~half, half)):
        law = _fitted(_some(set_, train), _some(reset, train), None, noise, facts, rng)
        _judge(law, _some(set_, test), _some(reset, test), noise, rng, outcome.groups)
    law = _fitted(set_, reset, ends, noise, facts, rng)
    outcome.sections["measured_pulses"] = _rounded(law)
    for name, kind, sweeps in (("SET, gate", law.set, set_), ("RESET", law.reset, reset)):
        medians = np.array(kind.quantiles)[:, SCORES.size // 2]
        outcome.curves.append(
            Curve(
                f"median after {name} of",
                sweeps.strengths,
                1e6 * np.median(sweeps.values, axis=(1, 2)),
                "V",
                "uS",
                1e6 * medians,
            )
        )
        for strength, middle, cycle in zip(kind.strengths, medians, kind.cycle_spread, strict=True):
            error = 1.645 / np.sqrt(2 * cells.size)
            at = sweeps.values[list(sweeps.strengths).index(strength)].mean(axis=0)
            reach = float(at.std()) * 1.645 * 1.25 / np.sqrt(cells.size)
            ends_of = float(middle - reach), float(middle + reach)
            outcome.parameters.append(Parameter(f"{name} {strength:g} V: median", float(middle), *ends_of, "S"))
            low, high = float(cycle * (1 - error)), float(cycle * (1 + error))
            outcome.parameters.append(Parameter(f"{name} {strength:g} V: cycle spread", float(cycle), low, high, "1"))
    outcome.facts |= {
        "cells": str(cells.size),
        "cycles": str(set_.values.shape[1]),
        "strengths": f"{set_.strengths.size} of SET, {reset.strengths.size} of RESET",
        "tested": "each half by simulated sweeps of the other",
    }
    outcome.undetermined.append(
        f"SETs at other voltages than {set_voltage:g} V and RESETs of other widths than {reset_width:g} s: as "
        "the base profile's set and reset say"
    )
    outcome.undetermined.append("pulses on cells in the middle of their window: sweeps begin at its ends")
    return outcome


def _sweeps(table: Named, kind: str, bad: FloatArray) -> tuple[Sweeps, float, float, FloatArray]:
    """Sweeps of one kind, voltage and width of its last pulse, and the cells, in order."""
    at = (table["kind"].astype(str) == kind) & ~np.isin(np.asarray(table["cell"], dtype=np.float64), bad)
    part = {name: np.asarray(values[at], dtype=np.float64) for name, values in table.items() if name != "kind"}
    strength = part["gate"] if kind == "SET" else part["voltage"]
    fixed = part["voltage"] if kind == "SET" else part["width"]
    if not strength.size or np.ptp(fixed) > 1e-9 * fixed.max():
        raise DataError(f"pulse response: {kind}s at one voltage and of one width are needed, in a sweep")
    steps, cycles, cells = (np.unique(values) for values in (strength, part["cycle"], part["cell"]))
    if strength.size != steps.size * cycles.size * cells.size:
        raise DataError(
            f"pulse response: {strength.size} readings after {kind}s, {steps.size} strengths x {cycles.size} cycles "
            f"x {cells.size} cells asked for; each once"
        )
    place = [np.searchsorted(known, values) for known, values in ((steps, strength), (cycles, part["cycle"]))]
    values = np.empty((steps.size, cycles.size, cells.size))
    values[place[0], place[1], np.searchsorted(cells, part["cell"])] = part["conductance"]
    return Sweeps(steps, values), float(part["voltage"][-1]), float(part["width"][-1]), cells


def _some(sweeps: Sweeps, chosen: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Sweeps:
    return Sweeps(sweeps.strengths, sweeps.values[:, :, chosen])


def _ends(windows: Named | None, bad: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    """The low and high end of the window of every cell that moves, S, (n,) each."""
    if windows is None:
        return None
    good = ~np.isin(np.asarray(windows["cell"], dtype=np.float64), bad)
    low, high = (np.asarray(windows[name], dtype=np.float64)[good] for name in ("low", "high"))
    return low, high


def _fitted(
    set_: Sweeps,
    reset: Sweeps,
    ends: tuple[FloatArray, FloatArray] | None,
    noise: ReadNoise | None,
    fixed: tuple[float, float],
    rng: np.random.Generator,
) -> MeasuredPulses:
    """Tables that simulated sweeps agree with."""
    wanted = [_quantiles(sweeps.values) for sweeps in (set_, reset)]
    if ends is not None:  # of every cell, where the sweeps are of a sample
        wanted[0][-1] = np.quantile(ends[1], ndtr(SCORES))
    scatter = [_scatter(sweeps.values) for sweeps in (set_, reset)]
    heavy, spread = [_heaviness(sweeps.values) for sweeps in (set_, reset)], [0.2, 0.2]
    first, last = set_.values[-1].mean(axis=0), reset.values[-1].mean(axis=0)
    joint = float(np.clip(np.corrcoef(_scores(first), _scores(last))[0, 1], -0.99, 0.99))
    base = [np.maximum(part, 0.3 * part[:, [SCORES.size // 2]]) for part in wanted]  # noise may read below zero
    tables = [part.copy() for part in base]
    cycles = [0.3 * part.min() + 0.0 * part for part in scatter]
    share = 1.0
    if ends is not None:  # one strong RESET from the top, against a whole sweep of them
        low, high, end = (float(np.maximum(np.median(part), _LEAST)) for part in (*ends, last))
        share = float(np.clip(np.log(high / low) / np.log(high / end), 0.2, 1.0)) if high > low > end else 1.0
    seed = int(rng.integers(2**31))
    cycles_count = max(set_.values.shape[1], 2)
    for _ in range(_ROUNDS):
        law = _law((set_, reset), tables, cycles, spread, joint, fixed, share)
        found = simulated(law, cycles_count, noise, np.random.default_rng(seed))
        for number, sweeps in enumerate(found):
            moved = tables[number] + _DAMPED * (wanted[number] - _quantiles(sweeps.values))
            # where another pulse of the sweep decides, a row could drift anywhere
            tables[number] = np.sort(np.clip(moved, base[number] / _NEAR, base[number] * _NEAR), axis=1)
            lacks = scatter[number] ** 2 - _scatter(sweeps.values) ** 2
            most = np.maximum(scatter[number], scatter[number].min()) ** 2
            cycles[number] = np.sqrt(np.clip(cycles[number] ** 2 + _DAMPED * lacks, 0.0, most))
            spread[number] = float(
                np.clip(spread[number] + 0.5 * (heavy[number] - _heaviness(sweeps.values)), 0.0, _HEAVIEST)
            )
        if ends is not None and share < 1.0:
            once = _after_one_reset(law)
            share = float(np.clip(share + _DAMPED * np.log(once / low) / np.log(high / end), 0.2, 1.0))
    return _law((set_, reset), tables, cycles, spread, joint, fixed, share)


def _after_one_reset(law: MeasuredPulses) -> float:
    """Median over simulated cells of what one strongest RESET leaves of cells at the top of their windows, S."""
    ranks = PulseRanks(law, (1, _SIMULATED), np.random.default_rng(0))
    top, zero = np.full(_SIMULATED, law.set.strengths[-1]), np.zeros(_SIMULATED)
    high = law.set.leaves(top, ranks.set[0], zero, zero)
    left = law.reset.leaves(np.full(_SIMULATED, law.reset.strengths[-1]), ranks.reset[0], zero, zero)
    return float(np.median(law.reset.moved(high, np.minimum(high, left))))


def _law(
    sweeps: tuple[Sweeps, Sweeps],
    tables: list[FloatArray],
    cycles: list[FloatArray],
    spread: list[float],
    joint: float,
    fixed: tuple[float, float],
    share: float,
) -> MeasuredPulses:
    parts = [
        PulseTable(
            strengths=tuple(one.strengths),
            scores=tuple(SCORES),
            quantiles=tuple(tuple(row) for row in table),
            cycle_spread=tuple(np.broadcast_to(cycle, one.strengths.shape)),
            spread_spread=each,
            share=way,
        )
        for one, table, cycle, each, way in zip(sweeps, tables, cycles, spread, (1.0, share), strict=True)
    ]
    return MeasuredPulses(
        set_voltage=fixed[0], reset_width=fixed[1], rank_correlation=joint, set=parts[0], reset=parts[1]
    )


def simulated(
    law: MeasuredPulses, cycles: int, noise: ReadNoise | None, rng: np.random.Generator, cells: int = _SIMULATED
) -> tuple[Sweeps, Sweeps]:
    """SET and RESET sweeps of simulated cells in the order of a characterisation, as read once after each pulse."""
    ranks, ones = PulseRanks(law, (1, cells), rng), np.ones(cells)
    reads = None if noise is None else CellNoise(noise, (1, cells), *rng.spawn(2))
    g = np.exp(np.interp(ranks.set[0], law.set.scores, np.log(law.set.quantiles[-1])))
    seen: dict[str, list[FloatArray]] = {"set": [], "reset": []}
    clock = 0.0

    def pulsed(kind: str, strength: float) -> None:
        nonlocal g
        table: PulseTable = getattr(law, kind)
        rank, spread = getattr(ranks, kind)[0], getattr(ranks, f"{kind}_spread")[0]
        left = table.leaves(strength * ones, rank, spread, rng.standard_normal(cells))
        g = table.moved(g, np.maximum(g, left) if kind == "set" else np.minimum(g, left))

    for _ in range(cycles):
        pulsed("reset", law.reset.strengths[-1])
        for kind in ("set", "reset"):
            for strength in getattr(law, kind).strengths:
                pulsed(kind, strength)
                read = g if reads is None else g + reads.of_cells(g[np.newaxis], 0.2, np.array([clock]))[0, 0]
                clock += 1.0
                seen[kind].append(read)
    made = []
    for kind in ("set", "reset"):
        strengths = np.array(getattr(law, kind).strengths)
        made.append(Sweeps(strengths, np.stack(seen[kind]).reshape(cycles, strengths.size, cells).swapaxes(0, 1)))
    return made[0], made[1]


def _quantiles(values: FloatArray) -> FloatArray:
    """Quantiles over the cells of the means of their cycles, S, (k, scores)."""
    return np.asarray(np.quantile(values.mean(axis=1), ndtr(SCORES), axis=1).T)


def _scatter(values: FloatArray) -> FloatArray:
    """Median over the cells of the scatter from cycle to cycle, share of the median conductance, (k,)."""
    if values.shape[1] < 2:
        return np.zeros(len(values))
    steps = np.median(np.abs(np.diff(values, axis=1)), axis=(1, 2)) / (np.sqrt(2) * 0.6745)
    return np.asarray(steps / np.maximum(np.median(values, axis=(1, 2)), _LEAST))


def _heaviness(values: FloatArray) -> float:
    """Ln of how much heavier than Gaussian the scatter from cycle to cycle is, over all cells and strengths."""
    if values.shape[1] < 2:
        return 0.0
    middles = np.median(values, axis=(1, 2))
    values = values[middles >= np.median(middles)]  # below, most of it is the noise of the readings
    steps = np.abs(np.diff(values, axis=1)) / np.maximum(
        values[:, 1:], np.median(values, axis=(1, 2))[:, None, None] / 2
    )
    middle, tail = np.quantile(steps / np.median(steps, axis=(1, 2), keepdims=True).clip(1e-9), [0.5, 0.95])
    return float(np.log(tail / middle / (1.96 / 0.6745)))


def _scores(values: FloatArray) -> FloatArray:
    return np.asarray(ndtri((values.argsort().argsort() + 0.5) / values.size))


def _judge(
    law: MeasuredPulses,
    set_: Sweeps,
    reset: Sweeps,
    noise: ReadNoise | None,
    rng: np.random.Generator,
    groups: list[Group],
) -> None:
    """Where unused cells lie among simulated ones, at every strength."""
    found = simulated(law, set_.values.shape[1], noise, rng)
    for name, measured, drawn in zip(("SET at gate", "RESET"), (set_, reset), found, strict=True):
        for k, strength in enumerate(measured.strengths):
            ours, theirs = measured.values[k].mean(axis=0), np.sort(drawn.values[k].mean(axis=0))
            place = (np.searchsorted(theirs, ours) + rng.random(ours.size)) / (theirs.size + 1)
            groups.append(judge(f"{name} {strength:g} V", None, np.clip(place, 0.0, 1.0)))


def _rounded(law: MeasuredPulses) -> dict[str, object]:
    def short(value: object) -> object:
        if isinstance(value, dict):
            return {name: short(part) for name, part in value.items()}
        if isinstance(value, list | tuple):
            return [short(part) for part in value]
        return float(f"{value:.6g}") if isinstance(value, float) else value

    found = short(law.model_dump())
    assert isinstance(found, dict)
    return found
