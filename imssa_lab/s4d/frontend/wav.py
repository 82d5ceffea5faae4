"""Mono 16-bit wav files, the only kind that the speech tasks come in."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.errors import DataError


def read_wav(path: Path, sample_rate: int) -> NDArray[np.float32]:
    """Samples of a mono 16-bit PCM file, (n,), full scale 1.

    Args:
        path: the file.
        sample_rate: what the file must have, Hz; nothing is resampled.

    Raises:
        DataError: the file is missing, damaged, cut short or empty, or has another rate, width or channel count.
    """
    try:
        with wave.open(str(path), "rb") as file:
            header = file.getparams()
            raw = file.readframes(header.nframes)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (wave.Error, EOFError, OSError) as error:
        raise DataError(f"{path}: not a readable PCM wav file ({error or 'it ends too early'})") from error
    if header.nchannels != 1:
        raise DataError(f"{path}: {header.nchannels} channels, needed is mono; mix or choose one channel first")
    if header.sampwidth != 2:
        raise DataError(f"{path}: {8 * header.sampwidth} bits a sample, needed are 16; convert the file first")
    if header.framerate != sample_rate:
        raise DataError(f"{path}: {header.framerate} Hz, needed are {sample_rate} Hz; resample the file first")
    if header.nframes == 0:
        raise DataError(f"{path}: holds no samples; remove the file or fetch it again")
    if len(raw) != 2 * header.nframes:
        raise DataError(
            f"{path}: its header promises {header.nframes} samples, {len(raw) // 2} are there; fetch the file again"
        )
    return np.frombuffer(raw, dtype="<i2").astype(np.float32) / np.float32(32768)


def fit_length(clips: Sequence[NDArray[np.float32]], length: int) -> NDArray[np.float32]:
    """Clips divided by their own peak, then cut or padded with zeros at the end: (clips, length).

    A clip of zeros stays a clip of zeros.
    """
    fitted = np.zeros((len(clips), length), dtype=np.float32)
    for row, clip in zip(fitted, clips, strict=True):
        peak = np.abs(clip).max(initial=0.0)
        part = clip[:length]
        row[: len(part)] = part / peak if peak else part
    return fitted
