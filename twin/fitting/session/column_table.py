"""Gain and offset of bit lines from the table of a characterisation, which holds the corrections."""

from __future__ import annotations

import numpy as np
from scipy import stats

from imssa_lab.contract.errors import DataError
from twin.fitting.fit_outcome import Outcome, Parameter
from twin.fitting.session.session_tables import Named


def fit_column_table(table: Named) -> Outcome:
    """Law of the columns' own gain and offset: corrected = gain measured + offset holds the inverse of both.

    Args:
        table: col, gain, offset (A), residual (A), one row for each bit line.

    Raises:
        DataError: fewer than two bit lines, or a gain that is not above zero.
    """
    gain, offset = (np.asarray(table[name], dtype=np.float64) for name in ("gain", "offset"))
    if gain.size < 2 or not (np.isfinite(gain).all() and (gain > 0).all()):
        raise DataError(
            f"columns: {gain.size} bit lines, gains {gain.min():g} to {gain.max():g}; two or more above 0"
        )
    own, shift = 1.0 / gain, -offset / gain
    outcome = Outcome("columns")
    spread, rms = float(own.std(ddof=1)), float(np.sqrt(np.mean(shift**2)))
    outcome.sections["columns"] = {"gain": float(own.mean()), "gain_spread": spread, "offset_spread": rms}
    reach = float(stats.t.ppf(0.95, own.size - 1)) * spread / np.sqrt(own.size)
    mean = float(own.mean())
    outcome.parameters.append(Parameter("mean gain", mean, mean - reach, mean + reach, "1"))
    for name, value, unit, freedom in (("sd of gain", spread, "1", own.size - 1), ("rms offset", rms, "A", own.size)):
        ends = value * np.sqrt(freedom / stats.chi2.ppf([0.95, 0.05], freedom))
        outcome.parameters.append(Parameter(name, value, float(ends[0]), float(ends[1]), unit))
    residual = np.asarray(table["residual"], dtype=np.float64)
    outcome.facts |= {"bit lines": str(own.size), "residual, median": f"{1e9 * float(np.median(residual)):.3g} nA"}
    outcome.undetermined.append("wire resistance: it is in the corrections; fit the run file with --quantity columns")
    return outcome
