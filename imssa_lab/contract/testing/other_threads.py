"""Tests of `ContractSuite`: what every `CrossbarArray` promises when threads and forked children use it."""

from __future__ import annotations

import os
import pickle
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from imssa_lab.contract.errors import ArrayStopped, ImssaError, WrongProcess
from imssa_lab.contract.hal import CrossbarArray, PulseKind, Pulses
from imssa_lab.contract.testing.electrodes import Run

_LONG = 60.0  # s, for a thread that should end at once


class OtherThread:
    """Another thread, which runs the calls that it is given on the array, one after the other."""

    def __init__(self) -> None:
        self._asked: Callable[[], object] | None = None
        self._go, self._done = threading.Event(), threading.Event()
        self._came: Any = None
        threading.Thread(target=self._run, daemon=True).start()

    def ask(self, call: Callable[[], object]) -> Any:
        """Run `call` in this thread; return its result, or the `ImssaError` that it raised."""
        self._asked = call
        self._done.clear()
        self._go.set()
        assert self._done.wait(_LONG), "the other thread does not come to an end"
        return self._came

    def _run(self) -> None:
        while self._go.wait():
            self._go.clear()
            assert self._asked is not None
            try:
                self._came = self._asked()
            except ImssaError as error:
                self._came = error
            self._done.set()


def _every_call(array: CrossbarArray) -> list[Callable[[], object]]:
    """All calls that drive, read, calibrate or wait; a stopped array refuses them without a look at the cells."""
    info = array.info
    few = Pulses.on(np.eye(*info.shape, dtype=np.bool_), PulseKind.SET, info.limits.set.voltage_max / 2, 1.0, 1e-3)
    return [
        lambda: array.read_mvm(np.zeros(info.rows)),
        lambda: array.read_conductances(),
        lambda: array.apply_pulses(few),
        lambda: array.program_conductances(np.full(info.shape, info.window.high)),
        lambda: array.set_calibration(None),
        lambda: array.wait(0.0),
    ]


def _refusals(calls: list[Callable[[], object]]) -> list[str]:
    """Names of the errors that the calls raise; "nothing" for a call that raises none."""
    names = []
    for call in calls:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is compared
            names.append(type(error).__name__)
        else:
            names.append("nothing")
    return names


class OtherThreadsSuite:
    """See `ContractSuite`."""

    @pytest.fixture
    def run(self) -> Run:
        """Runs the script of a test on a fresh array, closes the array, and returns what the script returned."""
        raise NotImplementedError

    def seen(self, array: CrossbarArray) -> tuple[int, bool] | None:
        """How often outputs were driven so far, and whether they are grounded now, by the instrument's own journal.

        None if the instrument keeps no journal: then the tests check only the errors that are raised.
        """
        return None

    def test_made_safe_beside_another_thread_it_takes_no_call_until_rearmed(self, run: Run) -> None:
        def script(array: CrossbarArray) -> Any:
            worker = OtherThread()
            before = worker.ask(array.read_conductances)
            array.make_safe()
            stopped = self.seen(array)
            refused = worker.ask(array.read_conductances)
            here = _refusals(_every_call(array))
            after = self.seen(array)
            array.rearm()
            again = array.read_conductances(), worker.ask(array.read_conductances)
            return before, stopped, refused, here, after, again

        before, stopped, refused, here, after, again = run(script)
        assert np.isfinite(before).all()
        assert isinstance(refused, ArrayStopped)
        assert "rearm()" in str(refused)
        assert set(here) == {"ArrayStopped"}
        assert stopped == after, "something reached the electrodes after the stop"
        assert stopped is None or stopped[1], "the outputs are not grounded"
        assert all(np.isfinite(values).all() for values in again)

    def test_a_thread_that_did_not_hear_of_a_stop_is_refused_once_after_it(self, run: Run) -> None:
        """Rearming the array must not let a thread continue that the stop was meant to end."""

        def script(array: CrossbarArray) -> Any:
            worker = OtherThread()
            worker.ask(array.read_conductances)
            array.make_safe()
            array.rearm()
            here = array.read_conductances()
            return here, [worker.ask(array.read_conductances) for _ in range(2)]

        here, (first, second) = run(script)
        assert np.isfinite(here).all()
        assert isinstance(first, ArrayStopped)
        assert np.isfinite(second).all()

    @pytest.mark.skipif(sys.platform == "win32", reason="no forks there")
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_a_forked_child_is_refused_and_leaves_the_array_alone(self, run: Run) -> None:
        def script(array: CrossbarArray) -> Any:
            before = array.read_conductances()
            seen = self.seen(array)
            reader, writer = os.pipe()
            child = os.fork()
            if not child:
                _as_child(array, writer)
            os.close(writer)
            with os.fdopen(reader) as lines:
                names = lines.read().split()
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            return before, seen == self.seen(array), names, status, array.read_conductances()

        before, untouched, names, status, after = run(script)
        assert status == 0
        assert set(names[:-1]) == {"WrongProcess"}, names
        assert names[-1] == "nothing", "leaving it is nothing to complain of"
        assert untouched, "the child has reached the electrodes"
        assert np.isfinite(before).all()
        assert np.isfinite(after).all()

    def test_it_cannot_be_sent_to_another_process(self, run: Run) -> None:
        def script(array: CrossbarArray) -> Any:
            with pytest.raises(WrongProcess, match="open it there"):
                pickle.dumps(array)
            return array.read_conductances()

        assert np.isfinite(run(script)).all()


def _as_child(array: CrossbarArray, writer: int) -> None:
    """Try every call, then leave the array as a `with` block does; write the names of the errors to the pipe."""
    if sys.platform == "win32":  # no forks there
        return
    try:
        calls = [*_every_call(array), lambda: array.time, array.make_safe, array.rearm]
        names = [*_refusals(calls), *_refusals([lambda: array.__exit__(None, None, None)])]
        os.write(writer, " ".join(names).encode())
        os._exit(0)
    finally:
        os._exit(1)  # never back into the tests of the parent
