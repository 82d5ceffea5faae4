"""Stopped in the middle of programming: how long until the electrodes are grounded, by the instrument's journal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from imssa_lab.contract.operating_system import PSEUDO_TERMINALS
from trials.virtual_kinds import UNHELPFUL, VIRTUAL, WATCHDOG, Virtual

_TERMINAL_CLOSED = "terminal closed"
CODES = {
    "exception": 1,
    "SIGINT": -signal.SIGINT,  # Python ends so where nobody catches KeyboardInterrupt
    "SIGTERM": 128 + signal.SIGTERM,
    "SIGHUP": 128 + signal.SIGHUP,
    **({_TERMINAL_CLOSED: 128 + signal.SIGHUP} if PSEUDO_TERMINALS else {}),
    "another thread": None,
    "SIGTERM, work in a thread": 128 + signal.SIGTERM,
}
"""The ways to stop a script, and the exit code that it ends with; None where it goes on, without its array.

A terminal is closed only where the system has pseudo-terminals.
"""
_PATIENCE = 10.0
__all__ = ["CODES", "WATCHDOG", "Nursery", "Stops", "grounded", "kills", "stop_once", "stops"]


@dataclass
class Stops:
    """What came of stopping a script so many times.

    Attributes:
        slowest: s from the stop to the ground of the electrodes; ungrounded: times that it never came.
        strange: ends with another exit code than is documented, or a thread that was not refused.
    """

    trials: int = 0
    slowest: float = 0.0
    ungrounded: int = 0
    strange: list[str] = field(default_factory=list)

    def add(self, seconds: float | None, strange: str = "") -> None:
        """One more, with the s that it took; None if the ground never came."""
        self.trials += 1
        if strange:
            self.strange.append(strange)
        if seconds is None:
            self.ungrounded += 1
        else:
            self.slowest = max(self.slowest, seconds)


def stops(kind: str, trials: int, rng: np.random.Generator) -> Stops:
    """Every way in turn, each at a random moment of a programming run, on an instrument that does not help."""
    outcome = Stops()
    with UNHELPFUL[kind]((16, 16)) as instrument, Nursery() as nursery:
        for trial in range(trials):
            how = list(CODES)[trial % len(CODES)]
            with nursery.script(instrument, how, float(rng.uniform(0.05, 0.6))) as script:
                seconds = grounded(instrument, script.stop())
            outcome.add(seconds, script.strange())
    return outcome


def kills(trials: int, rng: np.random.Generator) -> Stops:
    """kill -9, and a script frozen with its connection open, in turn, on the instrument that has a watchdog."""
    outcome = Stops()
    with VIRTUAL["scpi"]((16, 16)) as instrument, Nursery() as nursery:
        for trial in range(trials):
            how = ("SIGKILL", "SIGSTOP")[trial % 2]
            with nursery.script(instrument, how, float(rng.uniform(0.05, 0.6))) as script:
                outcome.add(grounded(instrument, script.stop()))
    return outcome


def stop_once(instrument: Virtual, how: str, after: float) -> float | None:
    """s from the stop to the ground; None if it did not come. `how` may also be SIGKILL, SIGSTOP and nothing."""
    with Nursery() as nursery, nursery.script(instrument, how, after) as script:
        return grounded(instrument, script.stop())


class Script:
    """One script that runs, and what stops it."""

    def __init__(self, how: str, after: float, line: Callable[[], str], hang_up: Callable[[], None]) -> None:
        self._how, self._after = how, after
        self._line, self._hang_up = line, hang_up
        self._said: list[str] = []
        self._pid = int(self._await("began").split()[1])
        self._await("ready")

    def stop(self) -> float:
        """Stop it at its moment; s since 1970 when that was."""
        if self._how in ("exception", "another thread"):
            return float(self._await("stopping").split()[1])
        time.sleep(self._after)
        stopped = time.time()
        if self._how == _TERMINAL_CLOSED:
            self._hang_up()
        elif self._how != "nothing":
            os.kill(self._pid, getattr(signal, self._how.partition(",")[0]))
        return stopped

    def end(self) -> None:
        """Away with it, whatever it does."""
        if not any(words.startswith("ended") for words in self._said):
            if self._how == "another thread":
                self._await("over")
            if CODES.get(self._how) is None:
                with suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)
            self._await("ended")

    def strange(self) -> str:
        """What is not as documented, in words."""
        code, wanted = int(self._said[-1].split()[1]), CODES[self._how]
        if wanted is not None and code != wanted:
            return f"{self._how}: exit code {code}"
        threaded = self._how.endswith("thread")
        return f"{self._how}: not refused" if threaded and "refused" not in self._said else ""

    def _await(self, begins: str) -> str:
        while True:
            words = self._line()
            self._said.append(words)
            if words.startswith(begins):
                return words
            if not words or words.startswith("ended"):
                raise RuntimeError(f"{begins!r} was expected of the script, it said {self._said}")


class Nursery:
    """The process that begets the scripts, one at a time: it has imported what they need."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "trials.victim"]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, cwd=Path(__file__).parents[1]
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process:
            self._process.kill()

    @contextmanager
    def script(self, instrument: Virtual, how: str, after: float) -> Iterator[Script]:
        """A script that programs `instrument`; it has come to its end afterwards."""
        ends = list(os.openpty()) if how == _TERMINAL_CLOSED else []

        def hang_up() -> None:
            while ends:
                os.close(ends.pop())

        try:
            terminal = os.ttyname(ends[1]) if ends else ""
            assert self._process.stdin is not None
            self._process.stdin.write(f"{how}|{after}|{terminal}|{instrument.address}\n")
            self._process.stdin.flush()
            script = Script(how, after, self._line, hang_up)
            try:
                yield script
            finally:
                script.end()
        finally:
            hang_up()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def grounded(instrument: Virtual, stopped: float) -> float | None:
    """When the electrodes were grounded and nothing came after it, s after `stopped`."""
    journal = instrument.bench.journal
    deadline = time.time() + _PATIENCE
    while time.time() < deadline:
        time.sleep(0.25)  # a script that goes on would drive them again in this time
        (last,) = journal.tail(1) or (None,)
        if last is not None and last.what == "ground" and time.time() - last.wall_time > 0.2:
            return max(last.wall_time - stopped, 0.0)
    return None
