"""What other instruments measure during a run: values with names and units, read now and then beside the calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from imssa_lab.contract.checks import containers
from imssa_lab.contract.errors import ImssaError, LogError
from imssa_lab.log.schema import TABLES

MEASUREMENTS = "measurements"
"""The table of the log."""
_LENGTHS = {name: int(TABLES[MEASUREMENTS][name].dtype[1:]) for name in ("name", "unit")}


def measurement(name: str, value: object, unit: str) -> dict[str, Any]:
    """The columns of one value.

    Raises:
        LogError: no name, a name or unit that is too long, or a value that is no real number.
    """
    texts = {"name": name.encode(), "unit": unit.encode()}
    for column, text in texts.items():
        if not text or len(text) > _LENGTHS[column] or b"\0" in text:
            raise LogError(
                f"measurement: {column} {text.decode()!r}; 1 to {_LENGTHS[column]} bytes of UTF-8 are needed"
            )
    # a number of torch, or an array of numpy without dimensions
    number = value.item() if hasattr(value, "item") and getattr(value, "ndim", None) == 0 else value
    try:
        return {**texts, "value": containers.number(number, f"measurement {name}", unit)}
    except ImssaError as error:
        raise LogError(str(error)) from error


@dataclass
class _Reader:
    name: str
    unit: str
    read: Callable[[], object]
    every_calls: int | None
    every_seconds: float | None
    calls: int = 0
    last: float = -float("inf")

    def due(self, now: float) -> bool:
        """Whether it is to be read after the call that has just ended."""
        self.calls += 1
        if self.every_calls is not None:
            return self.calls % self.every_calls == 0
        return self.every_seconds is not None and now - self.last >= self.every_seconds


class PolledReaders:
    """Readers that are asked after calls to recorded arrays, in the thread of the call.

    Args:
        append: takes a table and the columns of a record; note: takes kind and text of an event.
    """

    def __init__(self, append: Callable[[str, Mapping[str, Any]], object], note: Callable[[str, str], None]) -> None:
        self._append, self._note = append, note
        self._readers: list[_Reader] = []

    def add(
        self,
        name: str,
        read: Callable[[], object],
        unit: str | None,
        every_calls: int | None,
        every_seconds: float | None,
    ) -> None:
        """One more; see `RunLog.poll`."""
        if (every_calls is None) == (every_seconds is None) or (every_calls or every_seconds or 0) <= 0:
            raise LogError(f"poll {name}: give every_calls or every_seconds, one of them, above 0")
        unit = str(getattr(read, "unit", "") or "1") if unit is None else unit
        measurement(name, 0.0, unit)
        self._readers.append(_Reader(name, unit, read, every_calls, every_seconds))

    def after_call(self) -> None:
        """Read what is due. An instrument that fails is an event of kind "reading failed"; the run continues."""
        now = time.monotonic()
        for reader in self._readers:
            if not reader.due(now):
                continue
            reader.last = now
            try:
                values = measurement(reader.name, reader.read(), reader.unit)
            except Exception as error:  # noqa: BLE001 - anybody's instrument: its fault is named and ends nothing
                self._note("reading failed", f"{reader.name}: {type(error).__name__}: {error}")
            else:
                self._append(MEASUREMENTS, values)
