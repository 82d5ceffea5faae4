"""`WireLog`: the bytes on the wire, written by a thread of its own so that the link does not wait for the disk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from imssa_lab.contract.errors import LogError

SENT, RECEIVED = 0, 1
# What a kill or a power cut can lose of the wire: the bytes of this long, s, and never more than so many.
INTERVAL = 0.05
LIMIT = 4 << 20
_CLOSED = "this wire log is closed; open a new log"


class WireMessage(NamedTuple):
    """One piece of conversation: number of the link, direction, seconds since 1970, bytes."""

    link: int
    direction: int
    time: float
    data: bytes


class WireLog:
    """Both directions of one link. Get one from `RunLog.wire`; any thread may write.

    Messages are in the file at most `INTERVAL` s after the call, in order; when `LIMIT` bytes wait, the link waits
    for the disk instead of losing any.
    """

    def __init__(self, append: Callable[[Sequence[WireMessage]], None], link: int) -> None:
        self.link = link
        self._append = append
        self._queue: list[WireMessage] = []
        self._waiting = 0  # bytes in the queue
        self._writing = False
        self._hurry = False
        self._closed = False
        self._failure = ""
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"wire log {link}", daemon=True)
        self._thread.start()

    def sent(self, data: bytes, time: float) -> None:
        """Keep bytes that went to the instrument at `time`, s since 1970; call it before they are sent.

        Raises:
            LogError: earlier bytes could not be written, or the log is closed; nothing must be sent then.
        """
        self._keep(WireMessage(self.link, SENT, time, bytes(data)))

    def received(self, data: bytes, time: float) -> None:
        """Keep bytes that came from the instrument at `time`, s since 1970.

        Raises:
            LogError: earlier bytes could not be written, or the log is closed.
        """
        self._keep(WireMessage(self.link, RECEIVED, time, bytes(data)))

    def flush(self) -> None:
        """Wait until all bytes so far are in the file.

        Raises:
            LogError: they could not be written.
        """
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._failure or not (self._queue or self._writing))
            self._hurry = False
            if self._failure:
                raise LogError(self._failure)

    def close(self) -> None:
        """Write what waits and stop; a second call does nothing, and a failure is known to the log already."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _keep(self, message: WireMessage) -> None:
        if not message.data:
            return
        with self._changed:
            self._changed.wait_for(lambda: self._failure or self._closed or self._waiting < LIMIT)
            if self._failure or self._closed:
                raise LogError(self._failure or _CLOSED)
            self._queue.append(message)
            self._waiting += len(message.data)
            if len(self._queue) == 1 or self._waiting >= LIMIT // 4:
                self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closed)
                if not self._queue:
                    return
                # let more come together: a flush costs the same for one byte and for many
                self._changed.wait_for(
                    lambda: self._hurry or self._closed or self._waiting >= LIMIT // 4, timeout=INTERVAL / 2
                )
                messages, self._queue, self._waiting, self._writing = self._queue, [], 0, True
                self._changed.notify_all()
            try:
                self._append(messages)
            except LogError as error:
                with self._changed:
                    self._failure, self._writing = str(error), False
                    self._changed.notify_all()
                return
            with self._changed:
                self._writing = False
                self._changed.notify_all()
