"""A serial port as a `Stream`, through pyserial alone: pyvisa-py reads serial ports byte by byte.

A port may also lie behind a TCP port that carries its bytes, of a serial-to-Ethernet server or a virtual board.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

from drivers.deadline import Deadline
from drivers.links import Stream
from imssa_lab.contract.errors import ConfigError, LinkLost, LinkTimeout
from imssa_lab.contract.operating_system import Ready

if TYPE_CHECKING:
    import serial

_OPENING = 5.0  # s
_TCP = "TCPIP"
_PORTS_ARE_FILES = os.name == "posix"
_PIECE = 1 << 16  # far more than a port holds at a time; memory for more would be got and given back each time


def open_serial(port: str, baud: int = 9600) -> Stream:
    """The stream of a serial port, 8 bits, no parity, for one program alone; nothing is sent yet.

    Args:
        port: as the system names it, or ``TCPIP::HOST::PORT::SOCKET`` for one whose bytes a TCP port carries.

    Raises:
        ConfigError: no such baud rate, or pyserial cannot be used here.
        LinkLost: no such port, no permission, or another program has it.
    """
    if port.upper().startswith(_TCP):
        from drivers.visa_stream import open_visa

        return open_visa(port, _OPENING)
    try:
        import serial
    except ImportError as error:
        raise ConfigError(
            f"{port}: serial ports cannot be used here ({error}); reach it by TCP (TCPIP::HOST::PORT::SOCKET)"
        ) from error
    try:
        opened = serial.Serial(port, baud, timeout=0, write_timeout=0, exclusive=True)
    except ValueError as error:
        raise ConfigError(f"{port} at {baud} baud: {error}") from error
    except OSError as error:  # SerialException is one
        raise LinkLost(f"{port}: {_advice(error)}") from error
    return _SerialStream(port, opened) if _PORTS_ARE_FILES else _TimedSerialStream(port, opened)


def _advice(error: OSError) -> str:
    """What to do about an error of the system when a port was opened."""
    if error.errno == errno.EACCES:
        return "no permission: `sudo usermod -a -G dialout $USER`, then log out and in again"
    if error.errno == errno.ENOENT:
        from serial.tools.list_ports import comports

        there = ", ".join(sorted(found.device for found in comports())) or "none at all"
        return f"no such port; there are: {there}"
    return f"cannot be opened ({error}); plugged in? in use elsewhere?"


class _SerialStream:
    """pyserial for the port, its file for the bytes: every step takes what it can, and `poll` does the waiting.

    pyserial's own reads and writes ask `select` each time, and their timeouts cost a system call to set.
    """

    def __init__(self, name: str, opened: serial.Serial) -> None:
        self.name = name
        self._opened = opened
        self._file = opened.fileno()  # pyserial opens it without waiting
        self._readable, self._writable = Ready(self._file), Ready(self._file, write=True)

    def send(self, data: bytes, deadline: Deadline) -> None:
        taken = 0
        while taken < len(data):
            self._require_open()
            try:
                taken += os.write(self._file, data[taken:])
            except BlockingIOError:
                self._await(self._writable, deadline, f"it took {taken} of {len(data)} bytes")
            except OSError as error:
                raise self._lost(error) from error

    def receive(self, limit: int, deadline: Deadline) -> bytes:
        self._require_open()
        data = self._read(limit)
        if not data:
            self._await(self._readable, deadline, "no byte came")
            data = self._read(limit)
        if not data:  # readable and empty
            raise self._lost("it hung up")
        return data

    def _read(self, limit: int) -> bytes:
        try:
            return os.read(self._file, min(limit, _PIECE))  # empty where nothing has come yet
        except OSError as error:
            raise self._lost(error) from error

    def pending(self) -> bool:
        return self._opened.is_open and bool(self._readable(0))

    def clear(self, deadline: Deadline) -> bool:
        return False

    def close(self) -> None:
        self._opened.close()

    def _await(self, event: Ready, deadline: Deadline, so_far: str) -> None:
        if not event(deadline.milliseconds()):
            raise LinkTimeout(f"{self.name}: {deadline.seconds:g} s passed and {so_far}")

    def _require_open(self) -> None:
        if not self._opened.is_open:
            raise LinkLost(f"{self.name}: closed")

    def _lost(self, why: object) -> LinkLost:
        return LinkLost(f"{self.name}: {why}; check cable and power, then open it again")


class _TimedSerialStream:
    """pyserial's own reads and writes with a time limit each, where a port is no file (Windows)."""

    def __init__(self, name: str, opened: serial.Serial) -> None:
        self.name = name
        self._opened: Any = opened

    def send(self, data: bytes, deadline: Deadline) -> None:
        import serial

        left = self._left(deadline, f"{len(data)} bytes waited")
        try:
            self._opened.write_timeout = left  # sets up the port, which may be gone
            self._opened.write(data)
        except serial.SerialTimeoutException as error:
            raise LinkTimeout(
                f"{self.name}: {deadline.seconds:g} s passed and it did not take {len(data)} bytes"
            ) from (error)
        except OSError as error:
            raise self._lost(error) from error

    def receive(self, limit: int, deadline: Deadline) -> bytes:
        left = self._left(deadline, "no byte came")
        try:
            self._opened.timeout = left
            data: bytes = self._opened.read(1)
            more = min(limit - 1, self._opened.in_waiting) if data else 0
            data += self._opened.read(more) if more else b""
        except OSError as error:
            raise self._lost(error) from error
        if not data:
            raise LinkTimeout(f"{self.name}: {deadline.seconds:g} s passed and no byte came")
        return data

    def pending(self) -> bool:
        try:
            return bool(self._opened.is_open and self._opened.in_waiting)
        except OSError as error:
            raise self._lost(error) from error

    def clear(self, deadline: Deadline) -> bool:
        return False

    def close(self) -> None:
        self._opened.close()

    def _left(self, deadline: Deadline, so_far: str) -> float:
        """Time that is left, s."""
        if not self._opened.is_open:
            raise LinkLost(f"{self.name}: closed")
        left = deadline.milliseconds() / 1e3
        if not left:
            raise LinkTimeout(f"{self.name}: {deadline.seconds:g} s passed and {so_far}")
        return left

    def _lost(self, why: object) -> LinkLost:
        return LinkLost(f"{self.name}: {why}; check cable and power, then open it again")
