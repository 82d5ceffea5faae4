"""Log-mel against scipy's short-time transform, tones and silence."""

import numpy as np
import pytest
import scipy.signal

from imssa_lab.contract.errors import ConfigError
from imssa_lab.s4d.frontend import LogMel, fit_length

FRAMES_100 = LogMel(8000, steps=100, window=200, hop=80, fft=256)
FRAMES_50 = LogMel(8000, steps=50, window=256, hop=160, fft=256)


def tone(frequency: float, samples: int = 8000, rate: int = 8000) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(samples) / rate).astype(np.float32)


def hz_of_mel(mel: np.ndarray) -> np.ndarray:
    return 700 * (10 ** (mel / 2595) - 1)


def independent(clip: np.ndarray, window: int, hop: int, steps: int) -> np.ndarray:
    """Features (steps, 16) by `scipy.signal.stft` and triangles drawn through their corners."""
    padded = np.pad(clip.astype(np.float64), (0, (steps - 1) * hop + window - len(clip)))
    frequencies, _, spectrum = scipy.signal.stft(
        padded, 8000, "hann", window, window - hop, nfft=256, boundary=None, padded=False
    )
    spectrum = spectrum * scipy.signal.get_window("hann", window).sum()
    corners = hz_of_mel(np.linspace(2595 * np.log10(1 + 60 / 700), 2595 * np.log10(1 + 3900 / 700), 18))
    bands = [np.interp(frequencies, corners[band : band + 3], [0, 1, 0]) for band in range(16)]
    return np.asarray(np.log(np.abs(spectrum.T) ** 2 @ np.transpose(bands) + 1e-3))


@pytest.mark.parametrize(("frames", "window", "hop"), [(FRAMES_100, 200, 80), (FRAMES_50, 256, 160)])
def test_agrees_with_an_independent_computation(frames: LogMel, window: int, hop: int) -> None:
    rng = np.random.default_rng(0)
    clips = fit_length([rng.standard_normal(length).astype(np.float32) for length in (3000, 8000, 12000)], 8000)
    features = frames(clips)
    assert features.shape == (3, frames.steps, 16)
    assert features.dtype == np.float32
    for clip, ours in zip(clips, features, strict=True):
        assert np.allclose(ours, independent(clip, window, hop, frames.steps), atol=2e-4)
        shifted = independent(np.roll(clip, hop // 2), window, hop, frames.steps)
        assert not np.allclose(ours, shifted, atol=0.1), "the comparison would notice frames half a hop off"


def test_a_tone_is_loudest_in_the_band_centred_on_it() -> None:
    for band, centre in enumerate(FRAMES_100.centres):
        features = FRAMES_100(tone(centre)[None])[0]
        assert (features[:98].argmax(axis=1) == band).all()


def test_power_of_a_tone_in_its_bin() -> None:
    """A tone on bin 32 (1 kHz) has |X| = sum of the window / 2 there, and half of it in each neighbour."""
    weight = FRAMES_50.filters()[:, [31, 32, 33]] @ np.array([0.25, 1, 0.25])
    expected = np.log((256 / 2 / 2) ** 2 * weight + 1e-3)
    assert np.allclose(FRAMES_50(tone(1000)[None])[0, 10], expected, atol=1e-3)


def test_silence_is_the_floor() -> None:
    assert np.allclose(FRAMES_50(np.zeros((2, 8000), dtype=np.float32)), np.log(1e-3))


def test_clips_do_not_mix() -> None:
    """More clips than are computed at a time give what each gives alone."""
    clips = np.random.default_rng(1).standard_normal((150, 8000)).astype(np.float32)
    together = FRAMES_50(clips)
    for index in (0, 127, 128, 149):
        assert np.allclose(together[index], FRAMES_50(clips[index : index + 1])[0], atol=1e-5)


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="window must fit"):
        LogMel(8000, steps=10, window=300, hop=80, fft=256)
    with pytest.raises(ConfigError, match="4000 Hz"):
        LogMel(8000, steps=10, window=200, hop=80, fft=256, high=4500)
    with pytest.raises(ConfigError, match="fewer bands"):
        LogMel(8000, steps=10, window=200, hop=80, fft=256, bands=200)
    with pytest.raises(ConfigError, match="8120 samples"):
        FRAMES_100(np.zeros((1, 9000), dtype=np.float32))
    with pytest.raises(ConfigError, match="8120 samples"):
        FRAMES_100(np.zeros((1, 4000), dtype=np.float32))


def test_fit_length_divides_by_the_peak_and_pads() -> None:
    fitted = fit_length([np.array([0.1, -0.5], dtype=np.float32), np.zeros(3, dtype=np.float32)], 4)
    assert np.allclose(fitted, [[0.2, -1, 0, 0], [0, 0, 0, 0]])
    late_peak = np.array([0.1, 0.2, 0.3, 0.4, 0.8], dtype=np.float32)
    assert np.allclose(fit_length([late_peak], 2), [[0.125, 0.25]]), "the peak is that of the whole clip"
