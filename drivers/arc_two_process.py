"""`ArcTwoProcess`: the maker's library of ArC TWO in a process of its own, every call of it with a deadline."""

from __future__ import annotations

import itertools
import json
import logging
import pickle
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from drivers import arc_two_host
from drivers.deadline import Deadline
from imssa_lab.contract.errors import LinkLost, LinkTimeout

_log = logging.getLogger(__name__)

LIBRARY = "pyarc2"
_OPENING = 60.0  # s: the library is imported, the firmware is loaded
_CALL = 5.0  # s; the longest that the driver asks for in one call is a pulse of 0.1 s
_FAREWELL = 2.0  # s, to ground


class ArC2Error(Exception):
    """As the library's own, whose message it has."""


class _Members:
    """Members of an enumeration of the library, by what the host calls them."""

    def __init__(self, kind: str, names: tuple[str, ...]) -> None:
        for name in names:
            setattr(self, name, f"{kind}.{name}")

    def __getattr__(self, name: str) -> str:
        raise AttributeError(name)


class ArcTwoProcess:
    """Stands for the module and for its instrument: calls go to the host, one after another.

    A board that does not answer in time is given up: its process is ended, and what its electrodes see is not known.

    Args:
        name: what messages call it.
    """

    ArC2Error = ArC2Error
    AuxDACFn = _Members("AuxDACFn", ("SELL", "SELH"))
    IdleMode = _Members("IdleMode", ("SoftGnd",))

    def __init__(self, name: str) -> None:
        self._name = name
        self._numbers = itertools.count()
        self._replies: queue.SimpleQueue[tuple[int, str, Any] | None] = queue.SimpleQueue()
        self._given_up = ""
        self._lock = threading.Lock()
        command = [sys.executable, "-P", arc_two_host.__file__, LIBRARY, json.dumps(sys.path)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=Path.cwd())
        threading.Thread(target=self._collect, name=f"replies of {name}", daemon=True).start()

    def find_ids(self) -> list[int]:
        """The boards that are connected."""
        found: list[int] = self._ask("find_ids", seconds=_OPENING)
        return found

    def open(self, number: int, firmware: str) -> None:
        """Take over board `number`."""
        self._ask("Instrument", number, firmware, seconds=_OPENING)

    def __getattr__(self, name: str) -> Any:
        """A method of the instrument."""
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *given: self._ask(name, *given)

    def close(self) -> None:
        """End the process, which grounds the electrodes once more where the board answers."""
        self._given_up = self._given_up or f"{self._name}: closed; open it again"
        assert self._process.stdin is not None
        with suppress(OSError):  # what could not be sent to it before
            self._process.stdin.close()
        try:
            self._process.wait(_FAREWELL)
        except subprocess.TimeoutExpired:
            self._end()

    def _ask(self, name: str, *given: Any, seconds: float | None = None) -> Any:
        """What the library gives.

        Raises:
            LinkTimeout: no answer in time; LinkLost: it was given up before, or its process has ended, or panicked.
            ArC2Error: from the library.
        """
        with self._lock:
            if self._given_up:
                raise LinkLost(self._given_up)
            number, deadline = next(self._numbers), Deadline(_CALL if seconds is None else seconds)
            try:
                assert self._process.stdin is not None
                pickle.dump((number, name, given), self._process.stdin)
                self._process.stdin.flush()
            except OSError as error:
                raise LinkLost(self._lost(f"the process of its library has ended ({error})")) from error
            while True:
                try:
                    reply = self._replies.get(timeout=deadline.left())
                except queue.Empty:
                    raise LinkTimeout(self._lost(f"{name} had no answer within {deadline.seconds:g} s")) from None
                if reply is None:
                    raise LinkLost(self._lost("the process of its library has ended"))
                if reply[0] == number:  # others belong to calls that a signal broke off
                    break
        _, kind, value = reply
        if kind == "ArC2Error":
            raise ArC2Error(value)
        if kind:
            raise LinkLost(
                f"{self._name}: the library gave up ({kind}: {value}); check cable and power, open it again"
            )
        return value

    def _lost(self, why: str) -> str:
        self._given_up = (
            f"{self._name}: {why}; what its electrodes see is not known: switch it off and on, then open it again"
        )
        self._end()
        return self._given_up

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()

    def _collect(self) -> None:
        """Replies as they come; None when there will be no more."""
        assert self._process.stdout is not None
        with self._process.stdout as source:
            try:
                while True:
                    self._replies.put(pickle.load(source))
            except (EOFError, OSError, pickle.UnpicklingError):
                self._replies.put(None)
