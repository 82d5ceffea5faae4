"""`make_safe` and signals beside worker threads: what is waited for, what is broken off, and who grounds."""

import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from imssa_lab.contract import call_gate, safe_stop
from imssa_lab.contract.errors import ArrayStopped, ImssaError, LinkLost
from imssa_lab.contract.hal import FloatArray, Readout
from imssa_lab.contract.wrapper import Wrapper
from twin import DigitalTwin

_LONG = 60.0  # s, for what should come at once
READ = np.zeros(4)


class Held(DigitalTwin):
    """A product stays under way until the test lets it end; what happens is noted."""

    def __init__(self) -> None:
        super().__init__(shape=(4, 4))
        self.notes: list[str] = []
        self.begun, self.may_end = threading.Event(), threading.Event()
        super()._read_mvm(READ.reshape(1, -1))  # compiles what a first read compiles

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        self.begun.set()
        assert self.may_end.wait(_LONG)
        self.notes.append("read")
        return super()._read_mvm(voltages)

    def _wait(self, seconds: float) -> None:
        self.begun.set()
        safe_stop.sleep(seconds)

    def _make_safe(self) -> None:
        self.notes.append("safe")


class Worker:
    """A thread whose call is under way."""

    def __init__(self, array: Held, call: Any) -> None:
        self.came: list[Any] = []
        self._call = call
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert array.begun.wait(_LONG)

    def _run(self) -> None:
        try:
            self.came.append(self._call())
        except ImssaError as error:
            self.came.append(error)

    def end(self) -> Any:
        self._thread.join(_LONG)
        (came,) = self.came
        return came


@pytest.mark.parametrize("layers", [0, 2])
def test_the_call_under_way_is_waited_for(layers: int) -> None:
    """Through wrappers too, whoever is asked: the outermost, and the one inside."""
    array = Held()
    outer: Any = array
    for _ in range(layers):
        outer = Wrapper(outer)
    worker = Worker(array, lambda: outer.read_mvm(READ))
    threading.Timer(0.1, array.may_end.set).start()
    array.make_safe()
    assert array.notes == ["read", "safe"]
    assert worker.end().shape == (4,), "what was measured is not lost"
    for each in (outer, array):
        with pytest.raises(ArrayStopped, match="thread 'MainThread'"):
            each.read_mvm(READ)
    outer.rearm()
    assert array.read_mvm(READ).shape == (4,)


def test_a_call_that_does_not_end_is_not_waited_for_and_grounds_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_gate, "_PATIENCE", 0.05)
    array = Held()
    worker = Worker(array, lambda: array.read_mvm(READ))
    array.make_safe()
    assert array.notes == ["safe"]
    array.may_end.set()
    worker.end()
    assert array.notes == ["safe", "read", "safe"], "the call has driven the outputs after they were grounded"
    array.make_safe()
    assert array.notes[3:] == ["safe"]


def test_a_wait_of_another_thread_is_broken_off_and_keeps_nobody_waiting() -> None:
    array = Held()
    array.may_end.set()
    worker = Worker(array, lambda: array.wait(1e4))
    assert array.read_mvm(READ).shape == (4,)
    array.make_safe()
    assert isinstance(worker.end(), ArrayStopped)


def test_the_only_user_goes_on_even_after_other_threads_have_ended() -> None:
    array = Held()
    array.may_end.set()
    Worker(array, lambda: array.read_mvm(READ)).end()
    array.make_safe()
    assert array.read_mvm(READ).shape == (4,)


def test_a_thread_that_missed_a_stop_is_refused_once_after_another_has_rearmed() -> None:
    array = Held()
    array.may_end.set()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(array.read_mvm, READ).result()
        array.make_safe()
        array.rearm()
        assert array.read_mvm(READ).shape == (4,)
        with pytest.raises(ArrayStopped, match="rearmed since by another"):
            pool.submit(array.read_mvm, READ).result()
        assert pool.submit(array.read_mvm, READ).result().shape == (4,)


def test_a_stop_is_of_one_array() -> None:
    stopped, other = Held(), Held()
    for array in (stopped, other):
        array.may_end.set()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(stopped.read_mvm, READ).result()
        stopped.make_safe()
        assert pool.submit(other.read_mvm, READ).result().shape == (4,)
        assert isinstance(pool.submit(stopped.read_mvm, READ).exception(), ArrayStopped)


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill ends the process there")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_stops_workers_that_the_script_waits_for(name: str) -> None:
    """The pool waits for its thread, which only ends when its next call is refused; the array grounds first."""
    signum = getattr(signal, name)
    array, refused, asleep = Held(), list[ArrayStopped](), threading.Event()
    array.may_end.set()

    def work() -> None:
        array.read_mvm(READ)
        assert asleep.wait(_LONG)
        time.sleep(0.2)  # the main thread holds no lock of the pool when the signal comes
        os.kill(os.getpid(), signum)
        try:
            while True:
                array.read_mvm(READ)
        except ArrayStopped as error:
            refused.append(error)

    stopping = pytest.raises((KeyboardInterrupt, SystemExit))
    with stopping, array, ThreadPoolExecutor(1) as pool:
        pool.submit(work)
        asleep.set()
        time.sleep(_LONG)
    assert name in str(refused[0])
    assert array.notes[-1] == "safe"


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill ends the process there")
def test_a_signal_is_raised_in_the_main_thread_while_a_worker_is_in_a_call() -> None:
    """It is the main thread's, and nothing of its own is under way."""
    array = Held()
    worker = Worker(array, lambda: array.read_mvm(READ))
    threading.Timer(0.1, array.may_end.set).start()
    went_on: list[bool] = []

    def interrupted() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        went_on.append(True)

    with pytest.raises(KeyboardInterrupt), array:
        interrupted()
    worker.end()
    assert went_on == []
    assert array.notes[:2] == ["read", "safe"]


def test_a_worker_that_cannot_ground_is_refused_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    class Gone(Held):
        def _make_safe(self) -> None:
            raise LinkLost("unplugged")

    array = Gone()
    array.may_end.set()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(array.read_mvm, READ).result()
        with pytest.raises(LinkLost):
            array.make_safe()
        assert isinstance(pool.submit(array.read_mvm, READ).exception(), ArrayStopped)
    assert "unplugged" in caplog.text
