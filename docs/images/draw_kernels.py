"""Draws the kernels of the README from the demo's run: `python docs/images/draw_kernels.py imssa-demo/run.h5`."""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib import rcParams
from matplotlib.ticker import MaxNLocator

from imssa_lab import open_run
from imssa_lab.report.measured.deployment_result import outcome_of
from imssa_lab.report.plots.style import BLUE, GREY, legend_below, one_axis
from imssa_lab.report.svg import svg_for_pages

rcParams["svg.fonttype"] = "none"
with open_run(sys.argv[1]) as run:
    outcome = outcome_of(run)
if outcome is None:
    sys.exit(f"{sys.argv[1]} holds no deployment that came to its end")
for response in outcome.responses:
    figure, axis = one_axis(2.9)
    axis.plot(response.exact, color=GREY, linewidth=4, alpha=0.6, label="exact")
    axis.plot(response.measured, color=BLUE, marker="o", markersize=3, linewidth=1, label="on the array")
    legend_below(axis, columns=2)
    axis.set(title=f"{response.rank} kernel: NRMSE {response.nrmse:.3f}", xlabel="time step", ylabel="output")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(alpha=0.3)
    axis.patch.set_alpha(0.0)
    name = f"kernel_{response.rank.replace(' ', '_')}.svg"
    Path(__file__).with_name(name).write_text(svg_for_pages(figure), encoding="utf-8")
