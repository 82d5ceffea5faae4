"""The law's derivatives, its likelihood, and parameters got back from data that it drew."""

import numpy as np
import pytest
from scipy import stats

from tests.twin.fitting.conftest import relaxed, table
from twin import DigitalTwin, TwinProfile
from twin.fitting import programming_error, relaxation_fit
from twin.fitting.goodness import anderson_darling, anderson_p
from twin.fitting.programming_error import fit_programming
from twin.fitting.relaxation_fit import fit_relaxation
from twin.fitting.tables.measured_tables import Table
from twin.fitting.tailed_law import fit_levels, log_density, normal_scores, slopes
from twin.programming_law import ProgrammingError
from twin.relaxation import displacement, fallen, tailed

P = np.array([[-0.2], [0.5], [3.0], [0.3], [2.0], [0.1]])


def test_derivatives_agree_with_differences():
    z, step = np.linspace(-5, 5, 41), 1e-5
    at = slopes(z, P)
    assert np.allclose(at.value, tailed(z, P[0], P[1], tuple(P[2:])), rtol=1e-12)
    ahead, behind = slopes(z + step, P), slopes(z - step, P)
    assert np.allclose(at.by_z, (ahead.value - behind.value) / (2 * step), rtol=1e-6)
    assert np.allclose(at.by_zz, (ahead.by_z - behind.by_z) / (2 * step), rtol=1e-5, atol=1e-7)
    for i in range(6):
        moved = P.copy()
        moved[i] += step
        difference = (slopes(z, moved).value - at.value) / step
        assert np.allclose(at.by_p[i], difference, rtol=1e-3, atol=1e-4)
        assert np.allclose(at.by_zp[i], (slopes(z, moved).by_z - at.by_z) / step, rtol=1e-3, atol=1e-4)


def test_density_integrates_to_one_and_scores_invert():
    d = np.linspace(-60, 40, 40001)
    assert np.trapezoid(np.exp(log_density(d, np.repeat(P, d.size, axis=1))), d) == pytest.approx(1.0, abs=1e-4)
    z = np.linspace(-6, 6, 101)
    found = normal_scores(slopes(z, P).value, np.repeat(P, z.size, axis=1))
    assert np.allclose(found, z, atol=1e-6)


def test_known_parameters_come_back_within_their_own_errors():
    data = relaxed(4000, seed=3, times=(1.0,))
    knots = np.array([5e-6, 100e-6])
    moved = displacement(data["initial"], data["conductance"], 1.0)
    law = fit_levels(data["initial"], moved, knots, np.random.default_rng(0))
    true = np.array([-0.2e-6, 0.5e-6, 3e-6, 0.3, 2e-6, 0.1])[:, np.newaxis]
    assert law.converged
    assert np.all(np.abs(law.table - true) < 3.5 * law.error)
    assert np.all(law.error[1] < 0.15e-6)  # and those errors are small enough to mean something


def test_anderson_darling_at_the_known_critical_values():
    """A^2 of 2.492 has p = 0.05, 3.878 has p = 0.01 under a fully known law (Anderson and Darling, 1954)."""
    assert anderson_p(2.492) == pytest.approx(0.05, abs=5e-4)
    assert anderson_p(3.878) == pytest.approx(0.01, abs=2e-4)
    draws = np.random.default_rng(0).random((2000, 50))
    p = [anderson_p(anderson_darling(u)) for u in draws]
    assert stats.kstest(p, "uniform").pvalue > 0.001


def test_tails_win_where_there_are_and_a_gaussian_then_fails():
    data = relaxed(3000)
    best = fit_relaxation(data, np.random.default_rng(0), crossed=True)
    assert best.chosen == "tailed"
    assert best.levels_passed >= 0.9
    assert 0.88 <= best.coverage <= 0.92
    forced = fit_relaxation(data, np.random.default_rng(0), crossed=True, model="gaussian")
    assert forced.levels_passed < 0.3


def test_correlation_between_times_comes_back():
    outcome = fit_relaxation(relaxed(2000), np.random.default_rng(0))
    assert outcome.sections["relaxation"]["correlation"][0] == pytest.approx(0.6, abs=0.08)


def test_a_broken_trajectory_gives_no_correlation_and_says_so():
    outcome = fit_relaxation(relaxed(1000, times=(0.1, 10.0, 1000.0)), np.random.default_rng(0), broken_at=(1000.0,))
    first, second = outcome.sections["relaxation"]["correlation"]
    assert second == first
    assert any("not the same trajectories" in text for text in outcome.undetermined)


def test_window_residue_is_told_from_a_gaussian():
    rng = np.random.default_rng(0)
    target = np.repeat(np.linspace(20e-6, 120e-6, 6), 200)
    cell = np.arange(target.size)
    window = table(cell=cell, target=target, conductance=target + rng.uniform(-5e-6, 5e-6, target.size))
    found = fit_programming(window, np.random.default_rng(1))
    assert found.chosen == "window"
    assert found.sections["programming"]["sd"][0] == pytest.approx(5e-6 / np.sqrt(3), rel=0.03)
    normal = table(cell=cell, target=target, conductance=target + 3e-6 * rng.standard_normal(target.size))
    other = fit_programming(normal, np.random.default_rng(1))
    assert other.chosen != "window"
    law = ProgrammingError.model_validate(other.sections["programming"])
    assert law.sd_at(np.array([60e-6])) == pytest.approx(3e-6, rel=0.15)


def foreign(count: int, seed: int) -> Table:
    """Cells of 32 levels left 2 uS too high on the average, one in ten by an exponential of 8 uS more."""
    rng = np.random.default_rng(seed)
    target = 4e-6 * (np.arange(count) % 32 + 0.5) + 20e-6
    error = 1.2e-6 + 2e-6 * rng.standard_normal(count) + (rng.random(count) < 0.1) * rng.exponential(8e-6, count)
    return table(cell=np.arange(count), target=target, conductance=target + error)


def test_the_profile_has_the_mean_and_the_tails_that_the_verdict_is_given_of():
    data, other = foreign(2048, 0), foreign(4000, 1)
    outcome = fit_programming(data, np.random.default_rng(0))
    profile = TwinProfile.load("ideal")
    law = ProgrammingError.model_validate(outcome.sections["programming"])
    chip = DigitalTwin(profile.model_copy(update={"programming": law}), (50, 80), seed=3)
    target = other["target"].reshape(50, 80)
    chip.program_conductances(target)
    drawn = chip.cells.conductance - target
    truth = other["conductance"] - other["target"]
    assert outcome.levels_passed >= 0.9
    assert drawn.mean() == pytest.approx(truth.mean(), abs=0.3e-6)
    assert stats.ks_2samp(drawn.ravel(), truth).statistic < 0.05
    assert law.mean_at(target).mean() == pytest.approx(truth.mean(), abs=0.3e-6)
    gaussian = ProgrammingError(law="normal", g_max=1e-4, sd=(float(truth.std()),))  # what profiles held before
    assert stats.ks_2samp(gaussian.draw(target, np.random.default_rng(0)).ravel() - target.ravel(), truth)[0] > 0.1


def test_the_verdict_is_of_cells_drawn_from_the_profile(monkeypatch):
    """A profile that drew something else than the fitted law would not pass."""
    draw = ProgrammingError.draw
    monkeypatch.setattr(ProgrammingError, "draw", lambda self, target, rng: draw(self, target, rng) + 3e-6)
    assert fit_programming(foreign(2048, 0), np.random.default_rng(0)).levels_passed < 0.5


def test_a_window_that_leans_keeps_its_mean():
    rng = np.random.default_rng(0)
    error = 5e-6 * (np.sqrt(rng.random((3000, 1))) * 2 - 1).ravel()  # density rising to the upper edge, mean 5/3 uS
    target = np.repeat([50e-6, 100e-6, 150e-6], 1000)
    data = table(cell=np.arange(3000), target=target, conductance=target + error)
    outcome = fit_programming(data, np.random.default_rng(0))
    assert outcome.chosen == "window"
    law = ProgrammingError.model_validate(outcome.sections["programming"])
    drawn = law.draw(target, np.random.default_rng(1)) - target
    assert drawn.mean() == pytest.approx(5e-6 / 3, abs=0.3e-6)
    assert law.mean_at(target) == pytest.approx(drawn.mean(), abs=0.15e-6)


@pytest.mark.parametrize("quantity", ["programming", "relaxation"])
def test_a_law_is_fitted_to_one_half_and_judged_on_the_other(monkeypatch: pytest.MonkeyPatch, quantity: str) -> None:
    """Two halves that differ by 15 uS: the law is that of its own half alone, and the other half rejects it."""
    rng = np.random.default_rng(5)
    cells, core, jump = 1200, 1e-6, 15e-6
    cell, target = np.arange(cells), np.tile(np.linspace(40e-6, 90e-6, 8), cells // 8)
    first = cell < cells // 2
    error = core * rng.standard_normal(cells) - np.where(first, 0.0, jump)
    module = programming_error if quantity == "programming" else relaxation_fit
    monkeypatch.setattr(module, "half_of", lambda given, _: given < cells // 2)
    if quantity == "programming":
        data = table(cell=cell, target=target, conductance=target + error)
        outcome = fit_programming(data, np.random.default_rng(0), model="gaussian")
    else:
        conductance = fallen(target, error, 1.0)
        data = table(cell=cell, time=np.ones(cells), initial=target, conductance=conductance)
        outcome = fit_relaxation(data, np.random.default_rng(0), model="gaussian")
    cores = [p.value for p in outcome.parameters if "core" in p.name]
    assert cores
    assert max(cores) < 2 * core  # fitted to both halves it would be half of the jump
    assert max(group.ks_p for group in outcome.groups) < 1e-6
