"""Correlations between times: of which cells, from how many, and what stands in where there are too few."""

import numpy as np
import pytest

from imssa_lab.contract.hal import FloatArray
from tests.twin.fitting.conftest import table
from twin.fitting.fit_outcome import Outcome
from twin.fitting.movements import Followed, _intervals, correlations
from twin.fitting.relaxation_fit import _order, _rounded_times, _with_initial
from twin.fitting.tailed_law import fit_levels
from twin.relaxation import tailed


class Scores:
    """A law in which every displacement is its own normal score."""

    def scores(self, level: FloatArray, displaced: FloatArray) -> FloatArray:
        return displaced


def correlated(
    cells: list[range], scores: list[FloatArray], broken_at: tuple[float, ...] = ()
) -> tuple[list[float], Outcome]:
    """Of `cells` at 1, 10, 100 s ... with these scores, rows of each time in falling order of the cells."""
    times = 10.0 ** np.arange(len(cells))
    data = table(
        cell=np.concatenate([np.array(one)[::-1] for one in cells]),
        time=np.concatenate([np.full(len(one), time) for one, time in zip(cells, times, strict=True)]),
        initial=np.full(sum(map(len, cells)), 5e-5),
    )
    outcome = Outcome("relaxation")
    displaced = np.concatenate([one[::-1] for one in scores])
    every = np.ones(data.size, dtype=bool)
    laws = [Scores() for _ in cells]
    cells_read = Followed(data, displaced, laws, times, every)  # type: ignore[arg-type]
    return correlations(_intervals(cells_read, broken_at, outcome), outcome), outcome


def pairs(correlation: float, count: int, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """Scores of exactly this correlation."""
    first, other = np.random.default_rng(seed).standard_normal((2, count))
    first = (first - first.mean()) / first.std()
    other = other - other.mean() - first * (first @ other) / count
    return first, correlation * first + np.sqrt(1 - correlation**2) * other / other.std()


@pytest.mark.parametrize(("common", "known"), [(19, False), (20, True), (21, True)])
def test_twenty_common_cells_tell_a_correlation(common: int, known: bool) -> None:
    first, second = pairs(0.5, common)
    rest = np.full(30, 9.0)
    cells = [range(common + 30), [*range(common), *range(100, 130)]]
    found, outcome = correlated(cells, [np.append(first, rest), np.append(second, rest)])  # type: ignore[arg-type]
    assert found == pytest.approx([0.5 if known else 1.0])
    if known:
        (one,) = outcome.parameters
        assert one.name == "correlation 1 to 10 s"
        assert (one.low + one.high) / 2 == pytest.approx(0.5)
        assert one.high - one.low == pytest.approx(2 * 1.645 * 0.75 / np.sqrt(common))
    else:
        assert outcome.parameters == []
        assert outcome.undetermined == ["correlation from 1 to 10 s: 19 common cells"]


@pytest.mark.parametrize(("value", "taken", "named"), [(-0.4, 0.02, True), (0.019, 0.02, True), (0.03, 0.03, False)])
def test_a_correlation_that_a_profile_cannot_have_is_taken_as_the_least_and_named(
    value: float, taken: float, named: bool
) -> None:
    found, outcome = correlated([range(50), range(50)], list(pairs(value, 50)))
    assert found == pytest.approx([taken])
    assert bool(outcome.remarks) == named


def test_where_a_time_is_broken_off_the_correlation_before_it_stands_in() -> None:
    first, second = pairs(0.7, 40)
    every = [range(40)] * 3
    found, outcome = correlated(every, [first, second, first], broken_at=(100.0,))
    assert found == pytest.approx([0.7, 0.7])
    assert len(outcome.parameters) == len(outcome.undetermined) == 1
    found, _ = correlated(every, [first, second, first], broken_at=(10.0,))
    assert found == pytest.approx([1.0, 0.7])
    found, _ = correlated([range(40), range(40), range(100, 140)], [first, second, first])
    assert found == pytest.approx([0.7, 0.7])


def test_the_conductance_at_time_zero_is_that_of_the_same_cell() -> None:
    data = table(cell=[3, 1, 2, 3, 1, 9, 1], time=[0, 0, 0, 5, 5, 5, 7], conductance=[30, 10, 20, 31, 11, 99, 12])
    found = _with_initial(data)
    assert found["initial"].tolist() == [30, 10, 20, 30, 10, 10]
    assert found["cell"].tolist() == [3, 1, 2, 3, 1, 1]
    (remark,) = found.remarks
    assert remark.rows == (7,)
    given = table(cell=[1], time=[5], conductance=[11], initial=[7])
    assert _with_initial(given)["initial"].tolist() == [7]


def test_rows_of_a_cell_that_go_back_or_come_twice_are_named() -> None:
    data = table(cell=[1, 2, 1, 2, 1, 1], time=[5, 5, 7, 4, 7, 9])
    assert [(one.what, one.rows) for one in _order(data)] == [
        ("times out of order within a cell", (5,)),
        ("a cell twice at the same time", (6,)),
    ]
    assert _order(table(cell=[2, 1], time=[5, 4])) == []


@pytest.mark.parametrize(("count", "together"), [(24, False), (25, True)])
def test_more_than_two_dozen_times_are_put_together_to_four_a_decade(count: int, together: bool) -> None:
    times = np.geomspace(1.0, 1000.0, count)
    outcome = Outcome("relaxation")
    data, found = _rounded_times(table(time=times, cell=np.arange(count)), outcome)
    if together:
        assert found == pytest.approx(10 ** (np.arange(13) / 4))
        assert np.abs(np.log10(data["time"] / times)).max() <= 0.125 + 1e-9
    else:
        assert np.array_equal(found, times)
    assert len(outcome.remarks) == together


def test_every_parameter_of_a_level_without_cells_lies_between_its_neighbours() -> None:
    """The prior against kinks takes part in each of the six: a shift in the middle, the others in logarithms."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal((2, 500))
    parts = [(-0.2e-6, 0.5e-6, 3e-6, 0.3, 2e-6, 0.1), (0.3e-6, 0.8e-6, 5e-6, 0.2, 3e-6, 0.2)]
    moved = np.concatenate(
        [
            tailed(one, *(np.full(500, p) for p in part[:2]), tuple(np.full(500, p) for p in part[2:]))  # type: ignore[call-arg, misc]
            for one, part in zip(z, parts, strict=True)
        ]
    )
    level = np.repeat([10e-6, 90e-6], 500)
    law = fit_levels(level, moved, np.array([10e-6, 50e-6, 90e-6]), rng, replicates=4)
    assert law.converged
    assert law.table[0, 1] == pytest.approx(law.table[0, [0, 2]].mean(), abs=0.02e-6)
    for row in law.table[1:]:
        assert abs(np.log(row[2] / row[0])) > 0.1
        assert row[1] == pytest.approx(np.sqrt(row[0] * row[2]), rel=0.03)
