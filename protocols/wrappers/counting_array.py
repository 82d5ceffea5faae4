"""`CountingArray`: what a protocol asks of an array, found out without asking it.

Nothing here reads or drives the array that is meant; how long operations take is what its driver says of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from imssa_lab.contract.hal import (
    ArrayInfo,
    BoolArray,
    CellOutcome,
    CrossbarArray,
    Durations,
    FloatArray,
    Programmer,
    ProgrammingReport,
    PulseKind,
    Pulses,
    Readout,
)
from protocols.programmers import GateStart, recipe_inside

_PULSES = 25
"""Pulses that a cell takes on average, rather more than less."""


@dataclass
class Counts:
    """What is asked for: `pulses` over all `cells` that get any; `waited` and `widths` (all pulses together) in s."""

    cells: int = 0
    pulses: int = 0
    widths: float = 0.0
    cell_reads: int = 0
    products: int = 0
    waited: float = 0.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    def seconds(self, durations: Durations | None) -> float:
        """Device time in s; NaN where the driver does not know how long operations take."""
        if durations is None:
            return math.nan
        return (
            self.cell_reads * durations.cell_read
            + self.products * durations.product
            + self.pulses * durations.pulse
            + (self.widths if durations.widths else 0.0)
            + self.waited
        )


class CountingArray(CrossbarArray):
    """An array of the kind of `array` that is never asked itself: it counts, and holds the targets that it is given.

    What is outside the limits raises, as it would there. Cells read as far above the window until they are
    programmed, so that none of them passes for one that is where it should be.

    Attributes:
        expected, longest: what was asked for so far, with as many pulses as a cell takes on average, and with as
            many as it can get. Write-verify reads to its last step in both.
        strongest: V and gate V of the strongest pulses, by kind; drive: V, the highest on a word line while reading.
    """

    def __init__(self, array: CrossbarArray) -> None:
        super().__init__(array.info.model_copy(update={"adc": None}))
        self.expected, self.longest = Counts(), Counts()
        self.strongest: dict[PulseKind, tuple[float, float]] = {}
        self.drive = 0.0
        self._own = array._default_programmer()  # noqa: SLF001 - the half of the contract that a backend writes
        self._pulsed = np.zeros(array.info.shape, dtype=np.bool_)
        self._held = np.full(array.info.shape, 2 * array.info.window.high)

    def _program(self, programmer: Programmer | None, target: FloatArray, mask: BoolArray) -> ProgrammingReport:
        """Count what a programmer would ask for, and hold the targets; ladders above the limits raise LimitError."""
        self._count(self._own if programmer is None else programmer, mask)
        self._held = np.where(mask, target, self._held)
        return ProgrammingReport(
            target=target,
            achieved=target,
            pulses=np.zeros(mask.shape, dtype=np.int32),
            outcome=np.where(mask, CellOutcome.REACHED, CellOutcome.NOT_SELECTED).astype(np.uint8),
            tolerance=1.0,
            seconds=0.0,
            reads=0,
        )

    def _count(self, loop: Programmer, mask: BoolArray) -> None:
        cells, recipe = int(mask.sum()), recipe_inside(loop)
        self._see(mask)
        if recipe is None:
            self._add_pulses(cells * _PULSES, cells * _PULSES, 0.0)
            return
        for kind in (PulseKind.SET, PulseKind.RESET):
            ladder = recipe.ladder(kind)
            self._note_pulses(Pulses.on(mask, kind, ladder.voltage.max(), ladder.gate.max(), ladder.width))
        most = recipe.max_steps if recipe.pulse_budget is None else min(recipe.pulse_budget, recipe.max_steps)
        width = (recipe.set_width + recipe.reset_width) / 2
        self._add_pulses(cells * min(_PULSES, most), cells * most, width)
        # a noisy cell or two keep a loop busy, and all cells read, to its last step
        steps = recipe.max_steps + (loop.tries if isinstance(loop, GateStart) else 0)
        self._add_reads(cells * (recipe.averages * steps + recipe.verify_averages))

    def _add_pulses(self, expected: int, longest: int, width: float) -> None:
        for counts, pulses in ((self.expected, expected), (self.longest, longest)):
            counts.pulses += pulses
            counts.widths += pulses * width

    def _add_reads(self, reads: int) -> None:
        self.expected.cell_reads += reads
        self.longest.cell_reads += reads

    def _note_pulses(self, pulses: Pulses) -> None:
        self._check_pulses(pulses)
        before = self.strongest.get(pulses.kind, (0.0, 0.0))
        peaks = (float(np.max(values, where=pulses.mask, initial=0.0)) for values in (pulses.voltage, pulses.gate))
        voltage, gate = (max(pair) for pair in zip(before, peaks, strict=True))
        self.strongest[pulses.kind] = voltage, gate

    def _see(self, mask: BoolArray) -> None:
        self._pulsed |= mask
        self.expected.cells = self.longest.cells = int(np.count_nonzero(self._pulsed))

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        self.expected.products += len(voltages)
        self.longest.products += len(voltages)
        self.drive = max(self.drive, float(np.abs(voltages).max()))
        return Readout(voltages @ self._held)

    def _read_conductances(self, mask: BoolArray, averages: int) -> Readout:
        self._add_reads(averages * int(mask.sum()))
        return Readout(np.broadcast_to(self._held * self.info.read_voltage, (averages, *mask.shape)))

    def _apply_pulses(self, pulses: Pulses) -> None:
        self._see(pulses.mask)
        self._note_pulses(pulses)
        count = int(np.count_nonzero(pulses.mask))
        self._add_pulses(count, count, pulses.width)

    def _default_programmer(self) -> Programmer:
        return self._own

    def _wait(self, seconds: float) -> None:
        self.expected.waited += seconds
        self.longest.waited += seconds

    def _time(self) -> float:
        return self.expected.waited

    def _make_safe(self) -> None:
        """Nothing is driven."""

    def _close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True)
class DryRun:
    """What was counted on one or several arrays of one kind.

    Attributes:
        info: of the first array; arrays: how many.
        expected, longest, strongest, drive: see `CountingArray`.
    """

    info: ArrayInfo
    arrays: int
    expected: Counts
    longest: Counts
    strongest: dict[PulseKind, tuple[float, float]] = field(default_factory=dict)
    drive: float = 0.0

    @classmethod
    def of(cls, counted: Sequence[CountingArray]) -> DryRun:
        """All of them together."""
        strongest = {
            kind: (max(c.strongest[kind][0] for c in having), max(c.strongest[kind][1] for c in having))
            for kind in PulseKind
            if (having := [c for c in counted if kind in c.strongest])
        }
        expected = sum((c.expected for c in counted), Counts())
        longest = sum((c.longest for c in counted), Counts())
        return cls(counted[0].info, len(counted), expected, longest, strongest, max(c.drive for c in counted))

    def facts(self) -> list[tuple[str, str]]:
        """What would be pulsed and read, how strongly, and the time that it takes, in words."""
        info, expected, longest = self.info, self.expected, self.longest
        found = [
            ("arrays", f"{self.arrays} of {info.rows} x {info.cols}, {info.name} ({info.serial})"),
            ("cells that get pulses", str(expected.cells)),
        ]
        if expected.cells:
            found.append(("pulses", _about(expected.pulses, longest.pulses)))
        for kind, (voltage, gate) in self.strongest.items():
            limit = getattr(info.limits, kind.value.lower())
            words = f"{voltage:g} V of {limit.voltage_max:g} V allowed, gate {gate:g} V of {limit.gate_max:g} V"
            found.append((f"{kind}, at most", words))
        reads = expected.cell_reads
        found.append(("readings of cells", f"at most {reads}, at {info.read_voltage:g} V" if reads else "0"))
        products = f"{expected.products}, word lines at most {self.drive:g} V" if expected.products else "0"
        found.append(("products", products))
        found.append(("device time", self.device_time))
        return found

    @property
    def device_time(self) -> str:
        """How long it takes, in words."""
        return _about(*(duration(counts.seconds(self.info.durations)) for counts in (self.expected, self.longest)))


def _about(expected: int | str, longest: int | str) -> str:
    return f"about {expected}, at most {longest}" if expected != longest else str(expected)


def duration(seconds: float) -> str:
    """Seconds in words for people; NaN is a driver that does not say how long it takes."""
    if math.isnan(seconds):
        return "not known: the driver does not say how long operations take"
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
