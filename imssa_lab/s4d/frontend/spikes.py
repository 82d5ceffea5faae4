"""A cochlea that turns sound into spikes: gammatone filters, hair cells, integrate-and-fire neurons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.errors import ConfigError
from imssa_lab.s4d.frontend.gammatone import GammatoneBank

Events = tuple[NDArray[np.float64], NDArray[np.int64]]
_CHUNK = 64
"""Clips at a time: 64 clips of a second at 8 kHz in 32 channels take 65 MB."""


@dataclass(frozen=True)
class SpikeEncoder:
    """One leaky integrate-and-fire neuron behind every filter of a bank.

    The filter's output is rectified, as hair cells do, and compressed to gain * output^exponent. This current drives
    tau dv/dt = current - v; at v = 1 the neuron fires, v returns to 0 and rests for the refractory time. The model is
    simpler than the one that made the Spiking Heidelberg Digits (Cramer et al., IEEE TNNLS 33:2744, 2022); its output
    is of the same kind.

    Attributes:
        bank: the filters; exponent: of the compression, above 0 to 1; gain: current of an output of 1.
        tau: membrane time constant, s; refractory: s.

    Raises:
        ConfigError: an exponent, gain or time that cannot be.
    """

    bank: GammatoneBank
    exponent: float = 0.4
    gain: float = 12.0
    tau: float = 10e-3
    refractory: float = 2e-3

    def __post_init__(self) -> None:
        if not (0 < self.exponent <= 1 and self.gain > 0 and self.tau > 0 and self.refractory >= 0):
            raise ConfigError(
                f"spike encoder: exponent {self.exponent:g} must lie above 0 and up to 1, gain {self.gain:g} and tau "
                f"{self.tau:g} s above 0, the refractory time {self.refractory:g} s not below 0"
            )

    def events(self, clip: NDArray[np.float32]) -> Events:
        """Spikes of one clip (samples,): times in s, ascending, and channel numbers."""
        times: list[NDArray[np.float64]] = []
        units: list[NDArray[np.int64]] = []
        for sample, fired in self._run(clip[None]):
            channels = np.flatnonzero(fired[0])
            times.append(np.full(len(channels), sample / self.bank.sample_rate))
            units.append(channels)
        return np.concatenate(times), np.concatenate(units)

    def events_of_each(self, clips: NDArray[np.float32]) -> list[Events]:
        """As `events`, of clips (n, samples) that are run together: some at a time, as many as memory should hold."""
        samples: list[NDArray[np.int64]] = []
        whose: list[NDArray[np.int64]] = []
        where: list[NDArray[np.int64]] = []
        for sample, fired in self._run(clips):
            clip, channel = np.nonzero(fired)
            samples.append(np.full(len(clip), sample))
            whose.append(clip)
            where.append(channel)
        times, clip, channel = np.concatenate(samples) / self.bank.sample_rate, *map(np.concatenate, (whose, where))
        return [(times[clip == number], channel[clip == number]) for number in range(len(clips))]

    def counts(self, clips: NDArray[np.float32], steps: int) -> NDArray[np.float32]:
        """Spikes per step and channel, (clips, steps, channels), of clips (clips, samples) cut into equal steps.

        Raises:
            ConfigError: steps do not divide the samples.
        """
        length = clips.shape[1]
        if steps < 1 or length % steps:
            raise ConfigError(f"spike encoder: {length} samples cannot be cut into {steps} equal steps")
        counts = np.zeros((len(clips), steps, self.bank.channels), dtype=np.float32)
        for start in range(0, len(clips), _CHUNK):
            part = counts[start : start + _CHUNK]
            for sample, fired in self._run(clips[start : start + _CHUNK]):
                part[:, sample * steps // length] += fired
        return counts

    def _run(self, clips: NDArray[np.float32]) -> Iterator[tuple[int, NDArray[np.bool_]]]:
        """Sample number and who fired, (clips, channels), sample by sample."""
        current = np.maximum(self.bank(clips), 0.0)
        np.power(current, self.exponent, out=current)
        # One sample of the exact solution for a current that stays constant over the sample.
        keep = np.float32(np.exp(-1 / (self.tau * self.bank.sample_rate)))
        current *= np.float32(self.gain) * (1 - keep)
        drive = np.ascontiguousarray(np.moveaxis(current, 2, 0))
        rest = round(self.refractory * self.bank.sample_rate)
        voltage = np.zeros(drive.shape[1:], dtype=np.float32)
        awake_at = np.zeros(drive.shape[1:], dtype=np.int32)
        for sample, step in enumerate(drive):
            voltage *= keep
            voltage += step
            voltage[awake_at > sample] = 0
            fired = voltage >= 1
            voltage[fired] = 0
            awake_at[fired] = sample + 1 + rest
            yield sample, fired
