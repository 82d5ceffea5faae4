"""`read_mvm` through the public method, beside a matrix product and one normal draw an output."""

from __future__ import annotations

import numpy as np

from benchmarks.bars import Bars
from benchmarks.timing import exponent, seconds
from twin import DigitalTwin, TwinProfile

BATCHES = (64, 128, 256, 512, 1024)
ROWS = (64, 128, 256, 512, 1024)


def without_wires() -> TwinProfile:
    """The physics of the bars."""
    return TwinProfile.load("supert-a0-easy").model_copy(update={"wires": None})


def measure(bars: Bars) -> None:
    """One vector, many vectors, and how the time grows with either size."""
    rng = np.random.default_rng(0)
    twin = DigitalTwin(without_wires(), seed=0)
    voltages = rng.uniform(-0.2, 0.2, (1024, 64))
    one = seconds(lambda: twin.read_mvm(voltages[0]))
    bars.check("read_mvm 64x64, batch 1, us", 1e6 * one, "<=", 15)
    matrix = rng.uniform(2e-6, 150e-6, (64, 64))
    floor = seconds(lambda: voltages @ matrix) + seconds(lambda: rng.standard_normal((1024, 64)))
    many = seconds(lambda: twin.read_mvm(voltages))
    bars.check("read_mvm 64x64, batch 1024, times product and draw", many / floor, "<=", 1.5, f"{1e3 * many:.3f} ms")
    times = [seconds(lambda n=n: twin.read_mvm(voltages[:n])) for n in BATCHES]  # type: ignore[misc]
    bars.check("exponent of the batch, 64 to 1024", exponent(BATCHES, times), "<=", 1.1)
    times, floors = [], []
    for rows in ROWS:
        square = DigitalTwin(without_wires(), (rows, rows), seed=0)
        drive = rng.uniform(-0.2, 0.2, (64, rows))
        times.append(seconds(lambda a=square, v=drive: a.read_mvm(v), 3))  # type: ignore[misc]
        floors.append(seconds(lambda m=square.cells.conductance, v=drive: v @ m, 3))  # type: ignore[misc]
    bars.check(
        "exponent of the rows, 64 to 1024", exponent(ROWS, times), "<=", 2.1, f"product {exponent(ROWS, floors):.2f}"
    )
