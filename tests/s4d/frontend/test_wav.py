"""Wav files that are right, and every way in which they are not; written by scipy."""

import wave
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from imssa_lab.contract.errors import DataError
from imssa_lab.s4d.frontend import read_wav

SAMPLES = np.array([0, 1, -32768, 32767, 100], dtype=np.int16)


def test_samples_as_written(tmp_path: Path) -> None:
    wavfile.write(tmp_path / "a.wav", 8000, SAMPLES)
    samples = read_wav(tmp_path / "a.wav", 8000)
    assert samples.dtype == np.float32
    assert np.array_equal(samples, SAMPLES / np.float32(32768))


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_wav(path, 8000)
    assert str(path) in str(caught.value), "the message names the file"
    return str(caught.value)


def test_wrong_kinds_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    wavfile.write(path, 16000, SAMPLES)
    assert "16000 Hz, needed are 8000 Hz" in refusal(path)
    wavfile.write(path, 8000, np.stack([SAMPLES, SAMPLES], axis=1))
    assert "2 channels" in refusal(path)
    wavfile.write(path, 8000, SAMPLES.astype(np.uint8))
    assert "8 bits" in refusal(path)
    wavfile.write(path, 8000, SAMPLES.astype(np.float32))
    assert "not a readable PCM wav" in refusal(path)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    assert "no such file" in refusal(path)
    path.write_bytes(b"")
    assert "not a readable PCM wav" in refusal(path)
    path.write_text("this is no sound at all, but long enough to be one")
    assert "not a readable PCM wav" in refusal(path)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
    assert "holds no samples" in refusal(path)
    wavfile.write(path, 8000, np.arange(1000, dtype=np.int16))
    path.write_bytes(path.read_bytes()[:-600])
    assert "promises 1000 samples, 700 are there" in refusal(path)
    path.write_bytes(path.read_bytes()[:30])
    assert "not a readable PCM wav" in refusal(path)
