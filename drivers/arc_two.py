"""ArC TWO: a crossbar on 64 channels, through the maker's library `pyarc2` (extra ``imssa-lab[arc2]``).

Tested against a stand-in of pyarc2's published interface (version 0.6), not on an instrument.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from drivers import arc_two_process
from drivers.arc_two_process import ArcTwoProcess
from drivers.deadline import Deadline
from drivers.operation_clock import OperationClock
from drivers.taox_cells import READ_GATE, READ_VOLTAGE, RECIPE, WINDOW, limits
from imssa_lab.contract import safe_stop
from imssa_lab.contract.array_types import ArrayInfo, BoolArray, Durations, FloatArray, Pulses, Readout
from imssa_lab.contract.errors import ConfigError, LinkCorrupt, LinkError, LinkLost, LinkTimeout
from imssa_lab.contract.hal import Programmer, PulseKind

CHANNELS, SELECTORS = 64, 32
_CLUSTER = 8  # channels that share a pulse width
_READ_TIME, _PULSE_TIME = 0.5e-3, 0.3e-3  # s, beside widths
_PATIENCE = 5.0  # s for the instrument to be done with what it was sent; a pulse takes at most 0.1 s
_PANIC = "PanicException"
LIMITS = limits(shortest=40e-9, highest_gate=5.0)
_RECIPE = RECIPE.model_copy(update={"reset_gate": (5.0, 5.0, 0.5)})


@dataclass(frozen=True)
class ChannelMap:
    """Which channel leads to which line; selector i is the gate of word line i.

    Raises:
        ConfigError: a channel that does not exist or is named twice, or more word lines than selectors.
    """

    words: tuple[int, ...]
    bits: tuple[int, ...]

    def __post_init__(self) -> None:
        channels = [*self.words, *self.bits]
        if not (set(channels) <= set(range(CHANNELS)) and len(set(channels)) == len(channels)):
            raise ConfigError(f"ArC TWO: word and bit lines need channels of their own from 0 to {CHANNELS - 1}")
        if not (self.bits and 1 <= len(self.words) <= SELECTORS):
            raise ConfigError(f"ArC TWO: 1 to {SELECTORS} word lines and at least one bit line are needed")

    @classmethod
    def standard(cls) -> ChannelMap:
        """The maker's map of a 32x32 array in a 68-pin socket (arc2control, standard32).

        >>> ChannelMap.standard().words[:4], ChannelMap.standard().bits[:4]
        ((16, 63, 17, 62), (15, 32, 14, 33))
        """
        words = [channel for i in range(16) for channel in (16 + i, 63 - i)]
        bits = [channel for i in range(16) for channel in (15 - i, 32 + i)]
        return cls(tuple(words), tuple(bits))

    @classmethod
    def load(cls, path: Path) -> ChannelMap:
        """From a TOML file as arc2control has them: a table ``mapping`` with ``words`` and ``bits``."""
        try:
            mapping = tomllib.loads(path.read_text(encoding="utf-8-sig"))["mapping"]
            return cls(tuple(map(int, mapping["words"])), tuple(map(int, mapping["bits"])))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"channel map {path}: {error!r}; it needs [mapping] with words and bits") from error

    def block(self, rows: int, cols: int) -> ChannelMap:
        """The first lines of each kind."""
        if not (1 <= rows <= len(self.words) and 1 <= cols <= len(self.bits)):
            raise ConfigError(f"ArC TWO: {rows}x{cols} asked, the map has {len(self.words)}x{len(self.bits)}")
        return ChannelMap(self.words[:rows], self.bits[:cols])


class ArcTwoArray(OperationClock):
    """The contract over pyarc2: products in one go on all bit lines, cells and pulses one by one.

    Every operation releases the channels from ground, works, and grounds them again. The instrument has no clock;
    `time` adds up what operations take.

    Args:
        library: the module pyarc2; instrument: its `Instrument`, taken over. `open_arc_two` gives an `ArcTwoProcess`
            for both, which keeps deadlines.
        sleep: lets time pass.
        release: lets go of the instrument; without it, that goes with the last reference.
    """

    def __init__(
        self,
        library: Any,
        instrument: Any,
        lines: ChannelMap,
        name: str = "ArC TWO",
        sleep: Callable[[float], None] = safe_stop.sleep,
        release: Callable[[], None] = lambda: None,
    ) -> None:
        self._library, self._instrument, self._lines = library, instrument, lines
        self._release = release
        self._sleep = sleep
        self._clock = 0.0
        super().__init__(
            ArrayInfo(
                name=name,
                serial=name,
                rows=len(lines.words),
                cols=len(lines.bits),
                window=WINDOW,
                limits=LIMITS,
                read_voltage=READ_VOLTAGE,
                input_coding="analog",
                input_signed=True,
                durations=Durations(product=_READ_TIME, cell_read=_READ_TIME / len(lines.bits), pulse=_PULSE_TIME),
                provenance={"words": str(lines.words), "bits": str(lines.bits)},
            )
        )
        self._make_safe()  # whatever somebody left on

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        return Readout(np.array([self._currents(vector) for vector in voltages]))

    def _read_conductances(self, mask: BoolArray, averages: int) -> Readout:
        reads = np.zeros((averages, *self._info.shape))
        for read in reads:
            for row in np.flatnonzero(mask.any(axis=1)):
                vector = np.zeros(self._info.rows)
                vector[row] = self._info.read_voltage
                read[row] = self._currents(vector)
        return Readout(reads)

    def _currents(self, vector: FloatArray) -> FloatArray:
        """Currents into the bit lines at 0 V, A, for word-line voltages (rows,)."""
        safe_stop.SafeStop.give_way()
        levels = [(channel, float(volt)) for channel, volt in zip(self._lines.words, vector, strict=True)]
        levels += [(channel, 0.0) for channel in self._lines.bits]
        with self._operation(READ_GATE, range(self._info.rows)) as instrument:
            instrument.config_channels(levels, None)
            every = np.asarray(instrument.read_slice_open(np.array(self._lines.bits, dtype=np.uint64), False))
        self._clock += _READ_TIME
        if every.shape != (CHANNELS,):
            raise LinkCorrupt(f"{self._info.name}: {every.shape} currents came, one for each channel was asked for")
        currents = every[list(self._lines.bits)].astype(np.float64)
        if not np.isfinite(currents).all():
            bad = int(np.flatnonzero(~np.isfinite(currents))[0])
            raise LinkCorrupt(f"{self._info.name}: the current of bit line {bad} is not a number; read again")
        return np.asarray(currents)

    def _apply_pulses(self, pulses: Pulses) -> None:
        """Single-ended: the bit line of the cell makes the pulse, all other lines rest.

        The library's `pulse_one` drives both ends at half the voltage, so that all cells of both lines see half of it
        and the gate-source voltage is not the gate's. Here the source of the chosen transistor is at 0 V during the
        pulse: its word line in RESET, its bit line in SET, where its word line and the other bit lines rest at the
        voltage of the pulse. The other cells with open gates see 0 V; gates open only when the lines have settled.
        """
        nanos = round(pulses.width * 1e9)
        for row, col in np.argwhere(pulses.mask):
            safe_stop.SafeStop.give_way()
            volt, bit = float(pulses.voltage[row, col]), self._lines.bits[col]
            rest, active = (0.0, volt) if pulses.kind is PulseKind.RESET else (volt, 0.0)
            levels = [(word, rest if index == row else 0.0) for index, word in enumerate(self._lines.words)]
            levels += [(channel, rest) for channel in self._lines.bits]
            timings: list[int | None] = [None] * (CHANNELS // _CLUSTER)
            timings[bit // _CLUSTER] = nanos
            with self._operation(float(pulses.gate[row, col]), []) as instrument:
                instrument.config_channels(levels, None)
                instrument.config_selectors([int(row)])
                instrument.pulse_slice_fast_open([(bit, active, rest)], timings, True)
                instrument.delay(nanos)  # the call above does not wait for the pulse's end
            self._clock += _PULSE_TIME + pulses.width

    @contextmanager
    def _operation(self, gate: float, rows: Sequence[int] | range) -> Iterator[Any]:
        """Gates of these word lines on and channels off ground; afterwards everything at 0 V and grounded again."""
        instrument, functions = self._instrument, self._library.AuxDACFn
        with self._errors():
            instrument.config_aux_channels([(functions.SELL, 0.0), (functions.SELH, gate)])
            instrument.config_selectors(list(rows))
            instrument.connect_to_gnd([])
            try:
                yield instrument
            except BaseException:
                with suppress(LinkError, self._library.ArC2Error):  # where this fails too it says nothing new
                    self._rest(instrument)
                raise
            self._rest(instrument)

    def _rest(self, instrument: Any) -> None:
        instrument.config_selectors([])
        instrument.finalise_operation(self._library.IdleMode.SoftGnd)
        instrument.execute()
        self._settle()

    def _settle(self) -> None:
        """As the library's own `wait`, which has no deadline."""
        deadline = Deadline(_PATIENCE)
        while self._instrument.busy():
            if not deadline.left():
                raise LinkTimeout(
                    f"{self._info.name}: still busy after {_PATIENCE:g} s; switch it off and on, then open it again"
                )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except self._library.ArC2Error as error:
            raise LinkError(f"{self._info.name}: {error}; check cable and power, then open it again") from error
        except BaseException as error:
            if type(error).__name__ != _PANIC:  # a class that the library makes and does not export
                raise
            raise LinkLost(
                f"{self._info.name}: the library gave up ({error}); check cable and power, open it again"
            ) from error

    def _lower(self, lowered: ArrayInfo) -> None:
        """Every read asks `info`."""

    def _default_programmer(self) -> Programmer:
        return _RECIPE

    def _make_safe(self) -> None:
        """All channels to 0 V and ground, then the gates off."""
        with self._errors():
            self._instrument.ground_all()
            self._instrument.config_selectors([])
            self._instrument.config_aux_channels([(self._library.AuxDACFn.SELH, 0.0)])
            self._instrument.execute()
            self._settle()

    def _close(self) -> None:
        self._instrument = None
        self._release()


def open_arc_two(port: str, options: Mapping[str, str]) -> ArcTwoArray:
    """The driver behind ``arc2:PORT?firmware=arc2fw.bin&block=32x32&map=standard32.toml``; PORT counts from 0.

    Raises:
        ConfigError: pyarc2 is not installed, an option is missing, unknown or cannot be read, or no such port.
        LinkError: the instrument cannot be opened.
    """
    unknown = set(options) - {"firmware", "block", "map"}
    if unknown or "firmware" not in options:
        what = f"unknown option {sorted(unknown)[0]!r}" if unknown else "the firmware is missing"
        raise ConfigError(f"arc2:{port}: {what}; write arc2:0?firmware=arc2fw.bin, further options are block and map")
    if not Path(options["firmware"]).is_file():
        raise ConfigError(f"arc2:{port}: firmware {options['firmware']}: no such file; it came with your board")
    lines = ChannelMap.load(Path(options["map"])) if "map" in options else ChannelMap.standard()
    try:
        number = int(port)
        if "block" in options:
            rows, cols = (int(part) for part in options["block"].split("x"))
            lines = lines.block(rows, cols)
    except ValueError as error:
        raise ConfigError(f"arc2:{port}: {error}; write for example arc2:0?firmware=...&block=32x32") from error
    if find_spec(arc_two_process.LIBRARY) is None:
        raise ConfigError(
            f"arc2:{port}: pyarc2 is not installed; it is the maker's: pip install 'imssa-lab[arc2]', then try again"
        )
    name = f"ArC TWO {number}"
    with ExitStack() as stack:
        board = ArcTwoProcess(name)
        stack.callback(board.close)
        try:
            there = board.find_ids()
            if number not in there:
                raise ConfigError(
                    f"arc2:{port}: no such instrument, there are {there or 'none'}; plugged in, switched on?"
                )
            board.open(number, options["firmware"])
        except board.ArC2Error as error:
            raise LinkError(f"arc2:{port}: cannot be opened ({error}); in use elsewhere?") from error
        array = ArcTwoArray(board, board, lines, name, release=board.close)
        stack.pop_all()
    return array
