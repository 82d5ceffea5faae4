"""Models small enough for tests, made without training."""

import numpy as np
import pytest

from imssa_lab.s4d.bundle import KernelBundle
from trials.untrained import untrained_bundle, varied_sequences


@pytest.fixture(scope="session")
def bundle() -> KernelBundle:
    return untrained_bundle()


@pytest.fixture(scope="session")
def sequences() -> np.ndarray:
    """(64, 12, 4), within [-1, 1]."""
    return varied_sequences(7)
