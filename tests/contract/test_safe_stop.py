"""Ctrl-C and SIGTERM: the first waits for the hardware call, the second does not, both leave the array safe."""

import os
import signal
import threading
import time
from typing import ClassVar

import numpy as np
import pytest

from imssa_lab.contract import safe_stop
from imssa_lab.contract.errors import ArrayStopped
from imssa_lab.contract.hal import Pulses
from imssa_lab.contract.wrapper import Wrapper
from twin import DigitalTwin


class Interrupted(DigitalTwin):
    """A twin whose pulses are interrupted by signals while they are under way."""

    signals: ClassVar[list[int]] = []
    finished = False
    went_on = False
    made_safe = False

    def _apply_pulses(self, pulses: Pulses) -> None:
        for signum in self.signals:
            os.kill(os.getpid(), signum)
        super()._apply_pulses(pulses)
        self.finished = True

    def _make_safe(self) -> None:
        self.made_safe = True


def pulse(array: Interrupted) -> None:
    with array:
        array.apply_pulses(Pulses.on(np.ones((4, 4), dtype=bool), "SET", 2.0, 1.0, 1e-6))
        array.went_on = True
        raise AssertionError("the signal was lost")


@pytest.mark.parametrize(("signum", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_first_signal_waits_for_the_call(
    monkeypatch: pytest.MonkeyPatch, signum: int, error: type[BaseException]
) -> None:
    before = signal.getsignal(signum)
    array = Interrupted(shape=(4, 4))
    monkeypatch.setattr(Interrupted, "signals", [signum])
    with pytest.raises(error):
        pulse(array)
    assert array.finished
    assert not array.went_on  # the next line of the script does not run
    assert array.made_safe
    assert signal.getsignal(signum) == before


def test_second_signal_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    array = Interrupted(shape=(4, 4))
    monkeypatch.setattr(Interrupted, "signals", [signal.SIGINT, signal.SIGINT])
    with pytest.raises(KeyboardInterrupt):
        pulse(array)
    assert not array.finished
    assert array.made_safe


def test_a_call_that_was_refused_keeps_no_later_signal_back() -> None:
    with DigitalTwin(shape=(4, 4)) as array:
        stopper = threading.Thread(target=array.make_safe)
        stopper.start()
        stopper.join()
        for call in (lambda: array.read_mvm(np.zeros(4)), lambda: array.wait(0.001)):
            with pytest.raises(ArrayStopped):
                call()
            with pytest.raises(KeyboardInterrupt):
                interrupt_and_wait()


def interrupt_and_wait() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)
    raise AssertionError("the signal was kept back")


def test_arrays_nest(monkeypatch: pytest.MonkeyPatch) -> None:
    outer, inner = Interrupted(shape=(4, 4)), Interrupted(shape=(4, 4))
    monkeypatch.setattr(Interrupted, "signals", [signal.SIGTERM])
    with pytest.raises(SystemExit), outer, inner:
        outer.apply_pulses(Pulses.on(np.ones((4, 4), dtype=bool), "SET", 2.0, 1.0, 1e-6))
    assert outer.finished
    assert outer.made_safe
    assert inner.made_safe


def test_an_exception_makes_safe() -> None:
    array = Interrupted(shape=(4, 4))
    with pytest.raises(RuntimeError, match="bench"), array:
        raise RuntimeError("bench")
    assert array.made_safe


class InterruptedWhileMadeSafe(Interrupted):
    """A twin that is interrupted while its outputs go to zero."""

    closed = False

    def _make_safe(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        super()._make_safe()

    def _close(self) -> None:
        self.closed = True


def test_ctrl_c_does_not_keep_an_array_from_being_made_safe() -> None:
    array = InterruptedWhileMadeSafe(shape=(4, 4))
    with pytest.raises(KeyboardInterrupt), array:
        pass
    assert array.made_safe
    assert array.closed


class Asleep(Interrupted):
    """Its waits really take their time, and are interrupted at once."""

    def _wait(self, seconds: float) -> None:
        for signum in self.signals:
            os.kill(os.getpid(), signum)
        safe_stop.sleep(seconds)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_wait_ends_at_the_first_signal(monkeypatch: pytest.MonkeyPatch, wrapped: bool) -> None:
    """Also behind a wrapper, which holds the signal back for the array inside."""
    inside = Asleep(shape=(4, 4))
    array = Wrapper(inside) if wrapped else inside
    monkeypatch.setattr(Asleep, "signals", [signal.SIGINT])
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt), array:
        array.wait(30.0)
    assert time.monotonic() - begun < 5.0
    assert inside.made_safe
    monkeypatch.setattr(Asleep, "signals", [])
    with Asleep(shape=(4, 4)) as again:  # nothing is left of it
        again.wait(0.6)
