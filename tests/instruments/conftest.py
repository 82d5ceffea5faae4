"""A virtual superT A0 board, and the pseudo-terminal that it is served on."""

from collections.abc import Iterator

import pytest

from twin.instruments.server import PtyPort
from twin.instruments.virtual_supert_a0 import SuperTBoard


@pytest.fixture
def firmware() -> SuperTBoard:
    return SuperTBoard("supert-a0-easy", seed=5)


@pytest.fixture
def port(firmware: SuperTBoard) -> Iterator[PtyPort]:
    with PtyPort(firmware) as running:
        yield running
