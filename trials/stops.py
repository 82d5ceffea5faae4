"""Stopped in the middle of programming: how long until the electrodes are grounded, by the instrument's journal."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trials.virtual_kinds import VIRTUAL, WATCHDOG, Virtual

_HOW = {"exception": None, "SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM}
_PATIENCE = 10.0
__all__ = ["WATCHDOG", "Stops", "kills", "stop_once", "stops"]


@dataclass
class Stops:
    """What came of stopping a script so many times.

    Attributes:
        slowest: s from the stop to the ground of the electrodes; ungrounded: times that it never came.
    """

    trials: int = 0
    slowest: float = 0.0
    ungrounded: int = 0

    def add(self, seconds: float | None) -> None:
        """One more, with the s that it took; None if the ground never came."""
        self.trials += 1
        if seconds is None:
            self.ungrounded += 1
        else:
            self.slowest = max(self.slowest, seconds)


def stops(kind: str, trials: int, rng: np.random.Generator) -> Stops:
    """Exception, Ctrl-C and SIGTERM in turn, each at a random moment of a programming run."""
    outcome = Stops()
    with VIRTUAL[kind]((16, 16)) as instrument:
        for trial in range(trials):
            how = list(_HOW)[trial % len(_HOW)]
            outcome.add(stop_once(instrument, how, float(rng.uniform(0.05, 0.6))))
    return outcome


def kills(trials: int, rng: np.random.Generator) -> Stops:
    """kill -9, and a script frozen with its connection open, in turn, on the instrument that has a watchdog."""
    outcome = Stops()
    with VIRTUAL["scpi"]((16, 16)) as instrument:
        for trial in range(trials):
            outcome.add(stop_once(instrument, ("SIGKILL", "SIGSTOP")[trial % 2], float(rng.uniform(0.05, 0.6))))
    return outcome


def stop_once(instrument: Virtual, how: str, after: float) -> float | None:
    """s from the stop to the ground; None if it did not come. `how` may also be SIGKILL and SIGSTOP."""
    command = [sys.executable, "-m", "trials.victim", instrument.address]
    if how == "exception":
        command.append(str(after))
    root = Path(__file__).parents[1]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=root) as victim:
        assert victim.stdout is not None
        if victim.stdout.readline() != b"ready\n":
            raise RuntimeError("the victim did not start")
        started = time.time()
        time.sleep(after)
        stopped = started + after if how == "exception" else time.time()
        signum = _HOW.get(how, getattr(signal, how, None))
        if signum is not None:
            victim.send_signal(signum)
        try:
            return _grounded(instrument, stopped)
        finally:
            victim.kill()


def _grounded(instrument: Virtual, stopped: float) -> float | None:
    """When the electrodes were grounded and nothing came after it, s after `stopped`."""
    journal = instrument.bench.journal
    deadline = time.time() + _PATIENCE
    while time.time() < deadline:
        time.sleep(0.25)  # a script that goes on would drive them again in this time
        (last,) = journal.tail(1) or (None,)
        if last is not None and last.what == "ground" and time.time() - last.wall_time > 0.2:
            return max(last.wall_time - stopped, 0.0)
    return None
