"""Currents and times of badcrossbar, run by `environments.times` in the environment of that package."""

from __future__ import annotations

import json
import sys
import time

import badcrossbar
import numpy as np


def measured(cells: str, repeats: int) -> dict[str, float]:
    """Seconds of one solution with all vectors.

    Args:
        cells: path of an npz file with `conductance` (rows, cols) in S, `voltages` (n, rows) in V and `segment`, the
            resistance of a wire between two cells, ohm. The currents (n, cols), A, are written to a file of this name
            and ".currents.npy".
    """
    with np.load(cells) as given:
        resistance, voltages, segment = 1.0 / given["conductance"], given["voltages"].T, float(given["segment"])
    least = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        solution = badcrossbar.compute(voltages, resistance, segment)
        least = min(least, time.perf_counter() - started)
    np.save(f"{cells}.currents.npy", np.asarray(solution.currents.output))
    return {"solution": least}


if __name__ == "__main__":
    print(json.dumps(measured(**json.loads(sys.argv[1]))))
