"""The FSDD tasks on the real recordings: splits, pairs, scaling, seeds, null controls.

A half of a pair is recognised by its log-mel picture with every band normalised by itself, which no scaling changes.
"""

from pathlib import Path

import numpy as np
import pytest

from imssa_lab.s4d.frontend import LogMel, fit_length
from imssa_lab.s4d.tasks import Task, load_task
from imssa_lab.s4d.tasks.fsdd_clips import Clips, read_clips

DATA = Path(__file__).parents[4] / "shared" / "data"
SPLITS = ("train", "validation", "test")
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")

pytestmark = [
    pytest.mark.optional_data,
    pytest.mark.skipif(not (DATA / "fsdd").is_dir(), reason=f"no recordings of the FSDD in {DATA}"),
]


@pytest.fixture(scope="module")
def clips() -> Clips:
    return read_clips(DATA)


@pytest.fixture(scope="module")
def order() -> Task:
    return load_task("fsdd-order", 0, data=DATA)


@pytest.fixture(scope="module")
def first10() -> Task:
    return load_task("fsdd-first10", 0, data=DATA)


@pytest.fixture(scope="module")
def t10() -> Task:
    return load_task("fsdd-t10", 0, data=DATA)


@pytest.fixture(scope="module")
def catalogue(clips: Clips) -> np.ndarray:
    """Normalised pictures of all clips, (3000, 800)."""
    return pictures(LogMel(8000, steps=50, window=256, hop=160, fft=256)(fit_length(clips.samples, 8000)))


def pictures(features: np.ndarray) -> np.ndarray:
    centred = features - features.mean(axis=1, keepdims=True)
    picture = (centred / (centred.std(axis=1, keepdims=True) + 1e-9)).reshape(len(features), -1)
    return np.asarray(picture / np.linalg.norm(picture, axis=1, keepdims=True), dtype=np.float32)


def recognised(features: np.ndarray, catalogue: np.ndarray) -> np.ndarray:
    """Clip number of every half."""
    likeness = pictures(features) @ catalogue.T
    assert likeness.max(axis=1).min() > 0.999
    return np.asarray(likeness.argmax(axis=1))


def halves(inputs: np.ndarray, catalogue: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return recognised(inputs[:, :50], catalogue), recognised(inputs[:, 50:], catalogue)


def nothing_but_the_mean(task: Task) -> float:
    """Test accuracy of a linear classifier on the time-mean of the inputs."""
    linear = pytest.importorskip("sklearn.linear_model").LogisticRegression(C=10, max_iter=3000)
    linear.fit(task.train[0].mean(axis=1), task.train[1])
    return float(linear.score(task.test[0].mean(axis=1), task.test[1]))


def test_counts_are_as_published(clips: Clips, t10: Task) -> None:
    assert len(clips.samples) == 3000
    assert (np.bincount(clips.digits) == 300).all()
    assert [len(part) for part in clips.parts()] == [2400, 300, 300]
    lengths = np.array([len(samples) for samples in clips.samples])
    assert np.count_nonzero(lengths > 8000) == 20
    assert lengths.max() / 8000 == pytest.approx(2.283, abs=1e-3)
    for (inputs, classes), count in zip((t10.train, t10.validation, t10.test), (2400, 300, 300), strict=True):
        assert inputs.shape == (count, 100, 16)
        assert (np.bincount(classes) == count // 10).all()


def test_no_clip_is_in_two_splits(clips: Clips, catalogue: np.ndarray) -> None:
    parts = clips.parts()
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(3000))
    sounds = [{clips.samples[index].tobytes() for index in part} for part in parts]
    assert not sounds[0] & sounds[1] | sounds[0] & sounds[2] | sounds[1] & sounds[2], "nor under another name"
    indices = [set(clips.indices[part].tolist()) for part in parts]
    assert indices == [set(range(10, 50)), set(range(5, 10)), set(range(5))]


@pytest.mark.parametrize(("name", "counts"), [("order", (2000, 300, 300)), ("first10", (4000, 600, 600))])
def test_pairs(
    name: str, counts: tuple[int, ...], clips: Clips, catalogue: np.ndarray, request: pytest.FixtureRequest
) -> None:
    task: Task = request.getfixturevalue(name)
    for split, part, count in zip(SPLITS, clips.parts(), counts, strict=True):
        inputs, classes = task.load(split)
        assert inputs.shape == (count, 100, 16)
        assert (inputs.dtype, classes.dtype) == (np.float32, np.int64)
        assert np.ptp(np.bincount(classes, minlength=len(task.labels))) <= 1, "balanced"
        first, second = halves(inputs, catalogue)
        assert np.isin(first, part).all(), "clips were split before they were paired"
        assert np.isin(second, part).all()
        assert (clips.digits[first] == classes).all()
        assert (clips.digits[second] != classes).all()
        assert len(np.unique(first)) > 0.5 * min(count, len(part) * (0.2 if name == "order" else 1))


def test_swapping_the_halves_changes_the_class(order: Task, clips: Clips, catalogue: np.ndarray) -> None:
    inputs, classes = order.test
    first, _ = halves(np.roll(inputs, 50, axis=1), catalogue)
    assert (clips.digits[first] == 1 - classes).all()


def test_null_the_mean_over_time_does_not_tell_the_order(order: Task, first10: Task) -> None:
    """A linear classifier on the time-mean: chance is 50 % (sd 2.9 of 300 pairs), as it is with both digits known."""
    assert abs(nothing_but_the_mean(order) - 0.5) < 0.09
    assert nothing_but_the_mean(first10) < 0.5


def test_the_mean_over_time_tells_a_digit(t10: Task) -> None:
    """The null of the null: the same classifier is well above chance where memory is not needed, as on T10."""
    assert nothing_but_the_mean(t10) > 0.8


def test_scaled_by_the_training_set_alone(order: Task, t10: Task) -> None:
    for task in (order, t10):
        assert np.allclose(task.train[0].mean(axis=(0, 1)), 0, atol=1e-3)
        assert np.allclose(task.train[0].std(axis=(0, 1)), 1, atol=1e-3)
        assert np.abs(task.test[0].mean(axis=(0, 1))).max() > 0.01, "the test set has not been centred on itself"


def test_the_seed_is_everything(order: Task) -> None:
    again, other = load_task("fsdd-order", 0, data=DATA), load_task("fsdd-order", 1, data=DATA)
    fewer = load_task("fsdd-order", 0, data=DATA, pairs_train=100)
    for split in SPLITS:
        for one, two in zip(order.load(split), again.load(split), strict=True):
            assert np.array_equal(one, two)
        assert not np.array_equal(order.load(split)[0], other.load(split)[0])
    assert np.array_equal(fewer.test[1], order.test[1]), "the test pairs do not depend on how many train"


@pytest.mark.parametrize("speaker", SPEAKERS)
def test_held_out_speaker(speaker: str, catalogue: np.ndarray, clips: Clips) -> None:
    task = load_task("fsdd-order", 2, data=DATA, speaker=speaker, pairs_train=300)
    assert task.held_out_speaker == speaker
    heard = [np.unique(clips.speakers[np.concatenate(halves(task.load(split)[0], catalogue))]) for split in SPLITS]
    assert heard[2].tolist() == [speaker]
    for others in heard[:2]:
        assert others.tolist() == [name for name in SPEAKERS if name != speaker]


def test_held_out_speaker_counts() -> None:
    task = load_task("fsdd-t2-raw", 0, data=DATA, speaker="theo")
    assert [len(task.load(split)[1]) for split in SPLITS] == [400, 50, 100]


def test_raw(clips: Clips) -> None:
    task = load_task("fsdd-t2-raw", 0, data=DATA)
    assert [len(task.load(split)[1]) for split in SPLITS] == [480, 60, 60]
    assert (task.steps, task.inputs, task.step_rate) == (2000, 1, 2000.0)
    assert task.train[0].std() == pytest.approx(1, abs=1e-5)
    assert (task.augmentation.shift_steps, task.augmentation.gain) == ((-250, 250), (0.7, 1.3))
    # Below 800 Hz the wave at 2 kHz is the wave at 8 kHz.
    chosen = [index for index in clips.parts()[2] if clips.digits[index] < 2]
    slow = np.abs(np.fft.rfft(task.test[0][:, :, 0]))[:, :800]
    fast = np.abs(np.fft.rfft(fit_length([clips.samples[index] for index in chosen], 8000)))[:, :800]
    scale = (slow * fast).sum() / (fast**2).sum()
    assert np.linalg.norm(slow - scale * fast) < 0.03 * np.linalg.norm(slow)


def test_events() -> None:
    task = load_task("fsdd-events", 0, data=DATA, digits=(3, 7), channels=8)
    assert (task.steps, task.inputs, task.step_rate) == (100, 8, 100.0)
    assert task.labels == ("3", "7")
    assert [np.bincount(task.load(split)[1]).tolist() for split in SPLITS] == [[240, 240], [30, 30], [30, 30]]
    smallest = task.train[0][task.train[0] > 0].min()
    assert np.allclose(task.train[0] / smallest, np.rint(task.train[0] / smallest), atol=1e-4), (
        "counts, and zero is zero"
    )
    assert nothing_but_the_mean(task) > 0.7, "the channels tell of the sound"


def test_metadata(order: Task, first10: Task, t10: Task) -> None:
    assert (order.step_rate, t10.step_rate) == (50.0, 100.0)
    for task, memoryless in ((order, 0.463), (first10, 0.478), (t10, 0.983)):
        assert task.null_control is not None
        assert task.null_control.accuracy == memoryless
        assert "CC BY-SA 4.0" in task.licence
        assert task.augmentation.shift_steps == (-5, 15)
