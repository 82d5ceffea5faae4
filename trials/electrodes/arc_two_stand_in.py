"""A stand-in of pyarc2, as far as the driver uses its published interface (0.6), with a twin on its channels."""

from collections.abc import Iterable
from enum import Enum, auto
from types import ModuleType

import numpy as np

from drivers.arc_two import CHANNELS, ChannelMap
from imssa_lab.contract.errors import LimitError
from imssa_lab.contract.hal import PulseKind, Pulses
from imssa_lab.virtual.bench_twin import BenchTwin


class ArC2Error(Exception):
    """Of the library."""


class PanicException(BaseException):
    """What a read of a lost board ends in: not an Exception, and not exported."""


class IdleMode(Enum):
    """What channels do at rest."""

    Float = auto()
    SoftGnd = auto()
    HardGnd = auto()


class AuxDACFn(Enum):
    """What an auxiliary converter drives."""

    SELL = auto()
    SELH = auto()


class Instrument:
    """As `pyarc2.Instrument`; a twin instead of the port and the firmware."""

    def __init__(self, bench: BenchTwin, lines: ChannelMap) -> None:
        self.bench = bench
        self.lines = lines
        self.levels = np.full(CHANNELS, 1.0)  # as somebody left it
        self.grounded = False
        self.selectors: list[int] = [0]
        self.aux = {AuxDACFn.SELL: 0.0, AuxDACFn.SELH: 3.0}
        self.broken = self.panics = self.hangs = False
        self.currents_are: float | None = None
        self.executed = 0
        self.moved = 0.0  # V that a line moved by, at most, while gates were open
        self.seen: list[np.ndarray] = []  # V across each cell with an open gate, (rows, cols), step by step
        self.pulsed = 0  # ns of pulses that nobody waited for

    def config_aux_channels(self, voltages: Iterable[tuple[AuxDACFn, float]]) -> "Instrument":
        """Gate voltages, V."""
        self.aux |= dict(voltages)
        return self

    def config_selectors(self, selectors: Iterable[int]) -> "Instrument":
        """Word lines whose gates are high."""
        self.selectors = list(selectors)
        return self

    def connect_to_gnd(self, chans: Iterable[int]) -> "Instrument":
        """These to ground, and no others."""
        assert list(chans) == []
        self.grounded = False
        self.bench.connect()
        return self

    def config_channels(self, input: Iterable[tuple[int, float]], base: float | None = None) -> "Instrument":
        """Levels that stay, V."""
        for channel, volt in input:
            if self.selectors:
                self.moved = max(self.moved, abs(volt - self.levels[channel]))
            self.levels[channel] = volt
        return self

    def read_slice_open(self, highs: np.ndarray, ground_after: bool) -> np.ndarray:
        """Currents of all channels, A, (64,); NaN where none was asked."""
        assert highs.dtype == np.uint64
        if self.broken:
            raise ArC2Error("USB device went away")
        if self.panics:
            raise PanicException("called `Result::unwrap()` on an `Err` value")
        every = np.full(CHANNELS, np.nan, dtype=np.float32)
        volts = self._gated(self.levels[list(self.lines.words)])
        assert not self.levels[list(self.lines.bits)].any()
        every[list(self.lines.bits)] = self.bench.read_mvm(volts, raw=True)
        if self.currents_are is not None:
            every[:] = self.currents_are
        return every

    def pulse_one(self, low: int, high: int, voltage: float, nanos: int) -> "Instrument":
        """Differential, all other channels at 0 V."""
        levels = np.zeros(CHANNELS)
        levels[low], levels[high] = -voltage / 2, voltage / 2
        self._see(levels, nanos)
        return self

    def pulse_slice_fast_open(
        self, chans: list[tuple[int, float, float]], cl_nanos: list[int | None], preset_state: bool
    ) -> "Instrument":
        """One width and one polarity in each cluster of 8 channels; 40 ns to 500 ms."""
        assert len(cl_nanos) == CHANNELS // 8
        levels = self.levels.copy()
        for channel, high, rest in chans:
            assert self.levels[channel] == rest
            levels[channel] = high
        (nanos,) = {cl_nanos[channel // 8] for channel, _, _ in chans}
        assert nanos is not None
        assert 40 <= nanos <= 500_000_000
        self._see(self.levels, 1e5)  # the selectors are open before the pulse comes
        self._see(levels, nanos)
        self.pulsed = nanos
        return self

    def delay(self, nanos: int) -> "Instrument":
        """Wait."""
        self.pulsed -= nanos
        return self

    def _see(self, levels: np.ndarray, nanos: float) -> None:
        """What each cell with an open gate sees by the levels of all channels; gates are referred to 0 V."""
        assert not self.grounded
        words, bits = levels[list(self.lines.words)], levels[list(self.lines.bits)]
        across = words[:, None] - bits[None, :]
        source = np.minimum(words[:, None], bits[None, :])
        is_open = np.isin(np.arange(len(words)), self.selectors)[:, None]
        gate = np.where(is_open, self.aux[AuxDACFn.SELH], self.aux[AuxDACFn.SELL]) - source
        seen = np.where(gate > 0.2, across, 0.0)
        self.seen.append(seen)
        for kind, volts in ((PulseKind.SET, seen), (PulseKind.RESET, -seen)):
            chosen = volts > 1e-9
            if chosen.any():
                pulses = Pulses(kind, np.where(chosen, volts, np.nan), np.where(chosen, gate, np.nan), nanos * 1e-9)
                try:
                    self.bench.apply_pulses(pulses)
                except LimitError as error:
                    raise ArC2Error(str(error)) from error

    def ground_all(self) -> "Instrument":
        """All channels to ground."""
        self.levels[:] = 0.0
        self.grounded = True
        self.bench.ground()
        return self

    def finalise_operation(self, mode: IdleMode | None = None, control: object = None) -> None:
        """Back to rest."""
        assert mode is IdleMode.SoftGnd
        self.ground_all()

    def execute(self) -> "Instrument":
        """Send what was noted."""
        self.executed += 1
        return self

    def busy(self) -> bool:
        """Whether it still works."""
        return self.hangs

    def _gated(self, volts: np.ndarray) -> np.ndarray:
        on = np.isin(np.arange(len(volts)), self.selectors) & (self.aux[AuxDACFn.SELH] > 1.0) & (not self.grounded)
        return np.where(on, volts, 0.0)


def library() -> ModuleType:
    """The module."""
    module = ModuleType("pyarc2")
    module.__dict__.update(ArC2Error=ArC2Error, IdleMode=IdleMode, AuxDACFn=AuxDACFn, find_ids=lambda: [0])
    return module
