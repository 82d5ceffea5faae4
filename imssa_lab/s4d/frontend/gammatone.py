"""A bank of gammatone filters, the usual model of the frequency analysis in the inner ear."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.signal
from numpy.typing import ArrayLike, NDArray

from imssa_lab.contract.errors import ConfigError


def erb_number(frequency: ArrayLike) -> NDArray[np.float64]:
    """Place of a frequency (Hz) on the scale whose unit is one auditory filter's bandwidth.

    21.4 log10(4.37 f / kHz + 1): Glasberg and Moore, Hearing Research 47:103 (1990), equation 4.
    """
    return np.asarray(21.4 * np.log10(1 + 4.37e-3 * np.asarray(frequency, dtype=np.float64)))


def erb_bandwidth(frequency: ArrayLike) -> NDArray[np.float64]:
    """Equivalent rectangular bandwidth of the auditory filter at a frequency, both in Hz.

    24.7 (4.37 f / kHz + 1): Glasberg and Moore, Hearing Research 47:103 (1990), equation 3.
    """
    return np.asarray(24.7 * (1 + 4.37e-3 * np.asarray(frequency, dtype=np.float64)))


@dataclass(frozen=True)
class GammatoneBank:
    """Fourth-order gammatone filters whose centres are evenly spaced in bandwidths, each of gain 1 at its centre.

    The filters are scipy's `signal.gammatone` (M. Slaney, Apple technical report 35, 1993).

    Attributes:
        sample_rate: Hz; channels: filters, low to high; low, high: centre of the first and of the last, Hz.

    Raises:
        ConfigError: fewer than two channels, or centres that the sample rate cannot hold.
    """

    sample_rate: int
    channels: int
    low: float
    high: float

    def __post_init__(self) -> None:
        if self.channels < 2:
            raise ConfigError(f"gammatone: {self.channels} channels; needed are two or more")
        if not 0 < self.low < self.high < self.sample_rate / 2:
            raise ConfigError(
                f"gammatone: centres from {self.low:g} to {self.high:g} Hz; at {self.sample_rate} Hz they must lie "
                f"between 0 and {self.sample_rate / 2:g} Hz"
            )

    @cached_property
    def centres(self) -> NDArray[np.float64]:
        """Centre frequency of every filter, Hz, (channels,)."""
        numbers = np.linspace(erb_number(self.low), erb_number(self.high), self.channels)
        return np.asarray((10 ** (numbers / 21.4) - 1) / 4.37e-3, dtype=np.float64)

    @cached_property
    def coefficients(self) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Numerator and denominator of every filter."""
        return [scipy.signal.gammatone(centre, "iir", fs=self.sample_rate) for centre in self.centres]

    def __call__(self, clips: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs (clips, channels, samples) for clips (clips, samples)."""
        outputs = np.empty((len(clips), self.channels, clips.shape[1]), dtype=np.float32)
        for channel, (numerator, denominator) in enumerate(self.coefficients):
            outputs[:, channel] = scipy.signal.lfilter(numerator, denominator, clips.astype(np.float64), axis=1)
        return outputs
