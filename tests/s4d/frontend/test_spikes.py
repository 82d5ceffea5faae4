"""The spike encoder: silence, level, place, and the neuron's firing rate in closed form."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import pytest

from imssa_lab.contract.errors import ConfigError
from imssa_lab.s4d.frontend import GammatoneBank, SpikeEncoder, erb_number

BANK = GammatoneBank(8000, 16, 100.0, 3600.0)
ENCODER = SpikeEncoder(BANK)


def tone(frequency: float, level: float = 1.0, samples: int = 4000) -> np.ndarray:
    return (level * np.sin(2 * np.pi * frequency * np.arange(samples) / 8000)).astype(np.float32)


@dataclass(frozen=True)
class OpenEar:
    """A bank that passes everything to one channel."""

    sample_rate: int = 100_000
    channels: int = 1

    def __call__(self, clips: np.ndarray) -> np.ndarray:
        return clips[:, None].copy()


def test_firing_rate_for_a_constant_current() -> None:
    """Interval = refractory time + tau ln(I / (I - 1)); none up to I = 1 (Lapicque 1907)."""
    encoder = SpikeEncoder(cast("GammatoneBank", OpenEar()), exponent=1.0, gain=1.0)
    for current in (1.5, 3.0, 8.0):
        times, units = encoder.events(np.full(20_000, current, dtype=np.float32))
        interval = 2e-3 + 10e-3 * np.log(current / (current - 1))
        assert np.diff(times).mean() == pytest.approx(interval, rel=0.02)
        assert np.ptp(np.diff(times)) < 3e-5
        assert not units.any()
    assert encoder.events(np.full(20_000, 0.99, dtype=np.float32))[0].size == 0


def test_compression_of_the_current() -> None:
    """With exponent 0.5 and gain 2, an output of 4 drives as a current of 4."""
    compressed = SpikeEncoder(cast("GammatoneBank", OpenEar()), exponent=0.5, gain=2.0)
    plain = SpikeEncoder(cast("GammatoneBank", OpenEar()), exponent=1.0, gain=1.0)
    four = np.full(20_000, 4.0, dtype=np.float32)
    assert np.array_equal(compressed.events(four)[0], plain.events(four)[0])
    assert plain.events(-four)[0].size == 0, "hair cells answer to one direction"


def test_silence_gives_no_spikes() -> None:
    silence = np.zeros(4000, dtype=np.float32)
    assert ENCODER.events(silence)[0].size == 0
    assert not ENCODER.counts(silence[None], 100).any()


def test_spikes_grow_with_level() -> None:
    levels = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
    counts = [ENCODER.counts(tone(1000, level)[None], 100).sum() for level in levels]
    assert counts[0] == 0, "50 dB below full scale is below the neurons' threshold"
    assert (np.diff(counts[1:]) > 0).all()
    loudest = ENCODER.counts(tone(1000)[None], 1)[0, 0]
    assert loudest.max() <= 0.5 / 2e-3, "nobody fires faster than the refractory time allows"


def test_a_tone_makes_the_nearest_channel_fire_most() -> None:
    for frequency in (150, 440, 1000, 2000, 3000):
        counts = ENCODER.counts(tone(frequency, 0.1)[None], 1)[0, 0]
        nearest = np.abs(erb_number(BANK.centres) - erb_number(frequency)).argmin()
        assert counts[nearest] == counts.max() > 0
        assert abs(int(counts.argmax()) - int(nearest)) <= 1
        far = np.abs(erb_number(BANK.centres) - erb_number(frequency)) > 6
        assert counts[far].max() < counts.max() / 2


def test_events_and_counts_tell_the_same() -> None:
    rng = np.random.default_rng(0)
    clips = rng.uniform(-1, 1, (70, 800)).astype(np.float32)
    counts = ENCODER.counts(clips, 10)
    assert counts.shape == (70, 10, 16)
    for index in (0, 63, 64, 69):
        times, units = ENCODER.events(clips[index])
        assert (np.diff(times) >= 0).all()
        binned, _, _ = np.histogram2d(times, units, bins=(np.arange(11) * 0.01 - 1e-6, np.arange(17) - 0.5))
        assert np.array_equal(counts[index], binned)


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="equal steps"):
        ENCODER.counts(np.zeros((1, 801), dtype=np.float32), 100)
    for wrong in ({"exponent": 0.0}, {"exponent": 1.5}, {"gain": 0.0}, {"tau": 0.0}, {"refractory": -1.0}):
        with pytest.raises(ConfigError, match="spike encoder"):
            SpikeEncoder(BANK, **wrong)
