"""Ctrl-C and SIGTERM while no hardware call is under way, and waits that drive nothing."""

import os
import signal

import pytest

from imssa_lab.contract import safe_stop
from imssa_lab.contract.safe_stop import SafeStop
from imssa_lab.contract.wrapper import Wrapper
from twin import DigitalTwin


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGINT, None)])
def test_a_signal_after_a_call_stops_at_once(signum: int, status: int | None) -> None:
    """The status is that of a shell: 128 and the signal."""
    chip = DigitalTwin(shape=(2, 2))
    stop = SafeStop("chip", chip.make_safe)
    stop.install()
    try:
        with stop:
            pass
        with pytest.raises((KeyboardInterrupt, SystemExit)) as caught:
            os.kill(os.getpid(), signum)
        assert getattr(caught.value, "code", None) == status
    finally:
        stop.remove()


def test_a_wait_sleeps_in_pieces_of_half_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that only a sleep moves on; a loop that does not sleep is stopped."""
    now, naps = 100.0, list[float]()

    def monotonic() -> float:
        naps.append(0.0)
        assert len(naps) < 50, "waits without sleeping"
        return now

    def nap(seconds: float) -> None:
        nonlocal now
        now += seconds
        naps.append(seconds)

    monkeypatch.setattr(safe_stop.time, "monotonic", monotonic)
    monkeypatch.setattr(safe_stop.time, "sleep", nap)
    safe_stop.sleep(1.25)
    assert [seconds for seconds in naps if seconds] == [0.5, 0.5, 0.25]


def test_a_wrapper_makes_the_array_in_it_safe_and_closes_it() -> None:
    class Noted(DigitalTwin):
        safe = closed = 0

        def _make_safe(self) -> None:
            self.safe += 1

        def _close(self) -> None:
            self.closed += 1

    array = Noted(shape=(2, 2))
    wrapped = Wrapper(Wrapper(array))
    wrapped.make_safe()
    assert (array.safe, array.closed) == (1, 0)
    wrapped.close()
    assert (array.safe > 1, array.closed) == (True, 1)
