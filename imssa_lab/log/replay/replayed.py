"""`Replayed`: an array that answers from a log, and refuses whatever the log does not hold."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from imssa_lab.contract import errors
from imssa_lab.contract.errors import ConfigError, ImssaError, InstrumentError, LimitError, ReplayMismatch
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
from imssa_lab.log.read.run_file import RunFile
from imssa_lab.log.replay.divergence import columns, mismatch, payload
from imssa_lab.log.schema import PULSE_KINDS, TABLES, requests

_READS = ("read_mvm", "read_conductances")


class _Entry(NamedTuple):
    """One record of this array: its number, its table and row; a failed call has its story instead of a row."""

    seq: int
    table: str
    row: int = -1
    failure: Mapping[str, Any] | None = None


class Replayed(CrossbarArray):
    """Array number `index` of a run. Requests must come as they were recorded, byte for byte.

    It touches no instrument and no random generator. `time` is the device time that was recorded with the last
    call. A request that differs, or comes after the end, raises `ReplayMismatch` with both sides; so does one whose
    answer is damaged (`LogError`). A call that failed when it was recorded fails again. The chip's own recipe is not
    run again, its recorded report is given; a programmer that a script gives runs on the replayed calls.
    """

    def __init__(self, run: RunFile, index: int = 0, owns_run: bool = False, *, tolerant: bool = False) -> None:
        """Args for how it behaves.

        `owns_run`: close the run file together with this array. `tolerant`: for a changed analysis, reads of one
        kind may come in another order or be left out, as long as nothing that changes the chip or its clock lies
        between; what is asked must still have been recorded, byte for byte.
        """
        infos = run.infos
        if not 0 <= index < len(infos):
            raise ConfigError(f"{run.path} holds arrays 0 to {len(infos) - 1}, asked for {index}")
        super().__init__(infos[index], run.calibration(index))
        self._run = run
        self._owns_run = owns_run
        self._tolerant = tolerant
        self._clock = run.opened_at(index)
        self._entries = _entries(run, index)
        self._next = 0

    @property
    def calls(self) -> int:
        """How many recorded calls there are, programming as a whole counted as one more."""
        return len(self._entries)

    @property
    def calls_left(self) -> int:
        """How many of them have not been asked for yet."""
        return len(self._entries) - self._after_answered_loops()

    def _after_answered_loops(self) -> int:
        """The place of the next record that must be asked for.

        A wrapper, such as the recorder of a replay, runs a given programmer itself and asks for its calls one by
        one. With the last of them the programming as a whole is answered, whose record nobody asks for.
        """
        place = self._next
        while place < len(self._entries) and self._is_given_loop(self._entries[place]):
            place += 1
        return place

    def _is_given_loop(self, entry: _Entry) -> bool:
        given = entry.table == "program" and entry.failure is None
        return given and not self._run.column("program", "default", entry.row)

    # ---- the record against the request

    def _upcoming(self, table: str, asked: Mapping[str, Any]) -> _Entry:
        """The next record, which must be of this kind and not one of a failed call."""
        if table != "program":
            self._next = self._after_answered_loops()
        if self._tolerant:
            self._look_ahead(table, asked)
        if self._next == len(self._entries):
            raise ReplayMismatch(
                f"{self._info.name}: the log ends after {len(self._entries)} calls, the script asks for {table}"
            )
        entry = self._entries[self._next]
        if entry.table != table:
            both = [("", entry.table, table), ("", self._payload(entry), payload(asked))]
            raise ReplayMismatch(
                f"{self._info.name}, call {entry.seq}: the log holds {entry.table}, the script asks for {table}\n"
                f"{columns([('', 'log', 'script'), *both])}"
            )
        if entry.failure is not None:
            self._next += 1
            raise _error(entry.failure)
        return entry

    def _look_ahead(self, table: str, asked: Mapping[str, Any]) -> None:
        """Bring the read that is asked for to the front; leave out reads before anything else that is asked for."""
        if table not in _READS:
            while self._next < len(self._entries) and self._entries[self._next].table in _READS:
                self._next += 1
            return
        for number in range(self._next, len(self._entries)):
            entry = self._entries[number]
            if entry.table not in _READS:
                return
            if entry.table != table or entry.failure is not None:
                continue
            if not any(mismatch("", recorded, asked[name]) for name, recorded in self._recorded(entry, asked)):
                self._entries.insert(self._next, self._entries.pop(number))
                return

    def _check(self, table: str, asked: Mapping[str, Any]) -> int:
        """Compare the next record with what is asked, column by column, and move on; gives its row."""
        entry = self._upcoming(table, asked)
        for name, recorded in self._recorded(entry, asked):
            self._agree(entry.seq, f"{table} {name}", recorded, asked[name])
        time = float(self._run.column(entry.table, "device_time", entry.row))
        if not math.isnan(time):  # of pulses that are not known to be done
            self._clock = time
        self._next += 1
        return entry.row

    def _recorded(self, entry: _Entry, names: Iterable[str]) -> Iterator[tuple[str, Any]]:
        """What a record holds under these names, read one after the other."""
        pulses: Pulses | None = None
        for name in names:
            if TABLES[entry.table][name].per == "call":
                yield name, self._run.column(entry.table, name, entry.row)
            elif entry.table == "pulses":
                pulses = pulses or self._run.pulses(entry.row)
                yield name, getattr(pulses, name)
            else:
                first, count = (int(self._run.column(entry.table, part, entry.row)) for part in ("first", "count"))
                yield name, self._run.column(entry.table, name, slice(first, first + count))

    def _payload(self, entry: _Entry) -> str:
        if entry.failure is not None:
            return f"failed: {entry.failure['text']}"
        return payload(dict(self._recorded(entry, TABLES[entry.table].asked)))

    def _agree(self, seq: int, what: str, recorded: Any, asked: Any) -> None:
        text = mismatch(f"{self._info.name}, call {seq}: {what}", recorded, asked)
        if text:
            raise ReplayMismatch(text)

    # ---- the backend half of the contract

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        row = self._check("read_mvm", {"voltage": voltages})
        return self._run.readout("read_mvm", row, self._info.adc is not None)

    def _read_conductances(self, mask: BoolArray, averages: int) -> Readout:
        row = self._check("read_conductances", {"count": averages, "mask": mask})
        return self._run.readout("read_conductances", row, self._info.adc is not None)

    def _apply_pulses(self, pulses: Pulses) -> None:
        kind = PULSE_KINDS.index(pulses.kind.value)
        # one NaN may be written in other bits than another: the record says only which cells were left alone
        voltage, gate = (np.where(pulses.mask, values, np.nan) for values in (pulses.voltage, pulses.gate))
        asked = {"kind": kind, "width": pulses.width, "voltage": voltage, "gate": gate}
        self._check("pulses", asked)
        following = self._entries[self._next] if self.calls_left else None
        if following is not None and following.table == "pulses" and following.failure is not None:
            self._upcoming(
                "pulses", asked
            )  # raises: they were recorded before they were sent, and the sending failed

    def _wait(self, seconds: float) -> None:
        self._check("waits", {"seconds": seconds})

    def _calibrate(self, calibration: ColumnCalibration | None) -> None:
        asked: dict[str, Any] = {"cleared": calibration is None}
        if calibration is not None:
            asked |= {"gain": calibration.gain, "offset": calibration.offset}
        self._check("calibrations", asked)

    def _program(self, programmer: Programmer | None, target: FloatArray, mask: BoolArray) -> ProgrammingReport:
        report = super()._program(programmer, target, mask)
        if programmer is not None:
            self._check("program", {"default": 0, "mask": mask, "target": target})
        return report

    def _lower(self, lowered: ArrayInfo) -> None:
        """What was recorded was read at the voltage that the record names."""
        if lowered.read_voltage < self._info.read_voltage:
            raise LimitError(
                f"{self._info.name}: cells were read at {self._info.read_voltage:g} V in this record, "
                f"{lowered.read_voltage:g} V asked; for that you need the chip"
            )

    def _default_programmer(self) -> Programmer:
        return self._recall

    def _recall(self, array: CrossbarArray, target: FloatArray, mask: BoolArray) -> ProgrammingReport:
        """The programmer of a replayed chip: the recorded report, in place of the calls that made it."""
        name, wanted = self._info.name, "the script programs by the chip's own recipe"
        if not self.calls_left:
            raise ReplayMismatch(f"{name}: the log ends after {len(self._entries)} calls, {wanted}")
        self._next = self._after_answered_loops()
        upcoming = self._entries[self._next]
        found = [
            number
            for number, entry in enumerate(self._entries[self._next :], start=self._next)
            if entry.table == "program"
            and self._run.column("program", "default", entry.row)
            and self._run.column("program", "first_seq", entry.row) <= upcoming.seq
        ]
        if not found:
            raise ReplayMismatch(f"{name}, call {upcoming.seq}: the log holds {upcoming.table}, {wanted}")
        self._next = found[-1]  # the outermost, where one recipe calls another
        row = self._check("program", {"default": 1, "mask": mask, "target": target})
        names = ("achieved", "pulses", "outcome", "tolerance", "seconds", "reads")
        values = {name: self._run.column("program", name, row) for name in names}
        return ProgrammingReport(
            target=target,
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
        if self._owns_run:
            self._run.close()


def _entries(run: RunFile, index: int) -> list[_Entry]:
    entries = [
        _Entry(int(seq), table, row)
        for table in requests()
        for row, (seq, array) in enumerate(zip(run.column(table, "seq"), run.column(table, "array"), strict=True))
        if array == index
    ]
    for seq, kind, text in run.numbered_events():
        if kind == "failed":
            failure = json.loads(text)
            if failure["array"] == index:
                entries.append(_Entry(seq, failure["call"], failure=failure))
    return sorted(entries, key=lambda entry: entry.seq)


def _error(failure: Mapping[str, Any]) -> ImssaError:
    kind = getattr(errors, failure["error"], None)
    if kind is InstrumentError:
        return InstrumentError(failure["code"], failure["text"])
    if isinstance(kind, type) and issubclass(kind, ImssaError):
        return kind(failure["text"])
    return ImssaError(f"when this was recorded, {failure['call']} ended by {failure['error']}: {failure['text']}")
