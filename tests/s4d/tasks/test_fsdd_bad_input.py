"""What the FSDD tasks say to recordings that are missing or damaged; on a small tree of tones in the real layout."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from imssa_lab.contract.errors import ConfigError, DataError
from imssa_lab.s4d.tasks import load_task

INDICES = (0, 5, 10, 11)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "fsdd" / "recordings"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for digit in (0, 1):
        for speaker in ("ada", "bob"):
            for index in INDICES:
                wave = np.sin(np.arange(2000) * (0.2 + 0.3 * digit)) + 0.1 * rng.standard_normal(2000)
                wavfile.write(folder / f"{digit}_{speaker}_{index}.wav", 8000, (9000 * wave).astype(np.int16))
    return folder


def order(recordings: Path, **options: object) -> None:
    load_task("fsdd-order", 0, data=recordings.parents[1], **options)


def test_the_tree_as_such_is_good(recordings: Path) -> None:
    """The null control of all below."""
    order(recordings)
    order(recordings, speaker="bob")


def test_missing_folder_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"fsdd: no such folder; set IMSSA_DATA.*imssa data download fsdd"):
        load_task("fsdd-t10", 0, data=tmp_path)
    monkeypatch.setenv("IMSSA_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="nowhere"):
        load_task("fsdd-t10", 0)
    (tmp_path / "fsdd" / "recordings").mkdir(parents=True)
    with pytest.raises(DataError, match="no wav files"):
        load_task("fsdd-t10", 0, data=tmp_path)


def test_the_variable_finds_the_data(recordings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMSSA_DATA", str(recordings.parents[1]))
    assert load_task("fsdd-order", 0, pairs_train=6).train[0].shape == (6, 100, 16)


def test_damaged_recordings_are_named(recordings: Path) -> None:
    path = recordings / "1_bob_10.wav"
    whole = path.read_bytes()
    for damaged, said in ((b"", "not a readable"), (whole[:-100], "promises 2000"), (whole[:20], "not a readable")):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=rf"1_bob_10.wav: .*{said}"):
            order(recordings)
    wavfile.write(path, 8000, np.zeros(1000, dtype=np.int16))
    with pytest.raises(DataError, match=r"1_bob_10.wav: holds only zeros"):
        order(recordings)
    wavfile.write(path, 44100, np.ones(1000, dtype=np.int16))
    with pytest.raises(DataError, match=r"1_bob_10.wav: 44100 Hz"):
        order(recordings)


def test_missing_classes_and_strange_names(recordings: Path) -> None:
    with pytest.raises(DataError, match="no recording of digit 2"):
        load_task("fsdd-t10", 0, data=recordings.parents[1])
    for path in recordings.glob("1_*_5.wav"):
        path.unlink()
    with pytest.raises(DataError, match="no recording of digit 1 for validation"):
        order(recordings)
    (recordings / "one_ada_0.wav").write_bytes(b"")
    with pytest.raises(DataError, match=r"one_ada_0.wav: recordings are named"):
        order(recordings)


def test_options_that_cannot_be(recordings: Path) -> None:
    with pytest.raises(ConfigError, match=r"'carl'.*ada, bob"):
        order(recordings, speaker="carl")
    with pytest.raises(ConfigError, match="every split"):
        order(recordings, pairs_test=0)
    with pytest.raises(ConfigError, match=r"no option 'pairs'.*pairs_train"):
        order(recordings, pairs=3)
    for digits in ((0,), (0, 0), (0, 12)):
        with pytest.raises(ConfigError, match="two or more different"):
            load_task("fsdd-events", 0, data=recordings.parents[1], digits=digits)
