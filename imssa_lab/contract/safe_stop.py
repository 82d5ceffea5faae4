"""Ctrl-C and SIGTERM in the middle of a hardware call.

The first signal waits until the call that is under way has returned (a half-sent command confuses a board more
than a late stop); a second one does not wait. Either way an exception leaves the `with` block of the array,
which makes it safe. A call that only lets time pass is no reason to wait: see `give_way` and `sleep`.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import ClassVar

_log = logging.getLogger(__name__)
_PIECE = 0.5  # s
_Handler = Callable[[int, FrameType | None], object] | int | None


def _raise(signum: int) -> None:
    if signum == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + signum)


class SafeStop:
    """Signal handling of one array; a `with` block of it is one hardware call.

    Several nest: each hands on to the one installed before it.
    """

    _held: ClassVar[SafeStop | None] = None
    """Whose call keeps a signal back: a process has one main thread, which gets the signals."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._in_call = False
        self._pending: int | None = None
        self._previous: dict[int, _Handler] = {}

    def install(self) -> None:
        """Take over SIGINT and SIGTERM; Python allows this in the main thread only, elsewhere a no-op."""
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGINT, signal.SIGTERM):
                self._previous[signum] = signal.signal(signum, self._handle)

    def remove(self) -> None:
        """Give the handlers back to whoever had them."""
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
        self._previous.clear()

    def __enter__(self) -> None:
        """Before one hardware call: a first signal is kept until the call is over."""
        self._in_call = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """After it."""
        self._in_call = False
        if kind is None and self._pending is not None:
            self._go_on()

    def _go_on(self) -> None:
        """Raise the signal that was kept back."""
        signum, self._pending, SafeStop._held = self._pending, None, None
        if signum is not None:
            _raise(signum)

    @classmethod
    def give_way(cls) -> None:
        """Raise a signal that is kept back, by whichever array, from within a call that drives nothing."""
        if cls._held is not None and threading.current_thread() is threading.main_thread():
            cls._held._go_on()  # noqa: SLF001 - one of its own

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self._in_call and self._pending is None:
            self._pending, SafeStop._held = signum, self
            _log.warning("%s: stopping after the call under way; once more to stop now", self._name)
            return
        if self._in_call:
            self._pending, SafeStop._held = None, None
            _raise(signum)
        previous = self._previous.get(signum)
        if callable(previous):
            previous(signum, frame)
        else:
            _raise(signum)


def sleep(seconds: float) -> None:
    """Let time pass while nothing is driven; a first Ctrl-C or SIGTERM ends it within half a second."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, _PIECE))
        SafeStop.give_way()
