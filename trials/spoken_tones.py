"""Recordings in the tree of the Free Spoken Digit Dataset that are tones: a low one for zero, a high one for one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.io import wavfile

SPEAKERS = ("ada", "bob")
LOW, HIGH = 300.0, 1500.0
"""Hz, of zero and of one."""


def write_tones(root: Path, indices: tuple[int, ...] = (0, 1, 5, 10, 11), rate: int = 8000) -> Path:
    """The folder to name as data: fsdd/recordings in it holds a tone of .3 s for every digit, speaker and index."""
    folder = root / "fsdd" / "recordings"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    times = np.arange(int(0.3 * rate)) / rate
    for digit, pitch in enumerate((LOW, HIGH)):
        for speaker in SPEAKERS:
            for index in indices:
                wave = np.sin(2 * np.pi * pitch * times) + 0.02 * rng.standard_normal(len(times))
                wavfile.write(folder / f"{digit}_{speaker}_{index}.wav", rate, (9000 * wave).astype(np.int16))
    return root
