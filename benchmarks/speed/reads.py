"""`read_mvm` through the public method, beside a matrix product and one normal draw an output."""

from __future__ import annotations

import numpy as np

from benchmarks.bars import Bars
from benchmarks.timing import exponent, on_processor, seconds, side_by_side
from twin import DigitalTwin, TwinProfile
from twin.noise import Electronic

BATCHES: tuple[int, ...] = (64, 128, 256, 512, 1024)
ROWS: tuple[int, ...] = (64, 128, 256, 512, 1024)
_LONG = 101  # repeats, two seconds: what else runs on a shared processor can halve its speed for one of them
_CALLS = 640  # noise is drawn ahead, for 32 products and for 60: a few calls do not show what that costs


def without_wires() -> TwinProfile:
    """The physics of the bars."""
    return TwinProfile.load("supert-a0-easy").model_copy(update={"wires": None})


def measure(bars: Bars) -> None:
    """The profile of the middle and the board as measured side by side, then what only the first has bars for."""
    on_easy(bars)
    on_the_board(bars)


def on_the_board(bars: Bars) -> None:
    """All physics of the measured board: bit-serial inputs, missing codes, lasting noise, bad lines."""
    twin = DigitalTwin("supert-a0", seed=0)
    voltages = np.random.default_rng(0).uniform(0.0, 0.2, (1024, 64))
    one = seconds(lambda: twin.read_mvm(voltages[0]), bars.size(_LONG, smoke=1))
    calls = bars.size(_CALLS, smoke=10)
    all_of_them = on_processor(lambda: [twin.read_mvm(voltages[0]) for _ in range(calls)], bars.size(_LONG, smoke=1))
    note = f"{1e6 * all_of_them / calls:.1f} us of processor"
    bars.check("supert-a0: read_mvm 64x64, batch 1, us", 1e6 * one, "<=", 25, note)
    many, least = seconds(lambda: twin.read_mvm(voltages)), on_processor(lambda: twin.read_mvm(voltages))
    note = f"{1e3 * least:.1f} ms of processor"
    bars.check("supert-a0: read_mvm 64x64, batch 1024, ms", 1e3 * many, "<=", 16, note)


def on_easy(bars: Bars) -> None:
    """One vector, many vectors, how the time grows with either size, and what noise that lasts costs."""
    rng = np.random.default_rng(0)
    batches, sizes = bars.size(BATCHES, smoke=(2, 4)), bars.size(ROWS, smoke=(8, 16))
    twin = DigitalTwin(without_wires(), seed=0)
    voltages = rng.uniform(-0.2, 0.2, (1024, 64))
    one = seconds(lambda: twin.read_mvm(voltages[0]), bars.size(_LONG, smoke=1))
    bars.check("read_mvm 64x64, batch 1, us", 1e6 * one, "<=", 15)
    matrix = rng.uniform(2e-6, 150e-6, (64, 64))
    floor = seconds(lambda: voltages @ matrix) + seconds(lambda: rng.standard_normal((1024, 64)))
    many = seconds(lambda: twin.read_mvm(voltages))
    bars.check("read_mvm 64x64, batch 1024, times product and draw", many / floor, "<=", 1.5, f"{1e3 * many:.3f} ms")
    times = [seconds(lambda n=n: twin.read_mvm(voltages[:n])) for n in batches]  # type: ignore[misc]
    bars.check("exponent of the batch, 64 to 1024", exponent(batches, times), "<=", 1.1)
    times, floors = [], []
    for rows in sizes:
        square = DigitalTwin(without_wires(), (rows, rows), seed=0)
        drive = rng.uniform(-0.2, 0.2, (64, rows))
        times.append(seconds(lambda a=square, v=drive: a.read_mvm(v), 3))  # type: ignore[misc]
        floors.append(seconds(lambda m=square.cells.conductance, v=drive: v @ m, 3))  # type: ignore[misc]
    bars.check(
        "exponent of the rows, 64 to 1024",
        exponent(sizes, times),
        "<=",
        2.1,
        f"product {exponent(sizes, floors):.2f}",
    )
    lasting_noise(bars)


def lasting_noise(bars: Bars) -> None:
    """1/f and telegraph noise of the measured board, two changes a read, beside white, thermal and shot noise alone.

    Electronic noise is in both, so that what lasts is all that differs.
    """
    board, easy = TwinProfile.load("supert-a0").read_noise, without_wires()
    electronic = Electronic(temperature=300.0, bandwidth=1e3)
    laws = board.model_copy(update={"electronic": electronic})
    quiet = laws.model_copy(update={"flicker": None, "telegraph": None})
    white, lasting = (DigitalTwin(easy.model_copy(update={"read_noise": law}), seed=0) for law in (quiet, laws))
    drive = np.random.default_rng(0).uniform(-0.2, 0.2, (1024, 64))
    for n in bars.size([1, 64, 1024], smoke=[1, 4]):
        works = [lambda v=drive[:n]: white.read_mvm(v), lambda v=drive[:n]: lasting.read_mvm(v)]
        without, whole = np.median(side_by_side(works, bars.size(100, smoke=2)), axis=0)
        note = f"{1e6 * whole:.0f} us"
        bars.check(f"read_mvm with 1/f and RTN, batch {n}, times without them", whole / without, "<=", 1.7, note)
