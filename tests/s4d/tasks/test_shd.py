"""The reader of the Spiking Heidelberg Digits, on small files in the published layout."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from imssa_lab.contract.errors import ConfigError, DataError
from imssa_lab.s4d.tasks import load_task
from imssa_lab.s4d.tasks.shd import read_recording

LABELS = {"shd_train.h5": [0, 1, 10] * 10, "shd_test.h5": [0, 1, 10, 1]}


def write(path: Path, labels: list[int], times: list[np.ndarray], units: list[np.ndarray]) -> None:
    """As published: ragged half-precision times in s, ragged units, labels, speakers, names of the classes."""
    with h5py.File(path, "w") as file:
        for name, rows, kind in (("times", times, np.float16), ("units", units, np.uint16)):
            data = file.create_dataset(f"spikes/{name}", (len(rows),), dtype=h5py.vlen_dtype(kind))
            for index, row in enumerate(rows):
                data[index] = row
        file["labels"] = np.array(labels, dtype=np.uint16)
        file["extra/speaker"] = np.arange(len(labels), dtype=np.uint16) % 3
        file["extra/keys"] = np.array([b"zero", b"one"])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Recording i of a file has i + 1 spikes in unit 10 * label and one late in unit 699."""
    (tmp_path / "shd").mkdir()
    for name, labels in LABELS.items():
        times = [np.append(np.linspace(0, 0.4, index + 1), 1.2).astype(np.float16) for index in range(len(labels))]
        units = [np.append(np.full(index + 1, 10 * label), 699) for index, label in enumerate(labels)]
        write(tmp_path / "shd" / name, labels, times, units)
    return tmp_path


def test_every_spike_is_counted_in_its_place(data: Path) -> None:
    task = load_task("shd", 0, data=data, classes=(0, 1, 10), steps=14, channels=70)
    assert task.labels == ("0 English", "1 English", "0 German")
    assert (task.steps, task.inputs) == (14, 70)
    assert task.step_rate == pytest.approx(10)
    inputs, classes = task.test
    assert classes.tolist() == [0, 1, 2, 1]
    counts = inputs / inputs[0, 12, 69]
    for index, (recording, label) in enumerate(zip(counts, LABELS["shd_test.h5"], strict=True)):
        expected = np.zeros((14, 70))
        # Half precision keeps 0.4 s as 0.39990, in step 3.
        for time in np.linspace(0, 0.4, index + 1).astype(np.float16).astype(float):
            expected[int(time / 0.1), label] += 1
        expected[12, 69] = 1
        assert np.allclose(recording, expected)


def test_two_classes_and_a_shorter_time(data: Path) -> None:
    task = load_task("shd", 0, data=data, classes=(10, 1), steps=10, channels=700, seconds=1.0)
    assert task.labels == ("0 German", "1 English")
    assert task.test[1].tolist() == [1, 0, 1]
    assert not task.test[0][:, :, 699].any(), "the spike at 1.2 s is left out, and said to be"
    assert "later ones left out" in task.preprocessing
    assert set(np.flatnonzero(task.test[0].any(axis=(0, 1)))) == {10, 100}


def test_validation_is_a_share_of_the_training_file(data: Path) -> None:
    options = {"data": data, "classes": (0, 1, 10), "validation": 0.3}
    task, again, other = (load_task("shd", seed, **options) for seed in (0, 0, 1))
    assert [np.bincount(part[1]).tolist() for part in (task.train, task.validation)] == [[7, 7, 7], [3, 3, 3]]
    assert np.array_equal(task.validation[0], again.validation[0])
    assert not np.array_equal(task.validation[0], other.validation[0])
    # The number of spikes names a recording: all thirty are there, each once.
    scale = task.test[0][0].max()
    spikes = [np.rint(part[0].sum(axis=(1, 2)) / scale).astype(int) for part in (task.train, task.validation)]
    assert sorted(np.concatenate(spikes)) == list(range(2, 32))
    assert task.train[0].std() == pytest.approx(1, abs=1e-5)


def test_bad_options(data: Path) -> None:
    for options, said in (
        ({"classes": (0,)}, "two or more"),
        ({"classes": (0, 0)}, "two or more"),
        ({"classes": (0, 20)}, "no class 20"),
        ({"channels": 64}, "divisor of 700"),
        ({"steps": 0}, "above 0"),
        ({"seconds": -1.0}, "above 0"),
        ({"classes": (0, 1), "validation": 1.5}, "between 0 and 1"),
    ):
        with pytest.raises(ConfigError, match=said):
            load_task("shd", 0, data=data, **options)


def test_bad_files(data: Path) -> None:
    with pytest.raises(DataError, match=r"shd_train.h5: no recording of class 5 \(5 English\)"):
        load_task("shd", 0, data=data, classes=(0, 5))
    path = data / "shd" / "shd_test.h5"
    one, two = np.array([0.1], dtype=np.float16), np.array([0.1, 0.2], dtype=np.float16)
    for times, units, said in (
        ([one], [np.array([700])], "beyond 699"),
        ([-one], [np.array([3])], "negative"),
        ([two], [np.array([3])], "2 spike times for 1 units"),
    ):
        write(path, [0], times, units)
        with pytest.raises(DataError, match=rf"shd_test.h5: recording 0 .*{said}"):
            read_recording(path)
    write(path, [0, 1], [one], [np.array([3])])
    with pytest.raises(DataError, match="must be as many"):
        read_recording(path)
    with h5py.File(path, "a") as file:
        del file["spikes/units"]
    with pytest.raises(DataError, match="not laid out"):
        read_recording(path)
    path.write_bytes(b"no HDF5")
    with pytest.raises(DataError, match="not a readable HDF5"):
        read_recording(path)
    path.unlink()
    with pytest.raises(DataError, match="imssa data download shd"):
        read_recording(path)
