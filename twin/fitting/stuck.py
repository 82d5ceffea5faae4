"""Cells that are stuck: read low where high was asked for, or high where low was."""

from __future__ import annotations

import numpy as np
from scipy import stats

from imssa_lab.contract.errors import DataError
from twin.fitting.fit_outcome import Outcome, Parameter, Remark
from twin.fitting.tables.measured_tables import Table, mostly_positive

LEAST_AGREEMENT = 0.6
"""Correlation of what was asked with what is read, high or low: .7 with a third of the cells stuck at one end, .4 and
less with the pattern of another chip."""


def fit_stuck(table: Table) -> Outcome:
    """Fractions of cells stuck on and off, with exact binomial intervals.

    The two states part at the geometric middle of their medians. A cell asked to be high in resistance (bit 1) that
    conducts beyond it is stuck on, one asked to be low that does not reach it stuck off; none is dropped.

    Args:
        table: bit (1 high resistance, 0 low), conductance.

    Raises:
        DataError: one of the states is missing, a bit is neither, conductances are mostly negative, the medians are
            the wrong way round, or bits and readings agree so badly that the pattern is hardly that of these cells.
    """
    outcome = Outcome("stuck cells", remarks=[*table.remarks, *mostly_positive(table, "conductance")])
    other = ~np.isin(table["bit"], (0, 1))
    if other.any():
        raise DataError(f"{table.source}: {Remark('bits that are neither 0 nor 1', table.numbers(other))}")
    high, low = table["bit"] == 1, table["bit"] == 0
    if high.sum() < 20 or low.sum() < 20:
        raise DataError(
            f"{table.source}: {low.sum()} cells of bit 0 and {high.sum()} of bit 1; 20 of each are needed"
        )
    g = np.maximum(table["conductance"], 1e-12)
    on, off = float(np.median(g[low])), float(np.median(g[high]))
    if on <= off:
        raise DataError(
            f"{table.source}: cells of bit 0 conduct less than those of bit 1; swap them: 1 is high resistance"
        )
    middle = float(np.sqrt(on * off))
    stuck_on, stuck_off = high & (g > middle), low & (g < middle)
    asked_on, reads_on = low.astype(np.float64), (g > middle).astype(np.float64)
    agreement = float(np.corrcoef(asked_on, reads_on)[0, 1])
    if agreement < LEAST_AGREEMENT:
        raise DataError(
            f"{table.source}: bits and readings correlate by {agreement:.2f}, {LEAST_AGREEMENT:g} is needed: "
            f"{stuck_on.sum()} of {high.sum()} cells would be stuck on and {stuck_off.sum()} of {low.sum()} off; "
            "is this the bit pattern of these cells, in their order?"
        )
    fractions = {}
    for name, stuck, asked in (("on", stuck_on, high), ("off", stuck_off, low)):
        found, of = int(stuck.sum()), int(asked.sum())
        interval = stats.binomtest(found, of).proportion_ci(0.9, "exact")
        fractions[name] = found / of
        outcome.parameters.append(
            Parameter(f"fraction stuck {name}", found / of, float(interval.low), float(interval.high), "1")
        )
        if found:
            outcome.remarks.append(Remark(f"{found} of {of} cells are stuck {name}", table.numbers(stuck)))
        else:
            outcome.undetermined.append(f"where cells stick {name}: none did")
    section: dict[str, float] = {"on_fraction": fractions["on"], "off_fraction": fractions["off"]}
    section["on_conductance"] = float(np.median(g[stuck_on])) if stuck_on.any() else on
    section["on_spread"] = float(np.log(g[stuck_on]).std()) if stuck_on.sum() > 1 else 0.0
    section["off_conductance"] = float(np.median(g[stuck_off])) if stuck_off.any() else off
    outcome.sections["stuck"] = section
    outcome.facts |= {
        "low resistance, median": f"{1e6 * on:.2f} uS",
        "high resistance, median": f"{1e6 * off:.2f} uS",
        "border": f"{1e6 * middle:.2f} uS",
        "correlation of bits and readings": f"{agreement:.3f}",
    }
    outcome.undetermined.append(
        "stuck against unlucky: one reading after one write; a second write distinguishes them"
    )
    return outcome
