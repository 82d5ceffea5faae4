"""What all tasks share: the interface, the registry, scaling, setting aside."""

import numpy as np
import pytest

from imssa_lab.contract.errors import ConfigError, DataError
from imssa_lab.s4d.tasks import TASKS, Augmentation, Task, load_task
from imssa_lab.s4d.tasks.input_scaling import standardised, standardised_as_one, unit_deviation
from imssa_lab.s4d.tasks.subset import set_aside

RNG = np.random.default_rng(0)


def split(count: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    return (RNG.normal(shift, 3, (count, 5, 2)) * [1, 10]).astype(np.float32), np.zeros(count, dtype=np.int64)


def test_a_task_loads_its_splits() -> None:
    parts = split(4), split(3), split(2)
    task = Task("none", *parts, ("a",), "none", "made here")
    assert (task.steps, task.inputs) == (5, 2)
    assert task.augmentation == Augmentation() == Augmentation((0, 0), 0, (1.0, 1.0), 0.0)
    for name, part in zip(("train", "validation", "test"), parts, strict=True):
        assert task.load(name) is part
    with pytest.raises(ConfigError, match="train, validation, test"):
        task.load("dev")


def test_unknown_names() -> None:
    with pytest.raises(ConfigError, match=r"'fsdd'.*fsdd-order"):
        load_task("fsdd", 0)
    for name in TASKS:
        with pytest.raises(ConfigError, match="no option 'nonsense'"):
            load_task(name, 0, nonsense=1)
        with pytest.raises(ConfigError, match="no option 'seeds'"):
            load_task(name, 0, seeds=1)


@pytest.mark.parametrize("scaling", [standardised, standardised_as_one, unit_deviation])
def test_scaling_knows_the_training_set_alone(scaling) -> None:
    train, test = split(50), split(20, shift=7.0)
    scaled = scaling([train, test])
    alone = scaling([train])[0][0]
    assert np.array_equal(scaled[0][0], alone)
    assert alone.std() == pytest.approx(1, abs=1e-4)
    assert scaled[0][0].dtype == scaled[1][0].dtype == np.float32
    # The test set goes through the very map that the training set went through.
    both = (np.concatenate([train[0][:1], test[0]]), test[1])
    assert np.allclose(scaling([train, both])[1][0][1:], scaled[1][0])
    assert np.allclose(scaling([train, both])[1][0][0], alone[0])
    with pytest.raises(DataError, match="never change"):
        scaling([(np.ones((3, 5, 2), dtype=np.float32), train[1])])


def test_standardised_treats_inputs_one_by_one() -> None:
    train = standardised([split(200)])[0][0]
    assert train.std(axis=(0, 1)) == pytest.approx(1, abs=1e-4)
    spread = unit_deviation([split(200)])[0][0].std(axis=(0, 1))
    assert spread[1] / spread[0] == pytest.approx(10, rel=0.1), "one factor leaves their ratio"


def test_set_aside() -> None:
    classes = np.repeat([0, 1, 2], [100, 50, 10])
    kept, aside = set_aside("t", classes, 0.1, np.random.default_rng(3))
    assert np.bincount(classes[aside]).tolist() == [10, 5, 1]
    assert sorted([*kept, *aside]) == list(range(160))
    with pytest.raises(DataError, match="class 2 has 1 training"):
        set_aside("t", np.array([0, 0, 1, 1, 2]), 0.5, np.random.default_rng(3))
