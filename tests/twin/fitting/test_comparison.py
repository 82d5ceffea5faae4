"""A recorded chip against itself: repeated with its own seed, a session gives its own answers."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ks_2samp

from imssa_lab.contract.hal import ColumnCalibration, PulseKind, Pulses
from imssa_lab.log import open_run, record
from twin import DigitalTwin, TwinProfile
from twin.fitting.comparison import Statistic, compare_twin, fitted_chance, significant_differences

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
