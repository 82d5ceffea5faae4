"""What the answers of a session say of cells and lines: one number a cell or line and statistic."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from imssa_lab.contract.hal import BoolArray, FloatArray, PulseKind
from imssa_lab.contract.programming_report import ProgrammingReport
from twin.fitting.checking.session_answers import Said

ASPECTS = {
    "programming": "no cell was programmed by a loop that the record names",
    "read noise": "no cells were read three times in a row",
    "change with time": "no cell was read again after it was programmed",
    "pulse response": "no pulses outside programming were followed by a read of the same cells",
    "stuck cells": "not all cells had a SET and a RESET, each followed by a read",
    "products": "no eight products of different inputs followed a read of all cells",
    "I-V": "no cells were read at different voltages, one word line at a time",
}
"""What a session can tell, and why it does not where it holds nothing of it."""

_LEAST = 1e-9
_STILL, _DEAD = 0.1, 0.9
_STRENGTHS = ("weak", "middling", "strong")
_ROW = 5  # single reads in a row, from which their spread is a noise


class SessionStatistics:
    """Statistics of one array's answers.

    Args:
        span: width of the conductance window, S.

    Attributes:
        values: by "aspect|name|unit", a list of maps or rows, NaN where nothing is known.
    """

    def __init__(self, span: float) -> None:
        self.values: dict[str, list[FloatArray]] = {}
        self._span = span
        self._left: FloatArray | None = None
        self._left_at, self._before = 0.0, np.nan
        self._looked: tuple[str, FloatArray] | None = None
        self._last: FloatArray | None = None
        self._row: list[FloatArray] = []
        self._sent: tuple[PulseKind, float, float, float] | None = None
        self._after: dict[tuple[PulseKind, float, float, float], list[FloatArray]] = {}
        self._bend: dict[float, list[FloatArray]] = {}

    def take(self, answers: Iterable[Said]) -> dict[str, FloatArray]:
        """The values of all statistics, one a cell, line or call: the mean of what its calls say of it.

        A session asks for the same cells and bit lines again and again; each answer for itself would count as another
        cell, and the smallest difference as more than chance.
        """
        for said in answers:
            if said.table != "read_conductances":
                self._end_of_row()
            if said.report is not None:
                self._programmed(said, said.report)
            elif said.pulses is not None:
                mask, volts, gate = said.pulses.mask, said.pulses.voltage, said.pulses.gate
                alike = np.ptp(volts[mask]) == 0 and np.ptp(gate[mask]) == 0
                strength = (float(volts[mask][0]), float(gate[mask][0]), said.pulses.width) if mask.any() else None
                self._sent = (said.pulses.kind, *strength) if alike and strength else None
                if self._left is not None:
                    self._left = np.where(mask, np.nan, self._left)
            elif said.table == "read_conductances" and said.values is not None:
                self._read(said.values, said.when)
            elif said.values is not None and said.volts is not None:
                self._products(said.values, said.volts)
        self._end_of_row()
        self._responses()
        self._curves()
        found = {}
        for name, parts in self.values.items():
            stacked = np.stack(parts)
            known = np.isfinite(stacked).any(axis=0)
            found[name] = np.nanmean(stacked[:, known], axis=0)
        return {name: values for name, values in found.items() if values.size}

    def _note(self, aspect: str, name: str, unit: str, values: FloatArray) -> None:
        self.values.setdefault(f"{aspect}|{name}|{unit}", []).append(values)

    def _programmed(self, said: Said, report: ProgrammingReport) -> None:
        chosen = report.selected
        self._left, self._left_at = np.where(chosen, report.achieved, np.nan), said.when
        self._looked, self._sent = None, None
        if not said.comparable:
            return
        self._note("programming", "programming error", "S", np.where(chosen, report.error, np.nan))
        if report.pulses.any():
            self._note("programming", "pulses per cell", "1", np.where(chosen, report.pulses, np.nan))
        outside = np.abs(report.error) > report.tolerance
        self._note("programming", "cells out of tolerance", "share", np.where(chosen, outside, np.nan))

    def _read(self, values: FloatArray, when: float) -> None:
        mean = values.mean(axis=0)
        if len(values) > 2:
            self._note("read noise", "read sd per cell", "S", values.std(axis=0, ddof=1))
        first = not self._row
        if self._row and not np.array_equal(np.isnan(self._row[-1]), np.isnan(mean)):
            self._end_of_row()
            first = True
        self._row.append(mean)
        if first and self._left is not None and when > self._left_at:
            self._looked_again(mean, when)
        if self._sent is not None:
            self._after.setdefault(self._sent, []).append(mean)
            self._sent = None
        self._last = mean if np.isfinite(mean).all() else self._last

    def _looked_again(self, mean: FloatArray, when: float) -> None:
        """A look after programming: how far cells have moved since, and since the look before."""
        assert self._left is not None
        changed = mean - self._left
        if not np.isfinite(changed).any():
            return
        age = f"{10.0 ** np.round(np.log10(max(when - self._left_at, 1e-9))):g} s"
        self._note("change with time", f"change since programming, after about {age}", "S", changed)
        if self._looked is not None and self._looked[0] != age:
            step = mean - self._looked[1]
            self._note("change with time", f"step from about {self._looked[0]} to {age}", "S", step)
        self._looked = (age, mean)

    def _end_of_row(self) -> None:
        """Single reads in a row, nothing between them: their spread is read noise."""
        if len(self._row) >= _ROW:
            stacked = np.stack(self._row)
            self._note("read noise", "read sd per cell, of single reads in a row", "S", stacked.std(axis=0, ddof=1))
            steps = np.sqrt(0.5 * np.mean(np.diff(stacked, axis=0) ** 2, axis=0))
            self._note("read noise", "noise from reading to reading", "S", steps)
        self._row = []

    def _responses(self) -> None:
        """What pulses outside programming did, by kind and strength, its scatter, and which cells stood still."""
        low: FloatArray | None = None
        high: FloatArray | None = None
        for kind in (PulseKind.SET, PulseKind.RESET):
            by = 1 if kind is not PulseKind.SET else 2  # a SET is as strong as its gate, a RESET as its voltage
            keys = sorted((key for key in self._after if key[0] is kind), key=lambda key: (key[by], key[1:]))
            for place, key in enumerate(keys):
                logs = np.log(np.maximum(np.stack(self._after[key]), _LEAST))
                strength = _STRENGTHS[len(_STRENGTHS) * place // len(keys)]
                self._note("pulse response", f"ln conductance after {strength} {kind.value}s", "1", _mean(logs))
                if len(logs) > 1:
                    scatter = np.sqrt(_mean(np.diff(logs, axis=0) ** 2) / 2)
                    self._note("pulse response", f"scatter of {strength} {kind.value}s, of ln", "1", scatter)
            if keys:
                ends = np.stack([_mean(np.stack(self._after[key])) for key in keys])
                if kind is PulseKind.SET:
                    high = _extreme(np.fmax, ends)
                else:
                    low = _extreme(np.fmin, ends)
        if low is not None and high is not None and np.isfinite(low + high).all():
            self._stuck(np.asarray(high - low < _STILL * self._span))

    def _stuck(self, still: BoolArray) -> None:
        words, bits = still.mean(axis=1) >= _DEAD, still.mean(axis=0) >= _DEAD
        if not words.all() and not bits.all():
            words, bits = still[:, ~bits].mean(axis=1) >= _DEAD, still[~words].mean(axis=0) >= _DEAD
        cells = np.where(words[:, np.newaxis] | bits, np.nan, still)
        self._note("stuck cells", "cells that pulses do not move", "share", cells)
        self._note(
            "stuck cells", "lines whose cells do not move", "share", np.concatenate([words, bits]).astype(float)
        )

    def _products(self, currents: FloatArray, volts: FloatArray) -> None:
        driven = volts != 0
        if len(volts) == volts.shape[1] and (driven.sum(axis=1) == 1).all() and driven.diagonal().all():
            voltage = float(volts.diagonal().mean())
            self._bend.setdefault(round(voltage, 9), []).append(currents / volts.diagonal()[:, np.newaxis])
            return
        if self._last is None or len(volts) < 8:
            return
        ideal = volts @ self._last
        level, offset = ideal.mean(axis=0), currents.mean(axis=0)
        centred, own = ideal - level, currents - offset
        power = (centred**2).sum(axis=0)
        good = power > 0
        gain = np.where(good, (centred * own).sum(axis=0) / np.where(good, power, 1.0), np.nan)
        self._note("products", "gain of bit lines", "1", gain)
        self._note("products", "offset of bit lines", "A", offset - gain * level)
        self._note("products", "error of products after gain and offset", "A", (own - gain * centred).std(axis=0))

    def _curves(self) -> None:
        """The bend of I-V curves: conductance at the largest voltage over that at a smaller one.

        The median of each bit line: its cells share an amplifier.
        """
        if len(self._bend) < 2:
            return
        order = sorted(self._bend, key=abs)
        small, large = (np.mean(self._bend[key], axis=0) for key in (order[len(order) // 2 - 1], order[-1]))
        sure = small > 0.05 * max(float(np.median(small)), 0.0)
        ratio = np.where(sure, large / np.where(sure, small, 1.0), np.nan)
        some = np.isfinite(ratio).any(axis=0)
        lines = np.full(some.size, np.nan)
        lines[some] = np.nanmedian(ratio[:, some], axis=0)
        self._note("I-V", "conductance at the largest voltage over that at a smaller one", "1", lines)


def _mean(maps: FloatArray) -> FloatArray:
    """The mean of maps (n, rows, cols) of what is known, NaN where nothing is."""
    known = np.isfinite(maps)
    count = known.sum(axis=0)
    return np.asarray(np.where(count > 0, np.where(known, maps, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan))


def _extreme(which: np.ufunc, maps: FloatArray) -> FloatArray:
    found: FloatArray = which.reduce(maps, axis=0)
    return found
