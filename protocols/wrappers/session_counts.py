"""`Counts`: the operations of a session in numbers; `Tally`: an array that counts all its calls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Protocol

import numpy as np

from imssa_lab.contract.hal import (
    BoolArray,
    CrossbarArray,
    Durations,
    FloatArray,
    ProgrammingReport,
    PulseKind,
    Pulses,
    Readout,
)
from imssa_lab.contract.wrapper import Wrapper
from imssa_lab.log.write.record_sizes import RecordSizes

NEAR = 0.3
"""Part of what is found then by which a forecast may miss it."""


@dataclass
class Counts:
    """What is asked for.

    `pulses` over all `cells` that get any; `waited` and `widths` (all pulses together) in s; `log_bytes` that the
    records of all of it take.
    """

    cells: int = 0
    pulses: int = 0
    widths: float = 0.0
    cell_reads: int = 0
    products: int = 0
    waited: float = 0.0
    log_bytes: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    @classmethod
    def forecast(cls, sessions: Sequence[Counts]) -> Counts:
        """Of each count the figure that is `NEAR` most of these sessions, one or more; see `_near_most`."""
        found: dict[str, Any] = {}
        for name in cls.__dataclass_fields__:
            middle = _near_most([getattr(each, name) for each in sessions])
            found[name] = middle if name in ("widths", "waited") else round(middle)
        return cls(**found)

    def seconds(self, durations: Durations | None) -> float:
        """Device time in s; NaN if the driver does not state how long operations take."""
        if durations is None:
            return math.nan
        return (
            self.cell_reads * durations.cell_read
            + self.products * durations.product
            + self.pulses * durations.pulse
            + (self.widths if durations.widths else 0.0)
            + self.waited
        )


def are_near(forecast: float, found: Sequence[float]) -> int:
    """From how many of what was found a forecast differs by at most `NEAR` of it."""
    return sum(abs(forecast - each) <= NEAR * each for each in found)


def _near_most(found: Sequence[float]) -> float:
    """The middle of the figures that are near most of what was found, by which others are most likely to be near.

    Chips that need no repair lie close together at the low end, those that do far apart above it. The median is then
    so low that a chip with a moderate repair is missed. Where several such ranges are near equally many, the one
    about the median is taken.
    """
    ends = []
    for least in sorted((1.0 - NEAR) * each for each in found):
        most = [(1.0 + NEAR) * each for each in found if (1.0 - NEAR) * each <= least <= (1.0 + NEAR) * each]
        ends.append((len(most), 0.5 * (least + min(most))))
    best = max(count for count, _ in ends)
    return min((middle for count, middle in ends if count == best), key=lambda each: abs(each - median(found)))


class _Driven(Protocol):
    """What knows the strongest pulses, V and gate V by kind."""

    @property
    def strongest(self) -> dict[PulseKind, tuple[float, float]]: ...


def strongest_of(parts: Sequence[_Driven]) -> dict[PulseKind, tuple[float, float]]:
    """V and gate V of the strongest pulses of all parts, by kind."""
    return {
        kind: (max(part.strongest[kind][0] for part in having), max(part.strongest[kind][1] for part in having))
        for kind in PulseKind
        if (having := [part for part in parts if kind in part.strongest])
    }


def with_peaks(
    strongest: dict[PulseKind, tuple[float, float]], pulses: Pulses
) -> dict[PulseKind, tuple[float, float]]:
    """The same, `pulses` included."""
    before = strongest.get(pulses.kind, (0.0, 0.0))
    peaks = (float(np.max(values, where=pulses.mask, initial=0.0)) for values in (pulses.voltage, pulses.gate))
    voltage, gate = (max(pair) for pair in zip(before, peaks, strict=True))
    return {**strongest, pulses.kind: (voltage, gate)}


class Tally(Wrapper):
    """The contract of `array`; counts all calls.

    Attributes:
        counts: what was asked for so far.
        strongest: V and gate V of the strongest pulses, by kind; drive: V, the highest on a word line while reading.
    """

    def __init__(self, array: CrossbarArray) -> None:
        super().__init__(array)
        self.counts = Counts()
        self.strongest: dict[PulseKind, tuple[float, float]] = {}
        self.drive = 0.0
        self._sizes = RecordSizes(array.info)
        self._pulsed = np.zeros(array.info.shape, dtype=np.bool_)

    def _after_products(self, voltages: FloatArray, readout: Readout) -> None:
        self.counts += Counts(products=len(voltages), log_bytes=self._sizes.products(voltages))
        self.drive = max(self.drive, float(np.abs(voltages).max(initial=0.0)))

    def _after_cells(self, mask: BoolArray, averages: int, readout: Readout) -> None:
        cells = int(np.count_nonzero(mask))
        self.counts += Counts(cell_reads=averages * cells, log_bytes=self._sizes.cell_reads(cells, averages))

    def _after_pulses(self, pulses: Pulses) -> None:
        self.strongest = with_peaks(self.strongest, pulses)
        count = int(np.count_nonzero(pulses.mask))
        new = int(np.count_nonzero(pulses.mask & ~self._pulsed))
        self._pulsed |= pulses.mask
        self.counts += Counts(new, count, count * pulses.width, log_bytes=self._sizes.pulses(count))

    def _after_wait(self, seconds: float) -> None:
        self.counts += Counts(waited=seconds)

    def _after_programming(self, report: ProgrammingReport) -> None:
        self.counts += Counts(log_bytes=self._sizes.programming(int(np.count_nonzero(report.selected))))
