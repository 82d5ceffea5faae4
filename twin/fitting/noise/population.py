"""The noise of a population of cells: how much, how it spreads and grows, and which share of it is white.

What each cell tells well is its noise from reading to reading. White against 1/f it tells badly (often as an upper
limit only), so one share of the variance is fitted to all cells together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from imssa_lab.contract.errors import DataError
from imssa_lab.contract.hal import FloatArray
from twin.fitting.noise.spectra import Spectra, adjacent_gain, fit_parts, inflation
from twin.fitting.noise.traces import START, Trace

CELLS_FOR_SPREAD, SPAN_FOR_EXPONENT = 5, 2.0
WIDEST = 1.5
"""Spread in ln beyond which cells are no population of one kind; the noisiest real board known has about 1.05."""
BEYOND = 2.0
"""No cell is taken to be noisier than this times the noisiest that was measured: of more nothing is known."""

_SLOWEST = 4.0
"""Slowest time constant in lengths of a trace: what is slower, the straight line through the trace takes away."""

_FIRST = 1 / 64
"""Time constant in readings faster than which nothing is resolved."""

_MOST_CELLS = 512
_SHARES = np.concatenate([[0.0, 0.003], np.linspace(0.01, 0.99, 50), [0.997, 1.0]])
_SLOPES = np.round(np.arange(0.5, 1.62, 0.05), 3)
_WALKS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
_READINGS_FOR_SLOPE, _ALL_WHITE = 1000, 0.97
_BETTER = 3.32
"""Gain in ln likelihood for a random walk: chance reaches it in one of a hundred fits."""
_SURE, _NO_MATTER = 3.0, 0.03
"""A slope nearer to 1 than this many standard errors, or than this, is taken as 1."""
_MANY_CELLS, _REPLICATES = 40, 240


@dataclass(frozen=True)
class Known:
    """A number with the ends of its 90 % interval and its standard error."""

    value: float
    low: float
    high: float
    error: float


@dataclass(frozen=True)
class Mixture:
    """Which share of the variance of adjacent differences is white, and the slope of the rest, of all cells together.

    Attributes:
        share: 0 to 1. slope: a of the spectrum 1/f^a; fixed: whether 1 does as well, and was taken.
    """

    share: Known
    slope: Known
    fixed: bool


@dataclass(frozen=True)
class Population:
    """The law ln short = ln median + exponent ln(G / reference) + spread z over the cells, S.

    Attributes:
        median: at the reference. noisiest: of all measured cells, at the reference, S.
    """

    reference: float
    median: Known
    spread: Known | None
    exponent: Known | None
    noisiest: float

    @property
    def grows(self) -> float:
        """The exponent that a profile has: 0 where none is known or noise falls with conductance."""
        return 0.0 if self.exponent is None else max(self.exponent.value, 0.0)


def mixture_of(groups: list[Spectra], rng: np.random.Generator) -> Mixture:
    """One white share and one slope for all cells; each cell has only a strength of its own.

    A random walk of one strength beside the 1/f part is allowed for where it is plain to see, so that slow drift is
    not taken for 1/f noise. Standard errors are those of a bootstrap: over cells where there are many, else of the
    periodograms.

    Args:
        groups: spectra of cells with traces of one length each.
    """
    some = [_some(spectra) for spectra in groups]
    widest = float(np.mean(np.concatenate([_inflated(spectra) for spectra in some])))
    longest = max(spectra.readings for spectra in groups)
    white_only = _least(_SHARES, _table(some, 1.0, 0.0).sum(axis=0))[0] > _ALL_WHITE
    slopes = np.array([1.0]) if white_only or longest < _READINGS_FOR_SLOPE else _SLOPES
    of_walks = [np.stack([_table(some, float(slope), walk) for slope in slopes]) / widest for walk in _WALKS]
    lows = np.array([min(_least(_SHARES, row)[1] for row in tables.sum(axis=1)) for tables in of_walks])
    walking = int(lows.argmin()) if lows[0] - lows.min() > _BETTER else 0
    walk, tables = _WALKS[walking], of_walks[walking]
    share, slope = _best(slopes, tables.sum(axis=1))
    cells = tables.shape[1]
    if cells >= _MANY_CELLS:
        weights = rng.exponential(size=(_REPLICATES, cells))
        again = [np.einsum("c,scx->sx", row, tables) for row in weights]
    else:
        at_one = _least(_SHARES, tables[slopes == 1.0].sum(axis=(0, 1)))[0]
        again = [_drawn_tables(some, slopes, walk, at_one, rng) for _ in range(_REPLICATES // 4)]
    known = _known(slope, np.array([_best(slopes, one)[1] for one in again]))
    fixed = slopes.size == 1 or abs(slope - 1.0) < max(_SURE * known.error, _NO_MATTER)
    if slopes.size == 1:
        known = Known(1.0, float("nan"), float("nan"), float("nan"))
    if fixed:  # the share as it is at slope 1
        only = slopes == 1.0
        tables, again, slopes = tables[only], [one[only] for one in again], np.array([1.0])
        share, _ = _best(slopes, tables.sum(axis=1))
    return Mixture(_known(share, np.array([_best(slopes, one)[0] for one in again])), known, fixed)


def population_of(traces: list[Trace], source: str) -> Population:
    """The lognormal law of the noise from reading to reading, growing with a power of the conductance.

    The spread is that of the cells themselves: what the finite traces add is taken off.

    Raises:
        DataError: cells spread by more than any population of one kind.
    """
    mean, short, error = (np.array([getattr(t, name) for t in traces]) for name in ("mean", "short", "short_error"))
    reference, exponent, spread = float(np.median(mean)), None, None
    enough = len(traces) >= CELLS_FOR_SPREAD
    x = np.log(mean / reference)
    if enough and mean.max() / mean.min() >= SPAN_FOR_EXPONENT:
        some = slice(None, None, -(-len(traces) // 1000))
        line = stats.theilslopes(np.log(short[some]), x[some], alpha=0.9)
        width = float(line.high_slope - line.low_slope) / 3.29
        exponent = Known(float(line.slope), float(line.low_slope), float(line.high_slope), width)
    grows = 0.0 if exponent is None else max(exponent.value, 0.0)
    at_reference = np.log(short) + error**2 - grows * x  # the ln of a variance from few readings is too low
    middle = float(np.median(at_reference))
    n = len(traces)
    if not enough:
        own = float(np.sqrt(np.mean(error**2) / n))
        low, high = np.exp(middle + 1.645 * own * np.array([-1, 1]))
        median = Known(float(np.exp(middle)), float(low), float(high), float(np.exp(middle) * own))
    else:
        total = float(at_reference.var(ddof=1))
        ends = [total * (n - 1) / float(stats.chi2.ppf(q, n - 1)) for q in (0.95, 0.05)]
        own = float(np.mean(error**2))
        value, low, high = (float(np.sqrt(max(v - own, 0.0))) for v in (total, *ends))
        spread = Known(value, low, high, (high - low) / 3.29)
        if value > WIDEST:
            order = np.argsort(at_reference)
            raise DataError(
                f"{source}: the noise of the cells spreads by {value:.2f} in ln (from "
                f"{1e6 * short[order[0]]:.3g} to {1e6 * short[order[-1]]:.3g} uS), more than {WIDEST:g}; these cells "
                "are not of one kind: fit each kind separately, or leave cells out with --keep"
            )
        step = float(stats.t.ppf(0.95, n - 1) * np.sqrt(total / n) * 1.2533)
        at = np.exp(middle + step * np.array([-1.0, 0.0, 1.0]))
        median = Known(float(at[1]), float(at[0]), float(at[2]), float(at[1] * np.sqrt(total / n) * 1.2533))
    return Population(reference, median, spread, exponent, float(np.exp(at_reference.max())))


def section_of(
    population: Population, mixture: Mixture, step: float | None, readings: int
) -> tuple[dict[str, object], float]:
    """The section `read_noise` of a profile, and the sd of its white part, S.

    The 1/f processes of a twin begin at the time constant from which adjacent readings see as much of them as of the
    spectrum itself; what is missing then, and without times (`step` None, else s) all, is drawn again for every
    reading, like the white part.
    """
    share, slope = mixture.share.value, 1.0 if mixture.fixed else mixture.slope.value
    total = population.median.value**2
    strength = (1 - share) * total / adjacent_gain(slope)  # of the spectrum strength / f^slope, per reading
    fastest, seen = _fastest(slope, _SLOWEST * readings)
    fresh = total if step is None else total - strength * seen
    section: dict[str, object] = {
        "reference": population.reference,
        "sd_median": float(np.sqrt(max(fresh, 0.0))) if share < 1 else population.median.value,
        "sd_spread": 0.0 if population.spread is None else population.spread.value,
        "exponent": population.grows,
    }
    if population.spread is not None and population.spread.value > 0:
        section["noisiest"] = max(BEYOND * population.noisiest / population.median.value, 1.01)
    if step is not None and strength > 0:
        section["flicker"] = {
            "sd": float(np.sqrt(strength * (2 * np.pi * fastest) ** (slope - 1))),
            "spread": section["sd_spread"],
            "exponent": population.grows,
            "slope": float(slope),
            "with_white": True,
            "fastest": fastest * step,
            "resolved": fastest * step,
            "slowest": _SLOWEST * step * readings,
        }
    return section, float(np.sqrt(share * total))


def _fastest(slope: float, slowest: float) -> tuple[float, float]:
    """The fastest time constant in readings, and what adjacent differences see of all processes from there on.

    The second is in units of the spectrum 1/f^slope, per reading.
    """
    scale = float(np.sin(0.5 * np.pi * slope) * (2 * np.pi) ** (slope - 1))
    log_time = np.linspace(np.log(_FIRST), np.log(slowest), 8001)
    time = np.exp(log_time)
    each = scale * -np.expm1(-1 / time) * time ** (slope - 1) * (log_time[1] - log_time[0])
    seen = np.cumsum(each[::-1])[::-1]
    place = int(np.flatnonzero(seen <= adjacent_gain(slope))[0])
    return float(time[place]), float(seen[place])


def _table(groups: list[Spectra], slope: float, walk: float) -> FloatArray:
    """Minus the ln likelihood of each cell at each share, (cells, shares), each cell's strength at its best.

    Args:
        walk: frequency, in units of the lowest one, below which the random walk is stronger than the 1/f part.
    """
    found = []
    for spectra in groups:
        model = _models(spectra, slope, walk, _SHARES)
        counted = spectra.weight.sum(axis=1, keepdims=True)
        # a strength fitted with unequal weights leans on the heaviest bins: E[x_b / sum w x] is not 1 / sum w
        lean = spectra.second / np.where(spectra.weight > 0, spectra.weight, 1.0) / counted
        lean = 1 - lean + (spectra.second.sum(axis=1, keepdims=True) / counted**2)
        strength = (spectra.weight * spectra.power / lean) @ (1 / model).T / counted
        found.append(counted * np.log(strength) + spectra.weight @ np.log(model).T)
    return np.concatenate(found)


def _models(spectra: Spectra, slope: float, walk: float, shares: FloatArray) -> FloatArray:
    """Spectra of unit variance of adjacent differences, halved, with these white shares, (shares, bins)."""
    white, flicker, step = spectra.with_slope(slope)
    slow = (flicker + step * (walk / spectra.readings) ** (2.0 - slope)) / adjacent_gain(slope)
    return np.asarray(shares[:, np.newaxis] * white + (1 - shares)[:, np.newaxis] * slow)


def _drawn_tables(
    groups: list[Spectra], slopes: FloatArray, walk: float, share: float, rng: np.random.Generator
) -> FloatArray:
    """The summed tables, (slopes, shares), of new periodograms drawn from the law found at slope 1."""
    drawn = []
    for spectra in groups:
        model = _models(spectra, 1.0, walk, np.array([share]))
        strength = (spectra.weight * spectra.power / model).sum(axis=1, keepdims=True)
        strength /= spectra.weight.sum(axis=1, keepdims=True)
        freedom = np.maximum(spectra.weight**2 / np.where(spectra.second > 0, spectra.second, 1.0), 1e-3)
        drawn.append(replace(spectra, power=strength * model * rng.gamma(freedom) / freedom))
    return np.stack([_table(drawn, float(slope), walk).sum(axis=0) for slope in slopes])


def _best(slopes: FloatArray, losses: FloatArray) -> tuple[float, float]:
    """The share and the slope of the least of losses (slopes, shares)."""
    if slopes.size == 1:
        return _least(_SHARES, losses[0])[0], 1.0
    lows = np.array([_least(_SHARES, row) for row in losses])
    slope = _least(slopes, lows[:, 1])[0]
    return float(np.interp(slope, slopes, lows[:, 0])), slope


def _known(value: float, draws: FloatArray) -> Known:
    low, high = np.quantile(draws, [0.05, 0.95])
    return Known(value, min(float(low), value), max(float(high), value), float(draws.std()))


def _some(spectra: Spectra) -> Spectra:
    """At most `_MOST_CELLS` cells, evenly taken."""
    cells = np.arange(len(spectra.unit))
    return spectra.take(cells % -(-cells.size // _MOST_CELLS) == 0)


def _inflated(spectra: Spectra) -> FloatArray:
    """How much wider than by the likelihood alone the share is known, from each cell, (cells,)."""
    x, _ = fit_parts(spectra, spectra.basis, np.tile(START, (len(spectra.unit), 1)))
    return inflation(spectra, np.exp(x) @ spectra.basis, spectra.basis[0])


def _least(grid: FloatArray, loss: FloatArray) -> tuple[float, float]:
    """The place of the least loss and that loss, by a parabola through three points."""
    best = int(loss.argmin())
    if not 0 < best < grid.size - 1:
        return float(grid[best]), float(loss[best])
    x, y = grid[best - 1 : best + 2] - grid[best], loss[best - 1 : best + 2] - loss[best]
    bend, slope, _ = np.polyfit(x, y, 2)
    if bend <= 0:
        return float(grid[best]), float(loss[best])
    return float(grid[best] - slope / (2 * bend)), float(loss[best] - slope**2 / (4 * bend))
