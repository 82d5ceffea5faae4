"""Telegraph noise is found in traces that have it, with its levels and dwell times, and in no others."""

import numpy as np
import pytest

from tests.twin.fitting.conftest import table
from twin.fitting.noise.telegraph import switching_of
from twin.fitting.read_noise import fit_read_noise
from twin.noise import CellNoise, ReadNoise

CELLS, READINGS, STEP = 60, 960, 0.01


def levels(above, below, rng, cells=CELLS, readings=READINGS):
    """1 at the lower of two levels: a process in continuous time, by its own exponential stays, that is looked at."""
    found = np.zeros((cells, readings))
    for row in found:
        at, lower = 0.0, rng.random() < below / (above + below)
        while at < readings:
            stay = rng.exponential(below if lower else above)
            row[int(np.ceil(at)) : int(np.ceil(at + stay))] = lower
            at, lower = at + stay, not lower
    return found


def noise(white, flicker, rng, cells=CELLS, readings=READINGS):
    """S; white noise of this sd, and 1/f noise of this strength, both in uS."""
    n = 8 * readings
    f = np.fft.rfftfreq(n)[1:]
    size = np.sqrt((2 * white**2 + flicker**2 / f) * n / 4)
    lines = size * (rng.standard_normal((cells, f.size)) + 1j * rng.standard_normal((cells, f.size)))
    return 1e-6 * np.fft.irfft(np.concatenate([np.zeros((cells, 1)), lines], axis=1), n, axis=1)[:, :readings]


def read(values, **more):
    cells, readings = values.shape
    time = {"time": np.tile(STEP * np.arange(readings), cells)} | more
    return table(cell=np.repeat(np.arange(cells), readings), conductance=values.ravel(), **time)


@pytest.mark.parametrize(("above", "below", "step"), [(20, 20, 0.05), (30, 8, 0.06), (5, 5, 0.1)])
def test_levels_and_dwell_times_come_back_within_their_own_errors(above, below, step):
    rng = np.random.default_rng(1)
    lower = levels(above, below, rng)
    found = switching_of(np.where(lower > 0, 50e-6 * np.exp(-step), 50e-6) + noise(0.3, 0.1, rng))
    assert found.seen.all()
    assert found.decided.mean() > 0.9
    some = found.decided
    for off in (
        (found.depth - step) / found.depth_error,
        np.log(found.capture / above) / found.capture_error,
        np.log(found.emission / below) / found.emission_error,
    ):
        assert np.mean(np.abs(off[some]) < 3) >= 0.95
        assert 0.5 < np.sqrt(np.mean(off[some] ** 2)) < 1.6  # errors are neither too small nor too large
    ideal = 50e-6 * (np.where(lower > 0, np.exp(-step), 1.0))
    left = found.offset - (ideal - ideal.mean(axis=1, keepdims=True))
    assert np.sqrt(np.mean(left[some] ** 2)) < 0.25 * np.std(ideal)


@pytest.mark.parametrize("kind", ["white", "1/f", "both", "lorentzian", "interference"])
def test_other_noise_is_not_taken_for_telegraph_noise(kind):
    """Null controls; the Lorentzian is Gaussian noise with the very spectrum of telegraph noise."""
    rng = np.random.default_rng(2)
    values = noise(*{"white": (0.3, 0.0), "1/f": (0.0, 0.3)}.get(kind, (0.2, 0.1)), rng)
    if kind == "lorentzian":
        slow = rng.standard_normal(values.shape)
        for t in range(1, READINGS):
            slow[:, t] = np.exp(-1 / 20) * slow[:, t - 1] + np.sqrt(-np.expm1(-2 / 20)) * slow[:, t]
        values = values + 1e-6 * slow
    if kind == "interference":
        values = values + 2e-6 * np.sin(2 * np.pi * 0.237 * np.arange(READINGS))
    assert not switching_of(50e-6 + values).seen.any()


@pytest.mark.parametrize(("above", "below"), [(1.5, 1.5), (400, 100)])
def test_dwell_times_that_the_readings_do_not_show_are_not_decidable(above, below):
    """Too fast for the readings, or too few stays: seen, said, not in the profile, and left in the noise."""
    rng = np.random.default_rng(3)
    values = 50e-6 - 8e-6 * levels(above, below, rng, cells=8) + noise(0.3, 0.0, rng, cells=8)
    found = switching_of(values)
    assert found.seen.sum() >= 6
    assert not found.decided.any()
    assert not found.offset.any()
    outcome = fit_read_noise(read(values), np.random.default_rng(0))
    assert "telegraph" not in outcome.sections["read_noise"]
    assert any("dwell times of telegraph noise" in one for one in outcome.undetermined)


def test_a_population_of_a_twin_comes_back_and_is_judged_on_cells_that_were_not_fitted():
    truth = {"fraction": 0.6, "depth": 0.06, "spread": 0.2, "exponent": 0.7}
    times = {"capture": (0.1, 0.5), "emission": (0.05, 0.3)}
    white = {"reference": 45e-6, "sd_median": 0.3e-6, "sd_spread": 0.2, "exponent": 0.0}
    conductance = np.exp(np.random.default_rng(5).uniform(np.log(20e-6), np.log(100e-6), (1, 120)))
    law = ReadNoise.model_validate(white | {"telegraph": truth | times})
    twin = CellNoise(law, conductance.shape, np.random.default_rng(1), np.random.default_rng(2))
    drawn = twin.of_cells(conductance, 0.2, STEP * np.arange(float(READINGS))).reshape(READINGS, -1)
    outcome = fit_read_noise(read((conductance + drawn).T), np.random.default_rng(0))
    section = outcome.sections["read_noise"]
    found = section["telegraph"]
    assert found["fraction"] == pytest.approx(0.6, abs=0.2)  # of 60 cells
    at = found["depth"] * (45e-6 / section["reference"]) ** -found["exponent"]
    assert at == pytest.approx(0.06, rel=0.2)
    assert found["exponent"] == pytest.approx(0.7, abs=0.25)
    assert found["spread"] == pytest.approx(0.2, abs=0.1)
    for name, ends in times.items():
        assert found[name] == pytest.approx(ends, rel=0.6)
    # what the levels add is no longer counted as white noise
    assert section["sd_median"] == pytest.approx(0.3e-6, rel=0.15)
    judged = [group for group in outcome.groups if group.label.startswith("telegraph")]
    assert {group.label for group in judged} == {"telegraph step", "telegraph capture", "telegraph emission"}
    assert "chance of a larger difference" in outcome.facts["telegraph noise in cells that were not fitted"]


def test_without_times_levels_stay_in_the_noise():
    """A profile holds dwell times in seconds, so that it cannot hold these."""
    rng = np.random.default_rng(4)
    values = 50e-6 - 3e-6 * levels(20, 20, rng, cells=8) + noise(0.3, 0.0, rng, cells=8)
    rows = table(
        cell=np.repeat(np.arange(8), READINGS), read=np.tile(np.arange(READINGS), 8), conductance=values.ravel()
    )
    outcome = fit_read_noise(rows, np.random.default_rng(0))
    assert "telegraph" not in outcome.sections["read_noise"]
    assert any("readings have no times" in one for one in outcome.undetermined)
    timed = fit_read_noise(rows, np.random.default_rng(0), interval=STEP)
    assert timed.sections["read_noise"]["telegraph"]["fraction"] == 1.0
