"""The virtual instruments that the parts measure against, and how their drivers are opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from drivers.scpi import ScpiArray
from drivers.scpi.scpi_array import ScpiWire
from drivers.serial_stream import open_serial
from drivers.supert_a0.controller import Board
from drivers.supert_a0.supert_array import SuperTArray
from drivers.visa_stream import open_visa
from imssa_lab.contract.hal import CrossbarArray
from imssa_lab.station.addresses import open_array
from imssa_lab.virtual.bench_twin import BenchTwin
from imssa_lab.virtual.server import PtyPort, TcpPort
from imssa_lab.virtual.virtual_scpi_array import ScpiArrayTester
from imssa_lab.virtual.virtual_smu_matrix import Matrix707A, Wiring, meter, meter_profile
from imssa_lab.virtual.virtual_supert_a0 import SuperTBoard
from imssa_lab.virtual.wire_faults import Faults

WATCHDOG = 1.0
"""s, of the instruments that have one."""


@dataclass(frozen=True)
class Virtual:
    """An instrument that runs: the twin inside, its address, and its driver.

    Attributes:
        connect: opens the array with a deadline in s; is_closed: whether its link is of no more use.
    """

    bench: BenchTwin
    address: str
    connect: Callable[[float], CrossbarArray]
    is_closed: Callable[[CrossbarArray], bool]


class _DoesNotCare(ScpiArrayTester):
    """An array tester without a watchdog that does not notice that its client goes."""

    def make_safe(self) -> None:
        """Nothing."""


def virtual_scpi(
    shape: tuple[int, int], seed: int = 3, faults: Faults | None = None
) -> AbstractContextManager[Virtual]:
    """An SCPI array tester on a TCP port."""
    return _served(ScpiArrayTester(BenchTwin("supert-a0-easy", shape, seed), watchdog=WATCHDOG), faults)


def unhelpful_scpi(shape: tuple[int, int], seed: int = 3) -> AbstractContextManager[Virtual]:
    """One whose outputs stay as they are when its client goes or falls silent."""
    return _served(_DoesNotCare(BenchTwin("supert-a0-easy", shape, seed), watchdog=0.0), None)


@contextmanager
def _served(tester: ScpiArrayTester, faults: Faults | None) -> Iterator[Virtual]:
    with TcpPort(tester, faults=faults) as port:
        address = f"visa+scpi:{port.resource}?timeout=2"
        yield Virtual(tester.bench, address, lambda s: open_scpi_at(port.resource, s), _scpi_closed)


@contextmanager
def virtual_supert(shape: tuple[int, int], seed: int = 3, faults: Faults | None = None) -> Iterator[Virtual]:
    """A superT A0 on a pseudo-terminal; `shape` is the block of array 0 that is used."""
    firmware = SuperTBoard("supert-a0-easy", seed)
    with PtyPort(firmware, faults) as port:
        address = f"serial+supert-a0:{port.port}?block={shape[0]}x{shape[1]}"
        yield Virtual(firmware.benches[0], address, lambda s: open_supert_at(port.port, s, shape), _supert_closed)


@contextmanager
def virtual_smu(shape: tuple[int, int], seed: int = 3) -> Iterator[Virtual]:
    """Two source-measure units and a 707 around one array."""
    bench = BenchTwin(meter_profile("supert-a0-easy"), shape, seed)
    wiring = Wiring(bench)
    with (
        TcpPort(meter(wiring)) as smu,
        TcpPort(meter(wiring, gates=True)) as gate,
        TcpPort(Matrix707A(wiring)) as matrix,
    ):
        options = f"gate={gate.resource}&matrix={matrix.resource}&shape={shape[0]}x{shape[1]}&timeout=2"
        address = f"visa+smu-matrix:{smu.resource}?{options}"
        yield Virtual(bench, address, lambda s: open_array(address), lambda array: False)


def open_scpi_at(resource: str, timeout: float) -> ScpiArray:
    """The driver over pyvisa-py."""
    return ScpiArray(ScpiWire(open_visa(resource, timeout), timeout))


def open_supert_at(port: str, timeout: float, shape: tuple[int, int]) -> SuperTArray:
    """The driver over pyserial."""
    return SuperTArray(Board(open_serial(port), timeout), 0, shape)


def _scpi_closed(array: CrossbarArray) -> bool:
    assert isinstance(array, ScpiArray)
    return array.link.closed


def _supert_closed(array: CrossbarArray) -> bool:
    assert isinstance(array, SuperTArray)
    return array.board.link.closed


VIRTUAL: dict[str, Callable[[tuple[int, int]], AbstractContextManager[Virtual]]] = {
    "scpi": virtual_scpi,
    "superT": virtual_supert,
    "smu and matrix": virtual_smu,
}
UNHELPFUL: dict[str, Callable[[tuple[int, int]], AbstractContextManager[Virtual]]] = {
    "scpi": unhelpful_scpi,
    "superT": virtual_supert,
    "smu and matrix": virtual_smu,
}
"""The same where nothing grounds by itself: boards and meters never do."""
