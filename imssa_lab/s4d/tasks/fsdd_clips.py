"""The recordings of the Free Spoken Digit Dataset, with who says what in which split."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.errors import ConfigError, DataError
from imssa_lab.s4d.frontend.wav import read_wav
from imssa_lab.s4d.tasks.sources import data_folder

SAMPLE_RATE = 8000
"""Of every recording, Hz."""
DIGITS = tuple(range(10))
_TEST, _VALIDATION = range(0, 5), range(5, 10)
_NAME = re.compile(r"(?P<digit>\d)_(?P<speaker>[a-z]+)_(?P<index>\d+)")


@dataclass(frozen=True)
class Clips(FrozenArrays):
    """Recordings in the order of their file names.

    Attributes:
        samples: one array (n,) per recording, full scale 1.
        names: file names; digits: (n,) what is said; speakers: (n,); indices: (n,) number of the recording.
        held_out: speaker whose recordings are the test split; None for recordings 0-4 of all.
    """

    samples: list[NDArray[np.float32]]
    names: tuple[str, ...]
    digits: NDArray[np.int64]
    speakers: NDArray[np.str_]
    indices: NDArray[np.int64]
    held_out: str | None = None

    def parts(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Positions of the clips of train, validation and test; no position is in two.

        With a held-out speaker, test is all that this speaker says, and of the others recordings 5-9 validate and
        10-49 train as ever.
        """
        validation = np.isin(self.indices, _VALIDATION)
        test = np.isin(self.indices, _TEST)
        train = ~validation & ~test
        if self.held_out is not None:
            test = self.speakers == self.held_out
            train, validation = train & ~test, validation & ~test
        return np.flatnonzero(train), np.flatnonzero(validation), np.flatnonzero(test)


def read_clips(root: Path | str | None, speaker: str | None = None, digits: Sequence[int] = DIGITS) -> Clips:
    """All recordings of some digits from the folder fsdd/recordings.

    Args:
        root: folder that holds fsdd/; None for the one `data_root` finds.
        speaker: whom to hold out for testing.
        digits: which to read, two or more.

    Raises:
        ConfigError: no such speaker, or the digits are not two or more of 0 to 9.
        DataError: the folder is missing, a file is damaged, silent or wrongly named, a digit or split has none.
    """
    if len(set(digits)) != len(digits) or len(digits) < 2 or not set(digits) <= set(DIGITS):
        raise ConfigError(f"digits {tuple(digits)}: needed are two or more different ones of 0 to 9")
    folder = data_folder("fsdd", root) / "recordings"
    named = sorted((_parse(path), path) for path in folder.glob("*.wav"))
    if not named:
        raise DataError(f"{folder}: no wav files; fetch the data with: imssa data download fsdd")
    everybody = sorted({who for (_, who, _), _ in named})
    if speaker is not None and speaker not in everybody:
        raise ConfigError(f"speaker {speaker!r}: no such speaker; choose one of {', '.join(everybody)}")
    named = [(key, path) for key, path in named if key[0] in digits]
    clips = Clips(
        [_read(path) for _, path in named],
        tuple(path.name for _, path in named),
        np.array([digit for (digit, _, _), _ in named], dtype=np.int64),
        np.array([who for (_, who, _), _ in named], dtype=np.str_),
        np.array([index for (_, _, index), _ in named], dtype=np.int64),
        speaker,
    )
    for split, part in zip(("train", "validation", "test"), clips.parts(), strict=True):
        if missing := sorted(set(digits) - set(clips.digits[part].tolist())):
            raise DataError(f"{folder}: no recording of digit {missing[0]} for {split}; fetch the data again")
    return clips


def _parse(path: Path) -> tuple[int, str, int]:
    match = _NAME.fullmatch(path.stem)
    if match is None:
        raise DataError(f"{path}: recordings are named digit_speaker_number.wav, such as 7_theo_12.wav; rename it")
    return int(match["digit"]), match["speaker"], int(match["index"])


def _read(path: Path) -> NDArray[np.float32]:
    samples = read_wav(path, SAMPLE_RATE)
    if not samples.any():
        raise DataError(f"{path}: holds only zeros, no speech; fetch the file again")
    return samples
