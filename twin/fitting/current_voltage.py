"""I-V curves of cells: the instrument's offset, the conductance and how currents bend with voltage."""

from __future__ import annotations

import numpy as np

from imssa_lab.contract.errors import DataError
from imssa_lab.contract.hal import FloatArray
from twin.fitting.fit_outcome import Curve, Outcome, Parameter, Remark
from twin.fitting.tables.measured_tables import Table

POINTS_NEEDED = 6
_BANDS = 6


def fit_current_voltage(table: Table, rng: np.random.Generator, *, series: float = 0.0) -> Outcome:
    """Fit I = I0 + G U (1 + b U^2) to every cell, U = V - I series, and b by level over the cells.

    Args:
        table: cell, voltage (V), current (A). series: Ohm of the shunt in series with the cells.

    Raises:
        DataError: too few points a cell, voltages that are all the same, or currents against the voltages.
    """
    outcome = Outcome("I-V", remarks=list(table.remarks))
    zero = np.abs(table["voltage"]) < 1e-9
    offset = float(np.median(table["current"][zero])) if zero.any() else 0.0
    if not zero.any():
        outcome.remarks.append(Remark("no reading at 0 V: the offset of each cell is fitted without a check"))
    across = table["voltage"] - (table["current"] - offset) * series
    cells, index, counts = np.unique(table["cell"], return_inverse=True, return_counts=True)
    few = counts < POINTS_NEEDED
    if few.any():
        short = few[index]
        outcome.remarks.append(
            Remark(f"{few.sum()} cells have fewer than {POINTS_NEEDED} points: left out", table.numbers(short))
        )
    if few.all() or np.ptp(across) == 0:
        raise DataError(f"{table.source}: no cell has {POINTS_NEEDED} points at different voltages")
    fits = {}
    for power in (1, 2):
        fits[power] = np.array(
            [_one(across[index == i], table["current"][index == i], power) for i in np.flatnonzero(~few)]
        )
    cubic = fits[2]
    start, conductance, third, rest = cubic.T
    good = conductance > 3 * rest / np.abs(across).max()
    if not good.all():
        without = np.isin(index, np.flatnonzero(~few)[~good])
        outcome.remarks.append(
            Remark(f"{(~good).sum()} cells carry no current beyond the noise: no bend fitted", table.numbers(without))
        )
    against = conductance < -3 * rest / np.abs(across).max()
    if against.any():
        rows = table.numbers(np.isin(index, np.flatnonzero(~few)[against]))
        remark = Remark(f"current against the voltage (negative conductance) in {against.sum()} cells", rows)
        if 2 * against.sum() >= against.size:
            raise DataError(f"{table.source}: {remark}; reverse the sign of one")
        outcome.remarks.append(remark)
    if good.sum() < 10:
        raise DataError(f"{table.source}: {good.sum()} cells carry a current, 10 are needed")
    bend = third[good] / conductance[good]
    reference, law, draws = _by_level(conductance[good], bend, rng)
    outcome.sections["nonlinearity"] = {
        "cubic": max(law[0], 0.0),
        "reference": reference,
        "exponent": law[1],
        "lowest": float(conductance[good].min()),
    }
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    outcome.parameters += [
        Parameter(f"cubic at {1e6 * reference:.3g} uS", law[0], float(low[0]), float(high[0]), "1/V^2"),
        Parameter("exponent", law[1], float(low[1]), float(high[1]), "1"),
    ]
    order = np.argsort(conductance[good])
    for part in np.array_split(order, _BANDS):
        g = conductance[good][part]
        outcome.parameters.append(
            _median(f"b of {1e6 * g.min():.0f} to {1e6 * g.max():.0f} uS", bend[part], "1/V^2", rng)
        )
        quadratic = fits[1][good][part]
        ratio = quadratic[:, 2] / quadratic[:, 1]
        name = f"b of I = G V (1 + b V), {1e6 * g.min():.0f} to {1e6 * g.max():.0f} uS"
        outcome.parameters.append(_median(name, ratio, "1/V", rng))
    middle = np.quantile(conductance[good][order], np.linspace(0.02, 0.98, 40))
    smooth = [
        float(np.median(bend[order][max(0, k - 25) : k + 25]))
        for k in np.searchsorted(conductance[good][order], middle)
    ]
    outcome.curves.append(
        Curve(
            "bend of I-V by conductance",
            1e6 * middle,
            np.asarray(smooth),
            "conductance (uS)",
            "b (1/V^2), running median",
            fitted=law[0] * (middle / reference) ** -law[1],
        )
    )
    outcome.facts |= {
        "cells": str(cells.size),
        "instrument offset, subtracted": f"{1e6 * float(np.median(start)):.3f} uA, sd {1e6 * start.std():.3f}",
        "series resistance, taken out": f"{series:g} Ohm",
        "residual sd, V (1 + b V^2)": f"{1e6 * float(np.median(rest)):.3f} uA",
        "residual sd, V (1 + b V)": f"{1e6 * float(np.median(fits[1][:, 3])):.3f} uA",
    }
    if float(np.median(fits[1][:, 3])) < 0.98 * float(np.median(rest)):
        outcome.remarks.append(Remark("I = G V (1 + b V) fits better than the cubic law that a twin has"))
    if table["voltage"].min() >= 0:
        outcome.undetermined.append("whether I-V is the same for negative voltages: none were measured")
    return outcome


def _one(voltage: FloatArray, current: FloatArray, power: int) -> tuple[float, float, float, float]:
    """I0, G, the coefficient of V^(power + 1), and the residual sd, all in SI."""
    basis = np.stack([np.ones_like(voltage), voltage, voltage ** (power + 1)], axis=1)
    found, *_ = np.linalg.lstsq(basis, current, rcond=None)
    rest = current - basis @ found
    freedom = max(voltage.size - 3, 1)
    return float(found[0]), float(found[1]), float(found[2]), float(np.sqrt(rest @ rest / freedom))


def _by_level(
    conductance: FloatArray, bend: FloatArray, rng: np.random.Generator
) -> tuple[float, tuple[float, float], FloatArray]:
    """b = cubic (G/reference)^-exponent through the medians of bands, and bootstrap draws of both."""
    reference = float(np.median(conductance))

    def law(chosen: FloatArray) -> tuple[float, float]:
        g, b = conductance[chosen.astype(int)], bend[chosen.astype(int)]
        order = np.argsort(g)
        parts = np.array_split(order, _BANDS)
        x = np.array([np.log(np.median(g[part]) / reference) for part in parts])
        y = np.array([max(float(np.median(b[part])), 1e-3) for part in parts])
        slope, start = np.polyfit(x, np.log(y), 1)
        return float(np.exp(start)), float(max(-slope, 0.0))

    everyone = np.arange(conductance.size, dtype=np.float64)
    draws = [law(rng.choice(everyone, everyone.size)) for _ in range(200)]
    return reference, law(everyone), np.asarray(draws)


def _median(name: str, values: FloatArray, unit: str, rng: np.random.Generator) -> Parameter:
    draws = np.median(rng.choice(values, (200, values.size)), axis=1)
    low, high = np.quantile(draws, [0.05, 0.95])
    return Parameter(name, float(np.median(values)), float(low), float(high), unit)
