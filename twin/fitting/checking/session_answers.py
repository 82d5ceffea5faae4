"""The answers of a recorded session, and those of a twin asked the same, with the same programmers and pauses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from pydantic import BaseModel, ValidationError

from imssa_lab.contract.array_types import ArrayInfo, Pulses
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.hal import BoolArray, ColumnCalibration, FloatArray, Programmer
from imssa_lab.contract.programming_report import CellOutcome, ProgrammingReport
from imssa_lab.log import Run
from imssa_lab.log.schema import requests
from imssa_lab.log.write.programming_events import AIM, read_aim
from protocols.programmers import GIVEN_RECIPE, PROGRAMMERS, WriteVerify, make_programmer
from protocols.wrappers.recipe_override import GIVEN_PROGRAMMER
from twin.digital_twin import DigitalTwin
from twin.fitting.checking.last_pulses import in_turn, last_pulses

_BY_CLASS: dict[str, type[BaseModel]] = {kind.__name__: kind for kind in PROGRAMMERS.values()}
_REPORT = ("target", "achieved", "pulses", "outcome", "tolerance", "seconds", "reads")
_NO_PAUSE = 1e-6
"""Share of a call's own duration below which a gap before it is rounding."""


@dataclass(frozen=True)
class Said(FrozenArrays):
    """One call and its answer.

    Attributes:
        table: of the log; when: device time at its end by the record, s.
        report: of a programming; values: conductances (n, rows, cols), NaN outside the mask, or currents (n, cols).
        volts: of products, (n, rows). pulses: as sent. comparable: whether a programming was by a known loop.
    """

    table: str
    when: float
    report: ProgrammingReport | None = None
    values: FloatArray | None = None
    volts: FloatArray | None = None
    pulses: Pulses | None = None
    comparable: bool = True


@dataclass(frozen=True)
class Call:
    """A call of the record: number, table, row, device time (s), array, and the loop of a programming, if known."""

    seq: int
    table: str
    row: int
    when: float
    array: int = 0
    programmer: Programmer | None = None
    known: bool = True


def calls_of(run: Run, number: int, info: ArrayInfo) -> list[Call]:
    """Calls to one array in order; those made inside a programming are left out, the programming itself is kept."""
    found = [
        Call(int(seq), table, row, float(when), number)
        for table in requests()
        for row, (seq, array, when) in enumerate(
            zip(*(run.column(table, name) for name in ("seq", "array", "device_time")), strict=True)
        )
        if array == number
    ]
    aims = [(seq, read_aim(text).programmer) for seq, kind, text in run.numbered_events() if kind == AIM]
    inside: set[int] = set()
    loops: dict[int, Call] = {}
    for call in found:
        if call.table == "program":
            first = int(run.column("program", "first_seq", call.row))
            inside.update(range(first, call.seq))
            said = next((text for seq, text in aims if seq >= first), None)
            default = bool(run.column("program", "default", call.row))
            programmer = _programmer(said) or (_given(info) if default else None)
            known = default or programmer is not None
            loops[call.seq] = Call(call.seq, call.table, call.row, call.when, number, programmer, known)
    return [loops.get(call.seq, call) for call in sorted(found, key=lambda one: one.seq) if call.seq not in inside]


def recorded(run: Run, calls: list[Call], info: ArrayInfo) -> Iterator[Said]:
    """What the chip answered."""
    for call in calls:
        table, row = call.table, call.row
        if table == "program":
            report = ProgrammingReport(*(run.column(table, name, row) for name in _REPORT))
            yield Said(table, call.when, report=report, comparable=call.known)
        elif table == "pulses":
            yield Said(table, call.when, pulses=run.pulses(row))
        elif table == "read_conductances":
            mask = run.column(table, "mask", row).astype(bool)
            current = run.readout(table, row, info.adc is not None).current(info.adc)
            yield Said(table, call.when, values=np.where(mask, current / info.read_voltage, np.nan))
        elif table == "read_mvm":
            volts = _volts(run, row)
            yield Said(
                table, call.when, values=run.readout(table, row, info.adc is not None).current(info.adc), volts=volts
            )
        else:
            yield Said(table, call.when)


def repeated(run: Run, calls: list[Call], array: DigitalTwin) -> Iterator[Said]:
    """What a twin answers, after pauses as long as those of the chip."""
    by_statistics, timing = array.profile.programming is not None, array.profile.timing
    last = calls[0].when if calls else 0.0
    for call in calls:
        table, row, gap = call.table, call.row, call.when - last
        last = call.when
        if table == "waits":
            array.wait(max(float(run.column(table, "seconds", row)), gap))
            yield Said(table, call.when)
        elif table == "calibrations":
            names = ("gain", "offset", "residual")
            cleared = bool(run.column(table, "cleared", row))
            found = (run.column(table, name, row) for name in names)
            array.set_calibration(None if cleared else ColumnCalibration(*found))
            yield Said(table, call.when)
        elif table == "pulses":
            pulses = run.pulses(row)
            cells = np.count_nonzero(pulses.mask)
            _pause(array, gap, (timing.pulse + pulses.width) * cells)
            array.apply_pulses(pulses)
            yield Said(table, call.when, pulses=pulses)
        elif table == "program":
            mask, target = run.column(table, "mask", row).astype(bool), run.column(table, "target", row)
            _pause(array, gap, float(run.column(table, "seconds", row)))
            loop = None if by_statistics else call.programmer
            window = array.info.window
            wanted = target
            if not call.known:  # to where the chip's cells were left, for all that is read of them afterwards
                left = np.nan_to_num(run.column(table, "achieved", row), nan=window.low)
                wanted = np.where(mask, np.clip(left, window.low, window.high), np.nan)
            looped = int(run.column(table, "reads", row)) > 1  # one that is not, looks once at what it left
            if by_statistics and looped:
                left_at = last_pulses(run, call.array, row)
                reads = _verifying_reads(call.programmer)
                took = float(run.column(table, "seconds", row))
                report = _written(array, wanted, mask, call.when - left_at, took, reads)
            else:
                report = array.program_conductances(wanted, mask, loop)
            default = bool(run.column(table, "default", row))
            yield Said(table, call.when, report=report, comparable=call.known and (default or not by_statistics))
        elif table == "read_conductances":
            mask, count = run.column(table, "mask", row).astype(bool), int(run.column(table, "count", row))
            _pause(array, gap, timing.cell_read * np.count_nonzero(mask) * count)
            yield Said(table, call.when, values=np.stack([array.read_conductances(mask) for _ in range(count)]))
        elif table == "read_mvm":
            volts = _volts(run, row)
            _pause(array, gap, timing.mvm * len(array.profile.inputs.weights) * len(volts))
            yield Said(table, call.when, values=array.read_mvm(volts, raw=True), volts=volts)


def _written(
    array: DigitalTwin, target: FloatArray, mask: BoolArray, age: FloatArray, seconds: float, reads: int
) -> ProgrammingReport:
    """Program by statistics while a loop of pulses took `seconds`: cells are left as early as those of the chip.

    Args:
        age: s since the last pulse of the chip's cells at the end, (rows, cols). reads: averaged for what was left.
    """
    done = array.time + seconds
    known = np.where(np.isfinite(age), np.minimum(age, seconds), seconds)
    begin = done - float(np.max(known[mask]))
    report: ProgrammingReport | None = None
    for time, group in in_turn(known, mask):
        _pause(array, begin + time - array.time, 0.0)
        report = array.program_conductances(np.where(group, target, np.nan), group, None)
    assert report is not None
    _pause(array, done - array.time, array.profile.timing.cell_read * np.count_nonzero(mask) * reads)
    outcome = np.where(mask, CellOutcome.REACHED, CellOutcome.NOT_SELECTED).astype(np.uint8)
    achieved = array.read_conductances(mask, reads)
    return replace(report, target=target, achieved=achieved, outcome=outcome, seconds=seconds, reads=reads)


def _verifying_reads(programmer: Programmer | None) -> int:
    """How many reads a loop averages for what it says it left: their noise is in all that is compared with it."""
    recipe = getattr(programmer, "recipe", programmer)
    usual = WriteVerify.model_fields["verify_averages"].default
    return int(getattr(recipe, "verify_averages", usual))


def _volts(run: Run, row: int) -> FloatArray:
    first, count = (int(run.column("read_mvm", name, row)) for name in ("first", "count"))
    return np.asarray(run.column("read_mvm", "voltage", slice(first, first + count)))


def _pause(array: DigitalTwin, gap: float, own: float) -> None:
    """Wait as long as the chip stood between the end of the call before and the begin of this one."""
    pause = gap - own
    if pause > _NO_PAUSE * max(own, _NO_PAUSE):
        array.wait(pause)


def _programmer(said: str | None) -> Programmer | None:
    """The loop that a log names; None where it names none, or one that cannot be made again."""
    if said is None:
        return None
    name, _, settings = said.partition(" ")
    kind = _BY_CLASS.get(name)
    if kind is None:
        return None
    try:
        return kind.model_validate_json(settings)  # type: ignore[return-value]  # each of them is a `Programmer`
    except ValidationError:
        return None


def _given(info: ArrayInfo) -> Programmer | None:
    """The programmer that the station file or an option gave the array, by its provenance."""
    recipe, name = info.provenance.get(GIVEN_RECIPE), info.provenance.get(GIVEN_PROGRAMMER)
    if recipe is None or name is None:
        return None
    return make_programmer(name, WriteVerify.model_validate_json(recipe), {})
