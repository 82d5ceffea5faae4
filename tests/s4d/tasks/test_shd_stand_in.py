"""The stand-in for SHD: its files are laid out as the original's, and its class is the order and nothing else."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from imssa_lab.contract.errors import ConfigError, DataError
from imssa_lab.s4d.frontend.gammatone import GammatoneBank
from imssa_lab.s4d.frontend.spikes import SpikeEncoder
from imssa_lab.s4d.tasks import Task, shd_stand_in
from imssa_lab.s4d.tasks.shd import read_recording, shd
from imssa_lab.s4d.tasks.shd_stand_in import is_stand_in, stand_in_task, write_stand_in
from trials.spoken_tones import HIGH, LOW, write_tones

FEW = SpikeEncoder(GammatoneBank(8000, 28, 100.0, 3600.0))
"""A cochlea of 28 channels, which is quick."""
NEAREST = {pitch: 25 * int(np.argmin(np.abs(FEW.bank.centres - pitch))) for pitch in (LOW, HIGH)}
"""Unit of the original's 700 that answers most to a tone."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("stand_in")
    write_stand_in(root / "data", 40, write_tones(root), encoder=FEW)
    return root / "data"


@pytest.fixture(scope="module")
def task(folder: Path) -> Task:
    return stand_in_task(0, folder)


@pytest.mark.parametrize("name", ["shd_train.h5", "shd_test.h5"])
def test_the_files_are_laid_out_as_published(folder: Path, name: str) -> None:
    with h5py.File(folder / name) as file:
        assert h5py.check_vlen_dtype(file["spikes/times"].dtype) == np.float16
        assert h5py.check_vlen_dtype(file["spikes/units"].dtype) == np.uint16
        assert file["labels"].dtype == file["extra/speaker"].dtype == np.uint16
        assert len({len(file[where]) for where in ("spikes/times", "spikes/units", "labels", "extra/speaker")}) == 1
        assert [key.decode() for key in file["extra/keys"][:]] == ["zero first", "one first"]
    assert len(read_recording(folder / name).times) == {"shd_train.h5": 40, "shd_test.h5": 16}[name]


def test_the_class_says_which_tone_came_first(folder: Path) -> None:
    whole = read_recording(folder / "shd_test.h5")
    for times, units, label in zip(whole.times, whole.units, whole.labels, strict=True):
        loudest = [np.bincount(units[(times >= start) & (times < start + 0.7)]).argmax() for start in (0.0, 0.7)]
        expected = [NEAREST[LOW], NEAREST[HIGH]]
        assert np.abs(np.array(loudest) - (expected if label == 0 else expected[::-1])).max() <= 25
        assert (np.diff(times.astype(float)) >= 0).all()


def test_every_pair_of_test_clips_of_a_speaker_in_both_orders(folder: Path) -> None:
    with h5py.File(folder / "shd_test.h5") as file:
        pairs, speakers, classes = file["extra/clips"][:], file["extra/speaker"][:], file["labels"][:]
    assert {tuple(pair) for pair in pairs} == {tuple(pair[::-1]) for pair in pairs}
    assert len({tuple(pair) for pair in pairs}) == 16, "2 zeros, 2 ones, 2 orders, 2 speakers"
    assert np.bincount(classes).tolist() == np.bincount(speakers).tolist() == [8, 8]
    assert set(classes[:8]) == set(speakers[:8]) == {0, 1}, "so that a study of some of them is of both"
    with h5py.File(folder / "shd_train.h5") as file:
        assert not set(pairs.ravel().tolist()) & set(file["extra/clips"][:].ravel().tolist())
        assert np.bincount(file["labels"][:]).tolist() == [20, 20]


def test_the_task_counts_clips_and_says_what_it_is(task: Task, folder: Path) -> None:
    assert (task.name, task.labels) == ("fsdd-order-events", ("zero first", "one first"))
    assert (task.steps, task.inputs) == (100, 28)
    assert task.test_units is not None
    assert len(np.unique(task.test_units)) == 8
    assert task.scored(task.test[1]).units == 8
    assert is_stand_in(folder)
    assert not is_stand_in(folder.parent)


def test_null_the_sum_over_time_does_not_tell_the_order(task: Task) -> None:
    """Nor does it with the classes of the training set known; which tone a half holds it tells at once."""
    linear = pytest.importorskip("sklearn.linear_model").LogisticRegression(max_iter=1000)
    whole = task.train[0].sum(axis=1)
    assert linear.fit(whole, task.train[1]).score(task.test[0].sum(axis=1), task.test[1]) < 0.8
    first = task.train[0][:, :50].sum(axis=1)
    assert linear.fit(first, task.train[1]).score(task.test[0][:, :50].sum(axis=1), task.test[1]) == 1.0


def test_files_that_are_there_stay_and_new_ones_have_the_same_spikes(folder: Path, tmp_path: Path) -> None:
    before = (folder / "shd_test.h5").read_bytes()
    write_stand_in(folder, 40, Path("nowhere"))
    assert (folder / "shd_test.h5").read_bytes() == before
    write_stand_in(tmp_path / "again", 40, folder.parent, encoder=FEW)
    one, two = (read_recording(place / "shd_train.h5") for place in (folder, tmp_path / "again"))
    assert all(np.array_equal(a, b) for a, b in zip(one.times, two.times, strict=True))
    assert np.array_equal(one.labels, two.labels)


def test_spikes_of_clips_run_together_are_those_of_each_alone() -> None:
    clips = np.random.default_rng(1).standard_normal((3, 400)).astype(np.float32)
    clips[1] *= 0.1
    for clip, together in zip(clips, FEW.events_of_each(clips), strict=True):
        alone = FEW.events(clip)
        assert len(alone[0]) > 5
        assert np.array_equal(alone[0], together[0])
        assert np.array_equal(alone[1], together[1])


def test_the_original_is_not_taken_for_the_stand_in(folder: Path, tmp_path: Path) -> None:
    for name in ("shd_train.h5", "shd_test.h5"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
        with h5py.File(tmp_path / name, "r+") as file:
            del file.attrs["stand_in"]
    assert not is_stand_in(tmp_path)
    assert shd(0, (0, 1), channels=28, data=tmp_path).labels == ("0 English", "1 English")
    with pytest.raises(DataError, match="not a file of the stand-in"):
        stand_in_task(0, tmp_path)
    (tmp_path / "shd_test.h5").write_text("no HDF5")
    with pytest.raises(DataError, match="not a readable HDF5 file"):
        is_stand_in(tmp_path)


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="1 training pairs; needed are two or more"):
        write_stand_in(tmp_path, 1)
    with pytest.raises(DataError, match="imssa data download fsdd"):
        write_stand_in(tmp_path, 10, tmp_path)


def test_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shd_stand_in.write_stand_in, "__defaults__", (1000, None, lambda done, total: None, FEW))
    found = shd_stand_in.fsdd_order_events(0, pairs_train=40, channels=14, data=write_tones(tmp_path))
    assert found.inputs == 14
    assert len(found.train[1]) + len(found.validation[1]) == 40
