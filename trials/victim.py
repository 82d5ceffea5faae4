"""A bench script that programs an array for ever, to be stopped in the middle: ``victim ADDRESS [S]``.

With S it raises an exception of its own after so many seconds.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

import numpy as np

from imssa_lab.station.addresses import open_array


def _fail(signum: int, frame: FrameType | None) -> None:
    raise RuntimeError("the bench script has a fault")


def main() -> None:
    """Program and read until something stops it."""
    array = open_array(sys.argv[1])
    rng = np.random.default_rng(0)
    with array:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        if len(sys.argv) > 2:
            signal.signal(signal.SIGALRM, _fail)
            signal.setitimer(signal.ITIMER_REAL, float(sys.argv[2]))
        while True:
            array.program_conductances(rng.uniform(20e-6, 120e-6, array.info.shape))
            array.read_mvm(rng.uniform(0, 0.2, (20, array.info.rows)))


if __name__ == "__main__":
    main()
