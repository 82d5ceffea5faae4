"""A stand-in of pyarc2, as far as the driver uses its published interface (0.6), with a twin on its channels."""

from collections.abc import Iterable
from enum import Enum, auto
from types import ModuleType

import numpy as np

from drivers.arc_two import CHANNELS, ChannelMap
from imssa_lab.contract.errors import LimitError
from imssa_lab.contract.hal import PulseKind, Pulses
from twin.instruments.bench_twin import BenchTwin


class ArC2Error(Exception):
    pass


class PanicException(BaseException):
    """What a read of a lost board ends in: not an Exception, and not exported."""


class IdleMode(Enum):
    Float = auto()
    SoftGnd = auto()
    HardGnd = auto()


class AuxDACFn(Enum):
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

    def config_aux_channels(self, voltages: Iterable[tuple[AuxDACFn, float]]) -> "Instrument":
        self.aux |= dict(voltages)
        return self

    def config_selectors(self, selectors: Iterable[int]) -> "Instrument":
        self.selectors = list(selectors)
        return self

    def connect_to_gnd(self, chans: Iterable[int]) -> "Instrument":
        assert list(chans) == []
        self.grounded = False
        self.bench.connect()
        return self

    def config_channels(self, input: Iterable[tuple[int, float]], base: float | None = None) -> "Instrument":
        for channel, volt in input:
            self.levels[channel] = volt
        return self

    def read_slice_open(self, highs: np.ndarray, ground_after: bool) -> np.ndarray:
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
        kind = PulseKind.SET if high in self.lines.words else PulseKind.RESET
        word, bit = (high, low) if kind is PulseKind.SET else (low, high)
        row, col = self.lines.words.index(word), self.lines.bits.index(bit)
        mask = np.zeros(self.bench.info.shape, dtype=bool)
        mask[row, col] = True
        assert self.selectors == [row]
        try:
            self.bench.apply_pulses(Pulses.on(mask, kind, voltage, self.aux[AuxDACFn.SELH], nanos * 1e-9))
        except LimitError as error:
            raise ArC2Error(str(error)) from error
        return self

    def ground_all(self) -> "Instrument":
        self.levels[:] = 0.0
        self.grounded = True
        self.bench.ground()
        return self

    def finalise_operation(self, mode: IdleMode | None = None, control: object = None) -> None:
        assert mode is IdleMode.SoftGnd
        self.ground_all()

    def execute(self) -> "Instrument":
        self.executed += 1
        return self

    def busy(self) -> bool:
        return self.hangs

    def _gated(self, volts: np.ndarray) -> np.ndarray:
        on = np.isin(np.arange(len(volts)), self.selectors) & (self.aux[AuxDACFn.SELH] > 1.0) & (not self.grounded)
        return np.where(on, volts, 0.0)


def library() -> ModuleType:
    """The module."""
    module = ModuleType("pyarc2")
    module.__dict__.update(ArC2Error=ArC2Error, IdleMode=IdleMode, AuxDACFn=AuxDACFn, find_ids=lambda: [0])
    return module
