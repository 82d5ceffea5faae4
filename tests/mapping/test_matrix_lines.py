"""Lines for one matrix on a damaged array, against the rule written out line by line."""

import numpy as np
import pytest

from imssa_lab.mapping.matrix_lines import MatrixLines, chosen_lines


def by_rule(bad: np.ndarray, outputs: int, inputs: int) -> tuple[list[int], list[int]]:  # type: ignore[type-arg]
    """Give up the worst of all lines that may still go, of equal ones the last, until as many are left as asked."""
    rows, pairs = list(range(len(bad))), list(range(bad.shape[1] // 2))
    while len(rows) > inputs or len(pairs) > outputs:
        of_rows = [np.mean([bad[row, 2 * p + side] for p in pairs for side in (0, 1)]) for row in rows]
        of_pairs = [np.mean([bad[row, 2 * p + side] for row in rows for side in (0, 1)]) for p in pairs]
        row_goes = len(pairs) == outputs or (len(rows) > inputs and max(of_rows) > max(of_pairs))
        lines, shares = (rows, of_rows) if row_goes else (pairs, of_pairs)
        del lines[max(at for at, share in enumerate(shares) if share == max(shares))]
    return rows, pairs


@pytest.mark.parametrize(
    ("shape", "outputs", "inputs"), [((7, 12), 4, 5), ((5, 18), 3, 5), ((9, 8), 4, 2), ((4, 6), 1, 1)]
)
@pytest.mark.parametrize("seed", range(4))
def test_lines_are_given_up_one_by_one_where_most_bad_cells_are(
    shape: tuple[int, int], outputs: int, inputs: int, seed: int
) -> None:
    bad = np.random.default_rng(seed).random(shape) < 0.2
    lines = chosen_lines(bad, (outputs, inputs))
    rows, pairs = by_rule(bad, outputs, inputs)
    assert (lines.word_lines.tolist(), lines.pairs.tolist()) == (rows, pairs)
    assert lines.bit_lines.tolist() == [2 * pair + side for pair in pairs for side in (0, 1)]
    assert lines.damaged(bad) == sum(bad[row, 2 * pair + side] for row in rows for pair in pairs for side in (0, 1))


def test_a_healthy_array_is_filled_from_its_first_lines_and_dead_lines_go_first() -> None:
    lines = chosen_lines(np.zeros((6, 10), dtype=bool), (3, 4))
    assert (lines.word_lines.tolist(), lines.pairs.tolist()) == ([0, 1, 2, 3], [0, 1, 2])
    bad = np.zeros((6, 10), dtype=bool)
    bad[1], bad[:, 4] = True, True
    lines = chosen_lines(bad, (3, 4))
    assert (lines.word_lines.tolist(), lines.pairs.tolist()) == ([0, 2, 3, 4], [0, 1, 3])
    assert lines.damaged(bad) == 0
    assert MatrixLines(np.array([1, 2]), np.array([2])).damaged(bad) == 3
