"""VISA resources as a `Stream`: pyvisa with the backend pyvisa-py, or any other by name.

Reads are raw with termination off; lines and blocks are cut by the link. On TCP sockets pyvisa-py does not look at
the result of connecting, waits forever where the instrument does not read, spins on a closed connection, and
reads ahead; so its socket is first asked whether a step can be taken without waiting.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import pyvisa
import pyvisa.rname
from pyvisa.constants import InterfaceType, ResourceAttribute, StatusCode

from drivers.deadline import Deadline
from drivers.links import Stream
from imssa_lab.contract.errors import ConfigError, LinkError, LinkLost, LinkTimeout
from imssa_lab.contract.operating_system import Ready, bytes_there, limit_sending

if TYPE_CHECKING:
    from pyvisa.resources import MessageBasedResource

_SEND_PIECE = 4096  # pyvisa-py takes larger ones apart itself, without a look at the clock between them
_NO_ANSWER = StatusCode.error_timeout
_GONE = {StatusCode.error_connection_lost, StatusCode.error_io, StatusCode.error_invalid_object}


def open_visa(resource: str, timeout: float, backend: str = "@py") -> Stream:
    """The stream of a VISA resource such as ``TCPIP::127.0.0.1::5025::SOCKET``; nothing is sent yet.

    Args:
        timeout: s for opening.
        backend: as pyvisa names them: "@py", "@ivi", or the path of a library.

    Raises:
        ConfigError: no resource name, no such backend, or a serial one (pyvisa-py reads those byte by byte).
        LinkError: it cannot be opened.
    """
    try:
        manager = pyvisa.ResourceManager(backend)
        parsed = pyvisa.rname.parse_resource_name(resource)
    except (pyvisa.errors.VisaIOError, OSError, ValueError) as error:
        raise ConfigError(f"VISA resource {resource!r}, backend {backend!r}: {error}; check both") from error
    if parsed.interface_type_const == InterfaceType.asrl:
        raise ConfigError(f"VISA resource {resource!r} is a serial port; give the port itself (serial, /dev/tty...)")
    try:
        opened: Any = manager.open_resource(resource, open_timeout=max(int(timeout * 1e3), 1))
    except pyvisa.errors.VisaIOError as error:
        raise _mapped(resource, error) from error
    except Exception as error:  # pyvisa-py raises the bare class where it cannot connect
        raise LinkLost(f"{resource}: cannot be opened ({error}); check address and power") from error
    _OPENED.add(opened)
    opened.set_visa_attribute(ResourceAttribute.termchar_enabled, False)
    # "as many as asked for have come" is no warning here; the mark lives as long as the session
    opened.visalib.ignore_warning(opened.session, StatusCode.success_max_count_read).__enter__()
    wire = _socket_of(opened)
    if wire is not None:
        return _SocketStream(resource, opened, wire)
    if resource.upper().endswith("::SOCKET"):
        opened.set_visa_attribute(ResourceAttribute.suppress_end_enabled, False)
    return _MessageStream(resource, opened)


def _socket_of(opened: Any) -> socket.socket | None:
    """The socket below a TCP socket resource of pyvisa-py; None for all others."""
    session = getattr(opened.visalib, "sessions", {}).get(opened.session)
    wire = getattr(session, "interface", None)
    if session is None or not isinstance(wire, socket.socket):
        return None
    session.max_recv_size = 1 << 20  # reads in one piece what is there, instead of 4 KiB at a time
    return wire


def _mapped(name: str, error: pyvisa.errors.VisaIOError) -> LinkError:
    if error.error_code == _NO_ANSWER:
        return LinkTimeout(f"{name}: {error}")
    if error.error_code in _GONE:
        return LinkLost(f"{name}: {error}; check cable and power, then open it again")
    return LinkError(f"{name}: {error}")


class _MessageStream:
    """Any VISA resource, through the calls that every backend has."""

    def __init__(self, name: str, opened: MessageBasedResource) -> None:
        self.name = name
        self._opened: MessageBasedResource | None = opened
        self._library = opened.visalib
        self._session = opened.session

    def send(self, data: bytes, deadline: Deadline) -> None:
        try:
            self._allow(deadline)
            count, _ = self._library.write(self._session, data)
        except (pyvisa.errors.Error, OSError) as error:
            raise self._failed(error) from error
        if count != len(data):
            raise LinkTimeout(f"{self.name}: {count} of {len(data)} bytes were taken")

    def receive(self, limit: int, deadline: Deadline) -> bytes:
        try:
            while True:
                self._allow(deadline)
                data, _ = self._library.read(self._session, limit)
                if data:
                    return bytes(data)
        except (pyvisa.errors.Error, OSError) as error:
            raise self._failed(error) from error

    def pending(self) -> bool:
        return False

    def clear(self, deadline: Deadline) -> bool:
        if self.name.upper().endswith("::SOCKET"):
            return False
        try:
            self._allow(deadline)
            self._library.clear(self._session)
        except NotImplementedError:
            return False
        except pyvisa.errors.VisaIOError as error:
            if error.error_code == StatusCode.error_nonsupported_operation:
                return False
            raise self._failed(error) from error
        except OSError as error:
            raise self._failed(error) from error
        return True

    def close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:  # the manager stays: closing it would close the resources of others
            opened.close()

    def _allow(self, deadline: Deadline) -> None:
        if self._opened is None:
            raise LinkLost(f"{self.name}: closed")
        left = deadline.milliseconds()
        if not left:
            raise LinkTimeout(f"{self.name}: {deadline.seconds:g} s passed")
        self._opened.timeout = left

    def _failed(self, error: Exception) -> LinkError:
        if isinstance(error, pyvisa.errors.VisaIOError):
            return _mapped(self.name, error)
        return LinkLost(f"{self.name}: {error}; check cable and power, then open it again")


class _SocketStream:
    """A TCP socket resource of pyvisa-py, with a look at its socket before each step."""

    def __init__(self, name: str, opened: MessageBasedResource, wire: socket.socket) -> None:
        self.name = name
        self._opened: MessageBasedResource | None = opened
        self._library = opened.visalib
        self._session = opened.session
        self._wire = wire
        # a send that poll allowed can still wait when less is free than a piece: bound that too
        limit_sending(wire, 1)
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._readable, self._writable = Ready(wire.fileno()), Ready(wire.fileno(), write=True)
        refused = wire.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if refused:
            self.close()
            raise LinkLost(f"{name}: {os.strerror(refused)}; check address, port and power")

    def send(self, data: bytes, deadline: Deadline) -> None:
        for start in range(0, len(data), _SEND_PIECE):
            piece = data[start : start + _SEND_PIECE]
            self._await(self._writable, deadline, f"it took {start} of {len(data)} bytes")
            try:
                self._library.write(self._session, piece)
            except pyvisa.errors.VisaIOError as error:
                raise LinkTimeout(f"{self.name}: it took {start} to {start + len(piece)} bytes ({error})") from error
            except OSError as error:
                raise self._lost(error) from error

    def receive(self, limit: int, deadline: Deadline) -> bytes:
        self._await(self._readable, deadline, "no byte came")
        try:
            there = bytes_there(self._wire, limit)
        except OSError as error:
            raise self._lost(error) from error
        if not there:
            raise self._lost("it closed the connection")
        try:
            data, _ = self._library.read(self._session, there)
        except (pyvisa.errors.Error, OSError) as error:
            raise self._lost(error) from error
        return bytes(data)

    def pending(self) -> bool:
        return self._opened is not None and bool(self._readable(0))

    def clear(self, deadline: Deadline) -> bool:
        return False

    def close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    def _await(self, event: Ready, deadline: Deadline, so_far: str) -> None:
        if self._opened is None:
            raise LinkLost(f"{self.name}: closed")
        if not event(deadline.milliseconds()):
            raise LinkTimeout(f"{self.name}: {deadline.seconds:g} s passed and {so_far}")

    def _lost(self, why: object) -> LinkLost:
        return LinkLost(f"{self.name}: {why}; check cable and power, then open it again")


_OPENED: WeakSet[Any] = WeakSet()


def _leave_to_parent() -> None:
    """In a forked child: what pyvisa closes at its end would say goodbye to instruments in the parent's name."""
    for opened in list(_OPENED):
        opened.session = None


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_leave_to_parent)
