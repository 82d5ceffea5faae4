"""Sweeps of pulses on simulated cells, and what sweeps, simulated or measured, say of their cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.hal import FloatArray
from twin.measured_pulses import MeasuredPulses, PulseRanks, PulseTable
from twin.noise import CellNoise, ReadNoise
from twin.periphery.converter import Adc, Converters

SCORES = np.linspace(-3.0, 3.0, 17)
SIMULATED = 1024
LEAST = 1e-9
_MOST, _MEAN_OF_MOST = 0.8, 0.5586
"""Share of the cells that scatter least, and the mean of as large a share of abs(n), n standard normal."""
_STEEP = 0.5
"""Share of the readings that are not as steep as where the strength that a cell feels is seen."""


@dataclass(frozen=True)
class SingleReads:
    """How a session read its cells once: noise, read voltage (V) and converter; None for readings in amperes."""

    noise: ReadNoise
    voltage: float
    adc: Adc | None

    def converters(self, cells: int) -> Converters:
        """Of so many cells that are read at once."""
        return Converters(self.adc, cells, np.random.default_rng(0))


@dataclass(frozen=True)
class Sweeps(FrozenArrays):
    """Readings after the pulses of one kind: strengths (k,), V, and conductances (k, cycles, cells), S."""

    strengths: FloatArray
    values: FloatArray


def simulated(
    law: MeasuredPulses, cycles: int, noise: SingleReads | None, rng: np.random.Generator, cells: int = SIMULATED
) -> tuple[Sweeps, Sweeps]:
    """SET and RESET sweeps of simulated cells in the order of a characterisation, as read once after each pulse."""
    ranks, ones = PulseRanks(law, (1, cells), rng), np.ones(cells)
    reads = None if noise is None else CellNoise(noise.noise, (1, cells), *rng.spawn(2))
    converters = None if noise is None else noise.converters(cells)
    g = np.exp(np.interp(ranks.set[0], law.set.scores, np.log(law.set.quantiles[-1])))
    seen: dict[str, list[FloatArray]] = {"set": [], "reset": []}
    clock = 0.0

    def pulsed(kind: str, strength: float) -> None:
        nonlocal g
        table: PulseTable = getattr(law, kind)
        rank, spread = getattr(ranks, kind)[0], getattr(ranks, f"{kind}_spread")[0]
        left = table.leaves(strength * ones, rank, spread, *rng.standard_normal((2, cells)))
        slowness = getattr(ranks, f"{kind}_slowness")[0]
        g = table.moved(g, np.maximum(g, left) if kind == "set" else np.minimum(g, left), slowness)

    pulsed("reset", law.reset.strengths[-1])  # as the map of stuck cells leaves them
    for _ in range(cycles):
        pulsed("reset", law.reset.strengths[-1])
        for kind in ("set", "reset"):
            for strength in getattr(law, kind).strengths:
                pulsed(kind, strength)
                read = g
                if noise is not None and reads is not None and converters is not None:
                    now = g[np.newaxis], noise.voltage, np.array([clock])
                    current = noise.voltage * (g + reads.of_cells(*now)[0, 0])
                    read = converters.amperes(current) / noise.voltage
                clock += 1.0
                seen[kind].append(read)
    made = []
    for kind in ("set", "reset"):
        strengths = np.array(getattr(law, kind).strengths)
        made.append(Sweeps(strengths, np.stack(seen[kind]).reshape(cycles, strengths.size, cells).swapaxes(0, 1)))
    return made[0], made[1]


def quantiles_of(values: FloatArray) -> FloatArray:
    """Quantiles over the cells of the means of their cycles, S, (k, scores)."""
    return np.asarray(np.quantile(values.mean(axis=1), ndtr(SCORES), axis=1).T)


def scatter_of(values: FloatArray) -> FloatArray:
    """Scatter from cycle to cycle of most cells, share of the median conductance, (k,).

    By the mean of the smaller ones: a median would jump with the steps of a converter.
    """
    if values.shape[1] < 2:
        return np.zeros(len(values))
    steps = np.sort(np.abs(np.diff(values, axis=1)).reshape(len(values), -1), axis=1)
    smaller = steps[:, : max(int(_MOST * steps.shape[1]), 1)].mean(axis=1) / (np.sqrt(2) * _MEAN_OF_MOST)
    return np.asarray(smaller / np.maximum(np.median(values, axis=(1, 2)), LEAST))


def felt_of(sweeps: Sweeps) -> float:
    """V, scatter from cycle to cycle over the slope of the cells' own sweeps, of the steeper half of all readings.

    Steep in S per V, where the strength that a cell feels shows beside the noise of the readings, and by the mean of
    the smaller ratios: it varies much less from session to session than a median of the few steepest.
    """
    if sweeps.values.shape[1] < 2 or sweeps.strengths.size < 2:
        return 0.0
    slope = np.abs(np.gradient(sweeps.values.mean(axis=1), sweeps.strengths, axis=0))
    steps = np.abs(np.diff(sweeps.values, axis=1)).mean(axis=1) / np.sqrt(2)
    steep = slope >= np.quantile(slope, _STEEP)
    ratios = np.sort(steps[steep] / np.maximum(slope[steep], LEAST))
    return float(ratios[: max(int(_MOST * ratios.size), 1)].mean() / _MEAN_OF_MOST)


def heaviness_of(values: FloatArray) -> float:
    """Ln of how much heavier than Gaussian the scatter from cycle to cycle is of values (k, cycles, cells), S."""
    if values.shape[1] < 2:
        return 0.0
    middles = np.median(values, axis=(1, 2))
    values = values[middles >= np.median(middles)]  # below, most of it is the noise of the readings
    steps = np.abs(np.diff(values, axis=1)) / np.maximum(
        values[:, 1:], np.median(values, axis=(1, 2))[:, None, None] / 2
    )
    middle, tail = np.quantile(steps / np.median(steps, axis=(1, 2), keepdims=True).clip(1e-9), [0.5, 0.95])
    return float(np.log(tail / middle / (1.96 / 0.6745)))


def scores_of(values: FloatArray) -> FloatArray:
    """Normal scores of the ranks of values (n,), same shape."""
    return np.asarray(ndtri((values.argsort().argsort() + 0.5) / values.size))
