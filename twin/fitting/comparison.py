"""Twin against chip: a recorded session repeated on a twin, and every statistic of both side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from imssa_lab.contract.array_types import ArrayInfo
from imssa_lab.contract.errors import LogError
from imssa_lab.contract.hal import ColumnCalibration, FloatArray
from imssa_lab.contract.programming_report import ProgrammingReport
from imssa_lab.log import Run
from imssa_lab.log.schema import requests
from twin.digital_twin import DigitalTwin
from twin.profile import TwinProfile

_FEWEST = 20


@dataclass(frozen=True)
class Statistic:
    """One statistic of a session, from the chip and from the twin.

    Attributes:
        chip, twin: its median over the cells, bit lines or calls, in SI. unit: of both.
        samples: values on each side. distance: KS statistic between the two. p: chance of a larger one.
    """

    name: str
    chip: float
    twin: float
    unit: str
    samples: int
    distance: float
    p: float


def compare_twin(
    run: Run,
    profile: TwinProfile,
    seeds: tuple[int, ...],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Statistic]:
    """Ask twins of `profile` for what the run asked its arrays, one twin per array and seed, and compare.

    The twins are other chips of the same kind, so single cells do not agree; distributions must. `progress` is called
    with the sessions, of chips and of twins, that are done and that there are.

    Raises:
        LogError: the run holds no call that can be compared. LimitError: the profile does not allow a request.
    """
    chip: dict[str, list[FloatArray]] = {}
    twin: dict[str, list[FloatArray]] = {}
    done, total = 0, len(run.infos) * (1 + len(seeds))
    for number, info in enumerate(run.infos):
        progress(done, total)
        _collect(_recorded(run, number, info), chip)
        done += 1
        for seed in seeds:
            progress(done, total)
            array = DigitalTwin(profile, info.shape, seed + 1000 * number)
            _collect(_repeated(run, number, array), twin)
            done += 1
    progress(done, total)
    found = [
        _compared(name, np.concatenate(chip[name]), np.concatenate(twin[name]))
        for name in chip
        if name in twin and sum(part.size for part in chip[name]) >= _FEWEST
    ]
    if not found:
        raise LogError(f"{run.path}: too few programmings, reads or products to compare; record a longer session")
    return found


def significant_differences(statistics: list[Statistic], chance: float = 0.01) -> list[Statistic]:
    """Those that differ more than chance, by Holm's correction for looking at all of them."""
    ordered = sorted(statistics, key=lambda one: one.p)
    found: list[Statistic] = []
    for place, one in enumerate(ordered):
        if one.p > chance / (len(ordered) - place):
            break
        found.append(one)
    return found


_Answer = tuple[str, FloatArray | ProgrammingReport, FloatArray | None]


def _calls(run: Run, number: int) -> list[tuple[int, str, int]]:
    """Calls to one array in order; those made inside a default recipe are left out, the recipe itself is kept."""
    calls = [
        (int(seq), table, row)
        for table in requests()
        for row, (seq, array) in enumerate(zip(run.column(table, "seq"), run.column(table, "array"), strict=True))
        if array == number
    ]
    inside: set[int] = set()
    for seq, table, row in calls:
        if table == "program" and run.column(table, "default", row):
            inside.update(range(int(run.column(table, "first_seq", row)), seq))
    return sorted(call for call in calls if call[0] not in inside)


def _recorded(run: Run, number: int, info: ArrayInfo) -> Iterator[_Answer]:
    for _, table, row in _calls(run, number):
        if table == "program" and run.column(table, "default", row):
            names = ("target", "achieved", "pulses", "outcome", "tolerance", "seconds", "reads")
            yield "program", ProgrammingReport(*(run.column(table, name, row) for name in names)), None
        elif table == "read_conductances":
            mask = run.column(table, "mask", row).astype(bool)
            current = run.readout(table, row, info.adc is not None).current(info.adc)
            yield table, np.where(mask, current / info.read_voltage, np.nan), None
        elif table == "read_mvm":
            first, count = (int(run.column(table, name, row)) for name in ("first", "count"))
            volts = run.column(table, "voltage", slice(first, first + count))
            yield table, run.readout(table, row, info.adc is not None).current(info.adc), volts


def _repeated(run: Run, number: int, array: DigitalTwin) -> Iterator[_Answer]:
    for _, table, row in _calls(run, number):
        if table == "waits":
            array.wait(float(run.column(table, "seconds", row)))
        elif table == "calibrations":
            names = ("gain", "offset", "residual")
            cleared = bool(run.column(table, "cleared", row))
            array.set_calibration(
                None if cleared else ColumnCalibration(*(run.column(table, name, row) for name in names))
            )
        elif table == "pulses":
            array.apply_pulses(run.pulses(row))
        elif table == "program" and run.column(table, "default", row):
            mask = run.column(table, "mask", row).astype(bool)
            yield "program", array.program_conductances(run.column(table, "target", row), mask), None
        elif table == "read_conductances":
            mask = run.column(table, "mask", row).astype(bool)
            count = int(run.column(table, "count", row))
            yield table, np.stack([array.read_conductances(mask) for _ in range(count)]), None
        elif table == "read_mvm":
            first, count = (int(run.column(table, name, row)) for name in ("first", "count"))
            volts = run.column(table, "voltage", slice(first, first + count))
            yield table, array.read_mvm(volts, raw=True), volts


def _collect(answers: Iterator[_Answer], into: dict[str, list[FloatArray]]) -> None:
    """Statistics of one array's answers, one value a cell or bit line: the mean of what its calls say of it.

    A session asks for the same cells and bit lines again and again; each answer for itself would count as another
    cell, and the smallest difference as more than chance.
    """
    values_of: dict[str, list[FloatArray]] = {}
    for name, values in _statistics(answers):
        values_of.setdefault(name, []).append(values)
    for name, calls in values_of.items():
        stacked = np.stack(calls)
        known = np.isfinite(stacked).any(axis=0)
        into.setdefault(name, []).append(np.nanmean(stacked[:, known], axis=0))


def _statistics(answers: Iterator[_Answer]) -> Iterator[tuple[str, FloatArray]]:
    """What single calls say: programming, read noise, drift between reads, gains of bit lines; NaN where nothing."""
    left = last = None
    for table, answer, volts in answers:
        if isinstance(answer, ProgrammingReport):
            chosen = answer.selected
            yield "programming error|S", np.where(chosen, answer.error, np.nan)
            yield "pulses per cell|1", np.where(chosen, answer.pulses, np.nan)
            left = np.where(chosen, answer.achieved, np.nan)
        elif table == "read_conductances":
            mean = answer.mean(axis=0)
            if len(answer) > 2:
                yield "read sd per cell|S", answer.std(axis=0, ddof=1)
            if left is not None:
                yield "change since programming|S", mean - left
            last = mean if np.isfinite(mean).all() else last
        elif last is not None and volts is not None and len(volts) >= 8:
            ideal = volts @ last
            centred, currents = ideal - ideal.mean(axis=0), answer - answer.mean(axis=0)
            power = (centred**2).sum(axis=0)
            gain = np.where(power > 0, (centred * currents).sum(axis=0) / np.where(power > 0, power, 1.0), np.nan)
            yield "gain of bit lines|1", gain
            yield "error of products after gain and offset|A", (currents - gain * centred).std(axis=0)


def _compared(name: str, chip: FloatArray, twin: FloatArray) -> Statistic:
    label, _, unit = name.partition("|")
    test = stats.ks_2samp(chip, twin)
    return Statistic(
        label,
        float(np.median(chip)),
        float(np.median(twin)),
        unit,
        min(chip.size, twin.size),
        float(test.statistic),
        float(test.pvalue),
    )
