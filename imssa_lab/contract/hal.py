"""The contract: every array, real, simulated, recorded or replayed, is a `CrossbarArray`.

Public methods check shapes, finiteness and limits and only then call the backend; a backend writes the
underscored methods and may trust its arguments. SI units: S, V, A, s.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import NoReturn, Protocol, Self, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike

from imssa_lab.contract.array_types import (
    AdcRanges,
    ArrayInfo,
    BoolArray,
    ColumnCalibration,
    Durations,
    FloatArray,
    Limits,
    PulseKind,
    PulseLimits,
    Pulses,
    Readout,
    Window,
)
from imssa_lab.contract.checks import arguments, containers, incoming
from imssa_lab.contract.closed_loop import ClosedLoop, LoopRun
from imssa_lab.contract.errors import ImssaError, LimitError, WrongProcess
from imssa_lab.contract.notebook import facts_html
from imssa_lab.contract.programming_report import CellOutcome, ProgrammingReport
from imssa_lab.contract.safe_stop import SafeStop

__all__ = [
    "AdcRanges",
    "ArrayInfo",
    "BoolArray",
    "CellOutcome",
    "ColumnCalibration",
    "CrossbarArray",
    "Durations",
    "FloatArray",
    "Limits",
    "Programmer",
    "ProgrammingReport",
    "PulseKind",
    "PulseLimits",
    "Pulses",
    "Readout",
    "Window",
]


class Programmer(Protocol):
    """A closed loop that brings cells to their targets using the contract alone."""

    def __call__(self, array: CrossbarArray, target: FloatArray, mask: BoolArray) -> ProgrammingReport:
        """Program the cells of `mask` (rows, cols) to `target` (rows, cols), S, NaN outside the mask."""


class CrossbarArray(ABC):
    """A crossbar of memristive cells: rows are word lines (inputs), columns are bit lines (outputs).

    Use it as a context manager: leaving the block, by whatever way, makes the array safe and closes it; inside,
    a first Ctrl-C, SIGTERM or SIGHUP waits for the hardware call under way, a second does not.

    Calls of several threads come one after another. A forked child cannot use the array of its parent, and leaves it
    alone when it ends.
    """

    def __init_subclass__(cls) -> None:
        """Who changes what a product is and says nothing of loops is read step by step."""
        super().__init_subclass__()
        if "_read_mvm" in vars(cls) and "_read_loop" not in vars(cls):
            cls._read_loop = CrossbarArray._read_loop  # type: ignore[method-assign]

    def __init__(self, info: ArrayInfo, calibration: ColumnCalibration | None = None) -> None:
        self._info = info
        self._calibration = calibration
        self._closed = False
        self._safe_stop = SafeStop(info.name, self._make_safe)

    # ---- what it is

    @property
    def info(self) -> ArrayInfo:
        """Description and limits of this array."""
        return self._info

    @property
    def time(self) -> float:
        """Device time in s since the array was opened: the twin's own clock, or the instrument's.

        It may not advance between calls, as in a record; to let time pass, use `wait`.
        """
        with self._safe_stop:
            return incoming.device_time(self._info, self._time())

    @property
    def calibration(self) -> ColumnCalibration | None:
        """The column correction that `read_mvm` applies; None if there is none."""
        return self._calibration

    def set_calibration(self, calibration: ColumnCalibration | None) -> None:
        """Apply this column correction from now on.

        Raises:
            LimitError: it is not of shape (cols,).
        """
        if calibration is not None and calibration.gain.shape != (self._info.cols,):
            raise LimitError(
                f"{self._info.name}: calibration gain must have shape ({self._info.cols},), "
                f"got {calibration.gain.shape}"
            )
        with self._call():
            self._calibrate(calibration)
        self._calibration = calibration

    def lower_limits(self, limits: Limits) -> None:
        """Allow less from now on than the array does by itself, and drive less: cells are read at a lowered read
        limit where that lies below the voltage they were read at.

        Raises:
            LimitError: a limit is above the present one, or the instrument cannot read at less; nothing has changed.
        """
        self._safe_stop.gate.require_own_process()
        now = self._info.limits
        pairs = [(limits.read_voltage, now.read_voltage)]
        for kind in PulseKind:
            new, old = (getattr(which, kind.value.lower()) for which in (limits, now))
            if new is not None and old is None:
                raise LimitError(f"{self._info.name}: this array has no {kind} pulses")
            if new is not None and old is not None:
                pairs += [(getattr(new, key), getattr(old, key)) for key in ("voltage_max", "gate_max", "width_max")]
                pairs.append((old.width_min, new.width_min))
        if not all(new <= old for new, old in pairs):
            raise LimitError(f"{self._info.name}: limits can be lowered, not raised; it allows {now}")
        read_voltage = min(self._info.read_voltage, limits.read_voltage)
        lowered = self._info.model_copy(update={"limits": limits, "read_voltage": read_voltage})
        self._lower(lowered)
        self._info = lowered

    def _repr_html_(self) -> str:
        """For notebooks: what it is and its state; no command is sent to the instrument."""
        carried = "none" if self._calibration is None else self._calibration.date or "carried"
        standing = [("columns calibrated", carried), ("state", "closed" if self._closed else "open")]
        return facts_html(type(self).__name__, [*self._info.facts(), *standing])

    # ---- what can be done with it

    def read_mvm(self, voltages: ArrayLike, *, raw: bool = False) -> FloatArray:
        """Currents of all bit lines for voltages on all word lines, I = V G as this array computes it.

        Args:
            voltages: V, shape (rows,) or (n, rows).
            raw: skip the column calibration.

        Returns:
            A, shape (cols,) or (n, cols).

        Raises:
            LimitError: wrong shape, not finite, above the read limit, negative on an unsigned input.
        """
        given = arguments.voltages(self._info, voltages)
        single = given.ndim == 1
        batch = given.reshape(1, -1) if single else given
        with self._call():
            current = incoming.current(self._info, "read_mvm", self._read_mvm(batch), (len(batch), self._info.cols))
        if self._calibration is not None and not raw:
            current = self._calibration.apply(current)
        return current[0] if single else current

    def read_loop(self, loop: ClosedLoop, inputs: FloatArray, states: Sequence[FloatArray]) -> LoopRun | None:
        """Run some steps of a closed loop in one call; None if the array cannot: use `read_mvm` step by step.

        What it gives, and what a log keeps of it, is bit for bit what `read_mvm` gives step by step.

        Args:
            loop: what the digital side does between the products.
            inputs: (n, steps, kernels), finite.
            states: before the first step, (n, kernels, size - 1) for each bank, finite.

        Raises:
            LimitError: the loop does not fit the array or its read limit, or numbers are not finite.
        """
        loop.check(self._info.name, self._info.shape, self._info.limits.read_voltage)
        given, before = loop.own(self._info.name, inputs, states)
        with self._call():
            run = self._read_loop(loop, given, before, self._calibration)
            return None if run is None else incoming.loop_run(self._info, run, loop, *given.shape[:2])

    def read_conductances(self, mask: BoolArray | None = None, averages: int = 1) -> FloatArray:
        """Conductance of single cells at the read voltage, the mean of `averages` reads.

        Returns:
            S, shape (rows, cols), NaN outside the mask.

        Raises:
            LimitError: the mask has another shape or type, averages is below 1.
        """
        chosen = self._mask(mask)
        times = arguments.averages(self._info, averages)
        with self._call():
            current = incoming.current(
                self._info,
                "read_conductances",
                self._read_conductances(chosen, times),
                (times, *self._info.shape),
                chosen,
            )
        mean = current[0] if len(current) == 1 else current.mean(axis=0)
        conductance: FloatArray = mean / self._info.read_voltage
        conductance[~chosen] = np.nan
        return conductance

    def apply_pulses(self, pulses: Pulses) -> None:
        """One programming pulse on every cell that `pulses` selects.

        Raises:
            LimitError: wrong shape, or a voltage, gate or width outside the limits of that kind of pulse;
                nothing was sent.
        """
        allowed = self._check_pulses(pulses)
        with self._call():
            self._apply_pulses(allowed)

    def program_conductances(
        self, target: ArrayLike, mask: BoolArray | None = None, programmer: Programmer | None = None
    ) -> ProgrammingReport:
        """Bring cells to target conductances in a closed loop.

        Args:
            target: S, shape (rows, cols); must be finite and inside the window where `mask` selects.
            mask: True for the cells to program; None for all.
            programmer: the loop; None for the chip's own recipe.

        Raises:
            LimitError: wrong shape, NaN or a target outside the conductance window; nothing was pulsed.
        """
        chosen = self._mask(mask)
        wanted = arguments.targets(self._info, target, chosen)
        with self._call():  # refused before a programmer notes anything of it
            pass
        return incoming.report(self._info, self._program(programmer, np.where(chosen, wanted, np.nan), chosen))

    def wait(self, seconds: float) -> None:
        """Let device time pass: hardware sleeps, a twin moves its clock.

        Raises:
            LimitError: negative or not finite.
        """
        passing = containers.number(seconds, f"{self._info.name}: cannot wait", "s")
        if not (math.isfinite(passing) and passing >= 0):
            raise LimitError(f"{self._info.name}: cannot wait {seconds!r} s; give a finite time of 0 s or more")
        with self._pause():
            self._wait(passing)

    def make_safe(self) -> None:
        """All outputs to zero and grounded; a first Ctrl-C waits until they are.

        Beside other threads that have used the array and live, it stops these: the call under way is waited for, for
        half a second where it does not end, and every later call of any thread raises ArrayStopped until `rearm`.

        Raises:
            WrongProcess: this is a forked child of the process that opened the array; nothing was sent.
        """
        with self._safe_stop.grounding():
            self._make_safe()

    def rearm(self) -> None:
        """Accept calls again after a stop; threads that have not yet noticed the stop are still refused once."""
        self._safe_stop.gate.rearm()

    def close(self) -> None:
        """Make safe and release the instrument; a second call does nothing, nor does a call in a forked child."""
        if not (self._closed or self._safe_stop.gate.abroad):
            self._closed = True
            try:
                self.make_safe()
            finally:
                self._close()
                self._safe_stop.gate.ground_due = False

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """An open instrument cannot be copied, nor go to another process."""
        raise WrongProcess(
            f"{self._info.name}: an array holds its instrument and cannot be copied or sent to another process; "
            "send the address and open it there with open_array(...)"
        )

    def __enter__(self) -> Self:
        self._safe_stop.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        finally:
            self._safe_stop.remove()

    # ---- what a backend writes

    @abstractmethod
    def _read_mvm(self, voltages: FloatArray) -> Readout:
        """Readout of shape (n, cols) for voltages (n, rows)."""

    def _read_loop(
        self,
        loop: ClosedLoop,
        inputs: FloatArray,
        states: Sequence[FloatArray],
        calibration: ColumnCalibration | None,
    ) -> LoopRun | None:
        """As `read_loop`, with this column calibration; None, before anything is read, where the array cannot."""
        return None

    @abstractmethod
    def _read_conductances(self, mask: BoolArray, averages: int) -> Readout:
        """Readout of shape (averages, rows, cols) at the read voltage; anything outside the mask."""

    @abstractmethod
    def _apply_pulses(self, pulses: Pulses) -> None: ...

    @abstractmethod
    def _default_programmer(self) -> Programmer: ...

    def _program(self, programmer: Programmer | None, target: FloatArray, mask: BoolArray) -> ProgrammingReport:
        """Run the loop on this array, None: the chip's own, for `target` (rows, cols), S, NaN outside the mask."""
        loop = self._default_programmer() if programmer is None else programmer
        return loop(self, target, mask)

    @abstractmethod
    def _wait(self, seconds: float) -> None: ...

    @abstractmethod
    def _time(self) -> float: ...

    @abstractmethod
    def _make_safe(self) -> None: ...

    @abstractmethod
    def _close(self) -> None: ...

    def _calibrate(self, calibration: ColumnCalibration | None) -> None:
        """Told of a new calibration before it takes effect; most backends need not know."""

    def _lower(self, lowered: ArrayInfo) -> None:
        """Told of lower limits before they take effect; `lowered` is what `info` will say.

        From then on word lines see at most `lowered.limits.read_voltage`, and `_read_conductances`, contact checks
        and whatever else drives cells by itself drive `lowered.read_voltage`. A backend that takes both from `info`
        at every call overrides this with nothing; one with a fixed voltage leaves it, which refuses a lower one.

        Raises:
            LimitError: the instrument cannot, and why; nothing has changed.
        """
        asked, now = lowered.limits.read_voltage, self._info.limits.read_voltage
        if asked < now:
            raise LimitError(
                f"{self._info.name}: a read limit of {asked:g} V asked, this driver reads at {now:g} V and cannot "
                "lower that; leave read_voltage out of the limits"
            )

    # ---- checks

    def _call(self) -> AbstractContextManager[None]:
        """Around a hardware call; it comes in turn, and not at all where the array was stopped."""
        if self._closed:
            self._require_open()
        return self._safe_stop

    def _pause(self) -> AbstractContextManager[None]:
        """Around a call that only lets time pass: other threads need not wait for it."""
        self._require_open()
        return self._safe_stop.idle()

    def _require_open(self) -> None:
        if self._closed:
            raise ImssaError(f"{self._info.name} is closed; open it again with open_array(...)")

    def _mask(self, mask: object) -> BoolArray:
        return arguments.mask(self._info, mask)

    def _check_pulses(self, pulses: Pulses) -> Pulses:
        """The pulses as they may be sent; LimitError where they may not."""
        return arguments.pulses(self._info, pulses)
