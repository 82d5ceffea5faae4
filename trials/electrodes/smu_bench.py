"""A bench of two source-measure units, a matrix and a chip, for tests of the driver: on strict wires or on TCP."""

from contextlib import ExitStack
from typing import Any

import numpy as np

from drivers.keithley.matrices import open_switch
from drivers.keithley.meters import SourceMeter
from drivers.keithley.smu_matrix import COMPLIANCE, SmuMatrixArray
from drivers.visa_stream import open_visa
from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.hal import Pulses
from imssa_lab.virtual.bench_twin import BenchTwin
from imssa_lab.virtual.electrode_journal import Entry
from imssa_lab.virtual.keithley.terminal_wiring import Flow
from imssa_lab.virtual.server import TcpPort
from imssa_lab.virtual.virtual_smu_matrix import MATRICES, Wiring, meter, meter_profile
from imssa_lab.virtual.wire_faults import Faults
from trials.electrodes.strict_488 import StrictWire

SHAPE = (4, 3)
KINDS = [("2400", "2450", "707A"), ("2450", "2400", "707B"), ("2461", "2410", "7001")]


class NotedWiring(Wiring):
    """As any, with all that flowed kept in `flows`."""

    def __init__(self, bench: BenchTwin, open_lines: frozenset[int]) -> None:
        super().__init__(bench, open_lines)
        self.flows: list[Flow] = []

    def drive(self, levels: FloatArray, seconds: FloatArray, limit: float) -> Flow:
        """As `Wiring`."""
        self.flows.append(super().drive(levels, seconds, limit))
        return self.flows[-1]


class SmuBench:
    """A bench with its three instruments; `connect` opens the driver on strict wires, `serve` puts them on TCP."""

    def __init__(
        self,
        kinds: tuple[str, str, str] = KINDS[0],
        open_line: int = -1,
        cables: str = "FRON",
        line: float = 50.0,
    ) -> None:
        self.twin = BenchTwin(meter_profile("supert-a0-easy"), SHAPE, seed=5)
        self.kinds = kinds
        self.wiring = NotedWiring(self.twin, frozenset({open_line}))
        self.source: Any = meter(self.wiring, kinds[0], cables=cables, line=line)
        self.gate: Any = meter(self.wiring, kinds[1], gates=True, cables=cables)
        self.matrix: Any = MATRICES[kinds[2].lower()](self.wiring)
        self.instruments = (self.source, self.gate, self.matrix)
        self.wires = [StrictWire(each, name) for each, name in zip(self.instruments, "sgm", strict=True)]
        self.ports: list[TcpPort] = []

    def connect(
        self, compliance: float = COMPLIANCE, terminals: str = "front", timeout: float = 2.0
    ) -> SmuMatrixArray:
        """The driver on strict wires."""
        return self._array(list(self.wires), compliance, terminals, timeout)

    def serve(self, stack: ExitStack, *faults: Faults) -> tuple[str, dict[str, str]]:
        """Put the instruments on TCP, the first of them on wires with faults; the source's resource, and options."""
        each: list[Faults | None] = [*faults, None, None, None]
        self.ports = [
            stack.enter_context(TcpPort(instrument, faults=wire))
            for instrument, wire in zip(self.instruments, each, strict=False)
        ]
        smu, gate, matrix = (port.resource for port in self.ports)
        return smu, {"gate": gate, "matrix": matrix, "switch": self.kinds[2], "shape": "4x3"}

    def connect_to_ports(self, timeout: float) -> SmuMatrixArray:
        """The driver on the ports of `serve`, which stays open where one fails."""
        with ExitStack() as stack:
            streams = []
            for port in self.ports:
                streams.append(open_visa(port.resource, 2.0))
                stack.callback(streams[-1].close)
            array = self._array(streams, COMPLIANCE, "front", timeout)
            stack.pop_all()
        return array

    def _array(self, streams: list[Any], compliance: float, terminals: str, timeout: float) -> SmuMatrixArray:
        array = SmuMatrixArray(
            SourceMeter(streams[0], compliance, timeout, terminals),
            SourceMeter(streams[1], compliance, 2.0, terminals, gates=True),
            open_switch(self.kinds[2], streams[2], 2.0),
            SHAPE,
            sleep=self.twin.wait,
        )
        _ = array.open_lines  # looked at now, so that tests begin after it
        return array

    def entries(self, *what: str) -> list[Entry]:
        """Of the journal, of these kinds."""
        return [entry for entry in self.twin.journal.entries if entry.what in what]

    @property
    def safe(self) -> bool:
        """Whether outputs are off at 0 V, and all relays open."""
        levels = (self.source.level, self.gate.level, self.wiring.gate_level)
        return not (self.source.on or self.gate.on or any(levels) or self.wiring.closed)


def one_cell(row: int = 2, col: int = 1) -> Any:
    """The mask of one cell, (4, 3)."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[row, col] = True
    return mask


def pulse(
    array: SmuMatrixArray, kind: str = "SET", voltage: float = 2.0, gate: float = 1.2, width: float = 1e-3
) -> None:
    """One pulse (V, V, s) on `one_cell`."""
    array.apply_pulses(Pulses.on(one_cell(), kind, voltage, gate, width))
