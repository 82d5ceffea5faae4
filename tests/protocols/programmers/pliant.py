"""An array whose cells move and scatter by a rule that is written here, and one such cell by itself."""

import math

import numpy as np

from imssa_lab.contract.hal import CrossbarArray, FloatArray, Programmer, PulseKind, Pulses, Readout
from protocols.programmers import WriteVerify
from twin import DigitalTwin

SHAPE = (3, 5)
READ_S, PULSE_S = 0.5, 0.125
"""Device time of a reading of the array and of a batch of pulses."""
RECIPE = WriteVerify.model_validate(
    {
        "tolerance_in": 2e-6,
        "tolerance_out": 5e-6,
        "set_voltage": (1.0, 1.5, 0.25),
        "set_gate": (0.5, 0.9, 0.1),
        "set_width": 1e-6,
        "reset_voltage": (0.5, 1.1, 0.1),
        "reset_gate": (4.0, 4.0, 0.5),
        "reset_width": 2e-6,
        "averages": 2,
        "max_steps": 60,
        "max_retries": 3,
        "verify_averages": 3,
    }
)


class OneCell:
    """A cell by its number: where it starts, how far pulses move it, and what the reads of it add, S."""

    def __init__(self, number: int, noise: float, stuck: bool) -> None:
        self.number, self.noise, self.reads, self.pulses = number, noise, 0, 0
        self.held = (20.0 + 7.0 * (number * 5 % 15)) * 1e-6
        self.step = 0.0 if stuck else (3.0 + number % 4) * 1e-6

    def read(self, averages: int) -> float:
        """The mean of so many reads, S."""
        return sum(self.one_read() for _ in range(averages)) / averages

    def one_read(self) -> float:
        self.reads += 1
        return self.held + self.noise * math.sin(1.7 * self.number + 2.3 * self.reads)

    def pulse(self, kind: PulseKind, voltage: float, gate: float) -> None:
        """SET follows voltage and gate, RESET the voltage."""
        self.pulses += 1
        self.held += self.step * (voltage * gate if kind is PulseKind.SET else -voltage)


class Pliant(CrossbarArray):
    """The cells of `SHAPE`, numbered row by row; the cell `stuck` does not move. A wait moves all by `relaxes`, S."""

    def __init__(self, noise: float = 0.0, stuck: int | None = 4, relaxes: float = 0.0) -> None:
        super().__init__(DigitalTwin("ideal", shape=SHAPE).info.model_copy(update={"adc": None}))
        self.cells = [OneCell(number, noise, number == stuck) for number in range(SHAPE[0] * SHAPE[1])]
        self.now, self.relaxes = 7.0, relaxes
        self.sent: list[Pulses] = []
        self.reads = 0

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        return Readout(voltages @ np.array([cell.held for cell in self.cells]).reshape(SHAPE))

    def _read_conductances(self, mask: np.ndarray, averages: int) -> Readout:  # type: ignore[type-arg]
        self.now += READ_S * averages
        self.reads += averages
        values = np.full((averages, len(self.cells)), np.nan)
        for cell in self.cells:
            if mask.flat[cell.number]:
                values[:, cell.number] = [cell.one_read() for _ in range(averages)]
        return Readout(np.nan_to_num(values).reshape(averages, *SHAPE) * self.info.read_voltage)

    def _apply_pulses(self, pulses: Pulses) -> None:
        self.now += PULSE_S
        self.sent.append(pulses)
        for cell in self.cells:
            if pulses.mask.flat[cell.number]:
                cell.pulse(pulses.kind, float(pulses.voltage.flat[cell.number]), float(pulses.gate.flat[cell.number]))

    def _default_programmer(self) -> Programmer:
        raise NotImplementedError

    def _wait(self, seconds: float) -> None:
        self.now += seconds
        for cell in self.cells:
            cell.held += self.relaxes

    def _time(self) -> float:
        return self.now

    def _make_safe(self) -> None: ...

    def _close(self) -> None: ...
