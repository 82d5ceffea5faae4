"""What IEEE 488.2 and SCPI-1999 ask of every instrument: status registers, error queue, common commands."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from imssa_lab.virtual.scpi_message import CommandTree, ScpiError, number

QUEUE_LENGTH = 20
_OPERATION_COMPLETE, _QUERY, _DEVICE, _EXECUTION, _COMMAND, _POWER_ON = 1, 4, 8, 16, 32, 128
_ERRORS_WAIT, _EVENT, _SERVICE = 4, 32, 64


class Status:
    """The registers and the error queue; `add_to` puts their commands into a tree.

    Args:
        no_error: what an empty queue says.

    Attributes:
        summary: further bits of the status byte.
    """

    def __init__(self, identity: str, no_error: str = "No error") -> None:
        self.identity = identity
        self.summary: Callable[[], int] = lambda: 0
        self._no_error = no_error
        self._errors: deque[tuple[int, str]] = deque()
        self._event = _POWER_ON
        self._event_enable = 0
        self._service_enable = 0

    def power_on(self) -> None:
        """As after switching on."""
        self._errors.clear()
        self._event, self._event_enable, self._service_enable = _POWER_ON, 0, 0

    @property
    def waiting(self) -> int:
        """Errors in the queue."""
        return len(self._errors)

    def error(self, code: int, text: str) -> None:
        """Queue an error and set its bit in the event register; the last place is kept for "queue overflow"."""
        self._event |= (
            _COMMAND
            if -200 < code <= -100
            else _EXECUTION
            if -300 < code <= -200
            else _QUERY
            if code <= -400
            else _DEVICE
        )
        if len(self._errors) >= QUEUE_LENGTH:
            self._errors[-1] = (-350, "Queue overflow")
        else:
            self._errors.append((code, text.replace('"', "'").replace("\n", " ")[:255]))

    def next_error(self) -> bytes:
        """The oldest error, taken from the queue; 0 when there is none."""
        code, text = self._errors.popleft() if self._errors else (0, self._no_error)
        return f'{code},"{text}"'.encode()

    def add_to(self, tree: CommandTree) -> None:
        """The common commands and SYSTem:ERRor."""
        tree.add("*IDN?", lambda: self.identity.encode())
        tree.add("*CLS", self.clear)
        tree.add("*ESE", self._set_event_enable, 1)
        tree.add("*ESE?", lambda: b"%d" % self._event_enable)
        tree.add("*ESR?", self._take_event)
        tree.add("*OPC", self._complete)
        tree.add("*OPC?", lambda: b"1")  # commands are done one after another
        tree.add("*SRE", self._set_service_enable, 1)
        tree.add("*SRE?", lambda: b"%d" % self._service_enable)
        tree.add("*STB?", self._status_byte)
        tree.add("*TST?", lambda: b"0")
        tree.add("*WAI", lambda: None)
        tree.add("SYSTem:ERRor[:NEXT]?", self.next_error)
        tree.add("SYSTem:ERRor:COUNt?", lambda: b"%d" % self.waiting)
        tree.add("SYSTem:ERRor:ALL?", self._all_errors)
        tree.add("SYSTem:VERSion?", lambda: b"1999.0")

    def _all_errors(self) -> bytes:
        return b",".join(self.next_error() for _ in range(max(self.waiting, 1)))

    def clear(self) -> None:
        """`*CLS`: errors and events are forgotten."""
        self._errors.clear()
        self._event = 0

    def _complete(self) -> None:
        self._event |= _OPERATION_COMPLETE

    def _take_event(self) -> bytes:
        event, self._event = self._event, 0
        return b"%d" % event

    def _set_event_enable(self, argument: bytes) -> None:
        self._event_enable = int(number(argument, 0, 255))

    def _set_service_enable(self, argument: bytes) -> None:
        self._service_enable = int(number(argument, 0, 255)) & ~_SERVICE

    def _status_byte(self) -> bytes:
        status = self.summary() | _ERRORS_WAIT * bool(self._errors) | _EVENT * bool(self._event & self._event_enable)
        return b"%d" % (status | _SERVICE * bool(status & self._service_enable))

    def run(self, tree: CommandTree, message: bytes) -> bytes:
        """Execute a message; its error, if any, goes to the queue, and it answers nothing then."""
        try:
            return tree.run(message)
        except ScpiError as error:
            self.error(error.code, error.text)
            return b""
