"""A virtual superT A0 board on its pseudo-terminal, and a bench of source-measure units and a switch matrix."""

from collections.abc import Iterator
from typing import Any

import pytest

from imssa_lab.virtual.server import PtyPort
from imssa_lab.virtual.virtual_supert_a0 import SuperTBoard
from trials.electrodes.smu_bench import KINDS, SmuBench


@pytest.fixture
def firmware() -> SuperTBoard:
    return SuperTBoard("supert-a0-easy", seed=5)


@pytest.fixture
def port(firmware: SuperTBoard) -> Iterator[PtyPort]:
    with PtyPort(firmware) as running:
        yield running


@pytest.fixture(params=KINDS, ids=["-".join(kinds) for kinds in KINDS])
def bench(request: Any) -> Iterator[SmuBench]:
    """On strict wires, each test leaves no breach of the message exchange."""
    made = SmuBench(request.param)
    yield made
    assert [wire.breaches for wire in made.wires] == [[], [], []]
