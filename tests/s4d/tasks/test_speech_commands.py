"""The reader of Speech Commands, on a small folder in the published layout."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from imssa_lab.contract.errors import ConfigError, DataError
from imssa_lab.s4d.frontend import LogMel
from imssa_lab.s4d.tasks import load_task

PITCH = {"go": 400.0, "stop": 1500.0, "tree": 3000.0}
SPEAKERS = {"train": ("aa", "bb", "cc"), "validation": ("dd",), "test": ("ee", "ff")}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Every word is a tone of its own; every speaker has a loudness of their own."""
    folder = tmp_path / "speech_commands"
    names: dict[str, list[str]] = {split: [] for split in SPEAKERS}
    for word, pitch in PITCH.items():
        (folder / word).mkdir(parents=True)
        for split, speakers in SPEAKERS.items():
            for loudness, speaker in enumerate(speakers, 1):
                samples = 16000 - 2000 * loudness
                wave = 3000 * loudness * np.sin(2 * np.pi * pitch * np.arange(samples) / 16000)
                names[split].append(f"{word}/{speaker}_nohash_0.wav")
                wavfile.write(folder / names[split][-1], 16000, wave.astype(np.int16))
    (folder / "validation_list.txt").write_text("\n".join(names["validation"]) + "\n")
    (folder / "testing_list.txt").write_text("\n".join(names["test"]) + "\n")
    (folder / "_background_noise_").mkdir()
    wavfile.write(folder / "_background_noise_" / "pink_noise.wav", 16000, np.ones(50000, dtype=np.int16))
    return tmp_path


def test_splits_are_the_official_ones_and_words_keep_their_order(data: Path) -> None:
    task = load_task("speech-commands", 0, data=data, words=("tree", "go"))
    assert task.labels == ("tree", "go")
    assert (task.steps, task.inputs, task.step_rate) == (100, 16, 100.0)
    assert [part[1].tolist() for part in (task.train, task.validation, task.test)] == [
        [0, 0, 0, 1, 1, 1],
        [0, 1],
        [0, 0, 1, 1],
    ]
    bands = LogMel(16000, 100, 400, 160, 512, high=7600.0).centres
    assert task.train[0].mean(axis=(0, 1)) == pytest.approx(0, abs=1e-3)
    for inputs, word in zip(task.test[0], (3000.0, 3000.0, 400.0, 400.0), strict=True):
        # Standardised, a word's tone stands out in the band that only this word sounds in.
        assert inputs[20].argmax() in np.argsort(np.abs(bands - word))[:2]


def test_a_word_may_be_any_folder_but_not_the_noise(data: Path) -> None:
    with pytest.raises(ConfigError, match=r"'cat'.*go, stop, tree"):
        load_task("speech-commands", 0, data=data, words=("go", "cat"))
    with pytest.raises(ConfigError, match="no class '_background_noise_'"):
        load_task("speech-commands", 0, data=data, words=("go", "_background_noise_"))
    with pytest.raises(ConfigError, match="two or more"):
        load_task("speech-commands", 0, data=data, words="go")
    with pytest.raises(ConfigError, match="'yes'"):
        load_task("speech-commands", 0, data=data)


def test_bad_files(data: Path) -> None:
    folder = data / "speech_commands"
    words = ("go", "stop")
    bad = folder / "go" / "aa_nohash_0.wav"
    wavfile.write(bad, 8000, np.ones(100, dtype=np.int16))
    with pytest.raises(DataError, match=r"aa_nohash_0.wav: 8000 Hz, needed are 16000"):
        load_task("speech-commands", 0, data=data, words=words)
    bad.unlink()
    (folder / "go" / "dd_nohash_0.wav").unlink()
    with pytest.raises(DataError, match="go: no recording for validation"):
        load_task("speech-commands", 0, data=data, words=words)
    listing = folder / "testing_list.txt"
    for content, said in (("", "empty"), ("go ee.wav", "word/file.wav"), ("x" * 9, "word/file.wav")):
        listing.write_text(content)
        with pytest.raises(DataError, match=rf"testing_list.txt: .*{said}"):
            load_task("speech-commands", 0, data=data, words=words)
    listing.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not a text file"):
        load_task("speech-commands", 0, data=data, words=words)
    listing.unlink()
    with pytest.raises(DataError, match=r"testing_list.txt: no such file"):
        load_task("speech-commands", 0, data=data, words=words)
