"""Questions from several threads, and the same bits over every wire."""

from __future__ import annotations

import threading

import numpy as np

from benchmarks.bars import Bars
from drivers.scpi import ScpiArray
from drivers.scpi.scpi_array import ScpiWire
from drivers.serial_stream import open_serial
from drivers.supert_a0.controller import Board
from drivers.supert_a0.convert import DAC_OFFSET, dac_code, dac_voltage
from drivers.supert_a0.supert_array import SuperTArray
from drivers.visa_stream import open_visa
from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.hal import CrossbarArray, Pulses
from imssa_lab.virtual.bench_twin import BenchTwin
from imssa_lab.virtual.server import PtyPort, TcpPort
from imssa_lab.virtual.virtual_scpi_array import ScpiArrayTester
from imssa_lab.virtual.virtual_supert_a0 import SuperTBoard, board_profile
from twin import DigitalTwin

_THREADS = 4


def threads(bars: Bars) -> None:
    """Questions from several threads on one link, each with an answer of its own."""
    each = bars.size(25_000, quick=500, smoke=10)
    mixed: list[str] = []
    tester = ScpiArrayTester(BenchTwin("supert-a0-easy", (4, 4), 1), watchdog=0.0)
    with TcpPort(tester) as port:
        wire = ScpiWire(open_visa(port.resource, 5.0), 5.0)
        answered = [0] * _THREADS

        def ask(thread: int) -> None:
            for number in range(each):
                token = b"%d-%d" % (thread, number)
                if wire.ask(b"SYST:SYNC? " + token) != b"SYNC " + token:
                    mixed.append(token.decode())
                answered[thread] += 1

        running = [threading.Thread(target=ask, args=(thread,)) for thread in range(_THREADS)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        wire.link.close()
    bars.check(f"answers to questions from {_THREADS} threads on one link", sum(answered), ">=", _THREADS * each)
    bars.check("of these mixed up", len(mixed), "==", 0)


def same_bits(bars: Bars) -> None:
    """Readings and pulses over the wires that carry codes, beside the twin in process with the same seed."""
    grid = dac_voltage(dac_code(np.linspace(1.0, 3.0, 4096).reshape(64, 64), DAC_OFFSET), DAC_OFFSET)
    gate = dac_voltage(dac_code(np.array([0.8, 5.0]), DAC_OFFSET), DAC_OFFSET)
    reference = board_profile("supert-a0-easy", "bit-serial")
    with PtyPort(SuperTBoard("supert-a0-easy", 5)) as pty, SuperTArray(Board(open_serial(pty.port))) as array:
        over_supert = _script(array, grid, (0.8, 5.0))
    tester = ScpiArrayTester(BenchTwin("supert-a0-easy", (64, 64), 5))
    with TcpPort(tester) as tcp, ScpiArray(ScpiWire(open_visa(tcp.resource, 5.0))) as scpi:
        over_scpi = _script(scpi, grid, (float(gate[0]), float(gate[1])))
    gates = (float(gate[0]), float(gate[1]))
    for name, there, profile in (
        ("superT over a pty", over_supert, reference),
        ("SCPI over TCP", over_scpi, "supert-a0-easy"),
    ):
        full = DigitalTwin(profile, (1, 1)).profile.read_voltage  # a superT A0 drives the DAC step below 0.2 V
        here = _script(DigitalTwin(profile, (64, 64), 5), grid, gates, full)
        other = _script(DigitalTwin(profile, (64, 64), 6), grid, gates, full)
        bars.check(f"values that differ from the twin in process, {name}", _different(there, here), "==", 0)
        bars.check(f"null control: share that differs from another chip, {name}", _different(there, other), ">=", 0.5)


def _different(one: list[FloatArray], other: list[FloatArray]) -> float:
    """Share of values that are not the same bits."""
    return float(np.mean(np.concatenate([(a != b).ravel() for a, b in zip(one, other, strict=True)])))


def _script(
    array: CrossbarArray, voltage: FloatArray, gate: tuple[float, float], full: float = 0.2
) -> list[FloatArray]:
    rng = np.random.default_rng(1)
    mask = rng.random((64, 64)) < 0.5
    inputs = rng.uniform(0, 1, (11, 64)) * full
    seen = [array.read_conductances(averages=2), array.read_mvm(inputs) * (0.2 / full)]
    array.apply_pulses(Pulses.on(mask, "SET", voltage, gate[0], 10e-6))
    seen += [array.read_conductances(), array.read_mvm(inputs[0]) * (0.2 / full)]
    array.apply_pulses(Pulses.on(~mask, "RESET", voltage, gate[1], 1e-6))
    return [*seen, array.read_conductances(), array.read_mvm(inputs) * (0.2 / full)]
