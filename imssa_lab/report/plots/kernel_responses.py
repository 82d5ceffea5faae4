"""Kernels in closed loop against exact ones."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.errors import LogError
from imssa_lab.log.run import Run
from imssa_lab.report.measured.deployment_result import Outcome, outcome_of
from imssa_lab.report.plots.style import BLUE, GREY, ORANGE, one_axis


def kernel_overlay(source: Run | Outcome) -> Figure:
    """Impulse responses on the arrays over the exact ones: best, median, 90th percentile and worst kernel.

    Args:
        source: the run of a deployment that came to its end, or its `Outcome`.
    """
    responses = _outcome(source).responses
    figure = Figure(figsize=(10, 2.8), layout="constrained")
    for axis, one in zip(figure.subplots(1, len(responses), sharex=True), responses, strict=True):
        axis.plot(one.exact, color=GREY, linewidth=4, alpha=0.6, label="exact")
        axis.plot(one.measured, color=BLUE, marker="o", markersize=3, linewidth=1, label="on arrays")
        axis.set_title(f"{one.rank}: {one.name}\nNRMSE {one.nrmse:.3f} on real input", fontsize=9)
        axis.set_xlabel("time step")
        axis.grid(alpha=0.3)
    figure.axes[0].set_ylabel("output")
    figure.axes[0].legend(fontsize=8)
    return figure


def nrmse_histogram(source: Run | Outcome) -> Figure:
    """NRMSE of every kernel on real input, with their median and the bound of one.

    Args:
        source: the run of a deployment that came to its end, or its `Outcome`.
    """
    outcome = _outcome(source)
    nrmse: FloatArray = np.array(outcome.result["kernel_nrmse"])
    bound = outcome.kernel_bound
    figure, axis = one_axis()
    median, finite = float(np.median(nrmse)), nrmse[np.isfinite(nrmse)]
    axis.hist(finite, bins=30, range=(0, max(float(finite.max(initial=0.0)), bound) * 1.05), color=BLUE)
    axis.axvline(median, color="black", label=f"median {median:.3f}")
    axis.axvline(bound, color=ORANGE, linestyle="--", label=f"bound of one kernel {bound:.3g}")
    axis.legend(fontsize=8)
    axis.set(xlabel="NRMSE on real input", ylabel="kernels")
    lost = f", {nrmse.size - finite.size} of them without a finite NRMSE" if finite.size < nrmse.size else ""
    axis.set_title(f"{nrmse.size} kernels in closed loop{lost}", fontsize=10)
    return figure


def _outcome(source: Run | Outcome) -> Outcome:
    if isinstance(source, Outcome):
        return source
    found = outcome_of(source)
    if found is None:
        raise LogError(f"{source.path} holds no deployment that came to its end, so no kernel was measured")
    return found
