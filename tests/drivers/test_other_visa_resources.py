"""VISA resources that are no TCP sockets (GPIB, USB, other libraries), on a stand-in for their library."""

from contextlib import nullcontext
from typing import Any

import pytest
import pyvisa
from pyvisa.constants import StatusCode

from drivers.deadline import Deadline
from drivers.links import Link, Stream
from drivers.visa_stream import open_visa
from imssa_lab.contract.errors import LinkError, LinkLost, LinkTimeout
from tests.drivers.test_visa_traps import TIMEOUT, ask, handshake

NAME = "GPIB0::7::INSTR"


class Library:
    """Answers each line with itself; each of its calls can be made to fail."""

    session = 1

    def __init__(self) -> None:
        self.visalib = self
        self.timeout = 0
        self.heard: list[bytes] = []
        self.answers: list[bytes] = []
        self.timeouts: list[int] = []
        self.taken: int | None = None
        self.fails: Exception | None = None
        self.closed = False

    def _step(self) -> None:
        self.timeouts.append(self.timeout)
        if self.fails is not None:
            raise self.fails

    def write(self, session: int, data: bytes) -> tuple[int, StatusCode]:
        self._step()
        self.heard.append(data)
        self.answers += [b"", data]  # a library may come back with nothing
        return len(data) if self.taken is None else self.taken, StatusCode.success

    def read(self, session: int, limit: int) -> tuple[bytes, StatusCode]:
        self._step()
        return self.answers.pop(0), StatusCode.success

    def clear(self, session: int) -> None:
        self._step()

    def set_visa_attribute(self, *_: Any) -> None: ...

    def ignore_warning(self, *_: Any) -> Any:
        return nullcontext()

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    made = Library()
    monkeypatch.setattr(pyvisa.ResourceManager, "open_resource", lambda *_, **__: made)
    return made


STEPS = {
    "send": lambda stream, deadline: stream.send(b"*IDN?\n", deadline),
    "receive": lambda stream, deadline: stream.receive(10, deadline),
    "clear": lambda stream, deadline: stream.clear(deadline),
}
each_step = pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)


def opened(name: str = NAME) -> Stream:
    return open_visa(name, TIMEOUT)


def test_questions_are_answered_and_each_step_may_take_the_time_that_is_left(library: Library) -> None:
    link = Link(opened(), handshake(), TIMEOUT)
    assert ask(link, b"there?") == b"there?"
    assert b"there?\n" in library.heard
    assert all(0 < each <= 1e3 * TIMEOUT for each in library.timeouts)
    link.close()
    assert library.closed


@each_step
def test_without_time_nothing_is_tried(library: Library, step: Any) -> None:
    stream = opened()
    with pytest.raises(LinkTimeout, match=f"{NAME}: 0 s passed"):
        step(stream, Deadline(0.0))
    stream.close()
    with pytest.raises(LinkLost, match="closed"):
        step(stream, Deadline(TIMEOUT))
    assert library.timeouts == []


@each_step
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (pyvisa.errors.VisaIOError(StatusCode.error_timeout), LinkTimeout),
        (pyvisa.errors.VisaIOError(StatusCode.error_connection_lost), LinkLost),
        (pyvisa.errors.VisaIOError(StatusCode.error_bus_error), LinkError),
        (OSError("unplugged"), LinkLost),
    ],
)
def test_what_the_library_says_is_a_link_error_of_its_kind(
    library: Library, step: Any, error: Exception, kind: type[LinkError]
) -> None:
    library.fails = error
    with pytest.raises(LinkError, match=NAME) as caught:
        step(opened(), Deadline(TIMEOUT))
    assert type(caught.value) is kind


def test_a_part_that_was_taken_is_too_little(library: Library) -> None:
    library.taken = 3
    with pytest.raises(LinkTimeout, match="3 of 6 bytes were taken"):
        opened().send(b"*IDN?\n", Deadline(TIMEOUT))


def test_whether_a_device_can_be_cleared(library: Library) -> None:
    assert opened().clear(Deadline(TIMEOUT))
    for error in (NotImplementedError(), pyvisa.errors.VisaIOError(StatusCode.error_nonsupported_operation)):
        library.fails = error
        assert not opened().clear(Deadline(TIMEOUT))
    library.timeouts.clear()
    assert not opened("TCPIP::127.0.0.1::9::SOCKET").clear(Deadline(TIMEOUT))
    assert library.timeouts == []
