"""The filter bank against Glasberg and Moore (1990) and the definition of an equivalent rectangular bandwidth."""

import numpy as np
import pytest
import scipy.signal

from imssa_lab.contract.errors import ConfigError
from imssa_lab.s4d.frontend import GammatoneBank, erb_bandwidth, erb_number

BANK = GammatoneBank(8000, 16, 100.0, 3600.0)


def response(channel: int, frequencies: np.ndarray) -> np.ndarray:
    """Magnitude of a filter, from its impulse response rather than its coefficients."""
    impulse = np.zeros((1, 16000), dtype=np.float32)
    impulse[0, 0] = 1
    spectrum = np.abs(np.fft.rfft(BANK(impulse)[0, channel]))
    return np.asarray(np.interp(frequencies, np.fft.rfftfreq(16000, 1 / 8000), spectrum))


def test_published_values() -> None:
    assert erb_bandwidth(1000) == pytest.approx(132.6, abs=0.1)
    assert erb_bandwidth(100) == pytest.approx(35.5, abs=0.1)
    assert erb_number(1000) == pytest.approx(15.6, abs=0.05)
    assert erb_number(0) == 0


def test_the_scale_counts_bandwidths() -> None:
    frequencies = np.linspace(100, 6000, 50)
    slope = (erb_number(frequencies + 0.5) - erb_number(frequencies - 0.5)) * erb_bandwidth(frequencies)
    assert np.allclose(slope, 1, rtol=0.005)


def test_centres_are_evenly_spaced_on_the_scale() -> None:
    assert BANK.centres[[0, -1]] == pytest.approx([100, 3600])
    assert np.allclose(np.diff(erb_number(BANK.centres)), (erb_number(3600) - erb_number(100)) / 15)


def test_gain_and_bandwidth_of_every_filter() -> None:
    frequencies = np.arange(1.0, 4000.0)
    for channel, centre in enumerate(BANK.centres):
        magnitude = response(channel, frequencies)
        assert np.interp(centre, frequencies, magnitude) == pytest.approx(1, abs=0.02)
        if centre + 2 * erb_bandwidth(centre) < 4000:
            assert np.sum(magnitude**2) == pytest.approx(erb_bandwidth(centre), rel=0.06)


def test_a_tone_excites_the_nearest_channel_most() -> None:
    rng = np.random.default_rng(0)
    edges = np.sqrt(BANK.centres[1:] * BANK.centres[:-1])
    for frequency in rng.uniform(120, 3400, 25):
        if np.abs(frequency / edges - 1).min() < 0.03:
            continue  # halfway between two centres either may win
        tone = np.sin(2 * np.pi * frequency * np.arange(4000) / 8000).astype(np.float32)
        power = np.mean(BANK(tone[None])[0, :, 1000:] ** 2, axis=1)
        nearest = np.abs(erb_number(BANK.centres) - erb_number(frequency)).argmin()
        assert power.argmax() == nearest


def test_two_tones_add_up() -> None:
    """Linear, and clips do not mix."""
    clips = np.random.default_rng(1).standard_normal((2, 800)).astype(np.float32)
    outputs = BANK(clips)
    assert np.allclose(BANK(clips.sum(axis=0, keepdims=True))[0], outputs.sum(axis=0), atol=1e-5)
    numerator, denominator = scipy.signal.gammatone(BANK.centres[3], "iir", fs=8000)
    assert np.allclose(outputs[1, 3], scipy.signal.lfilter(numerator, denominator, clips[1]), atol=1e-5)


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="two or more"):
        GammatoneBank(8000, 1, 100, 3600)
    for low, high in ((0, 3600), (200, 100), (100, 4000)):
        with pytest.raises(ConfigError, match="between 0 and 4000"):
            GammatoneBank(8000, 16, low, high)
