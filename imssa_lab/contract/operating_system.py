"""Functions in which operating systems differ: locks, positioned writes, marks of processes, waiting, terminals.

All that is of POSIX alone is asked for here, and every other module works with what is found. Windows has none of
`fcntl`, `termios`, `tty`, `pty`, `os.pread`, `os.pwrite`, `select.poll` and `signal.pthread_kill`.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from imssa_lab.contract.errors import ConfigError

fcntl: Any = None
termios: Any = None
tty: Any = None
with suppress(ImportError):
    import fcntl
with suppress(ImportError):
    import termios
    import tty


def _positioned() -> bool:
    """Whether bytes can be read and written at a place, without moving the place of the file."""
    try:
        handle = os.open(os.devnull, os.O_RDWR)
        try:
            os.pread(handle, 1, 0)
            os.pwrite(handle, b"0", 0)
        finally:
            os.close(handle)
    except (AttributeError, ImportError, OSError, RuntimeError):
        return False
    return True


LOCKS = fcntl is not None
"""Whether files can be locked for as long as a process lives."""
POSITIONED = _positioned()
"""Whether a file that HDF5 has open can be written past it, at a place."""
PSEUDO_TERMINALS = tty is not None and hasattr(os, "openpty")
"""Whether a serial port can be played by a program."""
NO_PSEUDO_TERMINALS = "this system has no pseudo-terminals"
_BINARY = getattr(os, "O_BINARY", 0)

# ---- files


def open_file(path: str | os.PathLike[str], flags: int, mode: int = 0o600) -> int:
    """`os.open` for bytes; raises what it raises."""
    return os.open(path, flags | _BINARY, mode)


def read_at(handle: int, size: int, offset: int) -> bytes:
    """Read at most `size` bytes of a file from `offset` on; if POSITIONED is false, the file position changes."""
    if POSITIONED:
        return os.pread(handle, size, offset)
    os.lseek(handle, offset, os.SEEK_SET)
    data = b""
    while len(data) < size and (piece := os.read(handle, size - len(data))):
        data += piece
    return data


def write_at(handle: int, data: bytes | memoryview, offset: int) -> int:
    """Write at `offset` and return the number of bytes written; if POSITIONED is false, the file position changes."""
    if POSITIONED:
        return os.pwrite(handle, data, offset)
    os.lseek(handle, offset, os.SEEK_SET)
    return os.write(handle, data)


def lock(handle: int, *, shared: bool, wait: bool = False) -> None:
    """Lock a file against other programs, as `flock` does; nothing where LOCKS is false.

    Raises:
        BlockingIOError: another program holds it, and `wait` is false; OSError: its folder takes no locks.
    """
    if fcntl is not None:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))


def unlock(handle: int) -> None:
    """Undo `lock`."""
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_UN)


# ---- processes


def user_number() -> int | None:
    """The number of the user, where the system has one."""
    return os.getuid() if hasattr(os, "getuid") else None


def lives(process: int) -> bool:
    """Whether a process with this number exists; it may be another process that got the number later."""
    if sys.platform == "win32":
        import ctypes

        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.OpenProcess.restype = ctypes.c_void_p
        found = kernel.OpenProcess(0x00100000, False, process)  # SYNCHRONIZE
        if not found:
            return ctypes.get_last_error() == 5  # ERROR_ACCESS_DENIED: it is another user's
        try:
            return bool(kernel.WaitForSingleObject(ctypes.c_void_p(found), 0) == 0x102)  # WAIT_TIMEOUT: not ended
        finally:
            kernel.CloseHandle(ctypes.c_void_p(found))
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def interrupt_main_thread() -> None:
    """Interrupt this process like one Ctrl-C, from any thread."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    elif os.name == "posix":
        os.kill(os.getpid(), signal.SIGINT)
    else:  # Windows, where this wakes a main thread that sleeps, and `os.kill` would end the process
        signal.raise_signal(signal.SIGINT)


# ---- waiting for a wire


class Ready:
    """Which of some files can be read (or, with `write`, written) without waiting."""

    def __init__(self, *files: int, write: bool = False) -> None:
        self._files = list(files)
        self._write = write
        self._poll: Any = None
        if hasattr(select, "poll"):
            self._poll = select.poll()
            for file in files:
                self._poll.register(file, select.POLLOUT if write else select.POLLIN)

    def __call__(self, milliseconds: float) -> list[int]:
        """Those that are ready within so long; closed and broken ones are, too."""
        if self._poll is not None:
            return [file for file, _ in self._poll.poll(milliseconds)]
        reads, writes = ([], self._files) if self._write else (self._files, [])
        ready = select.select(reads, writes, writes, milliseconds / 1e3)
        return list(dict.fromkeys(file for files in ready for file in files))


def hung_up(wire: socket.socket, milliseconds: float) -> bool:
    """Whether the other end of a connection has closed, or closes within this time; also if unread bytes are left."""
    if hasattr(select, "poll") and hasattr(select, "POLLRDHUP"):
        watch = select.poll()
        watch.register(wire, select.POLLRDHUP)
        return bool(watch.poll(milliseconds))
    if not Ready(wire.fileno())(milliseconds):
        return False
    try:
        gone = not wire.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    if not gone:
        time.sleep(milliseconds / 1e3)  # bytes that nobody takes just now hide what comes behind them
    return gone


def bytes_there(wire: socket.socket, limit: int) -> int:
    """How many bytes, of at most `limit`, a readable connection holds; 0 for one that was closed; raises OSError."""
    if fcntl is not None and termios is not None:
        return min(int.from_bytes(fcntl.ioctl(wire, termios.FIONREAD, b"\0\0\0\0"), sys.byteorder), limit)
    return len(wire.recv(limit, socket.MSG_PEEK))


def limit_sending(wire: socket.socket, seconds: int) -> None:
    """Limit the time that one send may wait."""
    limit = struct.pack("@l", 1000 * seconds) if os.name == "nt" else struct.pack("@ll", seconds, 0)
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


# ---- terminals


def open_pseudo_terminal() -> tuple[int, int, str]:
    """Both ends of a raw pseudo-terminal, the first not waiting, and the name of the second.

    Raises:
        ConfigError: this system has none.
    """
    if not PSEUDO_TERMINALS:
        raise ConfigError(
            f"{NO_PSEUDO_TERMINALS}, so no program can play a serial port; "
            "give the instrument a TCP port (imssa serve supert-a0 --port 0)"
        )
    end, other = os.openpty()
    tty.setraw(other)
    os.set_blocking(end, False)
    return end, other, os.ttyname(other)
