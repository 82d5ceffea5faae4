"""The process that writes a run, as other programs on this computer see it, and how they ask it to make arrays safe.

Beside RUN there is RUN.session while the run is written: locked by the writer, so that the lock goes when the process
goes, however it ends. On a system without such locks the number of the process, which is in it, says whether that is
alive; another process may have got the number since. A request is bytes at the end of that file. The writer looks
several times a second, notes the request in the log, and then does to itself what one Ctrl-C does: the hardware call
under way ends, the `with` block of the array is left, and the array is made safe. Further requests change nothing.

Its time of modification is a heartbeat: the writer sets it every few seconds.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from imssa_lab.contract.errors import LogError
from imssa_lab.contract.operating_system import LOCKS, interrupt_main_thread, lives, lock, open_file

_log = logging.getLogger(__name__)
_LOOK_EVERY = 0.2  # s
HEARTBEAT = 5.0  # s
_OPENED = b"written by process %d\n"
_WRITER = re.compile(rb"written by process (\d+)\n")
_LONGEST = 64  # bytes


class Presence(StrEnum):
    """Whether somebody writes the run."""

    THERE = "running"
    GONE = "its session is gone"


class Attendance:
    """The writer's side; begun as soon as other processes can read the file, since they look for its writer."""

    def __init__(self, run_file: Path) -> None:
        self._path = session_file(run_file)
        self._over = threading.Event()
        self._handle = -1
        try:
            self._handle = open_file(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            lock(self._handle, shared=False, wait=True)
            os.write(self._handle, _OPENED % os.getpid())
        except OSError as error:
            _log.warning("%s: no monitor can ask this session to make arrays safe (%s)", self._path, error)
            self._let_go()
            return
        self._size = os.fstat(self._handle).st_size

    def listen(self, asked: Callable[[], None]) -> None:
        """Look for requests from now on; `asked` is called once, from a thread of its own, when there is one."""
        if self._handle >= 0:
            name = f"requests for {self._path.stem}"
            threading.Thread(target=self._watch, args=(asked,), name=name, daemon=True).start()

    def end(self) -> None:
        """The run is over; a second call does nothing."""
        self._over.set()
        if self._handle >= 0:
            self._let_go()  # first: Windows removes no file that is open
            self._path.unlink(missing_ok=True)

    def _let_go(self) -> None:
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)

    def _watch(self, came: Callable[[], None]) -> None:
        beat = time.monotonic()
        while not self._over.wait(_LOOK_EVERY):
            try:
                if time.monotonic() - beat >= HEARTBEAT:
                    os.utime(self._path)
                    beat = time.monotonic()
                asked = os.stat(self._path).st_size > self._size
            except OSError:  # removed by hand: no one can ask any more
                return
            if asked:
                came()
                interrupt_main_thread()
                return


def session_file(run_file: Path) -> Path:
    """Where the writer of a run is to be found while it lives."""
    return run_file.with_name(f"{run_file.name}.session")


def presence(run_file: Path) -> Presence:
    """Whether the process that writes a run is alive."""
    try:
        handle = open_file(session_file(run_file), os.O_RDWR)
    except OSError:
        return Presence.GONE
    try:
        if not LOCKS:
            writer = _WRITER.match(os.read(handle, _LONGEST))
            return Presence.THERE if writer and lives(int(writer[1])) else Presence.GONE
        lock(handle, shared=True)
    except BlockingIOError:
        return Presence.THERE
    finally:
        os.close(handle)
    return Presence.GONE


def writer_of(run_file: Path) -> int | None:
    """The number of the process that writes a run, None where none does."""
    if presence(run_file) is Presence.GONE:
        return None
    try:
        writer = _WRITER.match(session_file(run_file).read_bytes())
    except OSError:  # it has just ended
        return None
    return int(writer[1]) if writer else None


def ask_to_make_safe(run_file: Path) -> None:
    """Ask the process that writes a run to stop and make its arrays safe.

    Raises:
        LogError: no process writes that run.
    """
    if presence(run_file) is Presence.GONE:
        raise LogError(
            f"{run_file}: its session has ended, so no process can make the array safe; "
            "switch the instrument off, or open the array again: opening and closing it makes it safe"
        )
    handle = open_file(session_file(run_file), os.O_WRONLY | os.O_APPEND)
    try:
        os.write(handle, b"make safe\n")
    finally:
        os.close(handle)
