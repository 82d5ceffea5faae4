"""`Replayed`: an array that answers from a log, and refuses whatever the log does not hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from imssa_lab.errors import ConfigError, ReplayMismatch
from imssa_lab.hal import (
    BoolArray,
    ColumnCalibration,
    CrossbarArray,
    FloatArray,
    Programmer,
    ProgrammingReport,
    Pulses,
    Readout,
)
from imssa_lab.log.reader import Run, open_run
from imssa_lab.log.schema import REQUESTS


class Replayed(CrossbarArray):
    """Array number `index` of a run. Requests must come as they were recorded, byte for byte.

    It touches no instrument and no random generator. `time` is the device time that was recorded. A request that
    differs, or comes after the end, raises `ReplayMismatch` with both sides.
    """

    def __init__(self, run: Run, index: int = 0) -> None:
        infos = run.infos
        if not 0 <= index < len(infos):
            raise ConfigError(f"{run.path} holds arrays 0 to {len(infos) - 1}, asked for {index}")
        super().__init__(infos[index], run.calibration(index))
        self._run = run
        self._clock = run.opened_at(index)
        self._calls = sorted(
            (int(seq), table, row)
            for table in REQUESTS
            for row, (seq, array) in enumerate(
                zip(run.column(table, "seq"), run.column(table, "array"), strict=True)
            )
            if array == index
        )
        self._next = 0
        program = {name: run.column("program", name) for name in ("array", "chip_recipe", "first_seq", "seq")}
        self._programs = [
            (row, int(program["first_seq"][row]), int(program["seq"][row]))
            for row in range(len(program["array"]))
            if program["array"][row] == index and program["chip_recipe"][row]
        ]

    @property
    def calls(self) -> int:
        """How many recorded calls there are."""
        return len(self._calls)

    @property
    def calls_left(self) -> int:
        """How many recorded calls have not been asked for yet."""
        return len(self._calls) - self._next

    def _take(self, table: str) -> int:
        """Row of the next recorded call, which must be of this kind."""
        if self._next == len(self._calls):
            raise ReplayMismatch(
                f"{self._info.name}: the log ends after {len(self._calls)} calls, the script asks for {table}"
            )
        seq, recorded, row = self._calls[self._next]
        if recorded != table:
            raise ReplayMismatch(
                f"{self._info.name}, call {seq}: the log holds {recorded}, the script asks for {table}"
            )
        return row

    def _agree(self, seq: int, what: str, recorded: Any, asked: Any) -> None:
        logged, wanted = np.asarray(recorded), np.asarray(asked)
        if logged.shape != wanted.shape:
            raise ReplayMismatch(
                f"{self._info.name}, call {seq}: {what} had shape {logged.shape}, the script gives {wanted.shape}"
            )
        wanted = wanted.astype(logged.dtype)
        if logged.tobytes() == wanted.tobytes():
            return
        differs = np.argwhere(~((logged == wanted) | ((logged != logged) & (wanted != wanted))))
        where = tuple(int(i) for i in differs[0]) if len(differs) else ()
        raise ReplayMismatch(
            f"{self._info.name}, call {seq}: {what}{list(where) if where else ''} was {logged[where]!s}, "
            f"the script gives {wanted[where]!s} ({len(differs)} values differ)"
        )

    def _took(self, table: str, row: int) -> None:
        self._next += 1
        self._clock = float(self._run.column(table, "device_time", row))

    def _check(self, table: str, asked: Mapping[str, Any]) -> int:
        """Compare the next recorded call with what is asked, column by column, and move on."""
        row = self._take(table)
        seq = self._calls[self._next][0]
        for name, value in asked.items():
            self._agree(seq, f"{table} {name}", self._run.column(table, name, row), value)
        self._took(table, row)
        return row

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        row = self._take("read_mvm")
        seq = self._calls[self._next][0]
        first, count = (int(self._run.column("read_mvm", name, row)) for name in ("first", "count"))
        self._agree(
            seq, "read_mvm voltage", self._run.column("read_mvm", "voltage", slice(first, first + count)), voltages
        )
        self._took("read_mvm", row)
        return self._run.readout("read_mvm", row, self._info.adc is not None)

    def _read_conductances(self, mask: BoolArray, averages: int) -> Readout:
        row = self._check("read_conductances", {"count": averages, "mask": mask})
        return self._run.readout("read_conductances", row, self._info.adc is not None)

    def _apply_pulses(self, pulses: Pulses) -> None:
        self._check(
            "pulses",
            {
                "kind": np.bytes_(pulses.kind.value),
                "width": pulses.width,
                "voltage": pulses.voltage,
                "gate": pulses.gate,
            },
        )

    def _wait(self, seconds: float) -> None:
        self._check("waits", {"seconds": seconds})

    def _calibrate(self, calibration: ColumnCalibration | None) -> None:
        asked: dict[str, Any] = {"present": calibration is not None}
        if calibration is not None:
            asked |= {"gain": calibration.gain, "offset": calibration.offset}
        self._check("calibrations", asked)

    def _default_programmer(self) -> Programmer:
        return self._recall

    def _recall(self, array: CrossbarArray, target: FloatArray, mask: BoolArray) -> ProgrammingReport:
        """The programmer of a replayed chip: the recorded report, in place of the calls that made it."""
        if not self._programs or self._next == len(self._calls):
            raise ReplayMismatch(f"{self._info.name}: the log holds no further programming by the chip's own recipe")
        row, first, last = self._programs.pop(0)
        seq = self._calls[self._next][0]
        if seq < first or (self._next and self._calls[self._next - 1][0] >= first):
            raise ReplayMismatch(
                f"{self._info.name}, call {seq}: the script programs by the chip's recipe, the log does so at call {first}"
            )
        values = {
            name: self._run.column("program", name, row)
            for name in ("target", "achieved", "pulses", "outcome", "tolerance", "seconds", "reads", "device_time")
        }
        self._agree(first, "program target", values["target"], target)
        while self._next < len(self._calls) and self._calls[self._next][0] < last:
            self._next += 1
        self._clock = float(values["device_time"])
        return ProgrammingReport(
            target=values["target"],
            achieved=values["achieved"],
            pulses=values["pulses"],
            outcome=values["outcome"],
            tolerance=float(values["tolerance"]),
            seconds=float(values["seconds"]),
            reads=int(values["reads"]),
        )

    def _time(self) -> float:
        return self._clock

    def _make_safe(self) -> None:
        """A record has no outputs."""

    def _close(self) -> None:
        """The run file stays open for the other arrays of the run."""


def open_replay(address: str, options: Mapping[str, str]) -> Replayed:
    """The driver behind ``replay:FILE?array=N``.

    Raises:
        ConfigError: an unknown option or array; LogError: not a run file.
    """
    unknown = set(options) - {"array"}
    if unknown:
        raise ConfigError(f"replay:{address}: unknown option {sorted(unknown)[0]!r}; a replay takes array")
    number = options.get("array", "0")
    if not number.isdigit():
        raise ConfigError(f"replay:{address}: array={number!r} is not a number; write for example ?array=0")
    return Replayed(open_run(address), int(number))
