"""`Journal`: what the electrodes of an instrument saw, for proofs of safety."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays


@dataclass(frozen=True)
class Entry(FrozenArrays):
    """Something that happened at the electrodes.

    Attributes:
        wall_time: s since 1970; device_time: s.
        what: SET, RESET, FORM, mvm, cells (voltages are applied), on (connected, at 0 V), zero (at 0 V),
            ground (grounded).
        voltage, gate: V; NaN where nothing was applied; empty for on, zero and ground.
        width: s of a pulse, else 0.
    """

    wall_time: float
    device_time: float
    what: str
    voltage: FloatArray
    gate: FloatArray
    width: float = 0.0


_NOTHING = np.zeros(0)


class Journal:
    """All entries in order; any thread may read while the instrument writes.

    Args:
        path: a text file that gets one line for every entry at once; None for memory alone.
        keep: how many entries stay in memory, the newest; None for all.
    """

    def __init__(self, path: Path | None = None, keep: int | None = None) -> None:
        self._entries: deque[Entry] = deque(maxlen=keep)
        self._lock = threading.Lock()
        self._file = None if path is None else path.open("x", encoding="utf-8", buffering=1)

    @property
    def entries(self) -> list[Entry]:
        """A copy of what happened so far, as far as it is kept."""
        with self._lock:
            return list(self._entries)

    def tail(self, count: int) -> list[Entry]:
        """The last entries, at most `count`."""
        with self._lock:
            return list(islice(self._entries, max(len(self._entries) - count, 0), None))

    def add(
        self,
        what: str,
        device_time: float,
        voltage: FloatArray = _NOTHING,
        gate: FloatArray = _NOTHING,
        width: float = 0.0,
    ) -> None:
        """Note what happens now, V on lines and gates, width in s; call it before it happens."""
        entry = Entry(time.time(), device_time, what, voltage.copy(), gate.copy(), width)
        with self._lock:
            self._entries.append(entry)
            if self._file is not None:
                peaks = f"{_peak(entry.voltage):.6g} {_peak(entry.gate):.6g} {width:.6g}"
                self._file.write(f"{entry.wall_time:.6f} {device_time:.9g} {what} {peaks}\n")

    def peak(self, what: str) -> tuple[float, float]:
        """The largest voltage and gate that entries of this kind saw, V; 0.0 for none."""
        chosen = [entry for entry in self.entries if entry.what == what]
        return max((_peak(e.voltage) for e in chosen), default=0.0), max((_peak(e.gate) for e in chosen), default=0.0)

    @property
    def grounded(self) -> bool:
        """Whether the outputs are grounded now, or were never anything else."""
        entries = self.entries
        return not entries or entries[-1].what == "ground"

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def _peak(values: FloatArray) -> float:
    return float(np.nanmax(np.abs(values), initial=0.0)) if not np.isnan(values).all() else 0.0
