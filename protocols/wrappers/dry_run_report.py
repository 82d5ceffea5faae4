"""`DryRun`: the operations, the time and the log size of a session, predicted, in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from imssa_lab.contract.hal import ArrayInfo, PulseKind
from imssa_lab.log.write.record_sizes import EMPTY
from protocols.cost.predicted_cost import InferenceCost
from protocols.wrappers.counting_array import CountingArray
from protocols.wrappers.session_counts import NEAR, Counts, Tally, are_near, strongest_of

_EVENTS = 250_000
"""Bytes of what a session notes beside its calls, such as the journal of a deployment, and of each table's start."""


@dataclass(frozen=True)
class DryRun:
    """Counts of one or several arrays of one kind.

    Attributes:
        info: of the first array; arrays: how many there are; needed: how many are used, 0 for all.
        expected, strongest, drive: see `CountingArray`; longest: as there, None where no most is known.
        twins: what a rehearsal was made on, in words; empty where there was none and the counts are those of a count.
        rehearsals: what each of them came to; `expected` is near most of them, see `Counts.forecast`.
        packed: the packing of kernels, and why, in words; packings: an inference by every packing. Empty where none
            are placed.
    """

    info: ArrayInfo
    arrays: int
    expected: Counts
    longest: Counts | None
    strongest: dict[PulseKind, tuple[float, float]] = field(default_factory=dict)
    drive: float = 0.0
    twins: str = ""
    needed: int = 0
    rehearsals: tuple[Counts, ...] = ()
    packed: str = ""
    packings: tuple[InferenceCost, ...] = ()

    @property
    def log_bytes(self) -> int:
        """Bytes of the log without those of a wire: header, events and records."""
        return EMPTY + _EVENTS + self.expected.log_bytes

    @classmethod
    def of(cls, counted: Sequence[CountingArray]) -> DryRun:
        """The counts of all of them together."""
        strongest = strongest_of(counted)
        expected = sum((c.expected for c in counted), Counts())
        longest = sum((c.longest for c in counted), Counts())
        return cls(counted[0].info, len(counted), expected, longest, strongest, max(c.drive for c in counted))

    def rehearsed(self, played: Sequence[Sequence[Tally]], words: str, *, bounded: bool) -> DryRun:
        """The same with a forecast from rehearsals, each on twins; `bounded`: what was counted is the most."""
        came_to = [sum((each.counts for each in twins), Counts()) for twins in played]
        twins = [each for some in played for each in some]
        return replace(
            self,
            expected=Counts.forecast(came_to),
            longest=self.longest if bounded else None,
            strongest=strongest_of([self, *twins]),
            drive=max(self.drive, *(each.drive for each in twins)),
            twins=words,
            rehearsals=tuple(came_to),
        )

    def facts(self) -> list[tuple[str, str]]:
        """The predicted pulses, reads and voltages, the time and the size of the log, in words."""
        info, expected, longest = self.info, self.expected, self.longest
        which = f"of {info.rows} x {info.cols}, {info.name} ({info.serial})"
        there = f"{self.needed} needed, {self.arrays} opened" if self.needed else f"{self.arrays}"
        found = [("arrays", f"{there}, {which}" if self.needed else f"{there} {which}")]
        if self.twins:
            found.append(("rehearsed on twins of", self.twins))
        cells, pulses, reads = (None,) * 3 if longest is None else (longest.cells, longest.pulses, longest.cell_reads)
        found.append(("cells that get pulses", _about(expected.cells, cells)))
        if expected.cells:
            spread = self._spread(lambda each: each.pulses, str)
            found.append(("pulses", _about(expected.pulses, pulses) + spread))
        for kind, (voltage, gate) in self.strongest.items():
            limit = getattr(info.limits, kind.value.lower())
            words = f"{voltage:g} V of {limit.voltage_max:g} V allowed, gate {gate:g} V of {limit.gate_max:g} V"
            found.append((f"{kind}, at most", words))
        words = f"at most {reads}" if reads == expected.cell_reads else _about(expected.cell_reads, reads)
        found.append(("readings of cells", f"{words}, at {info.read_voltage:g} V" if expected.cell_reads else "0"))
        about = "about " if self.rehearsals else ""
        products = f"{about}{expected.products}, word lines at most {self.drive:g} V"
        found.append(("products", products if expected.products else "0"))
        found.append(("device time", self.device_time))
        return found

    @property
    def device_time(self) -> str:
        """How long it takes, in words."""
        counts = [each for each in (self.expected, self.longest) if each is not None]
        times = [duration(each.seconds(self.info.durations)) for each in counts]
        words = _about(times[0], times[-1] if self.longest is not None else None)
        return words + self._spread(lambda each: each.seconds(self.info.durations), duration)

    def _spread(self, count: Callable[[Counts], float], words: Callable[[Any], str]) -> str:
        """From the least to the most that rehearsals came to; empty for a single one."""
        found, many = sorted(count(each) for each in self.rehearsals), len(self.rehearsals)
        if many <= 1 or math.isnan(found[0]):
            return ""
        near = f"{are_near(count(self.expected), found)} of {many} rehearsals within {NEAR:.0%}"
        return f" ({words(found[0])} to {words(found[-1])}; {near.replace('%', ' %')})"


def _about(expected: int | str, longest: int | str | None) -> str:
    if longest is None:
        return f"about {expected}"
    return f"about {expected}, at most {longest}" if expected != longest else str(expected)


def duration(seconds: float) -> str:
    """Seconds in words for people; NaN means that the driver does not state its times."""
    if math.isnan(seconds):
        return "not known: the driver does not say how long operations take"
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
