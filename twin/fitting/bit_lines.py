"""Bit lines from products: gain and offset of each, and the resistance of the wires."""

from __future__ import annotations

import numpy as np
from scipy import optimize

from imssa_lab.contract.errors import DataError
from imssa_lab.contract.hal import FloatArray
from twin.fitting.fit_outcome import Curve, Outcome, Parameter, Remark
from twin.wires.wire_resistance import Wires, effective_matrix

_REPLICATES = 200
_LARGEST_RESISTANCE = 100.0


def fit_columns(
    conductance: FloatArray, voltages: FloatArray, currents: FloatArray, rng: np.random.Generator
) -> Outcome:
    """Fit currents = gain (V @ G) + offset column by column, and one resistance per wire segment.

    Wires and gains differ in their pattern: a wire weakens far cells more than near ones. The resistance is
    kept only where it lowers the error of the half of the products that was not fitted.

    Args:
        conductance: S, (rows, cols), by single-cell reads. voltages: V, (n, rows). currents: A, (n, cols), raw.

    Raises:
        DataError: fewer than eight products, or conductances that are not finite.
    """
    if len(voltages) < 8:
        raise DataError(f"{len(voltages)} products; gain and offset of the columns need eight or more")
    if not np.isfinite(conductance).all():
        raise DataError("conductances of some cells are missing; read the whole array before the products")
    outcome = Outcome("columns and wires")
    ideal = voltages @ conductance
    gain, offset, rest = _lines(ideal, currents)
    noise, reach = np.sqrt((rest**2).sum(axis=0) / max(len(ideal) - 2, 1)), ideal.std(axis=0) * np.sqrt(len(ideal))
    error = np.divide(noise, reach, out=np.full(reach.size, np.inf), where=reach > 0)  # dead cells tell no gain
    half = np.arange(len(voltages)) % 2 == 0
    without = _misfit(0.0, conductance, voltages, currents, half)
    found = optimize.minimize_scalar(
        lambda r: _misfit(float(r), conductance, voltages, currents, half)[0],
        bounds=(0.0, _LARGEST_RESISTANCE),
        method="bounded",
        options={"xatol": 1e-3},
    )
    resistance = float(found.x)
    wired = _misfit(resistance, conductance, voltages, currents, half)
    outcome.held_out = {"no wires": -without[1], "wires": -wired[1]}
    if wired[1] < 0.995 * without[1]:
        outcome.chosen = "wires"
        outcome.sections["wires"] = {"r_word": resistance, "r_bit": resistance}
        spread = _resistance_error(resistance, conductance, voltages[half], currents[half])
        outcome.parameters.append(
            Parameter("wire", resistance, resistance - 1.645 * spread, resistance + 1.645 * spread, "Ohm/segment")
        )
        model = voltages @ effective_matrix(conductance, Wires(r_word=resistance, r_bit=resistance))
        gain, offset, rest = _lines(model, currents)
        outcome.undetermined.append(
            "word lines against bit lines, and drivers: one resistance is taken for all wires"
        )
    else:
        outcome.chosen = "no wires"
        outcome.undetermined.append("wire resistance: it does not show beside noise and gains in these products")
    outcome.sections["columns"] = {
        "gain": float(gain.mean()),
        "gain_spread": float(gain.std(ddof=1)) if gain.size > 1 else 0.0,
        "offset_spread": float(np.sqrt(np.mean(offset**2))),
    }
    picks = rng.integers(0, gain.size, (_REPLICATES, gain.size))
    for name, values, unit in (
        ("mean gain", gain[picks].mean(axis=1), "1"),
        ("sd of gain", gain[picks].std(axis=1, ddof=1 if gain.size > 1 else 0), "1"),
        ("rms offset", np.sqrt((offset[picks] ** 2).mean(axis=1)), "A"),
    ):
        low, high = np.quantile(values, [0.05, 0.95])
        outcome.parameters.append(Parameter(name, float(np.mean(values)), float(low), float(high), unit))
    bad = np.flatnonzero(np.abs(gain - np.median(gain)) > 8 * max(float(np.median(error)), 0.02))
    if bad.size:
        outcome.remarks.append(Remark(f"bit lines {', '.join(map(str, bad[:12]))} have gains far from the others"))
    order = np.argsort(ideal[:, 0])
    outcome.curves.append(
        Curve(
            "bit line 0",
            ideal[order, 0],
            currents[order, 0],
            "V @ G (A)",
            "measured (A)",
            gain[0] * ideal[order, 0] + offset[0],
        )
    )
    outcome.facts |= {
        "products": str(len(voltages)),
        "rms error left": f"{1e6 * float(np.sqrt(np.mean(rest**2))):.3g} uA",
    }
    return outcome


def _lines(model: FloatArray, currents: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Gain, offset and residual of every column, least squares."""
    centre, level = model.mean(axis=0), currents.mean(axis=0)
    spread = ((model - centre) ** 2).sum(axis=0)
    slope = ((model - centre) * (currents - level)).sum(axis=0) / np.where(spread > 0, spread, 1.0)
    gain = np.where(spread > 0, slope, 1.0)
    offset = level - gain * centre
    return gain, offset, currents - gain * model - offset


def _misfit(
    resistance: float, conductance: FloatArray, voltages: FloatArray, currents: FloatArray, half: FloatArray
) -> tuple[float, float]:
    """Rms error in A of the fitted and of the other products, with wires of so many Ohm a segment."""
    matrix = effective_matrix(conductance, Wires(r_word=resistance, r_bit=resistance)) if resistance else conductance
    chosen = np.asarray(half, dtype=np.bool_)
    gain, offset, rest = _lines(voltages[chosen] @ matrix, currents[chosen])
    other = currents[~chosen] - gain * (voltages[~chosen] @ matrix) - offset
    return float(np.sqrt(np.mean(rest**2))), float(np.sqrt(np.mean(other**2)))


def _resistance_error(
    resistance: float, conductance: FloatArray, voltages: FloatArray, currents: FloatArray
) -> float:
    """Standard error of the resistance from the products it was fitted to: noise over how far currents move with it.

    Gains and offsets are taken out of both.
    """
    step = max(0.05 * resistance, 1e-2)
    near, far = (
        voltages @ effective_matrix(conductance, Wires(r_word=r, r_bit=r)) for r in (resistance, resistance + step)
    )
    gain, _, rest = _lines(near, currents)
    moved = gain * (far - near) / step
    _, _, own = _lines(near, moved)
    return float(np.sqrt(np.mean(rest**2)) / np.sqrt((own**2).sum()))
