"""The noise of a population: known truths come back, limits are called so, and no cell of a twin is absurd."""

import numpy as np
import pytest

from imssa_lab.contract.errors import DataError
from imssa_lab.contract.hal import FloatArray
from tests.twin.fitting.conftest import table
from twin.fitting.noise.judgement import short_and_slow
from twin.fitting.noise.spectra import spectra_of
from twin.fitting.noise.traces import fit_trace
from twin.fitting.read_noise import fit_read_noise
from twin.fitting.tables.measured_tables import Table
from twin.noise import CellNoise, Flicker, ReadNoise, unresolved, variances

_WHITE_OF_FLICKER = 1.648278  # adjacent differences, halved, of a spectrum 1/f: gamma + ln pi - Ci(pi)


def trace(white: float, flicker: float, n: int, seed: int, slope: float = 1.0) -> FloatArray:
    """Readings in S about zero with white and 1/f noise, a piece of a process eight times as long."""
    rng = np.random.default_rng(seed)
    f = np.fft.rfftfreq(8 * n)[1:]
    size = np.sqrt((2 * white**2 + flicker**2 / f**slope) * 8 * n / 4)
    spectrum = size * (rng.standard_normal(f.size) + 1j * rng.standard_normal(f.size))
    return np.fft.irfft(np.concatenate([[0], spectrum]), 8 * n)[:n]


def cells(count: int, n: int, share: float, spread: float, seed: int = 0) -> tuple[Table, FloatArray]:
    """Cells of .35 uS median from reading to reading, this share of the variance white, and their true noise."""
    rng = np.random.default_rng(seed)
    short = 0.35e-6 * np.exp(spread * rng.standard_normal(count))
    flicker = np.sqrt((1 - share) / _WHITE_OF_FLICKER)
    values = [trace(s * np.sqrt(share), s * flicker, n, 1000 * seed + i) for i, s in enumerate(short)]
    g = 50e-6 + np.stack(values)
    columns = {"cell": np.repeat(np.arange(count), n), "time": np.tile(0.01 * np.arange(n), count)}
    return table(**columns, conductance=g.ravel()), short


def of_twin(section: dict[str, object], count: int) -> FloatArray:
    law = ReadNoise.model_validate(section)
    noise = CellNoise(law, (1, count), np.random.default_rng(5), np.random.default_rng(6))
    drawn = noise.of_cells(np.full((1, count), 50e-6), 0.2, 0.01 * np.arange(200.0))
    return short_and_slow(drawn[:, 0].T)[0]


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_no_twin_cell_is_noisier_than_twice_the_noisiest_measured(share: float) -> None:
    """Five cells without white noise: a lognormal through their white parts gave twins of 10^8 uS."""
    data, short = cells(5, 4096, share, 0.3)
    outcome = fit_read_noise(data, np.random.default_rng(0))
    twin = of_twin(outcome.sections["read_noise"], 4096)
    assert twin.max() < 2 * short.max() * 1.15  # 200 readings know it to 5 %, and one of 4096 is three sd off
    assert np.median(twin) == pytest.approx(np.median(short), rel=0.15)


def test_a_part_that_may_be_absent_is_an_upper_limit() -> None:
    data, _ = cells(5, 4096, 0.0, 0.3)
    outcome = fit_read_noise(data, np.random.default_rng(0))
    white = [one for one in outcome.parameters if one.name.endswith("white sd")]
    assert sum(one.upper_limit and one.low == 0.0 and one.poor for one in white) >= 4  # 90 % intervals, five cells
    assert any("upper limit" in text for text in outcome.undetermined)
    known, _ = cells(5, 4096, 0.9, 0.3)
    sure = fit_read_noise(known, np.random.default_rng(0)).parameters
    assert not any(one.upper_limit for one in sure if one.name.endswith("white sd"))  # null control


def test_share_spread_and_median_come_back_and_unused_cells_follow() -> None:
    data, _ = cells(60, 512, 0.3, 0.4, seed=3)
    outcome = fit_read_noise(data, np.random.default_rng(0))
    found = {one.name: one for one in outcome.parameters}
    for name, truth in (
        ("noise from reading to reading, median", 0.35e-6),
        ("white share of its variance", 0.3),
        ("spread from cell to cell, sd of ln", 0.4),
    ):
        one = found[name]
        assert abs(one.value - truth) <= 3 * (one.high - one.low) / 3.29, name
    assert len(outcome.groups) == 2
    assert outcome.levels_passed == 1.0


def test_noise_that_the_law_does_not_have_fails_on_unused_cells() -> None:
    """Half of the cells have all their noise white, half all of it 1/f: no pooled share is right."""
    rng = np.random.default_rng(1)
    values = [trace(0.3e-6, 0.0, 512, i) if i % 2 else trace(0.0, 0.25e-6, 512, i) for i in rng.permutation(80)]
    columns = {"cell": np.repeat(np.arange(80), 512), "time": np.tile(0.01 * np.arange(512), 80)}
    outcome = fit_read_noise(table(**columns, conductance=50e-6 + np.concatenate(values)), rng)
    assert outcome.levels_passed < 0.9


def test_cells_that_are_no_population_are_refused() -> None:
    data, _ = cells(12, 256, 1.0, 3.0)
    with pytest.raises(DataError, match=r"spreads by .* not of one kind"):
        fit_read_noise(data, np.random.default_rng(0))


def test_forty_readings_of_many_cells_are_enough_and_few_cells_need_more() -> None:
    data, _ = cells(30, 50, 0.5, 0.3)
    assert fit_read_noise(data, np.random.default_rng(0)).facts["cells"] == "30"
    few, _ = cells(5, 50, 0.5, 0.3)
    with pytest.raises(DataError, match="no cell has 100 readings"):
        fit_read_noise(few, np.random.default_rng(0))


def test_one_line_of_the_mains_is_named_with_its_strength() -> None:
    values = trace(1e-6, 0.3e-6, 8192, 0)
    hum = 0.5e-6 * np.sin(2 * np.pi * 0.213 * np.arange(values.size))
    lines = fit_trace(50e-6 + values + hum).lines
    assert lines[0][0] == pytest.approx(0.213, abs=2e-4)
    assert lines[0][1] == pytest.approx(0.5e-6 / np.sqrt(2), rel=0.1)
    assert fit_trace(50e-6 + values).lines == ()  # null control


def test_a_slope_other_than_one_is_found_and_the_twin_has_it() -> None:
    values = np.stack([trace(0.1e-6, 0.2e-6, 2048, i, 1.4) for i in range(7)])
    columns = {"cell": np.repeat(np.arange(7), 2048), "time": np.tile(0.01 * np.arange(2048), 7)}
    outcome = fit_read_noise(table(**columns, conductance=50e-6 + values.ravel()), np.random.default_rng(0))
    (slope,) = (one for one in outcome.parameters if one.name == "slope of the 1/f part")
    assert slope.value == pytest.approx(1.4, abs=0.1)
    law = ReadNoise.model_validate(outcome.sections["read_noise"])
    noise = CellNoise(law, (1, 40), np.random.default_rng(1), np.random.default_rng(2))
    drawn = noise.of_cells(np.full((1, 40), 50e-6), 0.2, 0.01 * np.arange(2048.0))[:, 0].T
    for ours, theirs in zip(short_and_slow(drawn), short_and_slow(values), strict=True):
        assert np.median(ours) == pytest.approx(np.median(theirs), rel=0.2)


def test_the_variance_of_a_spectrum_of_any_slope_is_that_of_its_law() -> None:
    """sd^2 sin(pi a/2) (tau/fastest)^(a-1) per e-fold, summed over all."""
    law = Flicker(sd=1e-6, spread=0, exponent=1, fastest=1e-3, resolved=1e-2, slowest=1e3, slope=1.3)
    tau = np.exp(np.linspace(np.log(1e-3), np.log(1e3), 400_001))
    each = np.sin(0.65 * np.pi) * (tau / 1e-3) ** 0.3
    truth = float(np.trapezoid(each, np.log(tau)))
    assert unresolved(law) + variances(law).sum() == pytest.approx(truth, rel=0.02)  # 10 Lorentzians
    flat = law.model_copy(update={"slope": 1.0})
    assert unresolved(flat) + variances(flat).sum() == pytest.approx(np.log(1e6))


def test_cells_noisier_than_others_are_so_in_white_and_in_flicker() -> None:
    law = {"sd": 1e-6, "spread": 0.5, "exponent": 0.0, "fastest": 1.0, "resolved": 1.0, "slowest": 1e3}
    noise = {"reference": 50e-6, "sd_median": 1e-6, "sd_spread": 0.5, "exponent": 0.0}
    for together, expected in ((True, 1.0), (False, 0.0)):
        flicker = Flicker(**law, with_white=together)
        cell = CellNoise(ReadNoise(**noise, flicker=flicker), (40, 40), *map(np.random.default_rng, (1, 2)))
        cell.follow(np.full((40, 40), 50e-6))
        white = np.log(cell.white_variance(np.full((40, 40), 50e-6))).ravel()
        slow = np.log(np.abs(cell.amplitude[:1600]))
        assert np.corrcoef(white, slow)[0, 1] == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("n", [64, 65])
def test_every_frequency_of_a_spectrum_is_two_numbers(n: int) -> None:
    """So not the highest of an even record, which has no sine: its power scatters twice as much as the law says."""
    white = np.random.default_rng(4).standard_normal((4000, n))
    found = spectra_of(white)
    assert found.frequency == pytest.approx(np.arange(1, (n + 1) // 2) / n)
    assert found.full.std(axis=0)[2:] == pytest.approx(2.0, rel=0.12)  # of an exponential law: as its mean
    assert found.full.mean(axis=0)[2:] == pytest.approx(2.0, rel=0.12)
