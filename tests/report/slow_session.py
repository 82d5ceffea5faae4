"""A session in a process of its own: programs a chip slowly, then holds it. Arguments: run file."""

import sys
import time

import numpy as np

from imssa_lab.contract.hal import Pulses
from imssa_lab.log import record
from twin import DigitalTwin


class SlowChip(DigitalTwin):
    """A twin whose pulses take time, as those of a board do."""

    def _apply_pulses(self, pulses: Pulses) -> None:
        time.sleep(0.005)
        super()._apply_pulses(pulses)
        time.sleep(0.005)


target = np.linspace(10e-6, 120e-6, 120).reshape(12, 10)
with record(sys.argv[1], [SlowChip("supert-a0-easy", (12, 10), seed=1)], {}) as (chip,), chip:
    while True:
        chip.program_conductances(target)
