"""The ports of instruments: a TCP port for one client at a time, a pseudo-terminal; both with watchdog and faults.

A pseudo-terminal there is only where the system has them; a TCP port carries the bytes of any instrument.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from types import TracebackType
from typing import Protocol, Self

from imssa_lab.contract.operating_system import Ready, hung_up, open_pseudo_terminal
from imssa_lab.virtual.bench_twin import BenchTwin
from imssa_lab.virtual.wire_faults import Faults

_log = logging.getLogger(__name__)
_PIECE = 1 << 18
_PATIENCE = 5.0  # s that a client may take to collect its answers
_SLICE = 0.02


class Instrument(Protocol):
    """What a port needs of the instrument behind it."""

    watchdog: float
    paced: bool
    kind: str
    incomplete_after: float

    @property
    def bench(self) -> BenchTwin:
        """The twin inside, whose clock paces the answers."""

    @property
    def unfinished(self) -> bool:
        """Whether part of a message waits for the rest."""

    def transfers(self, data: bytes) -> list[bytes]:
        """These bytes as the messages that meet a fault each, where they can be told apart."""

    def receive(self, data: bytes) -> list[bytes]:
        """What goes back for these bytes."""

    def forget(self) -> None:
        """Drop part of a message."""

    def make_safe(self) -> None:
        """Outputs to 0 V and grounded."""

    def fail(self) -> None:
        """Find something wrong with oneself, where the instrument has a way to say so."""


class _Gone(Exception):
    """The client is gone, or the port is to stop."""


class _Serving:
    """One wire with one client: bytes in, answers out, in device time where that is asked for."""

    def __init__(
        self, wire: socket.socket | int, instrument: Instrument, faults: Faults | None, stopping: threading.Event
    ) -> None:
        self._wire = wire  # a connection, or the file of a pseudo-terminal
        self._instrument = instrument
        self._faults = faults
        self._stopping = stopping
        self._writable = Ready(wire if isinstance(wire, int) else wire.fileno(), write=True)
        self._last = time.monotonic()

    def handle(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._faults is None:
            self._answer(data, None)
        else:
            for message in self._instrument.transfers(data):
                self._answer(message, self._faults)

    def _answer(self, data: bytes, faults: Faults | None) -> None:
        instrument = self._instrument
        self._last = time.monotonic()
        if faults is not None:
            data = faults.request(data, self)
            if faults.device_error:
                instrument.fail()
        before = instrument.bench.time
        answers = instrument.receive(data)
        if instrument.paced:
            self.pause(instrument.bench.time - before - (time.monotonic() - self._last))
        for answer in answers:
            if faults is None:
                self.send(answer)
            else:
                faults.answer(answer, self)
        self._last = time.monotonic()

    def look_at_clock(self) -> None:
        """Called now and then: an incomplete message is dropped, the watchdog bites."""
        idle = time.monotonic() - self._last
        instrument = self._instrument
        if instrument.unfinished and idle > instrument.incomplete_after:
            instrument.forget()
        if 0 < instrument.watchdog < idle and instrument.bench.outputs:
            _log.warning("%s: no message for %.2g s, outputs are grounded", instrument.kind, idle)
            instrument.make_safe()

    def send(self, data: bytes) -> None:
        """As `Port`; a client that collects nothing is given up."""
        given_up = time.monotonic() + _PATIENCE
        while data:
            if self._writable(_SLICE * 1e3):
                try:
                    data = data[self._take(data[:_PIECE]) :]
                except BlockingIOError:
                    continue
                except OSError as error:
                    raise _Gone(f"the client is gone: {error}") from error
            elif self._stopping.is_set() or time.monotonic() > given_up:
                raise _Gone("the client does not collect its answers")

    def _take(self, piece: bytes) -> int:
        return os.write(self._wire, piece) if isinstance(self._wire, int) else self._wire.send(piece)

    def pause(self, seconds: float) -> None:
        """As `Port`; ends early when the port is to stop or the client hangs up."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self._stopping.is_set() or self._is_left(min(left, _SLICE)):
                raise _Gone("the client is gone")

    def _is_left(self, seconds: float) -> bool:
        """Whether the client hangs up within so long; of a pseudo-terminal, whose other end stays open, it cannot."""
        if isinstance(self._wire, int):
            return self._stopping.wait(seconds)
        return hung_up(self._wire, seconds * 1e3)

    def hang_up(self) -> None:
        """As `Port`."""
        raise _Gone("the connection is closed on purpose")


class _Threaded:
    """Runs `_serve` in a thread between `start` and `stop`, or between entering and leaving a `with`."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self._stopping, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=instrument.kind, daemon=True)

    def start(self) -> Self:
        """Serve from now on."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Make the instrument safe and let go of the port."""
        self._stopping.set()
        if self._thread.is_alive():
            self._ended.wait()

    def join(self) -> None:
        """Wait until somebody stops it; Ctrl-C gets through."""
        # not by joining the thread: Python 3.11 takes a thread for ended when Ctrl-C interrupts a join
        while not self._ended.wait(0.2):
            pass

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            self._serve()
        finally:
            try:
                self.instrument.make_safe()
            finally:
                self._ended.set()

    def _serve(self) -> None:
        raise NotImplementedError


class TcpPort(_Threaded):
    """A TCP port; a second client is refused while the first is connected.

    Args:
        port: 0 for any that is free; `address` says which.
    """

    def __init__(
        self, instrument: Instrument, port: int = 0, host: str = "127.0.0.1", faults: Faults | None = None
    ) -> None:
        super().__init__(instrument)
        self._faults = faults
        self._listener = socket.create_server((host, port))
        self.address: tuple[str, int] = self._listener.getsockname()[:2]

    def give_up(self) -> None:
        """Let go of a port that was never started."""
        self._listener.close()

    @property
    def resource(self) -> str:
        """The VISA resource name."""
        return f"TCPIP::{self.address[0]}::{self.address[1]}::SOCKET"

    def _serve(self) -> None:
        waiting = Ready(self._listener.fileno())
        with self._listener:
            while not self._stopping.is_set():
                if waiting(_SLICE * 1e3):
                    client, who = self._listener.accept()
                    with client:
                        if self._faults is None or not self._faults.refuses():
                            self._serve_client(client, f"{who[0]}:{who[1]}")

    def _serve_client(self, client: socket.socket, who: str) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setblocking(False)
        serving = _Serving(client, self.instrument, self._faults, self._stopping)
        ready = Ready(client.fileno(), self._listener.fileno())
        try:
            while not self._stopping.is_set():
                for file in ready(_SLICE * 1e3):
                    if file == self._listener.fileno():
                        self._refuse(who)
                        continue
                    data = client.recv(_PIECE)
                    if not data:
                        return
                    serving.handle(data)
                serving.look_at_clock()
        except (_Gone, ConnectionError) as error:
            _log.info("%s: %s", self.instrument.kind, error)
        finally:
            self.instrument.forget()
            self.instrument.make_safe()

    def _refuse(self, who: str) -> None:
        other, _ = self._listener.accept()
        with other, contextlib.suppress(OSError):
            other.sendall(f"BUSY {self.instrument.kind} is in use by {who}; one client at a time\n".encode())
            other.shutdown(socket.SHUT_WR)
            other.settimeout(_SLICE)
            other.recv(_PIECE)  # or what it has sent would turn the farewell into a reset


class PtyPort(_Threaded):
    """The instrument's end of a pseudo-terminal, raw; `port` is the name of the other end."""

    def __init__(self, instrument: Instrument, faults: Faults | None = None) -> None:
        super().__init__(instrument)
        self._faults = faults
        # the other end stays open: clients come and go as on a USB port
        self._end, self._other, self.port = open_pseudo_terminal()

    def _serve(self) -> None:
        serving = _Serving(self._end, self.instrument, self._faults, self._stopping)
        ready = Ready(self._end)
        try:
            while not self._stopping.is_set():
                try:
                    if ready(_SLICE * 1e3):
                        serving.handle(os.read(self._end, _PIECE))
                    serving.look_at_clock()
                except _Gone as error:
                    _log.info("%s: %s", self.instrument.kind, error)
        finally:
            os.close(self._end)
            os.close(self._other)
