"""`CallGate`: who may call an array: one thread at a time, of the process that opened it, until it is stopped."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar
from weakref import WeakSet

from imssa_lab.contract.errors import ArrayStopped, WrongProcess

_PATIENCE = 0.5
"""Time in s for which making an array safe waits for the call of another thread to end."""


class CallGate:
    """One gate for an array and all wrappers around it.

    A call holds `lock`, and other threads wait for it. Once a thread makes the array safe that others use, or a
    signal comes while they do, it is *stopped*: the next call of every thread is refused until `rearm`, and those
    threads have to hear of it even when somebody was faster to rearm.

    Attributes:
        last: the thread that holds the lock, or was the last to hold it; inside: whether it is in a call.
        barred: whether a call has to be looked at: the array was stopped, or this is a forked child.
        ground_due: it was stopped, and nobody has grounded it since with all calls at an end.
    """

    _all: ClassVar[WeakSet[CallGate]] = WeakSet()
    _some_stopped: ClassVar[bool] = False

    def __init__(self, name: str) -> None:
        self._name, self._process = name, os.getpid()
        self.lock = threading.RLock()
        self.last = threading.get_ident()
        self.inside = self.barred = self.ground_due = False
        self._abroad = False
        self._stopped_by = ""
        self._users, self._untold, self._idle = {self.last}, set[int](), set[int]()
        CallGate._all.add(self)

    # ---- calls

    def admit(self, me: int) -> None:
        """Check a call of thread `me`, which holds the lock.

        Raises:
            ArrayStopped: see the class; WrongProcess: this is a forked child. Nothing has happened.
        """
        if me != self.last:
            threading.current_thread()  # threads that Python did not start are listed from here on
            self.last = me
            self._users.add(me)
        if self.barred:
            self._require_admitted(me)

    @contextmanager
    def idle(self) -> Iterator[None]:
        """Context of a call that drives nothing: it can be refused like any other, but nobody waits for it."""
        me = threading.get_ident()
        with self.lock:
            self.admit(me)
        self._idle.add(me)
        try:
            yield
        finally:
            self._idle.discard(me)

    @classmethod
    def give_way(cls) -> None:
        """Interrupt the current call here with ArrayStopped if its array was stopped meanwhile."""
        if not cls._some_stopped:
            return
        me = threading.get_ident()
        for gate in list(cls._all):
            if gate.barred and (me in gate._idle or (gate.inside and gate.last == me)):  # noqa: SLF001 - own class
                gate._require_admitted(me)  # noqa: SLF001

    def _require_admitted(self, me: int) -> None:
        self.require_own_process()
        if not (self._stopped_by or me in self._untold):
            return
        self._untold.discard(me)
        since = "" if self._stopped_by else ", rearmed since by another"
        who = self._stopped_by or "another thread"
        self.barred = bool(self._stopped_by or self._untold)
        raise ArrayStopped(
            f"{self._name}: made safe by {who}{since}; nothing more was sent for this call. When the cells are as "
            "you expect them, call rearm() of the array, or open it again"
        )

    # ---- stops

    def stop(self, who: str, ground_due: bool = False) -> None:
        """Refuse further calls of other living threads that have used the array.

        Args:
            ground_due: nobody is about to ground it: whichever thread comes first does.
        """
        alive = {thread.ident for thread in threading.enumerate()}
        others = self._users.intersection(alive) - {threading.get_ident()}
        if others:
            self._untold |= others
            self._stopped_by, self.ground_due = who, ground_due
            self.barred = CallGate._some_stopped = True

    @contextmanager
    def grounding(self) -> Iterator[None]:
        """Context of making the array safe: waits for the current call, for a limited time.

        Raises:
            WrongProcess: this is a forked child.
        """
        self.require_own_process()
        alone = self.lock.acquire(timeout=_PATIENCE)
        self.ground_due = not alone  # the call under way may still drive, so it grounds when it ends
        try:
            yield
        except BaseException:
            self.ground_due = True
            raise
        finally:
            if alone:
                self.lock.release()

    def rearm(self) -> None:
        """Accept calls again; threads that have not yet noticed the stop are still refused once."""
        self.require_own_process()
        alive = {thread.ident for thread in threading.enumerate()}
        me = threading.get_ident()
        self._untold = self._untold.intersection(alive) - {me}
        self._users, self._stopped_by, self.ground_due = {me, *self._untold}, "", False
        self.barred = bool(self._untold)

    # ---- forks

    @property
    def abroad(self) -> bool:
        """Whether this is a forked child of the process that opened the array."""
        return self._abroad

    def require_own_process(self) -> None:
        """Raise WrongProcess in a forked child."""
        if self._abroad:
            raise WrongProcess(
                f"{self._name}: opened by process {self._process}, used by its child {os.getpid()}; nothing was "
                "sent; open an array of its own in the child"
            )

    @classmethod
    def _in_child(cls) -> None:
        """After a fork: only the thread that forked is here, and locks of the others would never be released."""
        for gate in list(cls._all):
            gate.lock = threading.RLock()
            gate._abroad = gate.barred = True  # noqa: SLF001 - own class


if sys.platform != "win32":
    os.register_at_fork(after_in_child=CallGate._in_child)  # noqa: SLF001
