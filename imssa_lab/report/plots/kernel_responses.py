"""Kernels in closed loop against exact ones."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.errors import LogError
from imssa_lab.log.run import Run
from imssa_lab.report.measured.deployment_result import Outcome, outcome_of
from imssa_lab.report.plots.style import BLUE, GREY, INK, ORANGE, counted, edges_over, legend_below, one_axis, panels


def kernel_overlay(source: Run | Outcome, *, narrow: bool = False) -> Figure:
    """Impulse responses on the arrays over the exact ones: best, median, 90th percentile and worst kernel.

    Args:
        source: the run of a deployment that came to its end, or its `Outcome`.
        narrow: one below the other instead of two in a row.
    """
    responses = _outcome(source).responses
    figure, axes = panels(len(responses), narrow=narrow, height=2.2)
    for axis, one in zip(axes, responses, strict=True):
        axis.plot(one.exact, color=GREY, linewidth=4, alpha=0.6, label="exact")
        axis.plot(one.measured, color=BLUE, marker="o", markersize=3, linewidth=1, label="on arrays")
        axis.set_title(f"{one.rank}: {one.name}\nNRMSE {one.nrmse:.3f} on real input")
        axis.set(xlabel="time step", ylabel="output")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
    axes[0].legend()
    return figure


def nrmse_histogram(source: Run | Outcome) -> Figure:
    """NRMSE of every kernel on real input, with their median and the bound of one.

    Args:
        source: the run of a deployment that came to its end, or its `Outcome`.
    """
    outcome = _outcome(source)
    nrmse: FloatArray = np.array(outcome.result["kernel_nrmse"])
    bound = outcome.kernel_bound
    figure, axis = one_axis(3.1)
    finite = nrmse[np.isfinite(nrmse)]
    median, beyond = float(np.median(nrmse)), nrmse.size - int(np.sum(nrmse <= bound))
    axis.hist(finite, bins=edges_over(0.0, max(float(finite.max(initial=0.0)), bound) * 1.05), color=BLUE)
    axis.axvline(median, color=INK, linestyle=":", label=f"median {median:.3f}")
    axis.axvline(bound, color=ORANGE, linestyle="--", label=f"bound of one kernel {bound:.3g}, {beyond} beyond")
    legend_below(axis)
    axis.set(xlabel="NRMSE on real input", ylabel="kernels", xlim=(0, None))
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    lost = f", {nrmse.size - finite.size} without a finite NRMSE" if finite.size < nrmse.size else ""
    axis.set_title(f"{counted(nrmse.size, 'kernel')} in closed loop{lost}")
    return figure


def _outcome(source: Run | Outcome) -> Outcome:
    if isinstance(source, Outcome):
        return source
    found = outcome_of(source)
    if found is None:
        raise LogError(f"{source.path} holds no deployment that came to its end, so no kernel was measured")
    return found
