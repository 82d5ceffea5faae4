"""A stand-in for the Spiking Heidelberg Digits: files in their layout, made of spoken digits by a model cochlea.

Each recording is a "zero" and a "one" of one speaker, in one order or the other, and its class says which came first.
A class that one digit alone decides would prove nothing: a net without memory tells zero from one nearly always.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.errors import ConfigError, DataError
from imssa_lab.s4d.frontend.gammatone import GammatoneBank
from imssa_lab.s4d.frontend.spikes import Events, SpikeEncoder
from imssa_lab.s4d.frontend.wav import fit_length
from imssa_lab.s4d.tasks.fsdd import LICENCE
from imssa_lab.s4d.tasks.fsdd_clips import SAMPLE_RATE, Clips, read_clips
from imssa_lab.s4d.tasks.shd import CHANNELS, FILES, shd
from imssa_lab.s4d.tasks.task import Augmentation, NullControl, Task

NAME = "fsdd-order-events"
LABELS = ("zero first", "one first")
MARK = "stand_in"
"""Attribute of the files, so that nobody mistakes them for the real data set."""
_SECONDS = 0.7
"""Of each of the two digits, so that both together last what the original task takes of a recording."""
_ENCODER = SpikeEncoder(GammatoneBank(SAMPLE_RATE, CHANNELS, 100.0, 3600.0))
Progress = Callable[[int, int], None]


def fsdd_order_events(
    seed: int, pairs_train: int = 1000, channels: int = 28, steps: int = 100, data: Path | str | None = None
) -> Task:
    """A "zero" and a "one" of one speaker, as spikes in the layout of SHD; name what came first.

    The files are made in a temporary folder, which takes minutes; `write_stand_in` keeps them.

    Args:
        seed: of what is set aside for validation.
        pairs_train: recordings of the training file. The test file has all 300 pairs of its 60 clips.
        channels, steps: as for `shd`.
        data: folder that holds fsdd/; None for the one `data_root` finds.

    Raises:
        ConfigError: no pairs, or sizes that cannot be.
        DataError: recordings are missing or damaged.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_stand_in(Path(folder), pairs_train, data)
        return stand_in_task(seed, Path(folder), channels, steps)


def stand_in_task(seed: int, folder: Path, channels: int = 28, steps: int = 100) -> Task:
    """The task of a folder that `write_stand_in` filled, read by the very code that reads the original.

    Args:
        seed: of what is set aside for validation; channels, steps: as for `shd`.

    Raises:
        ConfigError: sizes that cannot be.
        DataError: a file is missing or damaged, or not of the stand-in.
    """
    whole = shd(seed, (0, 1), steps, channels, 2 * _SECONDS, data=folder)
    return replace(
        whole,
        name=NAME,
        labels=LABELS,
        preprocessing=f"two clips of one speaker, each divided by its peak and cut to {_SECONDS:g} s, {CHANNELS} "
        f"gammatone channels 100-3600 Hz, integrate-and-fire; {whole.preprocessing}",
        licence=LICENCE,
        augmentation=Augmentation(shift_steps=(-3, 8), shift_inputs=1),
        null_control=NullControl("same net with C frozen at zero, trained on its own"),
        test_units=_clips_of(folder / FILES[1]),
        unit="clips",
    )


def is_stand_in(folder: Path) -> bool:
    """Whether the test file in a folder is one that `write_stand_in` made.

    Raises:
        DataError: it is no HDF5 file.
    """
    import h5py

    path = folder / FILES[1]
    if not path.is_file():
        return False
    try:
        with h5py.File(path, "r") as file:
            return MARK in file.attrs
    except OSError as error:
        raise DataError(f"{path}: not a readable HDF5 file ({error}); fetch it again") from error


def write_stand_in(
    folder: Path,
    pairs_train: int = 1000,
    data: Path | str | None = None,
    progress: Progress = lambda done, total: None,
    encoder: SpikeEncoder = _ENCODER,
) -> None:
    """Make shd_train.h5 and shd_test.h5 in a folder; those that are there stay.

    Recordings 0-4 of every speaker and digit are in the test file, in all their pairs, the others in the training
    file, in pairs drawn with replacement. Beside what the original has, extra/clips (n, 2) numbers the clips of each
    recording.

    Args:
        pairs_train: recordings of the training file.
        data: folder that holds fsdd/; None for the one `data_root` finds.
        progress: called with clips encoded, and as many as there are.
        encoder: the cochlea; with fewer channels than the original's 700 they take its units at even distances.

    Raises:
        ConfigError: no pairs. DataError: recordings are missing or damaged.
    """
    if pairs_train < 2:
        raise ConfigError(f"{NAME}: {pairs_train} training pairs; needed are two or more")
    if all((folder / name).is_file() for name in FILES):
        return
    clips = read_clips(data, digits=(0, 1))
    train, validation, test = clips.parts()
    rng = np.random.default_rng(0)
    drawn, every = _drawn(clips, np.concatenate([train, validation]), pairs_train, rng), _all_pairs(clips, test)
    mixed = rng.permutation(len(every.classes))  # so that the first few tests are of both classes
    pairs = (drawn, _Pairs(every.clips[mixed], every.classes[mixed]))
    events: list[Events] = []
    samples = fit_length(clips.samples, round(_SECONDS * SAMPLE_RATE))
    for some in np.array_split(samples, max(1, len(samples) // 8)):
        events += encoder.events_of_each(some)
        progress(len(events), len(samples))
    spread = CHANNELS // encoder.bank.channels
    for name, chosen in zip(FILES, pairs, strict=True):
        _write(folder / name, clips, [(when, where * spread) for when, where in events], chosen)


@dataclass(frozen=True)
class _Pairs(FrozenArrays):
    """Positions of first and second clips, (n, 2), and the classes, (n,)."""

    clips: NDArray[np.int64]
    classes: NDArray[np.int64]


def _all_pairs(clips: Clips, part: NDArray[np.int64]) -> _Pairs:
    """Every zero with every one of the same speaker, in both orders."""
    found = [
        (first, second)
        for first in part
        for second in part
        if clips.speakers[first] == clips.speakers[second] and clips.digits[first] != clips.digits[second]
    ]
    chosen = np.array(found, dtype=np.int64).reshape(-1, 2)
    return _Pairs(chosen, clips.digits[chosen[:, 0]])


def _drawn(clips: Clips, part: NDArray[np.int64], count: int, rng: np.random.Generator) -> _Pairs:
    """So many of them with replacement, both orders as often."""
    every = _all_pairs(clips, part)
    positions = np.concatenate(
        [rng.choice(np.flatnonzero(every.classes == number), size=(count + 1 - number) // 2) for number in (0, 1)]
    )
    chosen = rng.permutation(positions)
    return _Pairs(every.clips[chosen], every.classes[chosen])


def _write(path: Path, clips: Clips, events: list[Events], pairs: _Pairs) -> None:
    """A file in the original's layout: half-precision times (s), 16-bit units; whole before it gets its name."""
    import h5py

    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".new")
    count = len(pairs.clips)
    voices, speakers = np.unique(clips.speakers, return_inverse=True)
    with h5py.File(unfinished, "w") as file:
        file.attrs[MARK] = f"{NAME}: not the Spiking Heidelberg Digits, but made by imssa_lab of: {LICENCE}"
        times = file.create_dataset("spikes/times", (count,), dtype=h5py.vlen_dtype(np.float16))
        units = file.create_dataset("spikes/units", (count,), dtype=h5py.vlen_dtype(np.uint16))
        for row, (first, second) in enumerate(pairs.clips):
            times[row] = np.concatenate([events[first][0], events[second][0] + _SECONDS]).astype(np.float16)
            units[row] = np.concatenate([events[first][1], events[second][1]]).astype(np.uint16)
        file["labels"] = pairs.classes.astype(np.uint16)
        file["extra/speaker"] = speakers[pairs.clips[:, 0]].astype(np.uint16)
        file["extra/keys"] = np.array(LABELS, dtype="S")
        file["extra/speakers"] = voices.astype("S")
        file["extra/clips"] = pairs.clips
    os.replace(unfinished, path)


def _clips_of(path: Path) -> NDArray[np.int64]:
    """The clips (n, 2) of every recording of a file."""
    import h5py

    with h5py.File(path, "r") as file:
        if MARK not in file.attrs or "extra/clips" not in file:
            raise DataError(f"{path}: not a file of the stand-in {NAME}; remove it, it is made again")
        return np.asarray(file["extra/clips"][...], dtype=np.int64)
