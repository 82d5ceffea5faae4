"""Intervals cover what they say, where sequences share recordings; Wilson's, which counts sequences, does not."""

import numpy as np
import pytest

from imssa_lab.contract.errors import ConfigError
from imssa_lab.s4d.bundle import wilson_interval
from imssa_lab.s4d.intervals import accuracy_interval
from imssa_lab.s4d.tasks import load_task

TRIALS = 500


def drawn(rng: np.random.Generator, clips: int, pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes of pairs of clips, some of which are hard, and the clips of each pair."""
    units = rng.integers(clips, size=(pairs, 2))
    hard = rng.standard_normal((2, clips))
    odds = 3.5 + 1.5 * (hard[0][units[:, 0]] + hard[1][units[:, 1]])
    return rng.random(pairs) < 1 / (1 + np.exp(-odds)), units


def test_intervals_of_pairs_cover_the_truth() -> None:
    """60 clips, 300 pairs, as FSDD's order task has them. The truth is from a million fresh pairs of clips."""
    rng = np.random.default_rng(0)
    truth = float((1 / (1 + np.exp(-(3.5 + 1.5 * rng.standard_normal((2, 10**6)).sum(0))))).mean())
    ours, wilsons = 0, 0
    for _ in range(TRIALS):
        right, units = drawn(rng, 60, 300)
        found = accuracy_interval(right, units)
        assert found.units == len(np.unique(units))
        ours += found.low <= truth <= found.high
        low, high = wilson_interval(int(right.sum()), len(right))
        wilsons += low <= truth <= high
    assert 0.925 <= ours / TRIALS <= 0.975
    assert wilsons / TRIALS < 0.88


def test_sequences_of_their_own_get_the_exact_binomial_interval() -> None:
    """95 of 100: 88.7 to 98.4 % by Clopper and Pearson; the t distribution of 99 degrees widens it a little."""
    right = np.arange(100) < 95
    low, high, units = accuracy_interval(right)
    assert units == 100
    assert low == pytest.approx(0.8872, abs=3e-3)
    assert high == pytest.approx(0.9836, abs=2e-3)


def test_copies_of_a_recording_add_nothing() -> None:
    rng = np.random.default_rng(1)
    right = rng.random(50) < 0.8
    alone = accuracy_interval(right)
    copied = accuracy_interval(np.repeat(right, 20), np.repeat(np.arange(50), 20))
    assert copied == pytest.approx(alone, abs=1e-9)
    blind = accuracy_interval(np.repeat(right, 20))
    assert blind.high - blind.low < 0.4 * (alone.high - alone.low), "null control: without units they seem to"


def test_all_right_is_worth_as_many_trials_as_there_are_recordings() -> None:
    units = np.arange(300)[:, None] % 20
    few, many = accuracy_interval(np.ones(300), units), accuracy_interval(np.ones(300))
    assert few.high == many.high == 1.0
    assert few.low < 0.84 < 0.98 < many.low
    assert accuracy_interval(np.zeros(300)).low == 0.0


@pytest.mark.parametrize(("right", "units"), [([], None), ([True, False], [1]), ([[True]], None)])
def test_what_cannot_be_counted_is_refused(right: list[object], units: list[int] | None) -> None:
    with pytest.raises(ConfigError, match="interval"):
        accuracy_interval(right, units)


def test_pairs_of_digits_know_their_images() -> None:
    task = load_task("digits-first", 3, pairs_train=20, pairs_validation=5, pairs_test=400)
    assert task.test_units is not None
    assert task.test_units.shape == (400, 2)
    assert task.unit == "images"
    halves = task.test[0].reshape(400, 2, 64)
    for half in range(2):
        numbers, first = np.unique(task.test_units[:, half], return_index=True)
        same = {number: halves[at, half].tobytes() for number, at in zip(numbers, first, strict=True)}
        assert len(set(same.values())) == len(same)
        assert all(
            same[number] == image[half].tobytes()
            for number, image in zip(task.test_units[:, half], halves, strict=True)
        )
