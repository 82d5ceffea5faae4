"""Links: how a driver talks to an instrument, whatever carries the bytes.

A `Stream` carries bytes (VISA, serial port, record). A `Link` is a stream with what every conversation needs: one
lock, one deadline for all steps of an exchange, and the rule that a late answer never answers the next question.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from drivers.deadline import Deadline
from imssa_lab.contract.errors import InstrumentError, LinkCorrupt, LinkError, LinkLost, LinkTimeout, WrongProcess

_log = logging.getLogger(__name__)

RECEIVE_LIMIT = 1 << 20
QUIET = 0.05
"""s without a byte after which a wire counts as drained."""
DRAIN_LIMIT = 64 << 20
"""Bytes; whoever sends more into a drained wire than this does not answer, it babbles."""
_TRIES = 3
_PATIENCE = 0.35
"""s that the first handshake is waited for; docs/scpi.md has instruments drop part of a message after 0.25 s."""


class Stream(Protocol):
    """Carries bytes both ways; knows nothing of questions and answers. Errors are `LinkError`s, every one."""

    @property
    def name(self) -> str:
        """What messages call the other end."""

    def send(self, data: bytes, deadline: Deadline) -> None:
        """All of `data`, or LinkTimeout or LinkLost."""

    def receive(self, limit: int, deadline: Deadline) -> bytes:
        """At least 1 and at most `limit` bytes, or LinkTimeout or LinkLost."""

    def pending(self) -> bool:
        """Whether unrequested bytes have arrived; False where that cannot be known."""

    def clear(self, deadline: Deadline) -> bool:
        """Device clear (IEEE 488.1): drop what is under way on both sides; False where the wire has none."""

    def close(self) -> None:
        """Let go of the port; a second call does nothing."""


class Exchange:
    """One conversation under one deadline: what is sent, and the answers taken from the stream piece by piece."""

    def __init__(self, stream: Stream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline
        self._buffer = bytearray()
        self.used = False

    @property
    def name(self) -> str:
        """Of the other end."""
        return self._stream.name

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self._deadline.left()

    @property
    def rest(self) -> bytes:
        """What has come beyond the answers taken."""
        return bytes(self._buffer)

    def send(self, data: bytes) -> None:
        """All of `data` in one piece."""
        self.used = True
        self._stream.send(data, self._deadline)

    def exactly(self, count: int) -> bytes:
        """The next `count` bytes, whatever they are."""
        self._fill(count)
        taken = bytes(memoryview(self._buffer)[:count])
        del self._buffer[:count]
        return taken

    def line(self, limit: int = 1 << 16) -> bytes:
        """The bytes up to the next line feed, without it and without a carriage return before it."""
        return self.until(b"\n", limit).removesuffix(b"\n").removesuffix(b"\r")

    def until(self, token: bytes, limit: int) -> bytes:
        """The bytes up to and with `token`; LinkCorrupt when it is not among the first `limit`."""
        searched = 0
        while True:
            found = self._buffer.find(token, max(searched - len(token), 0))
            if found >= 0:
                return self.exactly(found + len(token))
            if len(self._buffer) > limit:
                raise LinkCorrupt(
                    f"{self._stream.name}: {limit} bytes without {token!r}, first {bytes(self._buffer[:16])!r}"
                )
            searched = len(self._buffer)
            self._fill(searched + 1)

    def block(self, limit: int = 1 << 28) -> bytes:
        """The content of a definite-length block ``#<digits><length><bytes>`` (IEEE 488.2, 8.7.9)."""
        head = self.exactly(2)
        if head[:1] != b"#" or not b"1" <= head[1:] <= b"9":
            raise LinkCorrupt(f"{self._stream.name}: a block begins with #1 to #9, got {head!r}")
        digits = self.exactly(head[1] - ord("0"))
        if not digits.isdigit() or int(digits) > limit:
            raise LinkCorrupt(
                f"{self._stream.name}: a block of {digits!r} bytes announced, at most {limit} are taken"
            )
        return self.exactly(int(digits))

    def end(self) -> None:
        """The answer is complete; LinkCorrupt if more has come."""
        if self._buffer or self._stream.pending():
            raise LinkCorrupt(f"{self._stream.name}: more came than was asked for, {self.rest[:16]!r}; ask again")

    def _fill(self, count: int) -> None:
        while len(self._buffer) < count:
            self._buffer += self._stream.receive(max(RECEIVE_LIMIT, count - len(self._buffer)), self._deadline)


Handshake = Callable[[Exchange], None]
"""Asks the other end who it is, without side effects, in a way that no late answer to something else can pass."""


class Link:
    """A stream in step with its instrument. Any thread may use it; exchanges come one after another.

    A child process that came by a fork may not: its exchanges are refused, what it closes stays open, and the parent
    goes on.

    An exchange that fails leaves the link *poisoned*: before its next use what is under way is drained and the
    handshake repeated. If that fails, the exchange that needed it fails and nothing was sent for it.

    Args:
        stream: taken over; closed together with the link, and at once if the first handshake fails.
        handshake: see `Handshake`.
        timeout: s for an exchange that names none.

    Raises:
        LinkError: the other end does not answer, or is not the instrument (WrongInstrument).
    """

    def __init__(self, stream: Stream, handshake: Handshake, timeout: float = 2.0) -> None:
        self._stream = stream
        self._handshake = handshake
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._poison = "not in step yet"
        self._closed = ""
        self.timeout = timeout
        self.resynchronised = -1  # the first handshake brings it to 0
        try:
            self._resynchronise(Deadline(timeout))
        except BaseException:
            stream.close()
            raise

    @property
    def name(self) -> str:
        """What messages call the other end."""
        return self._stream.name

    @property
    def closed(self) -> bool:
        """Whether the link is of no more use: closed, or lost."""
        return bool(self._closed)

    @contextmanager
    def held(self, timeout: float | None = None) -> Iterator[None]:
        """Keep other threads out for several exchanges."""
        if os.getpid() != self._process:  # the parent and its child would get each other's answers
            raise WrongProcess(
                f"{self.name}: opened by process {self._process}, asked by its child {os.getpid()}; nothing was "
                "sent; a child opens an array of its own"
            )
        deadline = self.timeout if timeout is None else timeout
        if not self._lock.acquire(timeout=deadline):
            raise LinkTimeout(
                f"{self.name}: busy with another thread's exchange for {deadline:g} s; nothing was sent"
            )
        try:
            yield
        finally:
            self._lock.release()

    @contextmanager
    def exchange(self, timeout: float | None = None) -> Iterator[Exchange]:
        """One conversation; whatever goes wrong in it leaves the link poisoned or closed.

        Args:
            timeout: s for all of it: lock, resynchronisation, writes, reads.

        Raises:
            LinkTimeout: the deadline passed; LinkLost: closed, or the other end is gone; LinkCorrupt: no answer
            to what was asked. InstrumentError passes through and leaves the link in step.
        """
        deadline = Deadline(self.timeout if timeout is None else timeout)
        with self.held(deadline.seconds):
            if self._closed:
                raise LinkLost(f"{self.name}: {self._closed}; open it again")
            if not self._poison and self._stream.pending():
                self._poison = "unrequested bytes arrived"
            talk = Exchange(self._stream, deadline)
            try:
                if self._poison:
                    self._resynchronise(deadline)
                yield talk
            except InstrumentError:
                raise
            except LinkLost as error:
                self._close(f"lost ({error})")
                raise
            except BaseException as error:
                if talk.used:
                    self._poison = self._poison or f"{type(error).__name__} in an exchange"
                raise
            if talk.rest:
                self._poison = "more came than was asked for"

    def close(self) -> None:
        """Let go of the instrument; a second call does nothing."""
        self._close("closed")

    def _close(self, why: str) -> None:
        if not self._closed:
            self._closed = why
            if os.getpid() == self._process:  # a child would say goodbye in its parent's name
                self._stream.close()

    def _resynchronise(self, deadline: Deadline) -> None:
        """Drain, then shake hands; some tries, as a late answer may come in between.

        An instrument that was left in the middle of a message takes the handshake for the rest of it, and forgets
        both after a while: so the first tries wait only for a part of the time.
        """
        opening = self.resynchronised < 0
        if not opening:
            _log.warning("%s: %s; bringing the link back in step", self.name, self._poison)
        trouble: LinkError | None = None
        for attempt in range(_TRIES):
            self._drain(deadline)
            rest = opening or attempt == _TRIES - 1
            patience = math.inf if rest else min(_PATIENCE * 2**attempt, deadline.left() / 2)
            talk = Exchange(self._stream, deadline.at_most(patience))
            try:
                self._handshake(talk)
                talk.end()
            except LinkCorrupt as error:
                trouble = error
                continue
            except LinkTimeout as error:
                if rest:
                    raise
                trouble = error
                continue
            self._poison = ""
            self.resynchronised += 1
            return
        assert trouble is not None, "there is at least one try"
        raise trouble

    def _drain(self, deadline: Deadline) -> None:
        """Until nothing is under way.

        Who takes messages one by one is not read from for it: asked to talk with nothing to say, it finds an error
        (-420).
        """
        if self._stream.clear(deadline):
            return
        drained, last = 0, b""
        while drained < DRAIN_LIMIT:
            quiet = deadline.at_most(QUIET)
            try:
                last = self._stream.receive(RECEIVE_LIMIT, quiet)
            except LinkTimeout:
                if quiet.seconds >= QUIET:
                    return
                raise LinkTimeout(f"{self.name}: {deadline.seconds:g} s passed while waiting for silence") from None
            except LinkLost as error:
                if last:
                    raise LinkLost(f"{error}; it said {last[-200:]!r}") from error
                raise
            drained += len(last)
            if not deadline.left():
                break
        raise LinkCorrupt(f"{self.name}: sends without being asked, {drained} bytes; check what is connected")
