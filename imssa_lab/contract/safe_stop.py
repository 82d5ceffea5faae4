"""Signals in the middle of a hardware call: Ctrl-C, SIGTERM, and SIGHUP, which comes when a terminal is closed.

The first signal waits until the call that is under way has returned (a half-sent command confuses a board more
than a late stop); a second one does not wait. Either way an exception leaves the `with` block of the array,
which makes it safe. A call that only lets time pass is no reason to wait, and one that does many things may be broken
off between them: see `give_way` and `sleep`. Other threads that use the array are stopped by the first signal.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import get_ident
from types import FrameType, TracebackType
from typing import Any, ClassVar
from weakref import WeakMethod

from imssa_lab.contract.call_gate import CallGate
from imssa_lab.contract.errors import ImssaError

_log = logging.getLogger(__name__)
_PIECE = 0.5  # s
_Handler = Callable[[int, FrameType | None], object] | int | None
_HANG_UP: int | None = getattr(signal, "SIGHUP", None)  # not on Windows, which has SIGBREAK for Ctrl-Break instead
_SIGNALS = [
    int(getattr(signal, name)) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
]


def _raise(signum: int) -> None:
    if signum == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + signum)


class SafeStop:
    """Signals, threads and forks, for one array; a `with` block of it is one hardware call.

    Several nest: each hands on to the one installed before it.

    Args:
        ground: makes the array safe, for a thread whose call was under way when it was stopped.
        within: that of the array inside a wrapper, with which it has its threads in common.

    Attributes:
        gate: who may call the array.
    """

    _held: ClassVar[SafeStop | None] = None
    """Whose call keeps a signal back: a process has one main thread, which gets the signals."""
    _installed: ClassVar[list[SafeStop]] = []
    _hung_up: ClassVar[bool] = False
    _main: ClassVar[int] = threading.main_thread().ident or 0

    def __init__(self, name: str, ground: Callable[[], Any], within: SafeStop | None = None) -> None:
        self._name = name
        self._ground = WeakMethod(ground)
        self.gate: CallGate = CallGate(name) if within is None else within.gate
        self._in_call = False
        self._pending: int | None = None
        self._previous: dict[int, _Handler] = {}

    def install(self) -> None:
        """Handle the signals that stop a program, in the main thread alone, as Python allows; elsewhere do nothing.

        SIGHUP stays ignored where it is: so `nohup` wants it.
        """
        if get_ident() != SafeStop._main:
            return
        if not SafeStop._installed:
            SafeStop._hung_up = False
        SafeStop._installed.append(self)
        for signum in _SIGNALS:
            if signum != _HANG_UP or signal.getsignal(signum) is not signal.SIG_IGN:
                self._previous[signum] = signal.signal(signum, self._handle)

    def remove(self) -> None:
        """Restore the previous signal handlers."""
        if self in SafeStop._installed:
            SafeStop._installed.remove(self)
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
        self._previous.clear()

    # ---- calls

    def __enter__(self) -> None:
        """Before one hardware call: a first signal is kept until the call is over.

        Raises:
            ArrayStopped, WrongProcess: see `CallGate.admit`.
        """
        # counted in nanoseconds: a product takes a few microseconds
        gate, me = self.gate, get_ident()
        if me == SafeStop._main:
            self._in_call = True
        gate.lock.acquire()
        if gate.barred or me != gate.last:
            self._admit(me)
        gate.inside = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """After it."""
        gate = self.gate
        try:
            if gate.barred:
                self._ground_if_due()
        finally:
            main = gate.last == SafeStop._main
            gate.inside = False
            gate.lock.release()
        if main:
            self._in_call = False
            if self._pending is not None and kind is None:
                self._go_on()

    def _admit(self, me: int) -> None:
        """Look at the call of a thread that has not made the last one, or at any after a stop."""
        try:
            self.gate.admit(me)
        except BaseException:
            self.gate.lock.release()
            self._refused()
            raise

    @contextmanager
    def idle(self) -> Iterator[None]:
        """Context of a call that only waits: calls of other threads do not wait for it."""
        main = get_ident() == SafeStop._main
        self._in_call = self._in_call or main
        try:
            with self.gate.idle():
                yield
        except BaseException:
            self._refused()
            raise
        if main:
            self._over()

    @contextmanager
    def grounding(self) -> Iterator[None]:
        """Context of the call that makes the array safe: it stops other threads and is itself never refused."""
        self.gate.require_own_process()
        main = get_ident() == SafeStop._main
        self._in_call = self._in_call or main
        try:
            self.gate.stop(f"thread {threading.current_thread().name!r}")
            with self.gate.grounding():
                yield
        except BaseException:
            self._in_call = self._in_call and not main
            raise
        if main:
            self._over()

    def _over(self) -> None:
        """The main thread is out of its call: raise the signal that was kept back meanwhile."""
        self._in_call = False
        if self._pending is not None:
            self._go_on()

    def _refused(self) -> None:
        """The call of this thread has failed, perhaps by a stop: a signal goes first, and the array is grounded."""
        self._ground_if_due()
        if get_ident() == SafeStop._main:
            self._over()

    def _ground_if_due(self) -> None:
        """A stop came while a call was under way, which may have driven the outputs again since."""
        ground = self._ground()
        if not self.gate.ground_due or self.gate.abroad or ground is None:
            return
        try:
            with self.gate.grounding():
                ground()
        except ImssaError as error:
            _log.error("%s could not be made safe: %s", self._name, error)

    # ---- signals

    def _go_on(self) -> None:
        """Raise the signal that was kept back."""
        signum, self._pending, SafeStop._held = self._pending, None, None
        if signum is not None:
            _raise(signum)

    @classmethod
    def give_way(cls) -> None:
        """Within a call, raise a delayed signal of any array here, where the call may be interrupted.

        Raises:
            ArrayStopped: another thread has made the array safe whose call this is.
        """
        if cls._held is not None and get_ident() == cls._main:
            cls._held._go_on()  # noqa: SLF001 - one of its own
        CallGate.give_way()

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if signum == _HANG_UP:
            if SafeStop._hung_up:  # kernel and shell both say that a terminal was closed; nobody is impatient
                return
            SafeStop._hung_up = True
        self._stop(signum, frame)

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        self.gate.stop(signal.Signals(signum).name, ground_due=True)
        if self._in_call and self._pending is None:
            self._pending, SafeStop._held = signum, self
            _log.warning("%s: stopping after the current call; a second signal stops at once", self._name)
            return
        if self._in_call:
            self._pending, SafeStop._held = None, None
            _raise(signum)
        previous = self._previous.get(signum)
        outer = getattr(previous, "__self__", None)
        if isinstance(outer, SafeStop):
            outer._stop(signum, frame)  # noqa: SLF001 - one of its own
        elif callable(previous):
            previous(signum, frame)
        else:
            _raise(signum)

    @classmethod
    def _in_child(cls) -> None:
        """After a fork: signals act as before there were arrays, which are the parent's to make safe."""
        cls._main = get_ident()
        cls._held = None
        for stop in reversed(cls._installed.copy()):
            stop.remove()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=SafeStop._in_child)  # noqa: SLF001


def sleep(seconds: float) -> None:
    """Let time pass while nothing is driven; a first signal, or another thread's stop, ends it within half a second.

    Raises:
        ArrayStopped: another thread has made the array safe whose wait this is.
    """
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _PIECE))
        SafeStop.give_way()
