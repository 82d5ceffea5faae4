"""`Follower`: the new records of a run that another process is writing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from imssa_lab.contract.errors import LogError
from imssa_lab.log.file.named_damage import damage_named
from imssa_lab.log.run import BEING_CHANGED, Run, open_run
from imssa_lab.log.schema import PULSE_KINDS, TABLES

_PATIENCE = 5.0  # s in which a file may be unreadable because it is being closed


class Seen(NamedTuple):
    """A record as it came: its number, table, wall time (s since 1970), device time (s, NaN for events), in words."""

    seq: int
    table: str
    wall_time: float
    device_time: float
    text: str


class Follower:
    """A run file watched from outside; a context manager. It opens the file again when the writer closes it.

    Args:
        last: begin so many records of each table before the end; None for the beginning.
    """

    def __init__(self, path: str | Path, last: int | None = None) -> None:
        self.path = Path(path)
        self.run: Run = open_run(path)
        self._seen = dict.fromkeys((table for table in TABLES if "seq" in TABLES[table]), 0)
        if last is not None:
            self._seen = {table: max(self.run.records(table) - last, 0) for table in self._seen}
        self._trouble_since: float | None = None

    def new(self) -> list[Seen]:
        """The records that came since the last call, in order.

        Raises:
            LogError: the file stays unreadable.
        """
        found: list[Seen] = []
        reached = dict(self._seen)
        try:
            if not self.run.closed_cleanly and self.run.marks() == BEING_CHANGED:
                return []  # the writer is closing the file
            for table, seen in self._seen.items():
                end = self.run.records(table)
                if end > seen:
                    found += in_words(self.run, table, slice(seen, end))
                    reached[table] = end
        except LogError:
            now = time.monotonic()
            self._trouble_since = self._trouble_since or now
            if now - self._trouble_since > _PATIENCE:
                raise
            self._reopen()
            return []
        self._seen, self._trouble_since = reached, None
        return sorted(found)

    @property
    def ended(self) -> bool:
        """Whether the writer has closed the file."""
        if not self.run.closed_cleanly and not self.run.marks():
            self._reopen()
        return self.run.closed_cleanly

    def close(self) -> None:
        """Let the file go."""
        self.run.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _reopen(self) -> None:
        """Open the file again; a file that is just being closed is released, so that its writer can finish."""
        until = time.monotonic() + _PATIENCE
        while True:
            self.run.close()
            self.run = open_run(self.path)
            if self.run.closed_cleanly or self.run.marks() or self.run.repaired or time.monotonic() > until:
                return
            self.run.close()
            time.sleep(0.05)


@damage_named
def in_words(run: Run, table: str, rows: slice) -> Iterator[Seen]:
    """The records of some rows of a table, each with what it says in words."""
    columns: dict[str, Any] = {
        name: run.column(table, name, rows)
        for name, column in TABLES[table].items()
        if column.per == "call" and not column.dims
    }
    seqs, walls = columns["seq"], columns["wall_time"]
    for row in range(len(seqs)):
        device = float(columns["device_time"][row]) if "device_time" in columns else float("nan")
        said = {name: values[row] for name, values in columns.items()}
        yield Seen(int(seqs[row]), table, float(walls[row]), device, _TEXTS.get(table, _plain)(said))


def _plain(said: Mapping[str, Any]) -> str:
    """What a table says that has no words of its own below."""
    return ", ".join(f"{name} {value}" for name, value in said.items() if name not in _OF_EVERY_RECORD)


_OF_EVERY_RECORD = ("seq", "array", "device_time", "wall_time")
_TEXTS: dict[str, Any] = {
    "read_mvm": lambda said: f"{said['count']} vectors",
    "read_conductances": lambda said: f"{said['count']} reads",
    "pulses": lambda said: (
        f"{PULSE_KINDS[said['kind']]} of {said['width']:g} s{'' if said['done'] else ', not yet known to be done'}"
    ),
    "waits": lambda said: f"{said['seconds']:g} s",
    "calibrations": lambda said: "taken away" if said["cleared"] else f"of {said['date'].decode()}",
    "program": lambda said: f"calls {said['first_seq']} to {int(said['last_seq']) - 1}, {said['seconds']:g} s",
    "measurements": lambda said: f"{said['name'].decode()} {said['value']:g} {said['unit'].decode()}",
    "events": lambda said: (
        f"{said['kind'].decode()}: {said['text'].decode(errors='replace')}"
        + (f" ({said['part'] + 1} of {said['parts']})" if said["parts"] > 1 else "")
    ),
}
