"""Draws the picture of `docs/howto/one-matrix.md` from its own example: `python docs/images/draw_one_matrix.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import rcParams
from matplotlib.figure import Figure

from imssa_lab import open_array, put_matrix
from imssa_lab.report.plots.style import BLUE, GREY

weights = np.random.default_rng(0).normal(size=(10, 20))
vectors = np.random.default_rng(1).uniform(-1, 1, size=(24, 20))
with open_array("twin:supert-a0?seed=2") as array:
    matrix = put_matrix(weights, array)
    calibrated = np.array([matrix @ x for x in vectors])
    array.set_calibration(None)
    raw = np.array([matrix @ x for x in vectors])
exact = vectors @ weights.T

rcParams["svg.hashsalt"] = "one matrix"
figure = Figure(figsize=(7.6, 3.7), layout="constrained")
axes = figure.subplots(1, 2, sharex=True, sharey=True)
for axis, found, name in zip(axes, (raw, calibrated), ("columns not calibrated", "columns calibrated"), strict=True):
    error = np.sqrt(np.mean((found - exact) ** 2) / np.mean(exact**2))
    axis.plot(exact.ravel(), found.ravel(), ".", color=BLUE, markersize=3)
    axis.axline((0, 0), slope=1, color=GREY, linewidth=1)
    axis.set(title=f"{name}: error {100 * error:.0f} %", xlabel="exact product", aspect="equal")
    axis.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("product on the array")
figure.savefig(Path(__file__).with_name("one_matrix.svg"), metadata={"Date": None})
