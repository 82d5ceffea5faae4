"""One matrix on one array: products as software has them, around faults, and refusals before anything is driven."""

import numpy as np
import pytest
from scipy.sparse.linalg import gmres

from imssa_lab import put_matrix
from imssa_lab.contract.errors import LimitError
from imssa_lab.mapping.matrix_lines import MatrixLines, chosen_lines
from twin import DigitalTwin

RNG = np.random.default_rng(3)
WEIGHTS = RNG.normal(size=(5, 7))


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def test_products_of_an_ideal_array_are_those_of_software() -> None:
    with DigitalTwin("ideal", (9, 12), seed=0) as array:
        matrix = put_matrix(WEIGHTS, array)
        assert matrix.shape == WEIGHTS.shape
        for x in (RNG.normal(size=7), RNG.normal(size=(7, 3)), np.zeros(7), 1e-9 * RNG.normal(size=(7, 1))):
            np.testing.assert_allclose(matrix @ x, WEIGHTS @ x, rtol=0, atol=1e-12 * np.abs(x).max() + 1e-15)
        assert matrix.check().calibrated.max() < 1e-12


def test_the_measured_board_is_programmed_around_its_faults() -> None:
    """Seed 6 has four dead word lines."""
    weights = RNG.normal(size=(10, 20))
    with DigitalTwin("supert-a0", (64, 64), seed=6) as array:
        matrix = put_matrix(weights, array)
        check = matrix.check()
        assert array.calibration is not None
        assert rms(check.calibrated) < 0.1
        assert rms(check.raw) > 0.15  # null control: the columns were not right without it
        assert rms(check.unprogrammed) == pytest.approx(1)
    first = put_matrix(weights, DigitalTwin("supert-a0", (64, 64), seed=6), rounds=1)
    assert rms(first.check().calibrated) > 0.2  # null control: where the first programming found its faults


def test_the_partner_of_a_stuck_cell_keeps_the_difference_of_the_pair_and_others_are_left_alone() -> None:
    """On an array without a spare line, beside the same one without faults."""
    stuck = np.zeros((7, 10), dtype=bool)
    stuck[2, 4] = stuck[5, 1] = True
    held = []
    for at in (stuck, np.zeros_like(stuck)):
        with DigitalTwin("ideal", (7, 10), seed=0) as array:
            array.cells.stick(at, 70e-6)
            matrix = put_matrix(WEIGHTS, array)
            assert matrix.check().calibrated.max() < 1e-9
            held.append(array.cells.conductance.copy())
    moved = held[0] != held[1]
    assert np.argwhere(moved).tolist() == [[2, 4], [2, 5], [5, 0], [5, 1]]
    assert (held[0][stuck] == 70e-6).all()


def test_a_matrix_says_its_shape_array_and_programming() -> None:
    with DigitalTwin("ideal", (9, 12), seed=0) as array:
        matrix = put_matrix(WEIGHTS, array)
        for words in (repr(matrix), matrix._repr_html_()):
            assert "5 x 7" in words
            assert array.info.name in words
            assert str(matrix.report) in words


def test_inputs_in_another_order_give_other_products() -> None:
    with DigitalTwin("ideal", (8, 10), seed=0) as array:
        matrix = put_matrix(WEIGHTS, array)
        x = RNG.normal(size=7)
        assert np.abs(matrix @ x[::-1] - WEIGHTS @ x).max() > 0.1


def test_the_transpose_is_refused_and_solvers_get_products_alone() -> None:
    square = np.eye(4) * 3 + 0.3 * RNG.normal(size=(4, 4))
    with DigitalTwin("ideal", (4, 8), seed=0) as array:
        matrix = put_matrix(square, array)
        with pytest.raises(LimitError, match="put_matrix"):
            _ = matrix.T
        operator, wanted = matrix.as_linear_operator(), RNG.normal(size=4)
        found, failed = gmres(operator, wanted, rtol=1e-10)
        assert not failed
        np.testing.assert_allclose(square @ found, wanted, atol=1e-8)
        with pytest.raises(LimitError, match="put_matrix"):
            operator.rmatvec(wanted)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (np.ones((5, 4)), "does not fit"),  # ten bit lines of eight
        (np.ones((4, 5)), "does not fit"),
        (np.ones(4), "does not fit"),
        (np.zeros((2, 2)), "one of them not zero"),
        (np.array([[1.0, np.nan]]), "finite"),
        (np.array([[1.0, 2.0j]]), "imaginary"),
        (np.ma.masked_greater(np.ones((2, 2)), 0), "mask"),
    ],
)
def test_what_cannot_be_put_is_refused_before_anything_is_driven(weights: np.ndarray, words: str) -> None:
    with DigitalTwin("supert-a0-easy", (4, 8), seed=0) as array:
        with pytest.raises(LimitError, match=words):
            put_matrix(weights, array)
        assert array.time == 0


@pytest.mark.parametrize("x", [np.ones(6), np.ones((3, 7)), np.ones((7, 2, 2)), np.full(7, np.inf), 1.0])
def test_vectors_that_do_not_fit_are_refused(x: np.ndarray) -> None:
    with DigitalTwin("ideal", (8, 10), seed=0) as array:
        matrix = put_matrix(WEIGHTS, array)
        before = array.time
        with pytest.raises(LimitError):
            matrix @ x
        assert array.time == before


def test_lines_avoid_bad_cells_and_begin_at_the_first() -> None:
    bad = np.zeros((6, 10), dtype=bool)
    lines = chosen_lines(bad, (3, 4))
    assert lines.word_lines.tolist() == [0, 1, 2, 3]
    assert lines.bit_lines.tolist() == [0, 1, 2, 3, 4, 5]
    bad[1] = True  # a word line
    bad[:, 2] = True  # one bit line of the second pair
    bad[4, 9] = True
    lines = chosen_lines(bad, (3, 4))
    assert lines.damaged(bad) == 0
    assert 1 not in lines.word_lines
    assert 1 not in lines.pairs
    whole = chosen_lines(bad, (5, 6))
    assert whole.damaged(bad) == int(bad.sum())
    assert MatrixLines(np.array([4]), np.array([4])).damaged(bad) == 1
