"""Streams that write down every byte, and streams that play a written conversation back."""

from __future__ import annotations

import time
from typing import Protocol

from drivers.deadline import Deadline
from drivers.links import Stream
from imssa_lab.contract.errors import LinkTimeout


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


class WaitingRecorder:
    """Keeps the bytes of opening an instrument until there is a log, which names the instrument at its head."""

    def __init__(self) -> None:
        self._recorder: WireRecorder | None = None
        self._waiting: list[tuple[bool, bytes, float]] = []

    def go_on_in(self, recorder: WireRecorder) -> None:
        """Hand over what waits, in order, and everything from now on."""
        self._recorder = recorder
        for to_instrument, data, at in self._waiting:
            self._tell(recorder, to_instrument, data, at)
        self._waiting.clear()

    def sent(self, data: bytes, time: float) -> None:
        """As `WireRecorder`."""
        self._keep(True, data, time)

    def received(self, data: bytes, time: float) -> None:
        """As `WireRecorder`."""
        self._keep(False, data, time)

    def _keep(self, to_instrument: bool, data: bytes, time: float) -> None:
        if self._recorder is None:
            self._waiting.append((to_instrument, data, time))
        else:
            self._tell(self._recorder, to_instrument, data, time)

    @staticmethod
    def _tell(recorder: WireRecorder, to_instrument: bool, data: bytes, time: float) -> None:
        (recorder.sent if to_instrument else recorder.received)(data, time)


class RecordingStream:
    """`stream`, with every byte passed to `recorder`, those to the instrument before they are sent."""

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

    def clear(self, deadline: Deadline) -> bool:
        """As `Stream`; no bytes to write down."""
        return self._stream.clear(deadline)

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

    def clear(self, deadline: Deadline) -> bool:
        """As `Stream`."""
        return False

    def close(self) -> None:
        """Nothing to let go of."""
