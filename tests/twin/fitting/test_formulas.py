"""The formulas behind fits, each against another way to the same number."""

import numpy as np
import pytest
from scipy import stats

from imssa_lab.contract.hal import FloatArray
from tests.twin.fitting.conftest import relaxed, table
from twin.fitting.bit_lines import fit_columns
from twin.fitting.current_voltage import fit_current_voltage
from twin.fitting.fit_outcome import Outcome, Parameter, Remark
from twin.fitting.goodness import anderson_darling, anderson_p, banded, judge
from twin.fitting.levels import bands_of, choose, half_of, judge_levels, named_levels, quantile_curve, worst
from twin.fitting.noise.traces import Trace, allan_deviation, fit_trace
from twin.fitting.programming_error import WindowLaw
from twin.fitting.tailed_law import GAUSSIAN, TAILED, _Problem, fit_levels, hats, knots_for
from twin.relaxation import displacement
from twin.wires.wire_resistance import Wires, effective_matrix

# ---- laws


@pytest.mark.parametrize(("beyond", "tilt"), [(0.01, 0.0), (0.2, 0.5), (0.05, -0.9)])
def test_the_density_of_a_window(beyond: float, tilt: float) -> None:
    """Uniform or tilted inside, in all but a share `beyond`, which is a Gaussian as wide as the window."""
    law = WindowLaw(3.0, 2.9, 3.1, tilt, beyond)
    error = np.linspace(-20.0, 20.0, 401)
    density = np.exp([law.log_likelihood(error, np.array([one])) for one in error])
    inside, place = np.abs(error) <= 3.0, np.clip(error / 3.0, -1, 1)
    plain = beyond * stats.norm.pdf(error, scale=3.0)
    assert density == pytest.approx(plain + np.where(inside, (1 - beyond) / 6.0 * (1 + tilt * place), 0.0), rel=1e-9)


def test_a_window_holds_all_but_one_in_a_hundred_and_its_interval_holds_the_true_one() -> None:
    law = WindowLaw.of(np.append(np.linspace(-1.0, 0.99, 198), [50.0, -60.0]))
    assert law.half == pytest.approx(1.0 * (1 + 1 / 200))
    rng = np.random.default_rng(0)
    found = [WindowLaw.of(np.append(rng.uniform(-2.0, 2.0, 99), 9.0)) for _ in range(400)]
    assert 0.85 <= np.mean([one.low <= 2.0 <= one.high for one in found]) <= 0.99
    assert np.mean([one.half for one in found]) == pytest.approx(2.0, rel=0.02)


@pytest.mark.parametrize("free", [GAUSSIAN, TAILED])
def test_the_gradient_of_the_likelihood_is_that_of_its_differences(free: int) -> None:
    """Three knots, so that the prior against kinks takes part; also away from the optimum."""
    data = relaxed(300, seed=1, times=(1.0,))
    level = data["initial"]
    moved = displacement(level, data["conductance"], 1.0)
    problem = _Problem(hats(level, np.array([10e-6, 50e-6, 90e-6])), moved / moved.std(), free)
    x = problem.start() + 0.2 * np.sin(np.arange(free * 3))
    _, gradient, curvature = problem._loss(x)
    for place in range(x.size):
        step = np.zeros(x.size)
        step[place] = 1e-3
        difference = (problem._loss(x + step)[0] - problem._loss(x - step)[0]) / 2e-3
        assert gradient[place] == pytest.approx(difference, rel=1e-3, abs=5e-3)
    assert curvature == pytest.approx(curvature.T)
    assert (np.linalg.eigvalsh(curvature) > -1e-6 * np.abs(curvature).max()).all()


def test_intervals_of_a_gaussian_are_the_textbook_s() -> None:
    """Standard errors sd / sqrt(n) of the mean and sd / sqrt(2 n) of the sd; 90 % within 1.645 of them."""
    rng = np.random.default_rng(2)
    n, sd = 2000, 2e-6
    moved = 1e-6 + sd * rng.standard_normal(n)
    law = fit_levels(np.full(n, 50e-6), moved, np.array([50e-6]), rng, free=GAUSSIAN, replicates=2000)
    assert law.table[:2, 0] == pytest.approx([moved.mean(), moved.std()], rel=1e-3)
    errors = np.array([sd / np.sqrt(n), sd / np.sqrt(2 * n)])
    assert law.error[:2, 0] == pytest.approx(errors, rel=0.1)
    assert law.high[:2, 0] - law.table[:2, 0] == pytest.approx(1.645 * errors, rel=0.15)
    assert law.table[:2, 0] - law.low[:2, 0] == pytest.approx(1.645 * errors, rel=0.15)
    assert not law.table[2:].any()


def test_knots_are_the_levels_where_few_and_denser_towards_zero_where_many() -> None:
    few = np.repeat([5e-6, 20e-6, 80e-6], 200)
    assert knots_for(few).tolist() == [5e-6, 20e-6, 80e-6]
    assert knots_for(np.linspace(1e-6, 9e-6, 150)).tolist() == pytest.approx([5e-6])  # cells for one knot
    many = np.linspace(1e-6, 100e-6, 1200)
    knots = knots_for(many)
    assert knots.size == 10
    assert np.sqrt(knots) == pytest.approx(np.linspace(*np.sqrt(np.quantile(many, [0.002, 0.998])), 10))
    assert knots_for(np.linspace(1e-6, 100e-6, 10_000)).size == 14
    weights = hats(many, knots)
    assert weights.sum(axis=1) == pytest.approx(np.ones(1200))
    within = (many >= knots[0]) & (many <= knots[-1])
    assert (weights @ knots)[within] == pytest.approx(many[within])
    assert (weights @ knots)[0] == pytest.approx(knots[0])


# ---- goodness


def test_a_judged_group_has_the_figures_of_scipy_and_the_share_between_5_and_95_per_cent() -> None:
    u = np.random.default_rng(0).random(200) ** 1.3
    group = judge("level 3", 2.0, u)
    reference = stats.kstest(u, "uniform")
    assert (group.label, group.time, group.cells) == ("level 3", 2.0, 200)
    assert (group.ks, group.ks_p) == (pytest.approx(reference.statistic), pytest.approx(reference.pvalue))
    place = np.arange(1, 201)
    s = np.sort(u)
    squared = -200 - np.sum((2 * place - 1) * (np.log(s) + np.log(1 - s[::-1]))) / 200
    assert group.anderson == pytest.approx(squared)
    assert group.anderson_p == pytest.approx(anderson_p(squared))
    assert group.coverage == pytest.approx(np.mean((u > 0.05) & (u < 0.95)))


def test_the_chance_of_a_larger_anderson_darling_falls_from_one_to_zero_without_a_jump() -> None:
    """Marsaglia's two pieces meet at 2; upper percentage points of Lewis (1961) in between."""
    values = [anderson_p(z) for z in (0.0, 0.3, 0.7, 1.0, 1.248, 1.933, 1.9999, 2.0, 2.0001, 6.0, 12.0)]
    assert values[0] == 1.0
    assert values == sorted(values, reverse=True)
    assert anderson_p(2.0) == pytest.approx(anderson_p(2.0 - 1e-9), abs=2e-5)
    assert anderson_p(1.248) == pytest.approx(0.25, abs=1e-3)
    assert anderson_p(1.933) == pytest.approx(0.10, abs=1e-3)
    assert anderson_p(6.0) == pytest.approx(0.001, rel=0.1)
    assert 0 < anderson_p(12.0) < 2e-5
    assert np.isfinite(anderson_darling(np.array([0.0, 0.5, 1.0])))


def test_bands_are_equal_ranges_of_the_distinct_levels() -> None:
    level = np.repeat(np.arange(16.0) * 5e-6, 3)[::-1]
    bands = bands_of(level)
    assert bands is not None
    assert bands.tolist() == np.repeat(np.arange(16) // 2, 3)[::-1].tolist()
    assert bands_of(np.repeat(np.arange(15.0), 3)) is None
    assert banded(np.array([3.0, 1.0, 2.0, 9.0]), 2).tolist() == [1, 0, 0, 1]


def test_levels_of_few_cells_are_judged_with_their_neighbours_and_large_bands_alone() -> None:
    rng = np.random.default_rng(0)
    names = np.repeat([1.0, 2.0, 3.0, 4.0, 5.0], [30, 8, 12, 20, 5])
    u = rng.random(names.size)
    outcome = Outcome("levels")
    judge_levels(names, 7.0, u, outcome, None)
    assert [(group.label, group.cells) for group in outcome.groups] == [
        ("level 1", 30),
        ("levels 2 to 3", 20),
        ("level 4", 20),
        ("level 5", 5),
    ]
    assert outcome.bands == []
    bands = np.repeat([0.0, 1.0], [739, 740])
    u = rng.random(bands.size)
    judge_levels(bands, None, u, outcome, bands)
    assert [(band.label, band.cells) for band in outcome.bands] == [("band 1", 740)]
    assert outcome.bands[0].ks == pytest.approx(stats.kstest(u[739:], "uniform").statistic)


def test_levels_have_their_own_column_their_values_or_sixteen_equal_shares() -> None:
    values = np.linspace(1.0, 2.0, 160)
    assert named_levels(table(level=np.arange(160), target=values), "target").tolist() == list(range(160))
    assert np.unique(named_levels(table(target=values), "target"), return_counts=True)[1].tolist() == [10] * 16
    few = np.repeat(np.arange(64.0), 2)
    assert np.array_equal(named_levels(table(target=few), "target"), few)


def test_halves_have_whole_cells_and_half_of_them() -> None:
    cell = np.tile(np.arange(41.0), 3)
    half = half_of(cell, np.random.default_rng(0))
    by_cell = half.reshape(3, 41)
    assert (by_cell == by_cell[0]).all()
    assert by_cell[0].sum() == 20
    assert not np.array_equal(half, half_of(cell, np.random.default_rng(1)))


def test_the_likelier_model_is_chosen_and_the_worst_group_named() -> None:
    outcome = Outcome("x")
    assert choose({"a": -2.0, "b": -1.0, "c": -3.0}, outcome) == "b"
    assert (outcome.chosen, outcome.held_out) == ("b", {"a": -2.0, "b": -1.0, "c": -3.0})
    rng = np.random.default_rng(0)
    good, bad = judge("good", None, rng.random(50)), judge("bad", 10.0, rng.random(50) ** 3)
    assert worst([good, bad]) == f"bad at 10 s: KS {bad.ks:.3f}, p {bad.ks_p:.2g}"
    assert worst([good]).startswith("good: KS")
    assert worst([]) == "none was large enough to judge"
    outcome.groups = [good, bad]
    assert outcome.levels_passed == 0.5
    assert outcome.coverage == pytest.approx((good.coverage + bad.coverage) / 2)
    assert outcome.coverage_by_time() == {10.0: pytest.approx(bad.coverage)}
    assert np.isnan(Outcome("y").coverage)
    assert np.isnan(Outcome("y").levels_passed)
    outcome.bands = [good, bad]
    assert outcome.bands_passed == np.mean([good.ks <= 0.05, bad.ks <= 0.05])


def test_quantiles_are_drawn_at_the_middle_of_their_shares() -> None:
    u = (np.arange(1000) + 0.5) / 1000
    curve = quantile_curve("title", np.random.default_rng(0).permutation(u))
    assert curve.x.size == 400
    assert curve.y == pytest.approx(curve.x, abs=1e-9)
    assert (curve.x[0], curve.x[-1]) == (pytest.approx(stats.norm.ppf(u[0])), pytest.approx(stats.norm.ppf(u[-1])))


def test_remarks_name_a_dozen_rows_and_parameters_say_when_they_are_poor() -> None:
    assert str(Remark("odd", (4,))) == "odd (row 4)"
    assert str(Remark("odd")) == "odd"
    assert str(Remark("odd", tuple(range(1, 13)))).endswith("11, 12)")
    assert str(Remark("odd", tuple(range(1, 16)))).endswith("rows 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 3 more)")
    assert not Parameter("p", -2.0, -3.0, -1.0, "1").poor
    assert Parameter("p", 2.0, 0.9, 3.0, "1").poor
    assert Parameter("p", 2.0, np.nan, 3.0, "1").poor


# ---- noise


def test_the_allan_deviation_is_that_of_overlapping_means_of_neighbouring_stretches() -> None:
    values = 5e-6 + np.cumsum(np.random.default_rng(0).standard_normal(101)) * 1e-7
    lengths, found = allan_deviation(values)
    assert (lengths[0], lengths[-1]) == (1, 25)
    assert np.array_equal(lengths, np.unique(lengths))
    for length, one in zip(lengths.astype(int), found, strict=True):
        differences = [
            values[at + length : at + 2 * length].mean() - values[at : at + length].mean()
            for at in range(values.size - 2 * length + 1)
        ]
        assert one == pytest.approx(np.sqrt(np.mean(np.square(differences)) / 2))


def test_the_allan_deviation_of_a_trace_is_that_of_its_parts() -> None:
    """White noise sd / sqrt(n), a random walk sd sqrt(n / 3), a drift slope n / sqrt(2), a 1/f part flat."""
    lengths = np.array([1.0, 10.0, 300.0])
    parts = {"white": 0.0, "flicker": 0.0, "walk": 0.0, "drift": 0.0}
    rest = {
        "mean": 5e-5,
        "short": 0.0,
        "short_error": 0.0,
        "white_range": (0.0, 1.0),
        "flicker_range": (0.0, 1.0),
        "plateau": 0.0,
    }

    def allan(slope: float = 0.0, **of: float) -> FloatArray:
        return Trace(**{**parts, **rest, **of}, drift_per_reading=slope).allan(lengths)  # type: ignore[arg-type]

    assert allan(white=2.0) == pytest.approx(2.0 / np.sqrt(lengths))
    assert allan(walk=2.0) == pytest.approx(2.0 * np.sqrt(lengths / 3))
    assert allan(slope=0.5) == pytest.approx(0.5 * lengths / np.sqrt(2))
    assert allan(flicker=3.0) == pytest.approx(np.full(3, 3.0 * np.sqrt(2 * np.log(2))))
    squares = sum(one**2 for one in (allan(white=2.0), allan(walk=2.0), allan(flicker=3.0), allan(slope=0.5)))
    assert allan(white=2.0, walk=2.0, flicker=3.0, slope=0.5) == pytest.approx(np.sqrt(squares))


def test_a_trace_of_white_noise_a_walk_and_a_drift_is_parted() -> None:
    rng = np.random.default_rng(3)
    n = 2048
    noise, walk = 1e-6 * rng.standard_normal(n), np.cumsum(0.3e-6 * rng.standard_normal(n))
    found = fit_trace(50e-6 + noise + walk - walk.mean())
    assert found.white == pytest.approx(1e-6, rel=0.12)
    assert found.walk == pytest.approx(0.3e-6, rel=0.3)
    assert found.mean == pytest.approx(50e-6, abs=0.1e-6)
    line = fit_trace(50e-6 + noise + np.linspace(-4e-6, 4e-6, n))
    assert line.drift == pytest.approx(8e-6, abs=0.3e-6)
    assert line.drift_per_reading == pytest.approx(line.drift / (n - 1))
    assert line.walk < 0.02e-6  # the straight line is not taken for one
    assert line.white == pytest.approx(1e-6, rel=0.05)
    assert line.plateau == pytest.approx(1e-6, rel=0.05)
    assert line.white_range[0] < 1e-6 < line.white_range[1]
    assert 0.02 < np.ptp(line.white_range) / 1e-6 < 0.15  # two thousand readings know it to a few per cent


# ---- intervals and remarks of currents


def test_a_cell_that_carries_no_current_against_its_noise_has_no_bend() -> None:
    """Beyond three times the noise over the highest voltage, in either direction."""
    rng = np.random.default_rng(0)
    volts = np.tile(np.linspace(-0.2, 0.2, 41), 30)
    g = np.repeat(np.linspace(20e-6, 60e-6, 30), 41)
    g[:41], g[41:82] = 1e-7, -30e-6
    data = table(
        cell=np.repeat(np.arange(30), 41), voltage=volts, current=g * volts + 1e-7 * rng.standard_normal(g.size)
    )
    outcome = fit_current_voltage(data, rng)
    words = [str(one) for one in outcome.remarks]
    assert any(word.startswith("2 cells carry no current beyond the noise") for word in words)
    (against,) = (one for one in outcome.remarks if "against the voltage" in one.what)
    assert against.rows == tuple(range(43, 84))
    assert outcome.facts["cells"] == "30"
    assert outcome.facts["series resistance, taken out"] == "0 Ohm"
    assert float(outcome.facts["residual sd, V (1 + b V^2)"].split()[0]) == pytest.approx(0.1, rel=0.15)
    (curve,) = outcome.curves
    assert curve.x.size == curve.y.size == 40
    assert (np.diff(curve.x) >= 0).all()
    assert 20 < curve.x[0] < curve.x[-1] < 61


def test_products_report_the_error_that_is_left_and_draw_the_first_bit_line_in_order() -> None:
    rng = np.random.default_rng(1)
    g, volts = rng.uniform(5e-6, 100e-6, (12, 4)), rng.uniform(-0.2, 0.2, (80, 12))
    gain, offset = np.array([0.9, 1.0, 1.1, 1.2]), np.array([1e-7, -2e-7, 3e-7, 0.0])
    currents = gain * (volts @ g) + offset + 2e-8 * rng.standard_normal((80, 4))
    outcome = fit_columns(g, volts, currents, rng)
    (curve,) = outcome.curves
    assert (np.diff(curve.x) >= 0).all()
    order = np.argsort((volts @ g)[:, 0])
    assert np.array_equal(curve.y, currents[order, 0])
    assert curve.fitted == pytest.approx(0.9 * curve.x + 1e-7, abs=2e-8)
    assert float(outcome.facts["rms error left"].split()[0]) == pytest.approx(0.02, rel=0.1)
    assert outcome.sections["columns"]["offset_spread"] == pytest.approx(np.sqrt(np.mean(offset**2)), rel=0.1)
    assert outcome.facts["products"] == "80"


def test_wires_that_show_only_in_the_products_that_were_fitted_are_not_taken() -> None:
    """Every second product is fitted; the others are without wires and noisier."""
    rng = np.random.default_rng(1)
    g, volts = rng.uniform(20e-6, 100e-6, (12, 4)), rng.uniform(-0.2, 0.2, (80, 12))
    currents = volts @ g + 2e-7 * rng.standard_normal((80, 4))
    currents[::2] = volts[::2] @ effective_matrix(g, Wires(r_word=3.0, r_bit=3.0))
    outcome = fit_columns(g, volts, currents, rng)
    assert outcome.chosen == "no wires"
    assert "wires" not in outcome.sections
    assert outcome.held_out["no wires"] > outcome.held_out["wires"]


@pytest.mark.parametrize(
    ("times", "carries", "against"),
    [(2.9, False, False), (3.1, True, False), (-2.9, False, False), (-3.1, False, True)],
)
def test_a_current_is_one_beyond_three_times_the_noise_over_the_highest_voltage(
    times: float, carries: bool, against: bool
) -> None:
    """The noise of one cell is laid across what is fitted, so that its conductance is exactly so many times it."""
    volts = np.linspace(-0.25, 0.2, 31)
    basis = np.stack([np.ones(31), volts, volts**3], axis=1)
    noise = 1e-7 * np.random.default_rng(0).standard_normal(31)
    noise -= basis @ np.linalg.lstsq(basis, noise, rcond=None)[0]
    one = times * np.sqrt(noise @ noise / 28) / 0.25
    g = np.append(one, np.linspace(20e-6, 60e-6, 12))
    current = (g[:, None] * volts + noise).ravel()
    data = table(cell=np.repeat(np.arange(13), 31), voltage=np.tile(volts, 13), current=current)
    words = [remark.what for remark in fit_current_voltage(data, np.random.default_rng(0)).remarks]
    assert any("no current beyond the noise" in word for word in words) == (not carries)
    assert any("against the voltage" in word for word in words) == against


def test_a_cell_that_reads_exactly_zero_is_not_against_the_voltage() -> None:
    """Rounded data have such cells: no current, and no noise either."""
    volts = np.linspace(-0.25, 0.2, 31)
    g = np.append(np.linspace(20e-6, 60e-6, 12), 0.0)
    data = table(cell=np.repeat(np.arange(13), 31), voltage=np.tile(volts, 13), current=(g[:, None] * volts).ravel())
    words = [remark.what for remark in fit_current_voltage(data, np.random.default_rng(0)).remarks]
    assert any(word.startswith("1 cells carry no current beyond the noise") for word in words)
    assert not any("against the voltage" in word for word in words)
