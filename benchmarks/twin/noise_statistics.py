"""Read noise in time, and the literature presets against their equations."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from scipy import signal, stats

from benchmarks.bars import Bars
from imssa_lab.contract.hal import FloatArray
from twin import DigitalTwin, TwinProfile
from twin.noise import Flicker, ReadNoise, Telegraph
from twin.profile import Timing

DAY = 86400.0
QUIET = ReadNoise(reference=50e-6, sd_median=0.0, sd_spread=0.0, exponent=0.5)


def measure(bars: Bars) -> None:
    """Every bar of noise and presets, then times without a bar."""
    spectrum(bars)
    dwell_times(bars)
    population(bars)
    same_bits(bars)
    presets(bars)
    cost()


def spectrum(bars: Bars) -> None:
    """Slope of the PSD of a cell's reads, 0.1 to 100 Hz."""
    law = Flicker(sd=0.5e-6, spread=0.0, exponent=1.0, fastest=1e-3, resolved=1e-3, slowest=1e4)
    white = QUIET.model_copy(update={"sd_median": 0.5e-6})
    shape, reads = bars.size((8, 8), smoke=(2, 2)), bars.size(100_000, smoke=40_000)
    for what, noise in (("1/f", QUIET.model_copy(update={"flicker": law})), ("null control: white", white)):
        frequency, density = signal.welch(traces(noise, shape, reads, 1e-3), 1000.0, nperseg=reads // 2, axis=0)
        edges = np.geomspace(0.1, 100.0, 13)
        band = np.digitize(frequency, edges)
        mean = [density.mean(axis=1)[band == b].mean() for b in range(1, 13)]
        slope = np.polyfit(np.log(np.sqrt(edges[1:] * edges[:-1])), np.log(mean), 1)[0]
        if what == "1/f":
            bars.check("PSD slope of 1/f noise over three decades, distance from -1", abs(slope + 1), "<=", 0.1)
        else:
            bars.check("PSD slope, null control: white noise, distance from -1", abs(slope + 1), ">=", 0.5)


def dwell_times(bars: Bars) -> None:
    """Dwell times of both states of a trap, mean 2 s and 0.7 s, read every 5 ms."""
    law = Telegraph(fraction=1.0, depth=0.2, spread=0.0, exponent=1.0, capture=(2.0, 2.0), emission=(0.7, 0.7))
    trace = traces(QUIET.model_copy(update={"telegraph": law}), (2, 2), bars.size(400_000, smoke=20_000), 5e-3)
    for trapped, what in ((False, "empty"), (True, "filled")):
        dwells = []
        for cell in trace.T:
            state = cell < (cell.min() + cell.max()) / 2
            edges = np.flatnonzero(np.diff(state.astype(int))) + 1
            dwells.append(np.diff(edges)[state[edges[:-1]] == trapped] * 5e-3)
        dwell = np.concatenate(dwells)
        dwell = dwell + np.random.default_rng(0).uniform(-2.5e-3, 2.5e-3, dwell.size)  # undo the rounding of reads
        p = float(stats.kstest(dwell, "expon", args=(0, dwell.mean())).pvalue)
        bars.check(f"RTN, {what} trap, KS p of {dwell.size} dwell times", p, ">=", 0.01)
        pairs = dwell[: dwell.size // 2 * 2].reshape(-1, 2).sum(axis=1)
        p = float(stats.kstest(pairs, "expon", args=(0, pairs.mean())).pvalue)
        bars.check(f"RTN, {what} trap, null control: sums of two dwell times, KS p", p, "<=", 0.01)


def population(bars: Bars) -> None:
    """Per-cell read sd of the board's array, mean of the quantiles of 16 chips."""
    quantiles, averaged = [], []
    for seed in range(bars.size(16, smoke=1)):
        twin = DigitalTwin("supert-a0", (64, 64), seed)
        twin.cells.conductance = np.tile(np.linspace(0.8e-6, 98e-6, 64), (64, 1))
        reads = np.stack([twin.read_conductances() for _ in range(bars.size(500, smoke=20))]) * 1e6
        sd = reads.std(axis=0)
        quantiles.append([*np.quantile(sd, [0.5, 0.9, 0.95, 0.99]), sd.max()])
        averaged.append(np.median(reads.reshape(-1, 10, 64, 64).mean(axis=1).std(axis=0)))
    names, published = ("median", "p90", "p95", "p99"), (0.65, 2.4, 4.7, 7.0)
    chips = np.array(quantiles)
    for i, (name, value) in enumerate(zip(names, published, strict=True)):
        got = float(chips[:, i].mean())
        note = f"{got:.2f} uS, chips {chips[:, i].min():.2f} to {chips[:, i].max():.2f}, board {value}"
        bars.check(f"read sd of the cells, {name}, relative distance", abs(got / value - 1), "<=", 0.15, note)
    mean = float(np.mean(averaged))
    note = f"{mean:.3f} uS, board 0.20"
    bars.check("sd of averages of ten reads, median, relative distance", abs(mean / 0.20 - 1), "<=", 0.15, note)
    print(f"     read sd of the cells, maximum: {chips[:, 4].mean():.1f} uS, board 14.5")


PRESETS: tuple[str, ...] = ("supert-a0-easy", "supert-a0", "ideal", "hfox-cmo", "wan-2022", "milo-2021", "pcm-joshi")
SESSION = """
import hashlib, sys
import numpy as np
from twin import DigitalTwin
digest = hashlib.sha256()
for name in sys.argv[2:]:
    twin = DigitalTwin(name, (32, 32), seed=5)
    twin.program_conductances(np.random.default_rng(0).uniform(twin.info.window.low, twin.info.window.high, (32, 32)))
    twin.wait(10.0)
    voltages = np.random.default_rng(1).uniform(0.0, 0.2, (120, 32))
    cuts = range(int(sys.argv[1]), 120, int(sys.argv[1]))
    pieces = [twin.read_mvm(part, raw=True) for part in np.split(voltages, cuts)]
    digest.update(np.concatenate(pieces).tobytes() + twin.read_conductances().tobytes())
print(digest.hexdigest())
"""
"""Programs, waits and reads chips of the presets that are named, in batches of so many vectors."""


def same_bits(bars: Bars) -> None:
    """Codes of 256 vectors in one call, one by one and in pieces; whole sessions in processes of their own."""
    different = 0
    names = bars.size(PRESETS, smoke=PRESETS[:2])
    for name in names:
        whole, single, pieces = (DigitalTwin(name, (64, 64), 5) for _ in range(3))
        low = -0.2 if whole.info.input_signed else 0.0
        voltages = np.random.default_rng(0).uniform(low, 0.2, (256, 64))
        codes = [
            [whole.read_mvm(voltages, raw=True)],
            [single.read_mvm(v, raw=True)[None] for v in voltages],
            [pieces.read_mvm(v, raw=True) for v in np.split(voltages, [1, 7, 100, 101])],
        ]
        first, *others = (np.concatenate(parts) for parts in codes)
        different += sum(int(np.count_nonzero(first != other)) for other in others)
    bars.check(f"readings that differ with the batch size, of {len(names) * 32_768:,}", different, "==", 0)
    digests = {digest_of_session(batch, names) for batch in bars.size([120, 120, 1, 17], smoke=[120, 17])}
    bars.check("digests of one session in four processes, three batch sizes", len(digests), "==", 1)
    changed = digest_of_session(120, names[::-1])
    bars.check("null control: digests with the presets in another order", len(digests | {changed}), "==", 2)


def digest_of_session(batch: int, names: tuple[str, ...]) -> str:
    """What `SESSION` prints in a process of its own."""
    command = [sys.executable, "-c", SESSION, str(batch), *names]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def presets(bars: Bars) -> None:
    """Sd after programming at 12 levels of 1e5 cells each; totals of Wan; shift of CMO after an hour."""
    laws: dict[str, tuple[Callable[[float], float], FloatArray]] = {
        "hfox-cmo": (lambda g: 0.00106879 * g + 0.00081107, np.linspace(9.1, 88, 12)),
        "wan-2022": (lambda g: wan(1.0, g), np.linspace(5.5, 39, 12)),
        "milo-2021": (lambda g: -0.009107 * g + 4.782321, np.linspace(51, 224, 12)),
        "pcm-joshi": (lambda g: 0.26348 + 1.9650 * g / 25 - 1.1731 * (g / 25) ** 2, np.linspace(3, 25, 12)),
    }
    for name, (law, levels) in laws.items():
        worst = max(
            abs(errors(name, g, (), relaxation=None)[0].std() / law(g) - 1) for g in levels[:: bars.size(1, smoke=6)]
        )
        bars.check(f"{name}: sd after programming beside its equation, worst of 12 levels", worst, "<=", 0.01)
    worst = 0.0
    for g in np.linspace(8, 39, bars.size(12, smoke=1)):
        seen = errors("wan-2022", g, (1.0, DAY, 2 * DAY))[1:]
        worst = max(worst, *(abs(e.std() / wan(t, g) - 1) for e, t in zip(seen, (1.0, DAY, 2 * DAY), strict=True)))
    bars.check("wan-2022: totals at 1 s, 1 and 2 days, worst of 36", worst, "<=", 0.01)
    shift = float(errors("hfox-cmo", 50.0, (3600.0,))[1].mean())
    bars.check(
        "hfox-cmo: mean shift after 1 h, distance from -0.729 uS", abs(shift + 0.729), "<=", 0.01, f"{shift:.4f}"
    )


def cost() -> None:
    """Times of reads, for the eye."""
    rng = np.random.default_rng(0)
    for name in ("ideal", "supert-a0-easy", "pcm-joshi"):
        twin = DigitalTwin(name, (64, 64), 0)
        voltages = rng.uniform(0.0, 0.2, (1024, 64))
        for n, repeats in ((1, 200), (1024, 5)):
            best = np.inf
            for _ in range(repeats):
                started = time.perf_counter()
                twin.read_mvm(voltages[:n])
                best = min(best, time.perf_counter() - started)
            print(f"     {name}, 64 x 64, {n} vectors: {best * 1e6:.0f} us")


def traces(noise: ReadNoise, shape: tuple[int, int], reads: int, period: float) -> FloatArray:
    """Reads of cells at 50 uS every `period` s, (reads, cells)."""
    timing = Timing(mvm=period, cell_read=period / (shape[0] * shape[1]), pulse=0.0)
    profile = TwinProfile.load("ideal").model_copy(update={"read_noise": noise, "timing": timing})
    twin = DigitalTwin(profile, shape, 0)
    twin.cells.conductance = np.full(shape, 50e-6)
    return np.stack([twin.read_conductances().ravel() for _ in range(reads)])


def errors(name: str, target: float, times: tuple[float, ...], **other: object) -> list[FloatArray]:
    """Conductance minus target in uS of 1e5 cells after programming and at these times, without read noise."""
    timing = Timing(mvm=0.0, cell_read=0.0, pulse=0.0)
    profile = TwinProfile.load(name).model_copy(update={"timing": timing, "read_noise": QUIET, **other})
    twin = DigitalTwin(profile, (250, 400), 0)
    twin.program_conductances(np.full((250, 400), target * 1e-6))
    seen = [twin.cells.conductance * 1e6 - target]
    for now in times:
        twin.wait(now - twin.time)
        seen.append(twin.cells.conductance * 1e6 - target)
    return seen


def wan(seconds: float, g: float) -> float:
    """Published total sd in uS at G in uS."""
    coefficients = {
        1.0: (0.348, 16.030, -43.853, 45.393, -16.815),
        DAY: (0.701, 22.086, -50.773, 47.095, -16.458),
        2 * DAY: (0.782, 20.274, -43.507, 37.062, -11.934),
    }[seconds]
    return sum(c * (g / 40) ** k for k, c in enumerate(coefficients))
