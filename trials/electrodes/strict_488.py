"""A wire that keeps the message exchange of IEEE 488.2 to the letter, as GPIB does, around any virtual instrument."""

from typing import Any

from drivers.deadline import Deadline
from imssa_lab.contract.errors import LinkTimeout


class StrictWire:
    """A `Stream` on which a second message before the answer to the first is taken is error -410 and loses that
    answer, and reading where no answer is owed is -420 (IEEE 488.2, 6.3.1.7, 6.3.2.3). A query that failed owes none
    either, but that is the query's fault: an error in the queue and no breach.

    Attributes:
        breaches: the number of each error and the message, in order; sent: all messages.
        at: called with each message before it arrives; may raise, do something to the instrument, or give what
            arrives instead. cleared: device clears.
    """

    def __init__(self, instrument: Any, name: str = "strict") -> None:
        self.name = name
        self.instrument = instrument
        self.breaches: list[tuple[int, bytes]] = []
        self.sent: list[bytes] = []
        self.at: Any = lambda message: None
        self.cleared = 0
        self._answers: list[bytes] = []

    def send(self, data: bytes, deadline: Deadline) -> None:
        """As `Stream`, message by message."""
        for message in data.splitlines(keepends=True):
            if self._answers:
                self.breaches.append((-410, message))
                self._error(-410, "Query INTERRUPTED")
                self._answers.clear()
            message = self.at(message) or message
            self.sent.append(message)
            self._answers += self.instrument.receive(message)

    def receive(self, limit: int, deadline: Deadline) -> bytes:
        """As `Stream`; one answer at a time."""
        if not self._answers:
            if self.sent and not _asks(self.sent[-1]):
                self.breaches.append((-420, self.sent[-1]))
            self._error(-420, "Query UNTERMINATED")
            raise LinkTimeout(f"{self.name}: nothing came")
        return self._answers.pop(0)

    def pending(self) -> bool:
        """As `Stream`."""
        return False

    def clear(self, deadline: Deadline) -> bool:
        """As `Stream`: device clear."""
        self.cleared += 1
        self._answers.clear()
        self.instrument.forget()
        return True

    def close(self) -> None:
        """As `Stream`."""

    def _error(self, code: int, text: str) -> None:
        status = getattr(self.instrument, "status", None)
        if status is not None:
            status.error(code, text)


def _asks(message: bytes) -> bool:
    """An answer is owed: by the query mark, or the way a matrix without SCPI is asked."""
    return b"?" in message or message.startswith((b"print", b"U"))
