"""Characterise an array: tables of the properties of its cells, for people and for `imssa fit`.

Every experiment is one CSV file with SI columns under the names that a fit takes. Finished parts stay in the folder,
so that an interrupted run resumes where it was.
"""

from __future__ import annotations

import csv
import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imssa_lab.contract.errors import ConfigError
from imssa_lab.contract.hal import ArrayInfo, BoolArray, CrossbarArray
from protocols.characterisation.experiments import (
    EXPERIMENTS,
    PULSING,
    UNITS,
    Bench,
    Columns,
    Schedule,
    joined,
    parts,
)
from protocols.programmers import WriteVerify, recipe_of
from protocols.wrappers.counted import Counted
from protocols.wrappers.counting_array import CountingArray
from protocols.wrappers.dry_run_report import DryRun, duration

_log = logging.getLogger(__name__)
_PARTS, _SETTINGS = "parts", "characterisation.json"
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Plan:
    """What a characterisation will do.

    Attributes:
        seconds: device time by experiment, of the parts that are still to be done.
        pulsing: experiments among these that pulse cells, so that what the array holds is lost.
        run: all of them together, in counts.
    """

    seconds: dict[str, float]
    pulsing: list[str]
    run: DryRun

    @property
    def total(self) -> float:
        """Device time in s."""
        return sum(self.seconds.values())

    def __str__(self) -> str:
        lines = [f"  {name}: about {duration(seconds)}" for name, seconds in self.seconds.items()]
        lost = f"\nexperiments that pulse cells: {', '.join(self.pulsing)}; the present conductances will be lost"
        warning = lost if self.pulsing else ""
        return "\n".join([f"characterisation, about {duration(self.total)} of device time", *lines]) + warning


class Characterisation:
    """A characterisation of `array` in the folder `out`.

    Args:
        recipe: its ladders pulse the cells; None for the chip's own.
        only: experiments by name; None for all.
        note_survey: called with what the stuck map finds, masks (rows, cols) by name, and who found it; None for
            `Counted.note_survey` of `array`, if it has one.

    Raises:
        ConfigError: an experiment that is not known, no recipe, a folder of another chip or with other settings.
    """

    def __init__(
        self,
        array: CrossbarArray,
        out: str | Path,
        *,
        schedule: Schedule | None = None,
        recipe: WriteVerify | None = None,
        only: Sequence[str] | None = None,
        note_survey: Callable[[dict[str, BoolArray], str], None] | None = None,
    ) -> None:
        chosen = list(EXPERIMENTS if only is None else only)
        for name in chosen:
            if name not in EXPERIMENTS:
                raise ConfigError(f"experiment {name!r} is not known; there are {', '.join(EXPERIMENTS)}")
        self._names = [name for name in EXPERIMENTS if name in chosen]
        self._array, self._out = array, Path(out)
        self._note = note_survey or (array.note_survey if isinstance(array, Counted) else None)
        self._bench = Bench(array, recipe or recipe_of(array), schedule or Schedule())
        self._settings = {
            "chip": _identity(array.info),
            "schedule": self._bench.schedule.model_dump(mode="json"),
            "recipe": self._bench.recipe.model_dump(mode="json"),
        }
        known = self._known()
        if known is not None and known != self._settings:
            changed = ", ".join(key for key in self._settings if known.get(key) != self._settings[key])
            raise ConfigError(
                f"{out} holds a characterisation with another {changed}; choose another folder, or the same settings"
            )

    def plan(self) -> Plan:
        """The remaining work, from a dry count; no command is sent to the array."""
        dry, durations = CountingArray(self._array), self._array.info.durations
        bench = Bench(dry, self._bench.recipe, self._bench.schedule)
        seconds = {}
        for name in self._names:
            todo = [run for part, run in parts(name, bench).items() if not self._part(name, part).is_file()]
            before = dry.longest.seconds(durations)
            for run in todo:
                run(bench)
            if todo:
                seconds[name] = dry.longest.seconds(durations) - before
        return Plan(seconds, [name for name in seconds if name in PULSING], DryRun.of([dry]))

    def run(self, progress: Progress | None = None) -> dict[str, Path]:
        """Run the remaining experiments; returns the table of every experiment, by name.

        Raises:
            ConfigError: the folder cannot be written.
        """
        tell = progress or (lambda stage, done, total: None)
        try:
            (self._out / _PARTS).mkdir(parents=True, exist_ok=True)
            if self._known() is None:
                _write_text(self._out / _SETTINGS, json.dumps(self._settings, indent=1))
        except OSError as error:
            raise ConfigError(f"{self._out} cannot be written: {error}; choose another folder") from error
        return {name: self._experiment(name, tell) for name in self._names}

    def _experiment(self, name: str, tell: Progress) -> Path:
        todo = parts(name, self._bench)
        for done, (part, run) in enumerate(todo.items()):
            tell(name, done, len(todo))
            path = self._part(name, part)
            if not path.is_file():
                _log.info("%s, %s", name, part)
                table = run(self._bench)
                if name == "stuck":
                    self._note_survey(table)
                write_table(path, table)
        tell(name, len(todo), len(todo))
        final = self._out / f"{name}.csv"
        if not final.is_file():
            write_table(final, joined([_read_table(self._part(name, part)) for part in todo]))
        return final

    def _note_survey(self, table: Columns) -> None:
        """What the stuck map found goes into the chip record, where there is one."""
        if self._note is None:
            return
        state = np.asarray(table["state"]).reshape(self._array.info.shape)
        names = sorted({str(name) for name in state.ravel()} - {"good"})
        self._note({name: state == name for name in names}, "characterise")

    def _part(self, name: str, part: str) -> Path:
        return self._out / _PARTS / f"{name}.{part}.csv"

    def _known(self) -> dict[str, object] | None:
        path = self._out / _SETTINGS
        if not path.is_file():
            return None
        try:
            known: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ConfigError(f"{path} is damaged ({error}); choose another folder") from error
        return known


def _identity(info: ArrayInfo) -> dict[str, object]:
    window = [info.window.low, info.window.high]
    return {"name": info.name, "serial": info.serial, "shape": list(info.shape), "window": window}


def write_table(path: Path, table: Columns) -> None:
    """Write a CSV file with the units in a comment above the header, as a whole or not at all."""
    draft = path.with_suffix(".draft")
    with draft.open("w", newline="", encoding="utf-8") as file:
        units = ", ".join(f"{name} in {UNITS[name]}" for name in table if name in UNITS)
        file.write(f"# {units or 'no units'}\n")
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(zip(*(_cells_of(values) for values in table.values()), strict=True))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _cells_of(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> list[object]:
    if values.dtype.kind == "f":
        return [f"{value:.9g}" for value in values.tolist()]
    return list(values.tolist())


def _read_table(path: Path) -> Columns:
    """A table that `_write_table` wrote, its columns as text."""
    with path.open(newline="", encoding="utf-8") as file:
        next(file)
        reader = csv.reader(file)
        names = next(reader)
        rows = list(reader)
    return {name: np.array([row[index] for row in rows]) for index, name in enumerate(names)}


def _write_text(path: Path, text: str) -> None:
    draft = path.with_suffix(".draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
