"""Tasks made of the Free Spoken Digit Dataset.

Recordings 0-4 of every speaker and digit are for testing, as its authors have it; 5-9 validate, 10-49 train. Clips
are split before anything is combined.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from imssa_lab.contract.errors import ConfigError
from imssa_lab.s4d.frontend.gammatone import GammatoneBank
from imssa_lab.s4d.frontend.logmel import LogMel
from imssa_lab.s4d.frontend.spikes import SpikeEncoder
from imssa_lab.s4d.frontend.wav import fit_length
from imssa_lab.s4d.tasks.fsdd_clips import DIGITS, SAMPLE_RATE, Clips, read_clips
from imssa_lab.s4d.tasks.input_scaling import Scaling, standardised, unit_deviation
from imssa_lab.s4d.tasks.task import Augmentation, Inputs, NullControl, Split, Task

LICENCE = (
    "Free Spoken Digit Dataset, Z. Jackson and others, github.com/Jakobovski/free-spoken-digit-dataset, CC BY-SA 4.0"
)
_SECOND = SAMPLE_RATE
"""Samples of a framed clip."""
_FRAMES_50 = LogMel(SAMPLE_RATE, steps=50, window=256, hop=160, fft=256)
_FRAMES_100 = LogMel(SAMPLE_RATE, steps=100, window=200, hop=80, fft=256)
_LOG_MEL = "16 log-mel bands 60-3900 Hz, standardised per band by the training set"
_LOG_MEL_AUGMENTATION = Augmentation(shift_steps=(-5, 15), noise=0.15)
_DECIMATION = 4
_EVENT_STEPS = 100
_MEMORYLESS = "same net with C frozen at zero, trained on its own"
_NO_PROOF = "a good score proves no memory; setting C to zero in the trained net shows whether its kernels are used"


def fsdd_order(
    seed: int,
    pairs_train: int = 2000,
    pairs_validation: int = 300,
    pairs_test: int = 300,
    speaker: str | None = None,
    data: Path | str | None = None,
) -> Task:
    """A "zero" and a "one", 50 steps each, one after the other; name what came first. 100 steps, 16 inputs.

    Args:
        seed: of the pairs.
        pairs_train, pairs_validation, pairs_test: how many, drawn with replacement.
        speaker: who is left out of train and validation and heard alone in test.
        data: folder that holds fsdd/; None for the one `data_root` finds.

    Raises:
        ConfigError: a split would be empty, or no such speaker.
        DataError: recordings are missing or damaged.
    """
    clips = read_clips(data, speaker, digits=(0, 1))
    return _pair_task(
        "fsdd-order",
        clips,
        seed,
        (pairs_train, pairs_validation, pairs_test),
        ("zero first", "one first"),
        NullControl(_MEMORYLESS, 0.463, "16 channels, 1 layer, one seed; chance 0.5"),
    )


def fsdd_first10(
    seed: int,
    pairs_train: int = 4000,
    pairs_validation: int = 600,
    pairs_test: int = 600,
    speaker: str | None = None,
    data: Path | str | None = None,
) -> Task:
    """Two different digits, 50 steps each, one after the other; name the first. 100 steps, 16 inputs.

    Arguments and errors as for `fsdd_order`.
    """
    return _pair_task(
        "fsdd-first10",
        read_clips(data, speaker),
        seed,
        (pairs_train, pairs_validation, pairs_test),
        _names(DIGITS),
        NullControl(_MEMORYLESS, 0.478, "32 channels, 2 layers, one seed; chance 0.1"),
    )


def fsdd_t10(seed: int, speaker: str | None = None, data: Path | str | None = None) -> Task:
    """One digit of ten. 100 steps, 16 inputs.

    Args:
        seed: changes nothing: every clip is used once, in the order of the file names.
        speaker: who is left out of train and validation and heard alone in test.
        data: folder that holds fsdd/; None for the one `data_root` finds.

    Raises:
        ConfigError: no such speaker.
        DataError: recordings are missing or damaged.
    """
    clips = read_clips(data, speaker)
    return _clip_task(
        "fsdd-t10",
        clips,
        _FRAMES_100(fit_length(clips.samples, _SECOND)),
        standardised,
        f"clip divided by its peak, 1 s at 8 kHz, 25 ms Hann frames every 10 ms, {_LOG_MEL}",
        _LOG_MEL_AUGMENTATION,
        _FRAMES_100.step_rate,
        NullControl(_MEMORYLESS, 0.983, f"32 channels, 2 layers, one seed: {_NO_PROOF}"),
    )


def fsdd_t2_raw(seed: int, speaker: str | None = None, data: Path | str | None = None) -> Task:
    """A "zero" or a "one" as waveform at 2 kHz. 2,000 steps, one input.

    Arguments and errors as for `fsdd_t10`.
    """
    clips = read_clips(data, speaker, digits=(0, 1))
    raw = scipy.signal.resample_poly(fit_length(clips.samples, _SECOND), 1, _DECIMATION, axis=1)
    steps = raw.shape[1]
    return _clip_task(
        "fsdd-t2-raw",
        clips,
        raw[:, :, None].astype(np.float32),
        unit_deviation,
        "clip divided by its peak, 1 s at 8 kHz, decimated to 2 kHz, divided by the training set's deviation",
        Augmentation(shift_steps=(-(steps // 8), steps // 8), gain=(0.7, 1.3)),
        SAMPLE_RATE / _DECIMATION,
        NullControl(_MEMORYLESS, 0.833, f"8 channels of 2 states, one seed: {_NO_PROOF}"),
    )


def fsdd_events(
    seed: int,
    digits: Sequence[int] = DIGITS,
    channels: int = 32,
    speaker: str | None = None,
    data: Path | str | None = None,
) -> Task:
    """One of some digits as spikes of a model cochlea, counted every 10 ms. 100 steps, one input per channel.

    Args:
        seed: changes nothing: every clip is used once, in the order of the file names.
        digits: two or more to distinguish.
        channels: of the cochlea, 100 to 3,600 Hz.
        speaker, data: as for `fsdd_t10`.

    Raises:
        ConfigError: fewer than two digits, too few channels, or no such speaker.
        DataError: recordings are missing or damaged.
    """
    clips = read_clips(data, speaker, digits)
    encoder = SpikeEncoder(GammatoneBank(SAMPLE_RATE, channels, 100.0, 3600.0))
    return _clip_task(
        "fsdd-events",
        clips,
        encoder.counts(fit_length(clips.samples, _SECOND), _EVENT_STEPS),
        unit_deviation,
        f"clip divided by its peak, 1 s at 8 kHz, {channels} gammatone channels 100-3600 Hz, integrate-and-fire, "
        "spikes per 10 ms, divided by the training set's deviation",
        Augmentation(shift_steps=(-5, 15)),
        _EVENT_STEPS * SAMPLE_RATE / _SECOND,
        NullControl(_MEMORYLESS, None, f"not measured; as one digit alone it must be expected high: {_NO_PROOF}"),
    )


def _clip_task(
    name: str,
    clips: Clips,
    inputs: Inputs,
    scale: Scaling,
    preprocessing: str,
    augmentation: Augmentation,
    step_rate: float,
    null_control: NullControl,
) -> Task:
    """One clip a sequence; the class is its digit, counted among those present."""
    present = np.unique(clips.digits)
    classes = np.searchsorted(present, clips.digits).astype(np.int64)
    train, validation, test = scale([(inputs[part], classes[part]) for part in clips.parts()])
    return Task(
        name,
        train,
        validation,
        test,
        _names(present.tolist()),
        preprocessing,
        LICENCE,
        augmentation=augmentation,
        step_rate=step_rate,
        null_control=null_control,
        held_out_speaker=clips.held_out,
        unit="clips",
    )


def _names(digits: Sequence[int]) -> tuple[str, ...]:
    return tuple(str(digit) for digit in digits)


def _pair_task(
    name: str,
    clips: Clips,
    seed: int,
    counts: tuple[int, int, int],
    labels: tuple[str, ...],
    null_control: NullControl,
) -> Task:
    """Two clips of different digits one after the other, 50 log-mel steps each; the class is the first digit."""
    if min(counts) < 1:
        raise ConfigError(f"{name}: every split needs a pair or more, got {', '.join(map(str, counts))}")
    features = _FRAMES_50(fit_length(clips.samples, _SECOND))
    streams = np.random.default_rng(seed).spawn(3)
    pairs = [
        part[_pairs(clips.digits[part], count, rng)]
        for part, count, rng in zip(clips.parts(), counts, streams, strict=True)
    ]
    train, validation, test = standardised([_joined(features, clips.digits, chosen) for chosen in pairs])
    return Task(
        name,
        train,
        validation,
        test,
        labels,
        f"two clips, each divided by its peak, 1 s at 8 kHz, 32 ms Hann frames every 20 ms, {_LOG_MEL}",
        LICENCE,
        augmentation=_LOG_MEL_AUGMENTATION,
        step_rate=_FRAMES_50.step_rate,
        null_control=null_control,
        held_out_speaker=clips.held_out,
        test_units=pairs[2],
        unit="clips",
    )


def _pairs(digits: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Numbers of two clips, (count, 2): as many of every first digit, then any clip of another digit."""
    present = np.unique(digits)
    first_digits = rng.permutation(np.resize(present, count))
    first, second = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
    for digit in present:
        chosen = np.flatnonzero(first_digits == digit)
        first[chosen] = rng.choice(np.flatnonzero(digits == digit), size=len(chosen))
        second[chosen] = rng.choice(np.flatnonzero(digits != digit), size=len(chosen))
    return np.stack([first, second], axis=1)


def _joined(features: NDArray[np.float32], digits: NDArray[np.int64], pairs: NDArray[np.int64]) -> Split:
    """Pairs of clips one after the other, (pairs, 2 steps, bands), and the digits of the first."""
    first, second = pairs.T
    return np.concatenate([features[first], features[second]], axis=1), digits[first]
