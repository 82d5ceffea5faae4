"""SET and RESET response by quantiles: tables for which twins in the same experiment show what the chip showed.

No formula of a device is assumed. What a sweep leaves is not what single pulses reach (a SET only raises, so scatter
adds up along a sweep), so the tables are corrected until sweeps of simulated cells have the measured quantiles and
the measured scatter from cycle to cycle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter
from scipy.optimize import isotonic_regression
from scipy.special import ndtr

from imssa_lab.contract.errors import DataError
from imssa_lab.contract.hal import FloatArray
from twin.fitting.fit_outcome import Curve, Group, Outcome, Parameter
from twin.fitting.goodness import judge
from twin.fitting.session.session_tables import Named
from twin.fitting.session.simulated_sweeps import (
    LEAST,
    SCORES,
    SIMULATED,
    SingleReads,
    Sweeps,
    felt_of,
    heaviness_of,
    quantiles_of,
    scatter_of,
    scores_of,
    simulated,
)
from twin.measured_pulses import MeasuredPulses, PulseRanks, PulseTable

CELLS_NEEDED = 40
_ROUNDS, _LAST, _DAMPED, _HEAVIEST = 14, 5, 0.7, 0.5
_TOLD = 0.25
"""Share of the variance from cycle to cycle, beyond the noise of the readings, from which it is that of the cells."""
_SHAKEN = 0.4
"""Damping of jitter and of the other scatter, which both answer to what is seen of both."""
_NEAR, _FURTHEST, _NEIGHBOURS = 1.5, 3.0, 9
_JUDGES = 4096
"""Simulated cells among which unused ones are looked for."""
_MIDDLE, _WIDEST = (0.1587, 0.8413), 1.5
"""Quantiles of the cells between which a spread is seen, and the widest that a share has."""


def fit_pulse_tables(
    table: Named, windows: Named | None, noise: SingleReads | None, rng: np.random.Generator
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
        law = _fitted(_some(set_, train), _some(reset, train), None, noise, facts, rng, rough=True)
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
    noise: SingleReads | None,
    fixed: tuple[float, float],
    rng: np.random.Generator,
    rough: bool = False,
) -> MeasuredPulses:
    """Tables that simulated sweeps agree with; `rough` ones, by fewer of these, do to judge other cells by."""
    sweeps = (set_, reset)
    wanted = [quantiles_of(one.values) for one in sweeps]
    if ends is not None:  # of every cell, where the sweeps are of a sample
        wanted[0][-1] = np.quantile(ends[1], ndtr(SCORES))
    scatter = [scatter_of(one.values) for one in sweeps]
    heavy, felt = [heaviness_of(one.values) for one in sweeps], [felt_of(one) for one in sweeps]
    first, last = set_.values[-1].mean(axis=0), reset.values[-1].mean(axis=0)
    joint = float(np.clip(np.corrcoef(scores_of(first), scores_of(last))[0, 1], -0.99, 0.99))
    # noise may read below zero, but hardly below what is usual where cells conduct least
    base = [np.maximum(part, 0.3 * part[:, SCORES.size // 2].min()) for part in wanted]
    tables = [part.copy() for part in base]
    cycles = [0.3 * part.min() + 0.0 * part for part in scatter]
    spread, jitter, way = [0.2, 0.2], [*felt], _Way(1.0, 0.0)
    once = None if ends is None else np.log(np.maximum(ends[0], LEAST))
    if ends is not None:  # one strong RESET from the top, against a whole sweep of them
        low, high, end = (float(np.maximum(np.median(part), LEAST)) for part in (*ends, last))
        share = float(np.clip(np.log(high / low) / np.log(high / end), 0.2, 1.0)) if high > low > end else 1.0
        way = _Way(share, 0.0 if share == 1.0 else 0.5)
    seed = int(rng.integers(2**31))
    cycles_count = max(set_.values.shape[1], 2)
    # where sweeps are steep it is jitter that scatters: as much of the other scatter spoils cells that are through
    quiet = _law(sweeps, tables, [0.0 * part for part in cycles], spread, [0.0, 0.0], joint, fixed, way)
    still = simulated(quiet, cycles_count, noise, np.random.default_rng(seed))
    own = [
        np.sqrt(np.maximum(part**2 - scatter_of(one.values) ** 2, 0.0))
        for part, one in zip(scatter, still, strict=True)
    ]
    most = [
        np.where(_told(part, mine), np.minimum(part, 1.5 * np.median(mine)), 0.0)
        for part, mine in zip(scatter, own, strict=True)
    ]
    kept: list[tuple[list[FloatArray], list[FloatArray], list[float], list[float], _Way]] = []
    rounds, simulate = (_ROUNDS // 2 + 1, SIMULATED // 2) if rough else (_ROUNDS, SIMULATED)
    for turn in range(rounds):
        law = _law(sweeps, tables, cycles, spread, jitter, joint, fixed, way)
        found = simulated(law, cycles_count, noise, np.random.default_rng(seed + turn), simulate)
        for number, one in enumerate(found):
            moved = tables[number] + _DAMPED * (wanted[number] - quantiles_of(one.values))
            # where another pulse of the sweep decides, a row could drift anywhere
            moved = np.sort(np.clip(moved, base[number] / _NEAR, base[number] * _NEAR), axis=1)
            tables[number] = _in_order(moved, rising=number == 0)
            # one strength alone is chance, and a table that only falls would keep it for all that follow
            lacks = median_filter(scatter[number] ** 2 - scatter_of(one.values) ** 2, _NEIGHBOURS, mode="nearest")
            cycles[number] = np.sqrt(np.clip(cycles[number] ** 2 + _SHAKEN * lacks, 0.0, most[number] ** 2))
            spread[number] = float(
                np.clip(spread[number] + 0.5 * (heavy[number] - heaviness_of(one.values)), 0.0, _HEAVIEST)
            )
            lacks_felt = felt[number] ** 2 - felt_of(one) ** 2
            within = np.clip(jitter[number] ** 2 + _SHAKEN * lacks_felt, 0.0, (_FURTHEST * felt[number]) ** 2)
            jitter[number] = float(np.sqrt(within))
        if once is not None and way.share < 1.0:
            way = way.nearer(once, np.log(_after_one_reset(law)), float(np.log(high / end)))
        kept.append(([*tables], [*cycles], [*spread], [*jitter], way))
    # the mean of the last rounds: each follows the chance of its simulated cells
    many, scatters, spreads, felts, ways = zip(*kept[-_LAST:], strict=True)
    tables, cycles = ([np.mean(part, axis=0) for part in zip(*of, strict=True)] for of in (many, scatters))
    spread, jitter = ([float(np.mean(part)) for part in zip(*of, strict=True)] for of in (spreads, felts))
    way = _Way(float(np.mean([one.share for one in ways])), float(np.mean([one.spread for one in ways])))
    return _law(sweeps, tables, cycles, spread, jitter, joint, fixed, way)


def _told(scatter: FloatArray, own: FloatArray) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """At which strengths, (k,), the readings tell scatter of the cells from their own noise, which is most of it.

    Where they do not, the small errors of a law of noise would become scatter of all cells, of the quiet ones too.
    """
    share = (own / np.maximum(scatter, LEAST)) ** 2
    return np.asarray(median_filter(share, _NEIGHBOURS, mode="nearest") >= _TOLD)


def _in_order(table: FloatArray, rising: bool) -> FloatArray:
    """The nearest table whose rows are in order: a stronger pulse takes a cell further."""
    columns = [isotonic_regression(column, increasing=rising).x for column in np.log(table).T]
    return np.exp(np.stack(columns, axis=1))


@dataclass(frozen=True)
class _Way:
    """Share of the way of one RESET, and the spread over the cells of what it leaves."""

    share: float
    spread: float

    def nearer(self, wanted: FloatArray, found: FloatArray, whole: float) -> _Way:
        """Corrected by what cells are left at (ln, (n,)), found and wanted; `whole` is the way in ln."""
        middle = float(np.median(found) - np.median(wanted)) / whole
        width = np.log(np.ptp(np.quantile(wanted, _MIDDLE)) / np.ptp(np.quantile(found, _MIDDLE)))
        share = float(np.clip(self.share + _DAMPED * middle, 0.2, 1.0))
        return _Way(share, float(np.clip(self.spread + _DAMPED * width, 0.0, _WIDEST)))


def _after_one_reset(law: MeasuredPulses) -> FloatArray:
    """What one strongest RESET leaves of simulated cells at the top of their windows, S, (n,)."""
    ranks = PulseRanks(law, (1, SIMULATED), np.random.default_rng(0))
    top, zero = np.full(SIMULATED, law.set.strengths[-1]), np.zeros(SIMULATED)
    high = law.set.leaves(top, ranks.set[0], zero, zero)
    left = law.reset.leaves(np.full(SIMULATED, law.reset.strengths[-1]), ranks.reset[0], zero, zero)
    return law.reset.moved(high, np.minimum(high, left), ranks.reset_slowness[0])


def _law(
    sweeps: tuple[Sweeps, Sweeps],
    tables: list[FloatArray],
    cycles: list[FloatArray],
    spread: list[float],
    jitter: list[float],
    joint: float,
    fixed: tuple[float, float],
    way: _Way,
) -> MeasuredPulses:
    parts = [
        PulseTable(
            strengths=tuple(one.strengths),
            scores=tuple(SCORES),
            quantiles=tuple(tuple(row) for row in table),
            cycle_spread=tuple(np.broadcast_to(cycle, one.strengths.shape)),
            spread_spread=each,
            jitter=felt,
            share=of.share,
            share_spread=of.spread,
        )
        for one, table, cycle, each, felt, of in zip(
            sweeps, tables, cycles, spread, jitter, (_Way(1.0, 0.0), way), strict=True
        )
    ]
    return MeasuredPulses(
        set_voltage=fixed[0], reset_width=fixed[1], rank_correlation=joint, set=parts[0], reset=parts[1]
    )


def _judge(
    law: MeasuredPulses,
    set_: Sweeps,
    reset: Sweeps,
    noise: SingleReads | None,
    rng: np.random.Generator,
    groups: list[Group],
) -> None:
    """Where unused cells lie among simulated ones, at every strength."""
    found = simulated(law, set_.values.shape[1], noise, rng, _JUDGES)
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
