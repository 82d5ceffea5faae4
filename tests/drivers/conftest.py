"""Small instruments for tests of links: each answers on a wire of its own, from a thread, as a function says."""

import os
import select
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from imssa_lab.contract.operating_system import open_pseudo_terminal

Send = Callable[[bytes], None]
Answer = Callable[[bytes, Send], None]


class TcpPeer:
    """Listens on a free port; every line that comes is handed to `answer`, one client after another."""

    def __init__(self, answer: Answer, reads: bool = True) -> None:
        self._answer = answer
        self._reads = reads
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._server.getsockname()
        self._stopping = threading.Event()
        self.client: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def resource(self) -> str:
        return f"TCPIP::127.0.0.1::{self.address[1]}::SOCKET"

    def hang_up(self) -> None:
        """Close the connection, as a switched-off instrument does."""
        assert self.client is not None
        self.client.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._server.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            if not select.select([self._server], [], [], 0.02)[0]:
                continue
            self.client, _ = self._server.accept()
            self.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.client:
                self._serve(self.client)

    def _serve(self, client: socket.socket) -> None:
        buffer = b""
        while not self._stopping.is_set():
            if not self._reads:
                self._stopping.wait(0.02)
                continue
            if not select.select([client], [], [], 0.02)[0]:
                continue
            try:
                data = client.recv(1 << 16)
                if not data:
                    return
                *lines, buffer = (buffer + data).split(b"\n")
                for line in lines:
                    self._answer(line, client.sendall)
            except OSError:
                return


class PtyPeer:
    """The instrument's end of a pseudo-terminal; every line that comes is handed to `answer`."""

    def __init__(self, answer: Answer, reads: bool = True) -> None:
        self._answer = answer
        self._reads = reads
        # the other end is kept open: without it the first close by a client would hang up
        self._end, self._other, self.port = open_pseudo_terminal()
        os.set_blocking(self._end, True)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def hang_up(self) -> None:
        """Pull the cable."""
        self._stopping.set()
        self._thread.join()
        os.close(self._end)
        self._end = -1

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        for end in (self._end, self._other):
            if end >= 0:
                os.close(end)

    def _run(self) -> None:
        buffer = b""
        while not self._stopping.is_set():
            if not self._reads:
                self._stopping.wait(0.02)
                continue
            if not select.select([self._end], [], [], 0.02)[0]:
                continue
            *lines, buffer = (buffer + os.read(self._end, 1 << 16)).split(b"\n")
            for line in lines:
                self._answer(line, self._send)

    def _send(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._end, data) :]


@pytest.fixture
def tcp() -> Iterator[Callable[..., TcpPeer]]:
    """Makes `TcpPeer`s and stops them."""
    made: list[TcpPeer] = []

    def make(answer: Answer, reads: bool = True) -> TcpPeer:
        made.append(TcpPeer(answer, reads))
        return made[-1]

    yield make
    for peer in made:
        peer.stop()


@pytest.fixture
def pty() -> Iterator[Callable[..., PtyPeer]]:
    """Makes `PtyPeer`s and stops them."""
    made: list[PtyPeer] = []

    def make(answer: Answer, reads: bool = True) -> PtyPeer:
        made.append(PtyPeer(answer, reads))
        return made[-1]

    yield make
    for peer in made:
        peer.stop()
