"""What the TaOx 1T1R cells of the superT A0's chips take, whatever instrument drives them.

Limits, conductance window and write-verify recipe belong to the cells; how short a pulse can be, and what a gate can
be driven to, to the instrument.
"""

from __future__ import annotations

from imssa_lab.contract.array_types import Limits, PulseLimits, Window
from protocols.programmers.hysteretic import WriteVerify

READ_VOLTAGE = 0.2
READ_GATE = 5.0
WINDOW = Window(low=2e-6, high=150e-6)
RECIPE = WriteVerify(
    tolerance_in=4e-6,
    tolerance_out=10e-6,
    set_voltage=(1.0, 3.0, 0.25),
    set_gate=(0.5, 1.4, 0.05),
    set_width=10e-6,
    reset_voltage=(0.3, 2.2, 0.05),
    reset_gate=(5.0, 5.5, 0.5),
    reset_width=1e-3,
    max_steps=400,
    patience=60,
    returns=3,
    whole_every=5,
    step_back=3,
)
"""That of the board as measured, the profile `supert-a0`; a test compares both."""


def limits(shortest: float, highest_gate: float = 5.5) -> Limits:
    """Those of the cells on an instrument.

    Args:
        shortest: pulse that the instrument can make, s; highest_gate: V, in RESET pulses.
    """
    return Limits(
        read_voltage=READ_VOLTAGE,
        set=PulseLimits(voltage_max=3.5, gate_max=2.1, width_min=shortest, width_max=10e-3),
        reset=PulseLimits(voltage_max=3.0, gate_max=highest_gate, width_min=shortest, width_max=100e-3),
    )
