"""A virtual superT A0 board that is ready to read, and all of its cells."""

import numpy as np

from drivers.supert_a0 import electrode_sequences as sequences
from imssa_lab.virtual.virtual_supert_a0 import SuperTBoard

EVERY = np.ones((64, 64), dtype=bool)


def powered(firmware: SuperTBoard) -> SuperTBoard:
    for command in [*sequences.power_up(), *sequences.before_reading(0.2), *sequences.enable_columns(0, 64)]:
        firmware.receive(command.encode())
    return firmware
