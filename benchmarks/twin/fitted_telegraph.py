"""Fits of telegraph noise: known levels and dwell times come back, and other noise is not taken for it."""

from __future__ import annotations

import numpy as np
from scipy import stats

from benchmarks.bars import Bars
from imssa_lab.contract.hal import FloatArray
from twin.fitting.noise.telegraph import Switching, switching_of
from twin.fitting.read_noise import fit_read_noise
from twin.fitting.tables.measured_tables import Table
from twin.noise import CellNoise, ReadNoise

_LEVEL, _STEP = 50e-6, 0.01
_CASES = (  # mean stays above and below in readings, ln step, white sd and 1/f strength in uS
    (20.0, 20.0, 0.04, 0.35, 0.0),
    (30.0, 10.0, 0.04, 0.3, 0.1),
    (60.0, 15.0, 0.06, 0.3, 0.1),
    (10.0, 5.0, 0.05, 0.3, 0.1),
    (5.0, 5.0, 0.1, 0.3, 0.1),
    (80.0, 12.0, 0.1, 0.3, 0.2),
)


def measure(bars: Bars) -> None:
    """Recovery, null controls, and a population that a twin was read for."""
    cells, readings = bars.size(200, smoke=20), bars.size(2048, smoke=1024)
    for number, case in enumerate(_CASES):
        recovery(bars, case, cells, readings, np.random.default_rng(number))
    nulls(bars, bars.size(1000, smoke=30), readings)
    population(bars, bars.size(400, smoke=60), readings)


def recovery(
    bars: Bars, case: tuple[float, float, float, float, float], cells: int, readings: int, rng: np.random.Generator
) -> None:
    """Cells with two levels in white and 1/f noise."""
    above, below, step, white, flicker = case
    lower = chain(above, below, cells, readings, rng)
    noise = np.stack([trace((white * 1e-6) ** 2, (flicker * 1e-6) ** 2, readings, rng) for _ in range(cells)])
    found = switching_of(np.where(lower, _LEVEL * np.exp(-step), _LEVEL) + noise)
    name = f"telegraph, stays of {above:g} and {below:g} readings, step {step:g}"
    print(f"     {name}: seen in {found.seen.mean():.3f}, dwell times decided in {found.decided.mean():.3f}")
    good = within(found, above, below, step)
    bars.check(f"{name}: worst parameter within 3 standard errors", min(good), ">=", 0.95, f"{cells} cells")


def within(found: Switching, above: float, below: float, step: float) -> tuple[float, ...]:
    """Share of the decided cells within three of their own standard errors: step, stays above, stays below."""
    some = found.decided
    off = (
        (found.depth - step)[some] / found.depth_error[some],
        np.log(found.capture / above)[some] / found.capture_error[some],
        np.log(found.emission / below)[some] / found.emission_error[some],
    )
    return tuple(float(np.mean(np.abs(one) <= 3)) if some.any() else 0.0 for one in off)


def nulls(bars: Bars, cells: int, readings: int) -> None:
    """Traces without levels: what is white, 1/f, both, a Lorentzian, or has interference."""
    rng, place = np.random.default_rng(100), np.arange(readings)
    noise = {
        what: np.stack([trace(white * 1e-12, flicker * 1e-12, readings, rng) for _ in range(cells)])
        for what, white, flicker in (("white", 0.09, 0.0), ("1/f", 0.0, 0.09), ("white and 1/f", 0.09, 0.02))
    }
    slow = rng.standard_normal((cells, readings))
    for t in range(1, readings):
        slow[:, t] = np.exp(-1 / 20) * slow[:, t - 1] + np.sqrt(-np.expm1(-2 / 20)) * slow[:, t]
    noise["a Gaussian with the spectrum of telegraph noise"] = 1e-6 * slow + 0.6 * noise["white"]
    hum = 1e-6 * np.sin(2 * np.pi * (0.237 * place + rng.random((cells, 1))))
    noise["interference"] = hum + noise["white and 1/f"]
    for what, values in noise.items():
        seen = float(switching_of(_LEVEL + values).seen.mean())
        bars.check(f"null, {what}: cells with telegraph noise", seen, "<=", 0.003, f"{cells} cells; promised .001")


def population(bars: Bars, cells: int, readings: int) -> None:
    """Cells of a twin, half of them with a trap, read again and again; the fit against the twin's own law."""
    truth = {"fraction": 0.5, "depth": 0.05, "spread": 0.3, "exponent": 0.7}
    times = {"capture": (0.1, 1.0), "emission": (0.05, 0.5)}
    law = ReadNoise.model_validate(
        {"reference": 45e-6, "sd_median": 0.3e-6, "sd_spread": 0.3, "exponent": 0.5, "telegraph": truth | times}
    )
    rng = np.random.default_rng(0)
    conductance = np.exp(rng.uniform(np.log(20e-6), np.log(100e-6), (1, cells)))
    noise = CellNoise(law, conductance.shape, np.random.default_rng(1), np.random.default_rng(2))
    read = conductance + noise.of_cells(conductance, 0.2, _STEP * np.arange(float(readings))).reshape(readings, cells)
    outcome = fit_read_noise(as_table(read.T), np.random.default_rng(0))
    found = ReadNoise.model_validate(outcome.sections["read_noise"]).telegraph
    assert found is not None, "half of the cells have it"
    chance = float(stats.binomtest(round(found.fraction * (cells // 2)), cells // 2, truth["fraction"]).pvalue)
    bars.check("telegraph in a population: chance of the share that was found", chance, ">=", 0.001)
    bars.check("telegraph in a population: step off", abs(found.depth / truth["depth"] - 1), "<=", 0.2)
    for name, ends in times.items():
        off = max(abs(np.log(a / b)) for a, b in zip(getattr(found, name), ends, strict=True))
        bars.check(f"telegraph in a population: ends of {name}, ln off", float(off), "<=", 0.7)
    judged = [group for group in outcome.groups if group.label.startswith("telegraph")]
    if judged:
        passed = float(np.mean([group.ks_p > 0.01 for group in judged]))
        bars.check("telegraph of cells that were not fitted: statistics with KS p > 0.01", passed, ">=", 0.9)
    else:
        bars.left_out("telegraph of cells that were not fitted")


def chain(above: float, below: float, cells: int, readings: int, rng: np.random.Generator) -> FloatArray:
    """1 at the lower of two levels, (cells, readings): exponential stays of these means, in readings."""
    leave, back = 1 / above, 1 / below
    both = leave + back
    down, up = (rate / both * -np.expm1(-both) for rate in (leave, back))
    state = rng.random(cells) < leave / both
    found = np.empty((cells, readings))
    for t in range(readings):
        found[:, t] = state
        lot = rng.random(cells)
        state = np.where(state, lot > up, lot < down)
    return found


def trace(white: float, flicker: float, readings: int, rng: np.random.Generator) -> FloatArray:
    """White noise of this variance, S^2, and noise with the one-sided spectrum `flicker`/f, (readings,)."""
    n = 8 * readings  # a measured cell has a past
    f = np.fft.rfftfreq(n)[1:]
    lines = np.sqrt((2 * white + flicker / f) * n / 4)
    return np.fft.irfft(
        np.concatenate([[0], lines * (rng.standard_normal(f.size) + 1j * rng.standard_normal(f.size))]), n
    )[:readings]


def as_table(values: FloatArray) -> Table:
    """Traces (cells, readings), S, as a table of readings."""
    cells, readings = values.shape
    columns = {
        "cell": np.repeat(np.arange(float(cells)), readings),
        "time": np.tile(_STEP * np.arange(readings), cells),
        "conductance": values.ravel(),
    }
    return Table(columns, np.arange(1, values.size + 1, dtype=np.int64), "synthetic")
