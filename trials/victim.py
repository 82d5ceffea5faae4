"""A process that begets bench scripts, each of which programs an array for ever and is stopped in the middle.

A line ``HOW|SECONDS|TERMINAL|ADDRESS`` on stdin begins one, with its own terminal where one is named. On stdout come
``began PID``, ``ready``, where the script stops itself ``stopping TIME``, and at its end ``ended CODE``.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import FrameType

import numpy as np

import drivers.keithley.smu_matrix
import drivers.scpi
import drivers.supert_a0
import drivers.visa_stream  # noqa: F401 - what a script would import while its instrument waits
from imssa_lab.contract.errors import ImssaError, LinkLost
from imssa_lab.contract.hal import CrossbarArray
from imssa_lab.station.addresses import open_array

_SLEEP = 0.02
_PATIENCE = 10.0


def main() -> None:
    """One script after another, until stdin ends."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored where the trials run under `nohup`
    with open_array("twin:supert-a0-easy?shape=16x16") as array:
        array.program_conductances(np.full(array.info.shape, 50e-6))  # so that the scripts compile nothing
    while line := sys.stdin.readline():
        how, after, terminal, address = line.strip().split("|")
        child = os.fork()
        if not child:
            if terminal:
                _sit_at(terminal)
            _script(how, float(after), address)
            return
        _say(f"began {child}")
        _say(f"ended {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}")


def _script(how: str, after: float, address: str) -> None:
    """Program and read until something stops it."""
    with _opened(address) as array:
        if how.endswith("thread"):
            worker = threading.Thread(target=_work, args=(array,))
            worker.start()
        _say("ready")
        if how == "exception":
            signal.signal(signal.SIGALRM, _fail)
            signal.setitimer(signal.ITIMER_REAL, after)
        if how == "another thread":
            time.sleep(after)
            _say(f"stopping {time.time()!r}")
            array.make_safe()
        if how.endswith("thread"):
            given_up = time.monotonic() + _PATIENCE
            # not by joining it: Python 3.11 takes a thread for ended when a signal interrupts that
            while worker.is_alive() and (how != "another thread" or time.monotonic() < given_up):
                time.sleep(_SLEEP)
            _say("over")
            while True:  # open, so that nothing but `make_safe` has grounded it
                time.sleep(_SLEEP)
        _program(array)


def _opened(address: str) -> CrossbarArray:
    """Its array, once the instrument has noticed that the script before is gone."""
    given_up = time.monotonic() + _PATIENCE
    while True:
        try:
            return open_array(address)
        except LinkLost:
            if time.monotonic() > given_up:
                raise
            time.sleep(_SLEEP)


def _work(array: CrossbarArray) -> None:
    try:
        _program(array)
    except ImssaError:  # stopped, or closed already
        _say("refused")


def _program(array: CrossbarArray) -> None:
    rng = np.random.default_rng(0)
    while True:
        array.program_conductances(rng.uniform(20e-6, 120e-6, array.info.shape))
        array.read_mvm(rng.uniform(0, 0.2, (20, array.info.rows)))


def _fail(signum: int, frame: FrameType | None) -> None:
    _say(f"stopping {time.time()!r}")
    raise RuntimeError("the bench script has a fault")


def _sit_at(terminal: str) -> None:
    """Begin a session of its own; the first terminal that its leader opens is its own (credentials(7))."""
    os.setsid()
    opened = os.open(terminal, os.O_RDWR)
    for file in (0, 2):
        os.dup2(opened, file)


def _say(words: str) -> None:
    os.write(1, words.encode() + b"\n")


if __name__ == "__main__":
    main()
