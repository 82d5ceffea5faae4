"""Draws the pictures of `docs/howto/one-matrix.md` from its own example: `python docs/images/draw_one_matrix.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import rcParams

from imssa_lab import open_array, put_matrix
from imssa_lab.report.plots.style import BLUE, GREY, one_axis
from imssa_lab.report.svg import svg_for_pages

weights = np.random.default_rng(0).normal(size=(10, 20))
vectors = np.random.default_rng(1).uniform(-1, 1, size=(24, 20))
with open_array("twin:supert-a0?seed=2") as array:
    matrix = put_matrix(weights, array)
    calibrated = np.array([matrix @ x for x in vectors])
    array.set_calibration(None)
    raw = np.array([matrix @ x for x in vectors])
exact = vectors @ weights.T

limits = 1.1 * np.array([-1, 1]) * max(np.abs(exact).max(), np.abs(raw).max())

rcParams["svg.fonttype"] = "none"
for name, found in (("raw", raw), ("calibrated", calibrated)):
    figure, axis = one_axis(3.6)
    error = np.sqrt(np.mean((found - exact) ** 2) / np.mean(exact**2))
    axis.plot(exact.ravel(), found.ravel(), ".", color=BLUE, markersize=3)
    axis.axline((0, 0), slope=1, color=GREY, linewidth=1)
    axis.set(title=f"columns {'not ' if name == 'raw' else ''}calibrated: error {100 * error:.0f} %", aspect="equal")
    axis.set(xlabel="exact product", ylabel="product on the array", xlim=limits, ylim=limits)
    axis.patch.set_alpha(0.0)
    Path(__file__).with_name(f"one_matrix_{name}.svg").write_text(svg_for_pages(figure), encoding="utf-8")
