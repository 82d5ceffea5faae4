"""Relaxation: how the conductance of a cell changes after its last pulse.

Every cell carries a latent Gaussian z, a Markov process in the log-time s = ln(1 + t/t0), and its displacement is a
quantile law of it, D(z; G0, s): marginals are exact at every time, the values of one cell at two times correlate,
and two waits in a row have the same law as one wait of their sum. The process is either Gaussian (`correlation`), or
most cells stand still while a few jump (`jumps`, see `jumping_cells`), as measured cells do.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from imssa_lab.contract.hal import FloatArray
from twin.profile_section import Section

Table = tuple[tuple[float, ...], ...]
EDGE = 3.0
"""How sharply a tail leaves the core; measured relaxation cannot tell 2 from 4, and dislikes 1."""

_E_FOLDS_BEYOND = 30.0  # how far beyond the last time the laws extend in log-time: enough for any age
_HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)
_LEAST = 1e-9  # S; keeps a cell that was left at zero from a bend at zero
_SCALES = ("shift", "core", "down", "up")
_TAILS = ("down", "down_share", "up", "up_share")


def fallen(start: FloatArray, displacement: FloatArray, knee: float) -> FloatArray:
    """Conductance of cells displaced from `start`: linear down to knee * start, exponential below.

    G = G0 + D while that is above k = knee G0, else k exp((G0 + D - k)/k): continuous with its slope, rising
    in D, and above zero for every D. All in S, broadcast together.
    """
    bend = np.maximum(knee * start, _LEAST)
    linear = start + displacement
    return np.where(linear >= bend, linear, bend * np.exp(np.minimum(linear - bend, 0.0) / bend))


def displacement(start: FloatArray, conductance: FloatArray, knee: float) -> FloatArray:
    """The D for which `fallen(start, D, knee)` is `conductance`, S; conductance must be above zero."""
    bend = np.maximum(knee * start, _LEAST)
    low = bend * (1.0 + np.log(np.minimum(conductance / bend, 1.0)))
    return np.where(conductance >= bend, conductance, low) - start


def tailed(z: FloatArray, shift: FloatArray, core: FloatArray, tails: tuple[FloatArray, ...]) -> FloatArray:
    """Quantile law of a Gaussian core with two exponential tails, S.

    D(z) = shift + core z - down T(down_share/Phi(z)) + up T(up_share/Phi(-z)), T(x) = ln(1 + x^3)/3: beyond the core
    a share of the cells has moved down by exponentially distributed amounts of mean `down`, and one up by `up`.

    Args:
        z: normal score. tails: down, down_share, up, up_share; all broadcast together.
    """
    from scipy.special import log_ndtr  # a tenth of a second, which only cells that have relaxed need

    down, down_share, up, up_share = tails
    with np.errstate(divide="ignore"):  # a share of zero: no tail
        left = np.logaddexp(0.0, EDGE * (np.log(down_share) - log_ndtr(z))) / EDGE
        right = np.logaddexp(0.0, EDGE * (np.log(up_share) - log_ndtr(-z))) / EDGE
    return np.asarray(shift + core * z - down * left + up * right)


def tail_terms(z: FloatArray, down_share: FloatArray, up_share: FloatArray) -> tuple[FloatArray, ...]:
    """What D(z) and its slope need of the tails, all (n,).

    Returns:
        Hazards of the two sides, phi/Phi; the two tail terms T; and dT/d(ln Phi), a share between 0 and 1, of both.
    """
    from scipy.special import log_ndtr

    lower, upper = log_ndtr(z), log_ndtr(-z)
    density = -0.5 * z**2 - _HALF_LOG_2PI
    left = np.logaddexp(0.0, EDGE * (np.log(down_share) - lower))
    right = np.logaddexp(0.0, EDGE * (np.log(up_share) - upper))
    return (
        np.exp(density - lower),
        np.exp(density - upper),
        left / EDGE,
        right / EDGE,
        -np.expm1(-left),
        -np.expm1(-right),
    )


def placed(z: FloatArray, p: FloatArray) -> tuple[FloatArray, FloatArray]:
    """D(z) of `tailed` and its slope dD/dz > 0, both in S, (n,), for parameters p (6, n) with shares above zero."""
    shift, core, down, down_share, up, up_share = p
    h, g, left, right, s, r = tail_terms(z, down_share, up_share)
    return shift + core * z - down * left + up * right, core + down * s * h + up * r * g


def normal_scores(displaced: FloatArray, p: FloatArray, near: FloatArray | None = None) -> FloatArray:
    """z with D(z) = `displaced` (S, (n,)) for parameters p (6, n), by bracketed Newton steps from `near` (n,).

    Where D is out of reach within twelve standard deviations, that end.
    """
    low, high = np.full(displaced.shape, -12.0), np.full(displaced.shape, 12.0)
    z = np.zeros_like(displaced) if near is None else near
    for _ in range(100):
        place, slope = placed(z, p)
        beyond = place - displaced
        high, low = np.where(beyond > 0, z, high), np.where(beyond <= 0, z, low)
        step = z - beyond / slope
        step = np.where((step <= low) | (step >= high), 0.5 * (low + high), step)
        moved, z = float(np.max(np.abs(step - z), initial=0.0)), step
        if moved < 1e-7:
            break
    return z


def divisible(p: FloatArray) -> FloatArray:
    """Parameters (6, n) with shares of zero (a Gaussian) made tiny, so that nothing divides by zero; the same law."""
    return np.vstack([p[:3], np.maximum(p[3:4], 1e-9), p[4:5], np.maximum(p[5:6], 1e-9)])


class LogTimeRelaxation(Section):
    """Level-dependent relaxation with a Gaussian core and exponential tails, piecewise linear in log-time.

    The displacement of a cell that was left at G0 is `tailed` (see there), each parameter linear in G0 between
    `levels` and linear in s = ln(1 + t/t0) between `times`. It starts from zero at t = 0. Outside the levels the
    outermost hold; after the last time slopes continue, except that a spread never shrinks and shares hold.
    Tables have one row per time and one column per level. Tails may be left out: the law is Gaussian then.
    """

    kind: Literal["log-time"]
    t0: float = Field(gt=0, description="s, where log-time begins; well below the first of `times`")
    until: float | None = Field(
        default=None,
        gt=0,
        description="s since the last pulse up to which the source speaks; None: the last of `times`",
    )
    levels: tuple[float, ...] = Field(min_length=1, description="S, conductances after the last pulse, rising")
    times: tuple[float, ...] = Field(min_length=1, description="s since the last pulse, rising")
    shift: Table = Field(description="S, shift common to all cells of a level")
    core: Table = Field(description="S, sd of the Gaussian core")
    down: Table | None = Field(default=None, description="S, mean of the tail to low conductance")
    down_share: Table | None = Field(default=None, description="share of the cells that this tail holds, about")
    up: Table | None = Field(default=None, description="S, mean of the tail to high conductance")
    up_share: Table | None = Field(default=None, description="share of the cells that this tail holds, about")
    correlation: tuple[float, ...] = Field(
        default=(), description="of a cell's latent between neighbouring times; left out: frozen (1 throughout)"
    )
    jumps: Table | None = Field(
        default=None, description="mean jumps of a cell between neighbouring times; instead of `correlation`"
    )
    wander: Table | None = Field(
        default=None, description="S, sd by which cells that do not jump move between neighbouring times"
    )
    jump_memory: float = Field(default=0.0, ge=0, lt=1, description="correlation of a cell's latent across a jump")
    reach: tuple[float, ...] | None = Field(
        default=None,
        description="how far in z a cell without room goes, between neighbouring times; 0: anywhere",
    )
    knee: float = Field(
        default=0.1, gt=0, le=1, description="share of G0 below which a fall becomes exponential, never reaching 0 S"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> LogTimeRelaxation:
        for name in ("levels", "times"):
            values = getattr(self, name)
            if values[0] <= 0 or any(b <= a for a, b in pairwise(values)):
                raise ValueError(f"relaxation: {name} must be above zero and rise")
        shape = (len(self.times), len(self.levels))
        for name in ("shift", "core", "down", "down_share", "up", "up_share"):
            table = getattr(self, name)
            if table is None:
                continue
            if len(table) != shape[0] or any(len(row) != shape[1] for row in table):
                raise ValueError(f"relaxation: {name} needs {shape[0]} rows (times) of {shape[1]} (levels)")
            if name != "shift" and min(min(row) for row in table) < 0:
                raise ValueError(f"relaxation: {name} cannot be negative")
        for scale, share in (("down", "down_share"), ("up", "up_share")):
            if (getattr(self, scale) is None) != (getattr(self, share) is None):
                raise ValueError(f"relaxation: {scale} and {share} belong together")
        if self.correlation and len(self.correlation) != shape[0] - 1:
            raise ValueError(f"relaxation: correlation needs {shape[0] - 1} values, one between neighbouring times")
        if any(not 0 < value <= 1 for value in self.correlation):
            raise ValueError("relaxation: a correlation lies above 0 and at most at 1")
        self._check_jumps()
        return self

    def _check_jumps(self) -> None:
        if (self.jumps is None) != (self.wander is None):
            raise ValueError("relaxation: jumps and wander belong together")
        if self.reach is not None and (self.jumps is None or len(self.reach) != len(self.times) - 1):
            raise ValueError("relaxation: reach belongs to jumps, with one value between neighbouring times")
        if self.reach is not None and min(self.reach) < 0:
            raise ValueError("relaxation: reach cannot be negative; 0 is anywhere")
        if self.jumps is None or self.wander is None:
            return
        if self.correlation:
            raise ValueError("relaxation: either correlation, or jumps and wander")
        for name, table in (("jumps", self.jumps), ("wander", self.wander)):
            if len(table) != len(self.times) - 1 or any(len(row) != len(self.levels) for row in table):
                raise ValueError(
                    f"relaxation: {name} needs {len(self.times) - 1} rows (between the times) of "
                    f"{len(self.levels)} (levels)"
                )
            if not table or min(min(row) for row in table) < 0:
                raise ValueError(f"relaxation: {name} needs two times or more, and cannot be negative")
        if min(min(row) for row in self.core) <= 0:
            raise ValueError("relaxation: cells that jump need a core above zero at every level and time")

    @property
    def valid_until(self) -> float:
        """s since the last pulse up to which the law rests on its source."""
        return self.times[-1] if self.until is None else self.until

    def log_time(self, age: FloatArray) -> FloatArray:
        """s = ln(1 + t/t0) of ages in s."""
        return np.log1p(age / self.t0)

    def decorrelation(self, age: FloatArray) -> FloatArray:
        """Clock of the latent variable: its correlation between two ages is exp(-difference)."""
        s = self.log_time(np.asarray(self.times))
        steps = -np.log(np.asarray(self.correlation)) if self.correlation else np.zeros(s.size - 1)
        last = steps[-1] / (s[-1] - s[-2]) if steps.size else 0.0
        nodes = np.concatenate([[0.0], s, [s[-1] + _E_FOLDS_BEYOND]])
        clock = np.concatenate([[0.0, 0.0], np.cumsum(steps), [steps.sum() + last * _E_FOLDS_BEYOND]])
        return np.asarray(np.interp(self.log_time(age), nodes, clock))

    def coefficients(self, start: FloatArray) -> FloatArray:
        """Parameters of cells left at `start` (S, (n,)) at every node of log-time: (6, nodes, n)."""
        return np.stack([self._nodes(name, start) for name in ("shift", "core", *_TAILS)])

    def conductance(self, start: FloatArray, coefficients: FloatArray, z: FloatArray, age: FloatArray) -> FloatArray:
        """Conductance in S of cells with latent z, `age` s after they were left at `start`; all (n,)."""
        shift, core, *tails = self.at(coefficients, self.log_time(age))
        return fallen(start, tailed(z, shift, core, tuple(tails)), self.knee)

    def at(self, coefficients: FloatArray, s: FloatArray) -> FloatArray:
        """Parameters (6, n) of cells at log-times s, (n,), from those at the nodes, (6, nodes, n)."""
        nodes = self._log_times()
        below = np.clip(np.searchsorted(nodes, s, side="right") - 1, 0, nodes.size - 2)
        weight = (s - nodes[below]) / (nodes[below + 1] - nodes[below])
        cells = np.arange(s.size)
        near, far = coefficients[:, below, cells], coefficients[:, below + 1, cells]
        return np.asarray(near + weight * (far - near))

    def rates(self, start: FloatArray, s: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Jumps, and variance of wandering in S^2, both by unit of log-time, of cells left at `start`; all (n,)."""
        assert self.jumps is not None, "only of a law with jumps"
        assert self.wander is not None, "belongs to jumps"
        length, between = np.diff(self.log_time(np.asarray(self.times))), self._between(s)
        jumps, spread = np.empty(s.size), np.empty(s.size)
        for i in np.unique(between):
            here = between == i
            jumps[here] = np.interp(start[here], self.levels, self.jumps[i]) / length[i]
            spread[here] = np.interp(start[here], self.levels, self.wander[i]) ** 2 / length[i]
        return jumps, spread

    def reach_at(self, s: FloatArray) -> FloatArray | None:
        """`reach` at log-times s, (n,); None where the law has none."""
        return None if self.reach is None else np.asarray(self.reach)[self._between(s)]

    def _between(self, s: FloatArray) -> NDArray[np.intp]:
        """The interval between two of the times in which log-times s lie, (n,); the outermost go on."""
        nodes = self.log_time(np.asarray(self.times))
        return np.clip(np.searchsorted(nodes, s, side="right") - 1, 0, nodes.size - 2)

    def _log_times(self) -> FloatArray:
        """Nodes of log-time: zero, the times, and one beyond any age."""
        s = self.log_time(np.asarray(self.times))
        return np.concatenate([[0.0], s, [s[-1] + _E_FOLDS_BEYOND]])

    def _nodes(self, name: str, start: FloatArray) -> FloatArray:
        table = getattr(self, name)
        if table is None:
            return np.zeros((len(self.times) + 2, start.size))
        rows = np.stack([np.interp(start, self.levels, row) for row in table])
        if name not in _SCALES:
            return np.concatenate([rows[:1], rows, rows[-1:]])
        nodes = self._log_times()
        before = rows[-2] if len(rows) > 1 else np.zeros_like(rows[-1])
        slope = (rows[-1] - before) / (nodes[-2] - nodes[-3])
        if name != "shift":
            slope = np.maximum(slope, 0.0)
        return np.concatenate([np.zeros_like(rows[:1]), rows, [rows[-1] + slope * _E_FOLDS_BEYOND]])


class PowerLawDrift(Section):
    """Drift of phase-change cells: G(t) = G0 (1 + t/t0)^-nu, with an exponent of its own for every cell and write.

    nu = abs(N(exponent_mean, exponent_sd)), mean and sd linear in G0 between `levels` and held outside
    (Nandakumar et al., ICECS 2019).
    """

    kind: Literal["power-law"]
    t0: float = Field(gt=0, description="s")
    until: float | None = Field(
        default=None, gt=0, description="s since the last pulse up to which the source speaks; None: it does not say"
    )
    levels: tuple[float, ...] = Field(min_length=1, description="S, conductances after the last pulse, rising")
    exponent_mean: tuple[float, ...] = Field(description="one per level")
    exponent_sd: tuple[float, ...] = Field(description="one per level")

    @model_validator(mode="after")
    def _fits_together(self) -> PowerLawDrift:
        if any(b <= a for a, b in pairwise(self.levels)):
            raise ValueError("relaxation: levels must rise")
        if not len(self.levels) == len(self.exponent_mean) == len(self.exponent_sd):
            raise ValueError("relaxation: one exponent_mean and one exponent_sd for every level")
        if min(self.exponent_sd) < 0:
            raise ValueError("relaxation: exponent_sd cannot be negative")
        return self

    @property
    def valid_until(self) -> float | None:
        """Time in s since the last pulse up to which the source supports the law; None if not stated."""
        return self.until

    def log_time(self, age: FloatArray) -> FloatArray:
        """s = ln(1 + t/t0) of ages in s."""
        return np.log1p(age / self.t0)

    def decorrelation(self, age: FloatArray) -> FloatArray:
        """Always zero: the exponent of a cell does not change until the next pulse."""
        return np.zeros_like(age)

    def coefficients(self, start: FloatArray) -> FloatArray:
        """Mean and sd of the exponent of cells left at `start` (S, (n,)): (2, 1, n)."""
        tables = (self.exponent_mean, self.exponent_sd)
        return np.stack([np.interp(start, self.levels, table)[np.newaxis] for table in tables])

    def conductance(self, start: FloatArray, coefficients: FloatArray, z: FloatArray, age: FloatArray) -> FloatArray:
        """Conductance in S of cells with latent z, `age` s after they were left at `start`; all (n,)."""
        mean, sd = coefficients[:, 0]
        return np.asarray(start * np.exp(-np.abs(mean + sd * z) * self.log_time(age)))


Relaxation = Annotated[LogTimeRelaxation | PowerLawDrift, Field(discriminator="kind")]
