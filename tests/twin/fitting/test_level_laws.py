"""The fit of a law by level: its optimum, and what it says of levels at which there are no cells."""

import numpy as np
import pytest

from tests.twin.fitting.conftest import relaxed
from twin.fitting.tailed_law import GAUSSIAN, TAILED, LevelLaw, fit_levels
from twin.relaxation import displacement

KNOTS = np.array([10e-6, 50e-6, 90e-6])


def test_a_knot_without_cells_lies_on_the_line_between_its_neighbours() -> None:
    """No kink where nothing was measured: shifts on a straight line, spreads on one in their logarithms."""
    rng = np.random.default_rng(0)
    level = np.repeat(KNOTS[[0, 2]], 300)
    low = level < 50e-6
    moved = np.where(low, -1e-6, 3e-6) + np.where(low, 1e-6, 2e-6) * rng.standard_normal(600)
    law = fit_levels(level, moved, KNOTS, rng, free=GAUSSIAN, replicates=4)
    shift, core = law.table[0], law.table[1]
    assert shift[[0, 2]] == pytest.approx([moved[low].mean(), moved[~low].mean()], abs=2e-9)
    assert core[[0, 2]] == pytest.approx([moved[low].std(), moved[~low].std()], rel=2e-3)
    assert shift[1] == pytest.approx(shift[[0, 2]].mean(), abs=1e-9)
    assert core[1] == pytest.approx(np.sqrt(core[0] * core[2]), rel=1e-3)


def test_a_kink_that_a_hundred_cells_a_knot_show_is_kept() -> None:
    """The prior takes a few per cent off it, as half a cell's weight against a hundred does, and no more."""
    z = np.random.default_rng(0).standard_normal((3, 100))
    z = (z - z.mean(axis=1, keepdims=True)) / z.std(axis=1, keepdims=True)
    moved = 1e-6 * (z + np.array([[0.0], [3.0], [0.0]])).ravel()
    law = fit_levels(np.repeat(KNOTS, 100), moved, KNOTS, np.random.default_rng(1), free=GAUSSIAN, replicates=4)
    assert law.table[0] == pytest.approx([0.0, 3e-6, 0.0], abs=0.06e-6)
    assert law.table[0, 1] < 3e-6
    assert law.table[1] == pytest.approx([1e-6] * 3, rel=0.01)


@pytest.mark.parametrize("free", [GAUSSIAN, TAILED])
@pytest.mark.parametrize("seed", range(4))
def test_the_fit_says_that_it_has_converged_and_no_change_of_a_parameter_is_likelier(free: int, seed: int) -> None:
    """One knot, so no prior; a step back or forth in any parameter loses likelihood, by cells counted."""
    data = relaxed(600, seed=seed, times=(1.0,))
    level, moved = data["initial"], displacement(data["initial"], data["conductance"], 1.0)
    law = fit_levels(level, moved, np.array([50e-6]), np.random.default_rng(0), free=free, replicates=4)
    assert law.converged
    best = law.log_likelihood(level, moved) * moved.size
    for number in range(free):
        for factor in (0.98, 1.02):
            other = law.table.copy()
            other[number] *= factor
            there = LevelLaw(law.knots, other, law.low, law.high, law.error, free, True)
            assert there.log_likelihood(level, moved) * moved.size <= best + 5e-3
