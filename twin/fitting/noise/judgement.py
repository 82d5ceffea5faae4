"""Read noise judged on cells that were not fitted: twins of the fitted law are drawn, read and analysed alike."""

from __future__ import annotations

import numpy as np
from pydantic import ValidationError

from imssa_lab.contract.errors import DataError
from imssa_lab.contract.hal import FloatArray
from twin.fitting.fit_outcome import Group
from twin.fitting.goodness import judge
from twin.noise import CellNoise, ReadNoise

FEWEST_TO_JUDGE = 8
_TWINS, _VALUES, _LONGEST = 16_384, 2_000_000, 2048
_PARTS, _IN_GROUP = 16, 250


def short_and_slow(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Noise of traces (cells, n) from reading to reading, and of means of n/10 readings, as Allan deviations, S."""
    n = values.shape[1]
    left = values - values.mean(axis=1, keepdims=True)
    place = np.arange(n) - 0.5 * (n - 1)
    left = left - (left @ place / (place @ place))[:, np.newaxis] * place
    found = []
    for length in (1, max(n // 10, 2)):
        sums = np.concatenate([np.zeros((len(left), 1)), np.cumsum(left, axis=1)], axis=1)
        means = (sums[:, length:] - sums[:, :-length]) / length
        steps = means[:, length:] - means[:, :-length]
        found.append(np.sqrt(0.5 * np.mean(steps**2, axis=1)))
    return found[0], found[1]


def checked(section: dict[str, object], source: str) -> ReadNoise:
    """The section as the law of a twin.

    Raises:
        DataError: it is no law of read noise.
    """
    try:
        return ReadNoise.model_validate(section)
    except ValidationError as error:
        raise DataError(f"{source}: the fitted noise does not make a valid law: {error}") from error


def drawn(law: ReadNoise, step: float | None, readings: int, seed: int) -> FloatArray:
    """Traces of twin cells at the reference conductance, S, (cells, readings)."""
    cells = int(np.clip(_VALUES // readings, 64, _TWINS))
    noise = CellNoise(law, (1, cells), *(np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2)))
    times = (step or 1.0) * np.arange(float(readings))
    return np.asarray(noise.of_cells(np.full((1, cells), law.reference), 1.0, times)[:, 0].T)


def judge_noise(
    law: ReadNoise, step: float | None, values: FloatArray, mean: FloatArray, seed: int
) -> tuple[list[FloatArray], FloatArray]:
    """Where unused cells lie among twin cells, in both statistics: probabilities (cells,) each, and their level.

    Args:
        values: traces without interference (cells, n), S. mean: conductances, S, (cells,).
    """
    cut = values[:, :_LONGEST]
    growth = (mean / law.reference) ** law.exponent
    twins = short_and_slow(drawn(law, step, cut.shape[1], seed))
    found = []
    for measured, twin in zip(short_and_slow(cut), twins, strict=True):
        order = np.sort(twin)
        found.append((np.searchsorted(order, measured / growth) + 0.5) / (order.size + 1))
    return found, mean


def noise_groups(probabilities: list[FloatArray], mean: FloatArray) -> list[Group]:
    """Groups of cells by conductance, judged in both statistics.

    Args:
        probabilities: of each statistic, (cells,); mean: conductance of the cells, S, (cells,).
    """
    parts = int(np.clip(mean.size // _IN_GROUP, 1, _PARTS))
    found = []
    names = ("from reading to reading", "of means of a tenth of a trace")
    for what, probability in zip(names, probabilities, strict=True):
        for part in np.array_split(np.argsort(mean), parts):
            label = f"noise {what}, {1e6 * mean[part].min():.3g} to {1e6 * mean[part].max():.3g} uS"
            found.append(judge(label, None, probability[part]))
    return found
