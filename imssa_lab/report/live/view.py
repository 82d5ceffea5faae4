"""What the live page shows of a run, brought up to date from look to look."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

import numpy as np

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.cell_classes import TOLERANCE, had_to_move, in_tolerance
from imssa_lab.contract.errors import LogError
from imssa_lab.log.file.writer_presence import Presence, presence
from imssa_lab.log.read.follower import Follower, Seen
from imssa_lab.log.run import Run
from imssa_lab.log.schema import TABLES
from imssa_lab.log.write.other_readings import MEASUREMENTS
from imssa_lab.log.write.programming_events import AIM, read_aim
from imssa_lab.report.event_words import event_words
from imssa_lab.report.measured.programmed import conductances
from imssa_lab.report.measured.run_columns import columns

ENDED = "ended"
LOOKING = "looking for the process that writes it"
"""The state for so long after the writer was not found: one that begins or ends just then is missing for a moment."""
_SURELY_GONE = 1.5  # s
_SPAN = 10.0  # s over which rates are taken
_EVENTS = 12
_READINGS = 200
_PERIOD = 0.4  # s between two looks
_AT_ONCE = 400
"""Records that one look takes in, so that a page that was opened late catches up while it shows something."""
_LOOK_BACK = 2000
_CURVE = 400
MICRO = 1e6


class LiveView:
    """A run file watched for a page; a context manager that watches from a thread of its own while it is entered.

    It looks whether or not somebody wants to see, since a writer that closes its file waits until all readers have
    noticed and let go.

    Args:
        within: S, what counts as reached on the yield curve; None for the tolerance of the newest finished
            programming, or `TOLERANCE` of the window before there is one.
    """

    def __init__(self, path: str | Path, within: float | None = None) -> None:
        self.path = Path(path)
        self._within = within
        self._follower = Follower(path, last=_LOOK_BACK)
        run = self._follower.run
        shape = (len(run.infos), *run.infos[0].shape)
        self._infos = run.infos
        self._rows = {table: max(run.records(table) - _LOOK_BACK, 0) for table in ("read_conductances", "pulses")}
        self._now, self._target = np.full(shape, np.nan), np.full(shape, np.nan)
        self._curves: list[list[tuple[int, float]]] = [[] for _ in self._infos]
        self._pulses = [0] * len(self._infos)
        self._recent: deque[Seen] = deque()
        self._events: deque[dict[str, Any]] = deque(maxlen=_EVENTS)
        self._event_rows = 0
        self._array = 0
        self._cell: dict[str, Any] | None = None
        self._device_time = 0.0
        self._failed: Counter[str] = Counter()
        self._behind = 0
        self._missing_since: float | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._trouble: LogError | None = None
        self._watcher = threading.Thread(target=self._watch, name=f"watching {self.path.name}", daemon=True)

    def __enter__(self) -> LiveView:
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watcher.join()
        self._follower.close()

    def _watch(self) -> None:
        while not self._over.wait(0 if self._behind else _PERIOD):
            with self._lock:
                try:
                    self._look()
                    self._trouble = None
                    if self._follower.ended:
                        while True:  # what came between the look and the end
                            self._look()
                            if not self._behind:
                                return
                except LogError as error:
                    self._trouble = error

    def _look(self) -> None:
        """Take in what is new."""
        for record in self._follower.new():
            self._recent.append(record)
            if math.isfinite(record.device_time):
                self._device_time = record.device_time
        now = time.time()
        while self._recent and self._recent[0].wall_time < now - _SPAN:
            self._recent.popleft()
        self._take_events()
        self._take_measurements()

    def state(self, array: int | None = None) -> dict[str, Any]:
        """All of it as JSON values; conductances in µS, None where nothing is known.

        Args:
            array: whose maps; None for the array that was last at work.

        Raises:
            LogError: the file cannot be read.
        """
        with self._lock:
            if self._trouble is not None:
                raise self._trouble
            if not self._watcher.is_alive() and not self._follower.ended:
                raise LogError(f"{self.path} is not being watched any more; start the monitor again")
            return self._state(array)

    def _state(self, array: int | None) -> dict[str, Any]:
        life = self._life()  # first: it may open the file again
        if life == ENDED and self._watcher.is_alive():
            self._look()  # the watcher has not yet seen what came between its last look and the end
        index = self._array if array is None or not 0 <= array < len(self._infos) else array
        run, info = self._follower.run, self._infos[index]
        rate = Counter(record.table for record in self._recent)
        return {
            "file": str(self.path),
            "state": life,
            "sure": life != LOOKING,
            "behind": self._behind,
            "device_time": self._device_time,
            "calls": {
                table: {"records": run.records(table), "per_second": rate[table] / _SPAN}
                for table in TABLES
                if table != "wire" and run.records(table)
            },
            "link": self._link(run),
            "array": index,
            "arrays": [f"{one.name} ({one.serial})" for one in self._infos],
            "rows": info.rows,
            "cols": info.cols,
            "window": [MICRO * info.window.low, MICRO * info.window.high],
            "now": _values(self._now[index]),
            "target": _values(self._target[index]),
            "within": MICRO * self._tolerance(run, index),
            "progress": self._progress(index),
            "curve": _thinned(self._curves[index]),
            "cell": self._cell,
            "readings": self._readings(run),
            "events": list(self._events),
        }

    def _life(self) -> str:
        if self._follower.ended:
            return ENDED
        if self._follower.run.repaired:
            return "cut off and repaired"
        found = presence(self.path)
        if found is Presence.THERE:
            self._missing_since = None
            return str(found)
        self._missing_since = self._missing_since or time.monotonic()
        return str(found) if time.monotonic() - self._missing_since > _SURELY_GONE else LOOKING

    def _link(self, run: Run) -> dict[str, Any]:
        """How the wire is: messages so far, when the last one came, calls that failed by kind of error."""
        messages = run.records("wire")
        age = None
        if messages:
            started = float(run.file.attrs["started"])
            age = max(0.0, time.time() - started - int(run.column("wire", "t_ns", messages - 1)) / 1e9)
        return {"messages": messages, "last_age": age, "failed": dict(self._failed)}

    def _readings(self, run: Run) -> dict[str, list[Any]]:
        """The last value and the unit of what other instruments measured lately, by name."""
        rows = slice(max(run.records(MEASUREMENTS) - _READINGS, 0), None)
        names, units, values = (
            run.column(MEASUREMENTS, column, rows).tolist() for column in ("name", "unit", "value")
        )
        return {
            name.decode(): [value if math.isfinite(value) else None, unit.decode()]
            for name, unit, value in zip(names, units, values, strict=False)
        }

    def _progress(self, index: int) -> dict[str, int]:
        """Cells with a target, those of them that were read, and the pulses that cells have had in this run."""
        wanted = np.isfinite(self._target[index])
        read = wanted & np.isfinite(self._now[index])
        return {"wanted": int(wanted.sum()), "read": int(read.sum()), "pulses": self._pulses[index]}

    def _tolerance(self, run: Run, index: int) -> float:
        if self._within is not None:
            return self._within
        done = run.records("program")
        if done:
            return float(run.column("program", "tolerance", done - 1))
        return TOLERANCE * self._infos[index].window.span

    def _take_events(self) -> None:
        run = self._follower.run
        if run.records("events") == self._event_rows:
            return
        self._event_rows = run.records("events")
        self._events.clear()
        self._failed.clear()
        events = run.numbered_events()
        seqs, times = columns(run, "events", "seq", "wall_time")
        walls = dict(zip(seqs.tolist(), times.tolist(), strict=True))
        for seq, kind, text in events:
            if kind == AIM:
                self._aim(text)
            if kind == "failed":
                self._failed[_error_of(text)] += 1
            self._events.append({"seq": seq, "kind": kind, "text": event_words(kind, text), "wall_time": walls[seq]})

    def _aim(self, text: str) -> None:
        aim = read_aim(text)
        self._target[aim.array] = np.where(np.isfinite(aim.target), aim.target, self._target[aim.array])

    def _take_measurements(self) -> None:
        """Readings and pulses in the order in which they came, a share of them at a time."""
        run = self._follower.run
        waiting = []
        for table, start in self._rows.items():
            end = run.records(table)
            seqs = run.column(table, "seq", slice(start, end)).tolist()
            waiting += [(seq, table, start + place) for place, seq in enumerate(seqs)]
        waiting.sort()
        self._behind = max(0, len(waiting) - _AT_ONCE)
        for _, table, row in waiting[:_AT_ONCE]:  # a row counts as seen only once it was read whole
            index = int(run.column(table, "array", row))
            self._array = index
            if table == "pulses":
                self._pulsed(run, index, row)
            else:
                self._read(run, index, row)
            self._rows[table] = row + 1

    def _read(self, run: Run, index: int, row: int) -> None:
        mask = run.column("read_conductances", "mask", row) != 0
        self._now[index][mask] = conductances(run, row)[mask]
        if self._cell is not None and self._cell["array"] == index and mask[self._cell["row"], self._cell["col"]]:
            self._cell["conductance"] = MICRO * float(self._now[index][self._cell["row"], self._cell["col"]])
        tolerance = self._tolerance(run, index)
        # the others are in tolerance before the first pulse
        wanted = had_to_move(self._target[index], self._infos[index].window, tolerance)
        if wanted.any():
            share = 100 * float(in_tolerance(self._target[index], self._now[index], tolerance)[wanted].mean())
            self._curves[index].append((self._pulses[index], share))

    def _pulsed(self, run: Run, index: int, row: int) -> None:
        pulses = run.pulses(row)
        cells = np.argwhere(pulses.mask)
        self._pulses[index] += len(cells)
        if not len(cells):
            return
        at = (int(cells[-1][0]), int(cells[-1][1]))
        known = float(self._now[index][at])
        self._cell = {
            "array": index,
            "row": at[0],
            "col": at[1],
            "cells": len(cells),
            "kind": pulses.kind.value,
            "voltage": float(pulses.voltage[at]),
            "gate": float(pulses.gate[at]),
            "width": pulses.width,
            "conductance": None if np.isnan(known) else MICRO * known,
        }


def _values(map_: FloatArray) -> list[float | None]:
    return [None if np.isnan(value) else round(MICRO * value, 2) for value in map_.ravel().tolist()]


def _thinned(curve: list[tuple[int, float]]) -> list[tuple[int, float]]:
    every = max(1, -(-len(curve) // _CURVE))
    return curve[::every] + curve[-1:]


def _error_of(text: str) -> str:
    return text.split('"error": "', 1)[-1].split('"', 1)[0]
