"""`Recorded`: an array whose every call is in the log before the call returns."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from imssa_lab.contract.closed_loop import LoopRun
from imssa_lab.contract.errors import ImssaError, InstrumentError, LimitError, LogError
from imssa_lab.contract.hal import (
    ArrayInfo,
    BoolArray,
    ColumnCalibration,
    CrossbarArray,
    FloatArray,
    Programmer,
    ProgrammingReport,
    Pulses,
    Readout,
)
from imssa_lab.contract.wrapper import Wrapper
from imssa_lab.log.schema import PULSE_KINDS
from imssa_lab.log.write.programming_events import AIM, Aim, aim_text, programmer_text
from imssa_lab.log.write.record_sizes import check_room
from imssa_lab.log.write.run_log import RunLog

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")

# A wrapper acts on the backend half of the array inside it.
# ruff: noqa: SLF001


class Recorded(Wrapper):
    """The contract of `array`, written to `log` as array number `index`.

    `time` is the device time noted with the last recorded call, not the running clock: so a replay, which knows
    only the record, gives the same. A call that fails is an event of kind "failed". Once a record could not be
    written, the array is made safe, and every further call but `make_safe` and `close` raises `LogError` and sends
    nothing.
    """

    def __init__(self, array: CrossbarArray, log: RunLog, index: int = 0) -> None:
        super().__init__(array)
        if not 0 <= index < len(log.opened_at):
            raise LogError(f"{log.path} was made for {len(log.opened_at)} arrays, there is no array {index}")
        self._log = log
        self._index = index
        self._clock = log.opened_at[index]
        self._sent = -1  # number of the record of the pulses under way

    @property
    def log(self) -> RunLog:
        """The log that the calls go to."""
        return self._log

    def _program(self, programmer: Programmer | None, target: FloatArray, mask: BoolArray) -> ProgrammingReport:
        """The report is recorded beside the calls that made it."""
        loop = self._default_programmer() if programmer is None else programmer
        first = self._log.next_seq
        self._log.event(AIM, aim_text(Aim(self._index, target, programmer_text(loop))))
        calls_from = self._log.next_seq
        report = super()._program(loop, target, mask)
        if self._log.next_seq == calls_from:  # a replay answers the chip's own recipe as a whole
            self._clock = self._array.time
        names = ("achieved", "pulses", "outcome", "tolerance", "seconds", "reads")
        self._append(
            "program",
            {
                "first_seq": first,
                "last_seq": self._log.next_seq,
                "default": programmer is None,
                "mask": mask,
                "target": target,
                **{name: getattr(report, name) for name in names},
            },
            self._clock,
        )
        return report

    def _append(self, table: str, values: Mapping[str, Any], device_time: float) -> int:
        return self._safely(self._log.append, table, {"array": self._index, "device_time": device_time, **values})

    def _safely(self, ask: Callable[..., _Answer], *arguments: Any) -> _Answer:
        """What the log answers; where it fails, the array is made safe."""
        try:
            return ask(*arguments)
        except LogError:
            self._retreat()
            raise

    def _retreat(self) -> None:
        """Outputs to zero when nothing can be recorded any more; the error that is under way says why."""
        try:
            self._array._make_safe()
        except ImssaError as error:
            _log.error("%s could not be made safe: %s", self._info.name, error)

    @contextmanager
    def _around(self, call: str) -> Iterator[None]:
        """Around a call to the array inside and its record: a signal waits until both are done."""
        self._safely(self._log.check)
        with super()._around(call):
            try:
                yield
            except LogError:
                raise
            except BaseException as error:
                failure = {"array": self._index, "call": call, "error": type(error).__name__}
                if isinstance(error, InstrumentError):
                    failure |= {"code": error.code, "text": error.text}
                else:
                    failure |= {"text": str(error)}
                self._log.note("failed", json.dumps(failure))
                raise
        self._safely(self._log.after_call)

    def _record(self, table: str, values: Mapping[str, Any]) -> None:
        now = self._array.time
        self._append(table, values, now)
        self._clock = now

    def _after_products(self, voltages: FloatArray, readout: Readout) -> None:
        columns = self._columns(readout, (len(voltages), self._info.cols))
        self._record("read_mvm", {"voltage": voltages, **columns})

    def _after_loop(self, run: LoopRun) -> None:
        """Recorded as the products that it consists of: a replay is asked for them one by one."""
        columns = self._columns(run.readout, (*run.voltages.shape[:2], self._info.cols))
        products = (run.times, run.voltages, columns["value"], columns["range"])
        self._safely(self._log.append_products, self._index, *products)
        self._clock = float(run.times[-1])

    def _after_cells(self, mask: BoolArray, averages: int, readout: Readout) -> None:
        columns = self._columns(readout, (averages, *self._info.shape))
        if not mask.all():  # what lies outside means nothing, and zeros take no space
            columns = {name: np.where(mask, values, values.dtype.type(0)) for name, values in columns.items()}
        self._record("read_conductances", {"mask": mask, **columns})

    def _before_pulses(self, pulses: Pulses) -> None:
        """Recorded before they are sent: a crash must not lose a pulse that a cell has seen."""
        (cells,) = pulses.mask.ravel().nonzero()
        asked = {
            "kind": PULSE_KINDS.index(pulses.kind.value),
            "width": pulses.width,
            "row": (cells // self._info.cols).astype(np.uint16),
            "col": (cells % self._info.cols).astype(np.uint16),
            "voltage": pulses.voltage.ravel()[cells],
            "gate": pulses.gate.ravel()[cells],
        }
        self._sent = self._append("pulses", {**asked, "done": 0}, math.nan)

    def _after_pulses(self, pulses: Pulses) -> None:
        now = self._array.time
        self._safely(self._log.mark_done, self._sent, now)
        self._clock = now

    def _after_calibration(self, calibration: ColumnCalibration | None) -> None:
        nothing = np.full(self._info.cols, np.nan)
        self._record(
            "calibrations",
            {
                "cleared": calibration is None,
                "gain": nothing if calibration is None else calibration.gain,
                "offset": nothing if calibration is None else calibration.offset,
                "residual": nothing if calibration is None else calibration.residual,
                "date": b"" if calibration is None else calibration.date.encode(),
            },
        )

    def _lower(self, lowered: ArrayInfo) -> None:
        """A record says once, at its beginning, at which voltage cells are read."""
        if lowered.read_voltage < self._info.read_voltage:
            raise LimitError(
                f"{self._info.name}: cells are read at {self._info.read_voltage:g} V in this record, "
                f"{lowered.read_voltage:g} V asked; lower the limits of the array before its record begins"
            )
        super()._lower(lowered)

    def _after_wait(self, seconds: float) -> None:
        self._record("waits", {"seconds": seconds})

    def _time(self) -> float:
        return self._clock

    def _make_safe(self) -> None:
        super()._make_safe()
        self._log.note("make_safe", f"array {self._index}")

    def _close(self) -> None:
        super()._close()
        self._log.note("close", f"array {self._index}")

    def _columns(self, readout: Readout, shape: tuple[int, ...]) -> dict[str, Any]:
        if readout.values.shape != shape:
            raise LogError(f"{self._info.name}: gave values of shape {readout.values.shape}, must be {shape}")
        if self._info.adc is not None and readout.ranges is None:
            raise LogError(f"{self._info.name}: has an ADC but gave no ranges; its driver must say which range")
        ranges = np.zeros(readout.values.shape, dtype=np.uint8) if readout.ranges is None else readout.ranges
        return {"value": readout.values, "range": ranges}


@contextmanager
def record(
    path: str | Path, arrays: Sequence[CrossbarArray], provenance: Mapping[str, object], *, takes: float = 0
) -> Iterator[list[Recorded]]:
    """Record `arrays` into a new log; the log closes at the end of the block, the arrays stay the caller's.

    Args:
        takes: bytes that the log will take, if you know; see docs/record.md for what a call takes.

    Raises:
        LogError: the file exists or cannot be written, the arrays differ in shape, or the disk has no such room.
    """
    if takes and Path(path).parent.is_dir():  # where it is not, the log says so itself
        check_room(Path(path).parent, takes)
    with RunLog.create(path, arrays, provenance) as log:
        yield [Recorded(array, log, index) for index, array in enumerate(arrays)]
