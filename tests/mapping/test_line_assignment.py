"""Lines of a place: turns until nothing improves, and no change without need."""

from itertools import permutations, product

import numpy as np
import pytest

from imssa_lab.mapping.line_assignment import Arrangement, arrange


def cost_of(
    found: Arrangement, weights: np.ndarray, importance: np.ndarray, low: np.ndarray, high: np.ndarray
) -> float:
    """Cost from its definition: importance times the squared distance from each signed weight to its pair's reach."""
    total = 0.0
    for row, column in np.ndindex(weights.shape):
        weight = weights[row, column] * found.row_signs[row] * found.column_signs[column]
        line = found.rows[row], found.columns[column]
        total += importance[row, column] * max(low[line] - weight, weight - high[line], 0.0) ** 2
    return total


@pytest.mark.parametrize("seed", range(12))
def test_neither_other_rows_nor_other_columns_would_improve_an_arrangement(seed: int) -> None:
    """Against all 48 choices of rows with the columns as they are, and the other way round."""
    rng = np.random.default_rng(seed)
    weights, importance = rng.uniform(-1, 1, (3, 3)), rng.uniform(0.1, 1, (3, 3))
    low, high = -rng.uniform(0, 0.6, (3, 3)), rng.uniform(0, 0.6, (3, 3))
    found = arrange(weights, importance, low, high)
    cost = cost_of(found, weights, importance, low, high)
    assert found.cost == pytest.approx(cost, abs=1e-12)
    for order, signs in product(permutations(range(3)), product((-1.0, 1.0), repeat=3)):
        lines, turned = np.array(order), np.array(signs)
        rows = Arrangement(lines, found.columns, turned, found.column_signs, 0.0)
        columns = Arrangement(found.rows, lines, found.row_signs, turned, 0.0)
        assert cost_of(rows, weights, importance, low, high) >= cost - 1e-8
        assert cost_of(columns, weights, importance, low, high) >= cost - 1e-8


def test_among_equals_every_line_stays_where_it_is() -> None:
    """No pair reaches its weight, and every order costs the same."""
    size = 4
    found = arrange(np.ones((size, size)), np.ones((size, size)), np.full((size, 6), -0.5), np.full((size, 6), 0.5))
    assert found.rows.tolist() == found.columns.tolist() == list(range(size))
    assert found.cost == pytest.approx(size * size * 0.25)


def test_what_differs_by_rounding_is_a_tie() -> None:
    """Ternary weights on places with stuck pairs have many; libraries of other processors round sums differently."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        rows, columns = rng.integers(2, 6, 2)
        word_lines, pairs = rows + rng.integers(0, 3), columns + rng.integers(0, 3)
        weights = rng.integers(-1, 2, (rows, columns)).astype(float)
        importance = np.full(weights.shape, rng.uniform(0.1, 1))
        fault = rng.random((word_lines, pairs))
        low = np.where(fault < 0.2, 0.0, -1.0)
        high = np.where((fault < 0.1) | ((fault > 0.2) & (fault < 0.3)), 0.0, 1.0)
        first = arrange(weights, importance, low, high)
        for _ in range(3):
            rounded = importance * (1 + 1e-14 * rng.standard_normal(importance.shape))
            again = arrange(weights, rounded, low, high)
            for name in ("rows", "columns", "row_signs", "column_signs"):
                assert np.array_equal(getattr(first, name), getattr(again, name))
