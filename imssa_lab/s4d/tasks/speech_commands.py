"""Google Speech Commands, from its folders of wav files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from imssa_lab.contract.errors import DataError
from imssa_lab.s4d.frontend.logmel import LogMel
from imssa_lab.s4d.frontend.wav import fit_length, read_wav
from imssa_lab.s4d.tasks.input_scaling import standardised
from imssa_lab.s4d.tasks.sources import data_folder
from imssa_lab.s4d.tasks.subset import chosen_classes
from imssa_lab.s4d.tasks.task import Augmentation, NullControl, Split, Task

LICENCE = "Speech Commands v0.02, P. Warden, arXiv:1804.03209 (2018), CC BY 4.0"
SAMPLE_RATE = 16_000
"""Of every recording, Hz."""
LISTS = ("validation_list.txt", "testing_list.txt")
TEN_WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
"""The commands proper; the other words serve as distractors."""
_FRAMES = LogMel(SAMPLE_RATE, steps=100, window=400, hop=160, fft=512, high=7600.0)
_BATCH = 512
"""Files whose samples are in memory at a time."""


def speech_commands(seed: int, words: Sequence[str] = TEN_WORDS, data: Path | str | None = None) -> Task:
    """One of some spoken words. 100 steps, 16 inputs.

    The official lists say which recordings validate and which test; all others train. Speakers are in one split only.

    Args:
        seed: changes nothing: every recording is used once, in the order of the file names.
        words: which to distinguish, two or more; each is a folder.
        data: folder that holds speech_commands/; None for the one `data_root` finds.

    Raises:
        ConfigError: a word without a folder.
        DataError: a folder, list or recording is missing or damaged, or a split has none of a word.
    """
    folder = data_folder("speech_commands", data)
    chosen = chosen_classes("speech-commands", words, present_words(folder))
    validation_names, test_names = (read_list(folder / name) for name in LISTS)
    splits: list[list[tuple[Path, int]]] = [[], [], []]
    for number, word in enumerate(chosen):
        for path in sorted((folder / word).glob("*.wav")):
            name = f"{word}/{path.name}"
            splits[1 if name in validation_names else 2 if name in test_names else 0].append((path, number))
    for split, files in zip(("train", "validation", "test"), splits, strict=True):
        if missing := sorted(set(range(len(chosen))) - {number for _, number in files}):
            raise DataError(
                f"{folder / chosen[missing[0]]}: no recording for {split}; check the folder and its lists"
            )
    train, validation, test = standardised([_features(files) for files in splits])
    return Task(
        "speech-commands",
        train,
        validation,
        test,
        chosen,
        "recording divided by its peak, 1 s at 16 kHz, 25 ms Hann frames every 10 ms, 16 log-mel bands 60-7600 Hz, "
        "standardised per band by the training set",
        LICENCE,
        augmentation=Augmentation(shift_steps=(-10, 10), noise=0.15),
        step_rate=_FRAMES.step_rate,
        null_control=NullControl("same net with C frozen at zero, trained on its own"),
    )


def present_words(folder: Path) -> tuple[str, ...]:
    """Words that have a folder, in alphabetical order."""
    return tuple(sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("_")))


def read_list(path: Path) -> frozenset[str]:
    """The recordings an official list names, as "word/file.wav".

    Raises:
        DataError: the list is missing, empty, or a line is not of that form.
    """
    try:
        lines = path.read_text(encoding="utf-8").split()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; the official lists belong beside the words' folders") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file; fetch it again") from error
    if wrong := [line for line in lines if line.count("/") != 1 or not line.endswith(".wav")]:
        raise DataError(f"{path}: a line must be word/file.wav, but one is {wrong[0]!r}")
    if not lines:
        raise DataError(f"{path}: the list is empty; fetch it again")
    return frozenset(lines)


def _features(files: Sequence[tuple[Path, int]]) -> Split:
    batches = [
        _FRAMES(fit_length([read_wav(path, SAMPLE_RATE) for path, _ in files[start : start + _BATCH]], SAMPLE_RATE))
        for start in range(0, len(files), _BATCH)
    ]
    return np.concatenate(batches), np.array([number for _, number in files], dtype=np.int64)
