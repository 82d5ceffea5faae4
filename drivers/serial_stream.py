"""A serial port as a `Stream`, through pyserial alone: pyvisa-py reads serial ports byte by byte."""

from __future__ import annotations

import errno
import os
import select

import serial
from serial.tools.list_ports import comports

from drivers.deadline import Deadline
from drivers.links import Stream
from imssa_lab.contract.errors import ConfigError, LinkLost, LinkTimeout

_PIECE = 1 << 16  # far more than a port holds at a time; memory for more would be got and given back each time


def open_serial(port: str, baud: int = 9600) -> Stream:
    """The stream of a serial port, 8 bits, no parity, for one program alone; nothing is sent yet.

    Raises:
        ConfigError: no such baud rate.
        LinkLost: no such port, no permission, or another program has it.
    """
    try:
        opened = serial.Serial(port, baud, timeout=0, write_timeout=0, exclusive=True)
    except ValueError as error:
        raise ConfigError(f"{port} at {baud} baud: {error}") from error
    except OSError as error:  # SerialException is one
        raise LinkLost(f"{port}: {_advice(error)}") from error
    return _SerialStream(port, opened)


def _advice(error: OSError) -> str:
    """What to do about an error of the system when a port was opened."""
    if error.errno == errno.EACCES:
        return "no permission: `sudo usermod -a -G dialout $USER`, then log out and in again"
    if error.errno == errno.ENOENT:
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
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(self._file, select.POLLIN)
        self._writable.register(self._file, select.POLLOUT)

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
        return self._opened.is_open and bool(self._readable.poll(0))

    def clear(self, deadline: Deadline) -> bool:
        return False

    def close(self) -> None:
        self._opened.close()

    def _await(self, event: select.poll, deadline: Deadline, so_far: str) -> None:
        if not event.poll(deadline.milliseconds()):
            raise LinkTimeout(f"{self.name}: {deadline.seconds:g} s passed and {so_far}")

    def _require_open(self) -> None:
        if not self._opened.is_open:
            raise LinkLost(f"{self.name}: closed")

    def _lost(self, why: object) -> LinkLost:
        return LinkLost(f"{self.name}: {why}; check cable and power, then open it again")
