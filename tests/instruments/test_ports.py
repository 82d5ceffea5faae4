"""The port of a virtual instrument: a client has its answers as soon as they are there."""

import socket
import time

import pytest

from imssa_lab.virtual.bench_twin import BenchTwin
from imssa_lab.virtual.server import TcpPort
from imssa_lab.virtual.virtual_scpi_array import ScpiArrayTester

ACKNOWLEDGED_LATE = 0.04
"""s that Linux may wait before it confirms what has arrived; a sender that waits for it is late by as much."""


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="only Linux lets a client confirm late on purpose")
def test_an_answer_does_not_wait_until_the_client_has_confirmed_the_one_before() -> None:
    waits = []
    with (
        TcpPort(ScpiArrayTester(BenchTwin("supert-a0-easy", (4, 3), seed=3))) as port,
        socket.create_connection(port.address, timeout=5.0) as client,
    ):
        for _ in range(5):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
            began = time.monotonic()
            client.sendall(b"*OPC?\nSYST:VERS?\n")
            answer = b""
            while answer.count(b"\n") < 2:
                answer += client.recv(100)
            waits.append(time.monotonic() - began)
            assert answer == b"1\n1999.0\n"
    assert min(waits) < ACKNOWLEDGED_LATE / 2
