"""A crossbar behind one source-measure unit, a second one for the gates, and a switch matrix: cell after cell."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack

import numpy as np

from drivers.keithley.matrices import Switch, open_switch
from drivers.keithley.meters import RAMP_STEP, SourceMeter
from drivers.links import Link
from drivers.operation_clock import OperationClock
from drivers.taox_cells import READ_GATE, READ_VOLTAGE, RECIPE, WINDOW, limits
from imssa_lab.contract import safe_stop
from imssa_lab.contract.array_types import ArrayInfo, BoolArray, Durations, FloatArray, Pulses, Readout
from imssa_lab.contract.errors import ConfigError, ImssaError, LinkLost
from imssa_lab.contract.hal import Programmer, PulseKind

_log = logging.getLogger(__name__)

COMPLIANCE = 10e-3
NO_CONTACT = 5e-9
"""S that no line with a contact stays below."""
_HIGH, _LOW, _GATE = 0, 1, 2
_SWITCHING, _STEP = 15e-3, 5e-3  # s: relays, a step of a ramp
_RECIPE = RECIPE.model_copy(update={"set_width": 1e-3})
_OPTIONS = {"gate", "matrix", "switch", "shape", "compliance", "terminals", "timeout", "backend"}


class SmuMatrixArray(OperationClock):
    """The contract by time multiplexing: the matrix leads one cell at a time to the source-measure units.

    The source's terminals are on the matrix rows A (high) and B (low), the gate source on C; the matrix columns are
    word lines, then bit lines, then the gate lines of the word lines. A product is the sum, in the computer, of the
    currents of single cells. None of the instruments has a clock or a watchdog; `time` adds up what operations take.

    A pulse is a list of two levels, the second one 0 V, that runs in the meter, so a script that dies leaves the
    cells at 0 V. Its width is what the electrodes see: the delay that is asked for and what the meter takes beside
    it; shorter ones than the meter can make are outside the limits. Relays move with source and gate at 0 V. What
    decides about a cell (relays, gate, list, compliance) is read back before the list runs, and the relays once more
    after it; the gate source says whether its output stayed on when it goes down again.

    Args:
        smu, gate, switch: taken over.
        sleep: lets time pass; a virtual bench moves its own clock.

    Raises:
        ConfigError: the matrix has fewer columns than the array has lines.
    """

    def __init__(
        self,
        smu: SourceMeter,
        gate: SourceMeter,
        switch: Switch,
        shape: tuple[int, int],
        sleep: Callable[[float], None] = safe_stop.sleep,
    ) -> None:
        rows, cols = shape
        if 2 * rows + cols > switch.columns:
            raise ConfigError(
                f"{rows}x{cols} cells have {2 * rows + cols} lines, the matrix {switch.columns} columns; "
                "take a smaller block or a larger matrix"
            )
        self._smu, self._gate, self._switch = smu, gate, switch
        self._sleep = sleep
        self._clock = 0.0
        self._led: list[tuple[int, int]] | None = []
        switch.only(())
        reaching = _SWITCHING + 2 * READ_GATE / RAMP_STEP * _STEP
        super().__init__(
            ArrayInfo(
                name=f"SMU and matrix, {rows}x{cols}",
                serial=smu.identity,
                rows=rows,
                cols=cols,
                window=WINDOW,
                limits=limits(shortest=smu.shortest),
                read_voltage=READ_VOLTAGE,
                input_coding="analog",
                input_signed=True,
                durations=Durations(
                    product=rows * cols * (reaching + 2 * smu.reading_time),
                    cell_read=reaching + 2 * smu.reading_time,
                    pulse=reaching + smu.shortest,
                ),
                provenance={
                    "smu": smu.identity,
                    "gate": gate.identity,
                    "compliance": f"{smu.compliance:g} A",
                    "pulse width": "at the electrodes, the meter's own time included",
                },
            )
        )
        self._open_lines: list[str] | None = None

    @property
    def open_lines(self) -> list[str]:
        """Lines without a contact, by name, as found once, before anything else is driven.

        Not at opening: a bench lowers the read limit after that, and the check keeps to it.

        Raises:
            ImssaError: no line has a contact.
        """
        if self._open_lines is None:
            found = self.check_contacts()
            if len(found) == sum(self._info.shape):
                raise ImssaError(
                    f"{self.info.name}: no line carries current at {self._reading:g} V; is the chip in its socket, "
                    "are its gates wired?"
                )
            if found:
                _log.warning("%s: no contact on %s", self.info.name, ", ".join(found))
            self._open_lines = found
        return self._open_lines

    @property
    def _reading(self) -> float:
        """V that cells are read at, never above the limit."""
        return min(self._info.read_voltage, self._info.limits.read_voltage)

    @property
    def links(self) -> tuple[Link, Link, Link]:
        """To the source, the gate source and the matrix."""
        return self._smu.link, self._gate.link, self._switch.link

    def check_contacts(self) -> list[str]:
        """The lines that carry no current at the read voltage with all lines across joined, by name."""
        volts = self._reading
        rows, cols = range(self._info.rows), range(self._info.cols)
        lines = [(f"word line {row}", [row], list(cols)) for row in rows]
        lines += [(f"bit line {col}", list(rows), [col]) for col in cols]
        missing = []
        self._drive(self._smu.prepare_to_read)
        for name, words, bits in lines:
            self._lead(words, bits, READ_GATE)
            points = self._smu.read([volts])
            self._switch.confirm()
            if abs(points.current[0]) < NO_CONTACT * volts and not points.limited[0]:
                missing.append(name)
        self._make_safe()
        return missing

    # ---- the contract

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        total = np.zeros((len(voltages), self._info.cols))
        self._begin(self._smu.prepare_to_read)
        for row in np.flatnonzero(voltages.any(axis=0)):
            for col in range(self._info.cols):
                total[:, col] += self._measure(int(row), col, voltages[:, row])
        self._rest()
        return Readout(total)

    def _read_conductances(self, mask: BoolArray, averages: int) -> Readout:
        reads = np.zeros((averages, *self._info.shape))
        self._begin(self._smu.prepare_to_read)
        for row, col in np.argwhere(mask):
            reads[:, row, col] = self._measure(int(row), int(col), np.full(averages, self._info.read_voltage))
        self._rest()
        return Readout(reads)

    def _measure(self, row: int, col: int, voltages: FloatArray) -> FloatArray:
        """Currents in A of one cell at these voltages (n,)."""
        self._lead([row], [col], READ_GATE)
        points = self._smu.read(voltages)
        self._clock += (len(voltages) + 1) * self._smu.reading_time
        self._switch.confirm()
        if points.limited.any():
            raise ImssaError(
                f"{self.info.name}: word line {row}, bit line {col} draws {np.abs(points.current).max():.3g} A or "
                f"more, where the meter limits it, at {voltages[points.limited][0]:g} V; a short? leave the cell out "
                "by mask"
            )
        return points.current

    def _apply_pulses(self, pulses: Pulses) -> None:
        cells = np.argwhere(pulses.mask)
        self._smu.require_width(pulses.width)
        self._begin(self._smu.prepare_to_pulse)
        for row, col in cells[np.argsort(pulses.gate[pulses.mask], kind="stable")]:
            level = float(pulses.voltage[row, col])
            self._lead([row], [col], float(pulses.gate[row, col]), forward=pulses.kind is not PulseKind.RESET)
            points = self._smu.pulse(level, pulses.width)
            self._clock += pulses.width + self._smu.shortest
            self._switch.confirm()
            if points.limited.any():
                raise ImssaError(
                    f"{self.info.name}: word line {row}, bit line {col} drew {abs(points.current[0]):.3g} A, the "
                    f"compliance, in a {pulses.kind} pulse of {level:g} V and has seen less than that; a short? "
                    "leave the cell out by mask"
                )
        self._rest()

    def _lead(self, words: Iterable[int], bits: Iterable[int], gate: float, forward: bool = True) -> None:
        """Word lines to the high terminal and bit lines to the low one, or the other way round; gates to theirs.

        Where relays have to move, the gates go down to 0 V first, and up to `gate` (V) afterwards. A signal or a stop
        by another thread ends the call here: no list runs, and a whole array of cells takes many seconds.
        """
        safe_stop.SafeStop.give_way()
        rows, cols = self._info.shape
        word_row, bit_row = (_HIGH, _LOW) if forward else (_LOW, _HIGH)
        words = [int(word) for word in words]
        points = [
            *((word_row, word) for word in words),
            *((bit_row, rows + int(bit)) for bit in bits),
            *((_GATE, rows + cols + word) for word in words),
        ]
        if points != self._led:
            self._gate.go_to(0.0)
            self._led = None
            self._switch.only(points)
            self._led = points
            self._clock += _SWITCHING
        self._gate.go_to(gate)
        self._clock += gate / RAMP_STEP * _STEP

    def _open(self) -> None:
        """Gates at 0 V, then all relays open."""
        self._gate.go_to(0.0)
        if self._led != []:
            self._led = None
            self._switch.only(())
            self._led = []

    def _begin(self, prepare: Callable[[], None]) -> None:
        """An operation, after a look at the contacts."""
        _ = self.open_lines
        self._drive(prepare)

    def _drive(self, prepare: Callable[[], None]) -> None:
        """Source ready and on with no cell on it, gates on at 0 V."""
        self._gate.switch_on()
        self._open()
        prepare()
        self._smu.switch_on()

    def _rest(self) -> None:
        """Between operations the gates are at 0 V and no cell is connected."""
        self._open()

    def _default_programmer(self) -> Programmer:
        return _RECIPE

    def _make_safe(self) -> None:
        """Source to 0 V and off, then the gates, then the relays; each is tried even where another fails."""
        with ExitStack() as stack:
            for link, step in (
                (self._switch.link, self._let_go),
                (self._gate.link, self._gate.switch_off),
                (self._smu.link, self._smu.switch_off),
            ):
                if not link.closed:
                    stack.callback(step)

    def _let_go(self) -> None:
        self._led = None
        self._switch.only(())
        self._led = []

    def _lower(self, lowered: ArrayInfo) -> None:
        """Whatever is driven is taken from `info` when it is driven."""

    def _close(self) -> None:
        for link in self.links:
            link.close()


def open_smu_matrix(resource: str, options: Mapping[str, str]) -> SmuMatrixArray:
    """The driver behind ``visa+smu-matrix:SMU?gate=SMU&matrix=RESOURCE&shape=8x8``.

    Further options: ``switch=7001``, ``707A`` (default) or ``707B``, ``compliance=0.01`` (A), ``terminals=front`` or
    ``rear``, ``timeout=5`` (s) and ``backend=@ivi``.

    Raises:
        ConfigError: an option that is missing, unknown or cannot be read.
        LinkError: no answer there, or another instrument's.
    """
    from drivers.visa_stream import open_visa

    place = f"visa+smu-matrix:{resource}"
    unknown, missing = set(options) - _OPTIONS, {"gate", "matrix", "shape"} - set(options)
    if unknown:
        raise ConfigError(f"{place}: unknown option {sorted(unknown)[0]!r}; it takes {', '.join(sorted(_OPTIONS))}")
    if missing:
        raise ConfigError(f"{place}: option {sorted(missing)[0]!r} is missing; write ?gate=...&matrix=...&shape=8x8")
    try:
        rows, cols = (int(part) for part in options["shape"].split("x"))
        compliance, timeout = float(options.get("compliance", COMPLIANCE)), float(options.get("timeout", "5"))
    except ValueError as error:
        raise ConfigError(f"{place}: {error}; write for example shape=8x8&compliance=0.01&timeout=5") from error
    if not (rows >= 1 and cols >= 1 and 1e-6 <= compliance <= 0.1 and 0 < timeout < 3600):
        raise ConfigError(
            f"{place}: shape {rows}x{cols}, compliance {compliance:g} A, timeout {timeout:g} s; at least 1x1, at "
            "least 1 uA and at most 0.1 A, above 0 and below 3600 s are allowed"
        )
    backend, terminals = options.get("backend", "@py"), options.get("terminals", "front")
    if terminals not in ("front", "rear"):
        raise ConfigError(f"{place}: terminals={terminals}; write front or rear, where the cables are")
    with ExitStack() as stack:

        def closed_on_failure(device: SourceMeter | Switch) -> None:
            stack.callback(device.link.close)

        smu = SourceMeter(open_visa(resource, timeout, backend), compliance, timeout, terminals)
        closed_on_failure(smu)
        gate = SourceMeter(open_visa(options["gate"], timeout, backend), compliance, timeout, terminals, gates=True)
        closed_on_failure(gate)
        if gate.link.name == smu.link.name:
            raise LinkLost(f"{place}: source and gate are one instrument; give two")
        switch = open_switch(options.get("switch", "707A"), open_visa(options["matrix"], timeout, backend), timeout)
        closed_on_failure(switch)
        array = SmuMatrixArray(smu, gate, switch, (rows, cols))
        stack.pop_all()
    return array
