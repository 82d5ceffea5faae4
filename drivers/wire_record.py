"""Streams that write down every byte, and streams that play a written conversation back."""

from __future__ import annotations

import time
from typing import Protocol

from drivers.deadline import Deadline
from drivers.links import Stream
from imssa_lab.errors import LinkTimeout


class WireRecorder(Protocol):
    """Keeps bytes with their time, s since 1970; a run log has one for every link."""

    def sent(self, data: bytes, time: float) -> None:
        """Bytes about to go to the instrument."""

    def received(self, data: bytes, time: float) -> None:
        """Bytes that came from the instrument."""


class WirePlayer(Protocol):
    """Stands for the instrument of a record; raises `ReplayMismatch` where the conversation differs."""

    def send(self, data: bytes) -> None:
        """Bytes to the instrument."""

    def receive(self, limit: int) -> bytes:
        """At most `limit` bytes from it; empty while it waits for something to be sent."""


class RecordingStream:
    """`stream`, with every byte told to `recorder`: those to the instrument before they are sent."""

    def __init__(self, stream: Stream, recorder: WireRecorder) -> None:
        self._stream = stream
        self._recorder = recorder

    @property
    def name(self) -> str:
        """Of the stream inside."""
        return self._stream.name

    def send(self, data: bytes, deadline: Deadline) -> None:
        """As `Stream`."""
        self._recorder.sent(data, time.time())
        self._stream.send(data, deadline)

    def receive(self, limit: int, deadline: Deadline) -> bytes:
        """As `Stream`."""
        data = self._stream.receive(limit, deadline)
        self._recorder.received(data, time.time())
        return data

    def pending(self) -> bool:
        """As `Stream`."""
        return self._stream.pending()

    def close(self) -> None:
        """As `Stream`."""
        self._stream.close()


class ReplayingStream:
    """The recorded conversation of `player`. Where the instrument was silent a wait ends at once: no time passes."""

    def __init__(self, player: WirePlayer, name: str = "replayed wire") -> None:
        self._player = player
        self.name = name

    def send(self, data: bytes, deadline: Deadline) -> None:
        """As `Stream`; ReplayMismatch when something else was sent."""
        self._player.send(data)

    def receive(self, limit: int, deadline: Deadline) -> bytes:
        """As `Stream`."""
        data = self._player.receive(limit)
        if not data:
            raise LinkTimeout(f"{self.name}: the instrument was silent here when this was recorded")
        return data

    def pending(self) -> bool:
        """What comes comes when it is asked for."""
        return False

    def close(self) -> None:
        """Nothing to let go of."""
