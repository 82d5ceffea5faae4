"""The digits-first task: no image in two splits, pairs of different digits, label = first."""

import numpy as np
import pytest

from imssa_lab.contract.errors import ConfigError
from imssa_lab.s4d.tasks import Task, digits_first, load_task

sklearn_data = pytest.importorskip("sklearn.datasets")


@pytest.fixture(scope="module")
def task() -> Task:
    return digits_first(3, pairs_train=1500, pairs_validation=200, pairs_test=400)


def images_of(inputs: np.ndarray) -> np.ndarray:
    """Both images of every pair, (2 n, 64)."""
    return inputs.reshape(-1, 64)


def test_shapes_and_types(task: Task) -> None:
    for (inputs, labels), count in zip((task.train, task.validation, task.test), (1500, 200, 400), strict=True):
        assert inputs.shape == (count, 16, 8)
        assert inputs.dtype == np.float32
        assert labels.dtype == np.int64
        assert set(labels) == set(range(10))
        assert np.abs(inputs).max() <= 1


def test_no_image_is_in_two_splits(task: Task) -> None:
    seen = [{image.tobytes() for image in images_of(part[0])} for part in (task.train, task.validation, task.test)]
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]


def test_pairs_are_of_different_digits_and_named_by_the_first(task: Task) -> None:
    bunch = sklearn_data.load_digits()
    digit_of = {
        (image / 8 - 1).astype(np.float32).tobytes(): int(digit)
        for image, digit in zip(bunch.images, bunch.target, strict=True)
    }
    assert len(digit_of) == len(bunch.images), "images are distinct, so bytes name them"
    for inputs, labels in (task.train, task.validation, task.test):
        first = np.array([digit_of[image.tobytes()] for image in inputs[:, :8].reshape(-1, 64)])
        second = np.array([digit_of[image.tobytes()] for image in inputs[:, 8:].reshape(-1, 64)])
        assert (first == labels).all()
        assert (first != second).all()


def test_the_seed_is_everything(task: Task) -> None:
    again = digits_first(3, pairs_train=1500, pairs_validation=200, pairs_test=400)
    other = digits_first(4, pairs_train=1500, pairs_validation=200, pairs_test=400)
    assert np.array_equal(again.train[0], task.train[0])
    assert np.array_equal(again.test[1], task.test[1])
    assert not np.array_equal(other.test[0], task.test[0])


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="digits-first"):
        load_task("digits-last", 0)
    with pytest.raises(ConfigError, match="every split"):
        digits_first(0, pairs_validation=0)
