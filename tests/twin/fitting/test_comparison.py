"""A recorded chip against itself: repeated with its own seed, a session gives its own answers."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import barnard_exact, binom, fisher_exact, ks_2samp

from imssa_lab.contract.hal import ColumnCalibration, PulseKind, Pulses
from imssa_lab.log import open_run, record
from twin import DigitalTwin, TwinProfile
from twin.fitting.checking.share_test import share_chance
from twin.fitting.comparison import (
    MOST_MISFIT,
    Statistic,
    compare_twin,
    fitted_chance,
    misfit_of,
    significant_differences,
)

SHAPE = (5, 11)
STATISTICS = {
    "programming error",
    "pulses per cell",
    "read sd per cell",
    "cells out of tolerance",
    "change since programming, after about 0.1 s",
    "ln conductance after weak RESETs",
    "gain of bit lines",
    "offset of bit lines",
    "error of products after gain and offset",
}


def noisy() -> TwinProfile:
    base = TwinProfile.load("supert-a0-easy")
    columns = base.columns.model_copy(update={"gain_spread": 0.1, "offset_spread": 1e-7})
    return base.model_copy(update={"columns": columns})


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two chips, called in turns: recipes of their own and others, pulses, waits, calibrations, reads of some."""
    path = tmp_path_factory.mktemp("same") / "run.h5"
    chips = [DigitalTwin(noisy(), SHAPE, seed) for seed in (5, 1005)]
    rng = np.random.default_rng(0)
    some = np.zeros(SHAPE, dtype=bool)
    some[1:4, 2:] = True
    with record(path, chips, {}) as arrays:
        for number, array in enumerate(arrays):
            array.program_conductances(rng.uniform(10e-6, 100e-6, SHAPE))
            array.read_conductances(averages=4)
            array.read_mvm(rng.uniform(-0.2, 0.2, (12, SHAPE[0])))
            array.wait(5.0 + number)
            array.apply_pulses(Pulses.on(some, PulseKind.RESET, 1.2, 4.0, 1e-6))
            array.read_conductances(some, 5)
        for array in reversed(arrays):
            own = chips[0]._default_programmer()
            array.program_conductances(np.full(SHAPE, 60e-6), some, own)
            array.set_calibration(ColumnCalibration(np.full(11, 1.1), np.full(11, 1e-8), np.zeros(11)))
            array.read_conductances(averages=3)
            array.read_mvm(rng.uniform(-0.2, 0.2, (8, SHAPE[0])))
            array.set_calibration(None)
            array.program_conductances(np.full(SHAPE, 40e-6), some)
            array.read_mvm(rng.uniform(-0.2, 0.2, (9, SHAPE[0])))
    return path


def compared(path: Path, seed: int) -> dict[str, Statistic]:
    with open_run(path) as run:
        return {one.name: one for one in compare_twin(run, noisy(), (seed,)).statistics}


def test_the_chip_s_own_seed_gives_every_statistic_of_the_chip(session: Path) -> None:
    found = compared(session, 5)
    assert found.keys() == STATISTICS
    for one in found.values():
        assert (one.distance, one.p) == (0.0, 1.0), one.name
        assert one.chip == one.twin, one.name
    other = compared(session, 6)
    assert any(one.distance > 0 for one in other.values())  # null control: another chip of the kind


def test_samples_are_one_a_cell_of_both_chips(session: Path) -> None:
    found = compared(session, 5)
    lines = {"gain of bit lines", "offset of bit lines", "error of products after gain and offset"}
    pulsed = {"ln conductance after weak RESETs": 2 * 27}
    assert {name: one.samples for name, one in found.items()} == {
        name: 2 * 11 if name in lines else pulsed.get(name, 2 * 55) for name in STATISTICS
    }
    assert found["programming error"].unit == "S"
    assert found["pulses per cell"].unit == "1"
    with open_run(session) as run:
        reports = [(run.column("program", "target", row), run.column("program", "achieved", row)) for row in (0, 1)]
    assert abs(found["programming error"].chip) < 5e-6
    assert all(np.isfinite(target).all() and np.isfinite(achieved).all() for target, achieved in reports)


def test_differences_count_by_holm_s_correction() -> None:
    """The smallest p against 0.01 / 4, the next against 0.01 / 3; what follows the first that is larger is chance."""

    def one(p: float) -> Statistic:
        return Statistic(f"p {p}", 0.0, 0.0, "1", 9, 0.0, p)

    given = [one(0.9), one(0.0033), one(0.0025), one(0.0051)]
    assert [found.p for found in significant_differences(given)] == [0.0025, 0.0033]
    assert significant_differences([one(0.0026), *given[:1], *given[3:], one(0.7)]) == []
    assert [found.p for found in significant_differences([one(0.01)])] == [0.01]
    assert significant_differences([]) == []


def test_a_fit_counts_as_a_third_sample() -> None:
    """Null: values and fits of one law alarm as often as asked; without the fit's share they would far more often."""
    rng = np.random.default_rng(0)
    chances, without = [], []
    for _ in range(1500):
        chip, fitted = rng.standard_normal((2, 200))
        # twins of an empirical fit: as uncertain as the law of a fit gets
        twin = rng.choice(fitted, 600)
        distance = float(ks_2samp(chip, twin).statistic)
        chances.append(fitted_chance(distance, 200, 600, 200))
        without.append(fitted_chance(distance, 200, 600, 10**9))
    assert np.mean(np.array(chances) < 0.05) == pytest.approx(0.05, abs=0.02)
    assert np.mean(np.array(without) < 0.05) > 0.15
    sure = fitted_chance(0.2, 200, 600, 10**9)
    exact = float(ks_2samp(np.arange(200.0), np.repeat(np.arange(200.0), 3) + 40.0).pvalue)
    assert sure == pytest.approx(exact, rel=0.2)


def statistic(chip: np.ndarray, twin: np.ndarray, name: str = "one") -> Statistic:
    distance = float(ks_2samp(chip, twin).statistic)
    return Statistic(name, 0.0, 0.0, "1", chip.size, distance, 1.0)


def test_a_misfit_is_what_lies_beyond_chance() -> None:
    """Twins of another law miss the chip by the distance of both laws; twins of its own by little but chance."""
    rng = np.random.default_rng(1)
    shifted, own = [], []
    for _ in range(200):
        chip, twin = rng.standard_normal(500), rng.standard_normal(1500)
        own.append(misfit_of([statistic(chip, twin)], 3).get("one", 0.0))
        shifted.append(misfit_of([statistic(chip, twin + 0.5)], 3)["one"])
    assert np.mean(shifted) == pytest.approx(0.1974, abs=0.015)  # 2 Phi(0.25) - 1
    assert np.mean(np.array(own) > 0) <= 0.03  # 1 % are significant by chance
    share = Statistic("share", 0.0, 0.0, "1", 500, 0.5, 1.0, share=True)
    assert misfit_of([share], 3) == {}


def test_a_check_allows_for_the_misfit_that_the_profile_states_and_for_no_more(session: Path) -> None:
    """The misfit of one statistic is taken off its distance, `MOST_MISFIT` at most; the others stay as they are."""
    name = "programming error"

    def with_misfit(value: float | None) -> dict[str, Statistic]:
        fitted = None if value is None else {"misfit": {name: value}}
        profile = TwinProfile.model_validate(noisy().model_dump(exclude_none=True) | {"fitted_to": fitted})
        with open_run(session) as run:
            return {one.name: one for one in compare_twin(run, profile, (6,)).statistics}

    usual, allowed, most, beyond = (with_misfit(value) for value in (None, 0.05, MOST_MISFIT, 0.9))
    assert usual[name].misfit == 0.0
    assert allowed[name].distance == usual[name].distance
    assert allowed[name].p > usual[name].p
    assert most[name].p > allowed[name].p
    assert beyond[name] == most[name]
    assert all(allowed[other] == usual[other] for other in usual if other != name)


def test_an_unchanged_chip_stays_within_the_misfit_of_its_fit_and_a_changed_one_does_not() -> None:
    """Null: a law that is off by 0.1; the second session of the same cells is found as seldom as asked.

    Without the misfit it would be found on most chips. A change of as much again is found.
    """
    rng = np.random.default_rng(2)
    same, without, changed = [], [], []
    for _ in range(100):
        cells, twins = rng.standard_normal(1000), rng.standard_normal((2, 3000)) + 0.25
        first, second = cells + 0.1 * rng.standard_normal((2, 1000))
        missed = misfit_of([statistic(first, twins[0])], 3)["one"]
        apart = ks_2samp(second, twins[1]).statistic
        same.append(fitted_chance(max(apart - missed, 0.0), 1000, 3000, 1000))
        without.append(fitted_chance(apart, 1000, 3000, 1000))
        worse = ks_2samp(second - 0.35, twins[1]).statistic
        changed.append(fitted_chance(max(worse - missed, 0.0), 1000, 3000, 1000))
    assert np.mean(np.array(same) < 0.01) <= 0.01
    assert np.mean(np.array(without) < 0.01) > 0.5
    assert np.mean(np.array(changed) < 0.01 / 29) > 0.9


@pytest.mark.parametrize("counts", [(7, 10, 3, 12), (3, 20, 9, 18), (0, 30, 8, 30), (1, 40, 0, 25)])
def test_shares_are_compared_as_by_another_implementation(counts: tuple[int, int, int, int]) -> None:
    """`scipy.stats.barnard_exact`, which is slow with thousands of cells; both search the worst share on a grid."""
    first, of_first, second, of_second = counts
    table = [[first, second], [of_first - first, of_second - second]]
    assert share_chance(*counts) == pytest.approx(barnard_exact(table, n=256).pvalue, rel=0.01)


def test_five_stuck_cells_of_a_thousand_are_enough() -> None:
    """Power of the planted change 0 -> 1 % at 1,024 cells: .975; by Fisher's test, which needs six, .942."""
    level = 0.01 / 29
    assert share_chance(5, 1024, 0, 3072) < level < share_chance(4, 1024, 0, 3072)
    assert fisher_exact([[5, 0], [1019, 3072]]).pvalue > level
    assert binom.sf(4, 1024, 0.01) > 0.97
    assert share_chance(0, 64, 0, 192) == 1.0
    assert share_chance(64, 64, 192, 192) == 1.0


def test_shares_of_one_law_differ_no_more_often_than_asked() -> None:
    rng = np.random.default_rng(3)
    for share in (0.05, 0.3):
        counts = zip(rng.binomial(40, share, 200), rng.binomial(60, share, 200), strict=True)
        chances = np.array([share_chance(int(one), 40, int(other), 60) for one, other in counts])
        assert np.mean(chances < 0.05) <= 0.085  # 0.05, and 2.3 standard errors of 200
