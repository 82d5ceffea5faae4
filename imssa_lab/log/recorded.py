"""`Recorded`: an array whose every call is in the log before the call returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

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
from imssa_lab.log.writer import RunLog

# A decorator of the contract acts on the backend half of the array inside it.
# ruff: noqa: SLF001


class Recorded(CrossbarArray):
    """The contract of `array`, written to `log` as array number `index`."""

    def __init__(self, array: CrossbarArray, log: RunLog, index: int = 0) -> None:
        super().__init__(array.info, array.calibration)
        self._array = array
        self._log = log
        self._index = index

    def program_conductances(
        self, target: ArrayLike, mask: BoolArray | None = None, programmer: Programmer | None = None
    ) -> ProgrammingReport:
        """As the contract says; the report is recorded beside the calls that made it."""
        first = self._log.next_seq
        report = super().program_conductances(target, mask, programmer)
        self._append(
            "program",
            {
                "first_seq": first,
                "chip_recipe": programmer is None,
                **{
                    name: getattr(report, name)
                    for name in ("target", "achieved", "pulses", "outcome", "tolerance", "seconds", "reads")
                },
            },
        )
        return report

    def _append(self, table: str, values: Mapping[str, Any]) -> None:
        self._log.append(table, {"array": self._index, "device_time": self._array._time(), **values})

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        readout = self._array._read_mvm(voltages)
        self._append(
            "read_mvm",
            {
                "first": self._log.rows("read_mvm", "voltage"),
                "count": len(voltages),
                "vector_call": np.full(len(voltages), self._log.next_seq),
                "voltage": voltages,
                **_columns(readout),
            },
        )
        return readout

    def _read_conductances(self, mask: BoolArray, averages: int) -> Readout:
        readout = self._array._read_conductances(mask, averages)
        columns = {name: np.where(mask, values, 0) for name, values in _columns(readout).items()}
        self._append(
            "read_conductances",
            {
                "first": self._log.rows("read_conductances", "value"),
                "count": averages,
                "read_call": np.full(averages, self._log.next_seq),
                "mask": mask,
                **columns,
            },
        )
        return readout

    def _apply_pulses(self, pulses: Pulses) -> None:
        row = self._log.rows("pulses", "seq")
        self._append(  # before they are sent: a crash must not lose a pulse that a cell has seen
            "pulses",
            {
                "kind": np.bytes_(pulses.kind.value),
                "width": pulses.width,
                "voltage": pulses.voltage,
                "gate": pulses.gate,
                "done": 0,
            },
        )
        self._array._apply_pulses(pulses)
        self._log.mark_done(row, self._array._time())

    def _default_programmer(self) -> Programmer:
        return self._array._default_programmer()

    def _calibrate(self, calibration: ColumnCalibration | None) -> None:
        self._array.set_calibration(calibration)
        nothing = np.full(self._info.cols, np.nan)
        self._append(
            "calibrations",
            {
                "present": calibration is not None,
                "gain": nothing if calibration is None else calibration.gain,
                "offset": nothing if calibration is None else calibration.offset,
                "residual": nothing if calibration is None else calibration.residual,
                "date": np.bytes_("" if calibration is None else calibration.date),
            },
        )

    def _wait(self, seconds: float) -> None:
        self._array._wait(seconds)
        self._append("waits", {"seconds": seconds})

    def _time(self) -> float:
        return self._array._time()

    def _make_safe(self) -> None:
        self._array._make_safe()

    def _close(self) -> None:
        self._array.close()


def _columns(readout: Readout) -> dict[str, Any]:
    ranges = np.zeros(readout.values.shape, dtype=np.uint8) if readout.ranges is None else readout.ranges
    return {"value": readout.values, "range": ranges}


@contextmanager
def record(
    path: str | Path, arrays: Sequence[CrossbarArray], provenance: Mapping[str, str]
) -> Iterator[list[Recorded]]:
    """Record `arrays` into a new log; the log closes at the end of the block, the arrays stay the caller's.

    Raises:
        LogError: the file exists or cannot be written, or the arrays differ in shape.
    """
    with RunLog.create(path, arrays, provenance) as log:
        yield [Recorded(array, log, index) for index, array in enumerate(arrays)]
