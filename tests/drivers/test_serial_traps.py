"""The traps of pseudo-terminals and serial ports, each shown with the plain library first."""

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from drivers.deadline import Deadline
from drivers.links import Link
from drivers.serial_stream import open_serial
from drivers.visa_stream import open_visa
from imssa_lab.contract.errors import ConfigError, LinkLost, LinkTimeout
from tests.drivers.test_visa_traps import TIMEOUT, ask, echo, handshake, late

Send = Callable[[bytes], None]


serial = pytest.importorskip("serial", reason="no serial ports on this system", exc_type=ImportError)


def link_to(peer: Any) -> Link:
    return Link(open_serial(peer.port), handshake(), TIMEOUT)


def test_s1_no_serial_port_through_pyvisa(pty: Any) -> None:
    with pytest.raises(ConfigError, match="serial port"):
        open_visa(f"ASRL{pty(echo).port}::INSTR", TIMEOUT)


def test_s1_a_block_comes_in_large_pieces(pty: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    payload = os.urandom(16384)
    reads = 0
    real = os.read

    def counted(file: int, size: int) -> bytes:
        nonlocal reads
        reads += 1
        return real(file, size)

    def block(line: bytes, send: Send) -> None:
        send(b"#516384" + payload if line == b"block?" else line + b"\n")

    monkeypatch.setattr("drivers.serial_stream.os.read", counted)
    link = link_to(pty(block))
    reads = 0
    with link.exchange(5.0) as talk:
        talk.send(b"block?\n")
        assert talk.block() == payload
    assert reads < 200
    link.close()


def test_s2_the_instrument_vanishes(pty: Any) -> None:
    peer = pty(echo)
    link = link_to(peer)
    peer.hang_up()
    with pytest.raises(LinkLost):
        ask(link, b"there?")
    assert link.closed


@pytest.mark.parametrize("files", [True, False])
@pytest.mark.parametrize("act", ["send", "receive"])
def test_s2_an_instrument_that_has_vanished_is_lost_at_every_step(
    pty: Any, monkeypatch: pytest.MonkeyPatch, files: bool, act: str
) -> None:
    """Also where a port is no file, as on Windows."""
    monkeypatch.setattr("drivers.serial_stream._PORTS_ARE_FILES", files)
    peer = pty(echo)
    stream = open_serial(peer.port)
    peer.hang_up()
    with pytest.raises(LinkLost, match="check cable and power"):
        stream.send(b"there?\n", Deadline(TIMEOUT)) if act == "send" else stream.receive(10, Deadline(TIMEOUT))
    stream.close()


def test_s2_a_full_buffer(pty: Any) -> None:
    deaf = pty(echo, reads=False)
    plain = serial.Serial(deaf.port)
    thread = threading.Thread(target=lambda: _ignore_errors(plain.write, bytes(1 << 20)), daemon=True)
    thread.start()
    thread.join(2 * TIMEOUT)
    assert thread.is_alive()  # the trap
    plain.cancel_write()
    thread.join()
    plain.close()

    stream = open_serial(pty(echo, reads=False).port)
    with pytest.raises(LinkTimeout, match="of 1048576 bytes"):
        stream.send(bytes(1 << 20), Deadline(TIMEOUT))
    stream.close()


def _ignore_errors(call: Callable[[bytes], Any], data: bytes) -> None:
    try:
        call(data)
    except (OSError, TypeError):
        return


def test_s2_parity_and_baud_rates_that_a_port_refuses(pty: Any) -> None:
    with pytest.raises(ConfigError, match="baud"):
        open_serial(pty(echo).port, baud=-1)
    with pytest.raises(LinkLost, match="no such port; there are"):
        open_serial("/dev/there-is-no-such-port")


def test_two_programs_on_one_port(pty: Any) -> None:
    peer = pty(echo)
    link = link_to(peer)
    with pytest.raises(LinkLost, match="in use elsewhere"):
        open_serial(peer.port)
    link.close()


def test_s3_a_cooked_terminal_does_not_echo() -> None:
    end, other = os.openpty()
    os.write(end, b"answer\n")
    os.write(other, b"question\n")
    cooked = os.open(os.ttyname(other), os.O_RDWR | os.O_NOCTTY)
    assert b"answer" in os.read(end, 100)  # the trap: what was sent to the host came back to the instrument
    os.close(cooked)
    stream = open_serial(os.ttyname(other))
    stream.send(b"question\x03\n", Deadline(TIMEOUT))
    time.sleep(0.05)
    assert os.read(end, 100).endswith(b"question\x03\n")
    os.write(end, b"answer\x00\x03\r\n")
    got = b""
    while not got.endswith(b"\n"):
        got += stream.receive(100, Deadline(TIMEOUT))
    assert got.endswith(b"answer\x00\x03\r\n")
    os.set_blocking(end, False)
    with pytest.raises(BlockingIOError):
        os.read(end, 100)
    stream.close()
    os.close(end)
    os.close(other)


def test_where_a_port_is_no_file_reads_and_writes_have_a_time_limit_each(
    pty: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way of Windows, on a pseudo-terminal."""
    monkeypatch.setattr("drivers.serial_stream._PORTS_ARE_FILES", False)
    peer = pty(echo)
    link = link_to(peer)
    assert ask(link, b"there?") == b"there?"
    link.close()
    stream = open_serial(pty(late).port)
    stream.send(b"slow?\n", Deadline(TIMEOUT))
    assert not stream.pending()
    with pytest.raises(LinkTimeout, match="no byte came"):
        stream.receive(100, Deadline(TIMEOUT))
    stream.send(b"quick?\n", Deadline(TIMEOUT))
    got = b""
    while not got.endswith(b"quick?\n"):
        got += stream.receive(3, Deadline(10 * TIMEOUT))
    assert got == b"slow?\nquick?\n"
    stream.close()
    with pytest.raises(LinkLost, match="closed"):
        stream.send(b"?", Deadline(TIMEOUT))
    deaf = open_serial(pty(echo, reads=False).port)
    with pytest.raises(LinkTimeout, match="did not take"):
        deaf.send(bytes(1 << 20), Deadline(TIMEOUT))
    deaf.close()


def test_p2_a_late_answer_on_a_serial_port(pty: Any) -> None:
    peer = pty(late)
    plain = serial.Serial(peer.port, timeout=TIMEOUT)
    plain.write(b"slow?\n")
    assert plain.readline() == b""
    plain.write(b"quick?\n")
    assert plain.readline() == b"slow?\n"  # the trap
    plain.close()
    link = link_to(pty(late))
    with pytest.raises(LinkTimeout):
        ask(link, b"slow?")
    assert ask(link, b"quick?", 10 * TIMEOUT) == b"quick?"
    link.close()
