"""How a contract test meets each kind of array.

A test is a script: a function of one array that returns what it saw. `run` hands it every kind of array in turn:
the twin itself, the twin while it is recorded, the record of that session replayed, and the same twin behind the
wires of instruments.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drivers.scpi import open_scpi
from imssa_lab.hal import CrossbarArray
from imssa_lab.log import open_run, record
from twin import DigitalTwin
from twin.instruments.bench import BenchTwin
from twin.instruments.scpi_array import ScpiArrayTester
from twin.instruments.server import TcpPort

Script = Callable[[CrossbarArray], Any]
Run = Callable[[Script], Any]
SHAPE = (12, 8)


def _twin() -> DigitalTwin:
    return DigitalTwin("supert-a0", SHAPE, seed=5)


def _on_twin(script: Script, path: Path) -> Any:
    with _twin() as array:
        return script(array)


def _recorded(script: Script, path: Path) -> Any:
    with record(path, [_twin()], {}) as (array,), array:
        return script(array)


def _replayed(script: Script, path: Path) -> Any:
    _recorded(script, path)
    (array,) = open_run(path).arrays()
    with array:
        return script(array)


def _over_scpi(script: Script, path: Path) -> Any:
    tester = ScpiArrayTester(BenchTwin("supert-a0", SHAPE, seed=5))
    with TcpPort(tester) as port, open_scpi(port.resource, {}) as array:
        result = script(array)
    assert tester.bench.journal.grounded
    return result


@pytest.fixture(
    params=[_on_twin, _recorded, _replayed, _over_scpi], ids=["twin", "recorded", "replayed", "scpi over tcp"]
)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    return lambda script: request.param(script, tmp_path / "run.h5")
