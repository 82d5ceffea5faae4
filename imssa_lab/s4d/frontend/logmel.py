"""Log-mel spectrograms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.signal
from numpy.typing import NDArray

from imssa_lab.contract.errors import ConfigError

_CHUNK = 128
"""Clips at a time, so that a large set takes no more memory than a small one."""


@dataclass(frozen=True)
class LogMel:
    """ln(P + floor) of the power P in triangular bands, equally wide on the mel scale, in Hann frames.

    Frame k begins at sample k * hop; what lies behind the clip's end is zero. Bands rise from their lower neighbour's
    centre to one at their own and fall to zero at their upper neighbour's. P is the squared magnitude of the
    transform, not divided by anything. mel = 2595 log10(1 + f / 700) (O'Shaughnessy, Speech Communication, 1987).

    Attributes:
        sample_rate: Hz; steps: frames of a clip; window, hop: samples; fft: points of the transform.
        bands: how many; low, high: lower edge of the first and upper edge of the last band, Hz.
        floor: power that counts as silence.

    Raises:
        ConfigError: a window longer than the transform, bands beyond half the sample rate or too narrow for it.
    """

    sample_rate: int
    steps: int
    window: int
    hop: int
    fft: int
    bands: int = 16
    low: float = 60.0
    high: float = 3900.0
    floor: float = 1e-3

    def __post_init__(self) -> None:
        if min(self.sample_rate, self.steps, self.window, self.hop, self.bands) < 1 or self.window > self.fft:
            raise ConfigError(
                f"log-mel: a window of {self.window} samples every {self.hop}, {self.steps} times, with {self.bands} "
                f"bands and a transform of {self.fft} points cannot be; the window must fit the transform"
            )
        if not 0 <= self.low < self.high <= self.sample_rate / 2:
            raise ConfigError(
                f"log-mel: bands from {self.low:g} to {self.high:g} Hz; at {self.sample_rate} Hz they must lie "
                f"between 0 and {self.sample_rate / 2:g} Hz"
            )
        if not self.filters().any(axis=1).all():
            raise ConfigError(
                f"log-mel: {self.bands} bands from {self.low:g} Hz are narrower than the {self.fft}-point transform "
                "resolves; use fewer bands or a longer transform"
            )

    @property
    def centres(self) -> NDArray[np.float64]:
        """Centre frequency of every band, Hz, (bands,)."""
        return self._edges()[1:-1]

    @property
    def step_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop

    def filters(self) -> NDArray[np.float64]:
        """Weight of every bin of the transform in every band, (bands, fft // 2 + 1)."""
        frequencies = np.arange(self.fft // 2 + 1) * self.sample_rate / self.fft
        edges = self._edges()
        below, centre, above = edges[:-2, None], edges[1:-1, None], edges[2:, None]
        rising, falling = (frequencies - below) / (centre - below), (above - frequencies) / (above - centre)
        return np.maximum(0.0, np.minimum(rising, falling))

    def __call__(self, clips: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features (clips, steps, bands) of clips (clips, samples).

        Raises:
            ConfigError: a frame would begin behind the clips' end, or samples would be left over after the last.
        """
        needed = (self.steps - 1) * self.hop + self.window
        length = clips.shape[1]
        if not (self.steps - 1) * self.hop < length <= needed:
            raise ConfigError(
                f"log-mel: {self.steps} frames cover {needed} samples, the clips have {length}; change the number of "
                "steps, the hop or the length of the clips"
            )
        padded = np.pad(clips, ((0, 0), (0, needed - length)))
        taper = scipy.signal.get_window("hann", self.window).astype(np.float32)
        weights = self.filters().T.astype(np.float32)
        features = np.empty((len(clips), self.steps, self.bands), dtype=np.float32)
        for start in range(0, len(clips), _CHUNK):
            frames = np.lib.stride_tricks.sliding_window_view(padded[start : start + _CHUNK], self.window, axis=1)
            spectrum = scipy.fft.rfft(frames[:, :: self.hop] * taper, self.fft, axis=2)
            power = spectrum.real**2 + spectrum.imag**2
            features[start : start + _CHUNK] = np.log(power @ weights + np.float32(self.floor))
        return features

    def _edges(self) -> NDArray[np.float64]:
        low, high = (2595 * np.log10(1 + f / 700) for f in (self.low, self.high))
        return np.asarray(700 * (10 ** (np.linspace(low, high, self.bands + 2) / 2595) - 1), dtype=np.float64)
