"""Files and wires, with the functions of POSIX and without them: waiting, hanging up, bytes at a place."""

import os
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imssa_lab.contract import operating_system
from imssa_lab.contract.operating_system import Ready, bytes_there, hung_up, open_file, read_at, write_at

WITH_POLL = pytest.mark.skipif(not hasattr(select, "poll"), reason="this system has no poll, and select ends at 1023")


@pytest.mark.parametrize("number", [None, pytest.param(1500, marks=WITH_POLL)])
def test_a_file_is_ready_once_something_has_come(number: int | None) -> None:
    """Of a number beyond 1023, too, which a long session reaches and `select` refuses."""
    end, other = os.pipe()
    watched = end if number is None else os.dup2(end, number)
    try:
        ready = Ready(watched)
        assert ready(0) == []
        os.write(other, b"x")
        assert ready(1000) == [watched]
        assert Ready(other, write=True)(0) == [other]
    finally:
        for file in {end, watched, other}:
            os.close(file)


def test_where_there_is_no_poll_select_answers_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "poll", raising=False)
    end, other = os.pipe()
    try:
        ready = Ready(end)
        assert ready(0) == []
        os.write(other, b"x")
        assert ready(1000) == [end]
        assert Ready(other, write=True)(0) == [other]
    finally:
        os.close(end)
        os.close(other)


@pytest.fixture(params=["POSIX", "neither poll nor ioctl"])
def wire(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[socket.socket, ...]]:
    if request.param != "POSIX":
        monkeypatch.delattr(select, "poll", raising=False)
        monkeypatch.setattr(operating_system, "fcntl", None)
    ends = socket.socketpair()
    ends[0].setblocking(False)
    yield ends
    for end in ends:
        end.close()


def test_a_wire_has_hung_up_when_its_other_end_is_closed_and_not_while_bytes_come(
    wire: tuple[socket.socket, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    here, there = wire
    assert not hung_up(here, 5)
    there.send(b"some")
    assert not hung_up(here, 5)
    assert bytes_there(here, 100) == 4
    assert bytes_there(here, 3) == 3
    assert slept in ([], [5e-3])  # where bytes hide the end, it is waited for as long as was asked
    here.recv(100)
    there.close()
    assert hung_up(here, 5)
    assert bytes_there(here, 100) == 0


@pytest.mark.parametrize("positioned", [True, False])
def test_bytes_are_read_and_written_at_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, positioned: bool
) -> None:
    """Also where the system gives fewer bytes at once than were asked for."""
    if positioned and not operating_system.POSITIONED:
        pytest.skip("this system reads at no place")
    monkeypatch.setattr(operating_system, "POSITIONED", positioned)
    file = tmp_path / "bytes"
    file.write_bytes(b"0123456789")
    handle = open_file(file, os.O_RDWR)
    try:
        assert write_at(handle, b"ab", 4) == 2
        assert read_at(handle, 5, 3) == b"3ab67"
        assert read_at(handle, 99, 8) == b"89"
        if not positioned:
            given, asked = os.read, []

            def some(number: int, size: int) -> bytes:
                asked.append(size)
                return given(number, min(size, 3))

            monkeypatch.setattr(os, "read", some)
            assert read_at(handle, 7, 1) == b"123ab67"
            assert asked == [7, 4, 1]
    finally:
        os.close(handle)
