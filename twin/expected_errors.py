"""What programming is expected to leave on a kind of chip: for plans, and for models that are trained against it."""

from __future__ import annotations

import numpy as np

from imssa_lab.contract.hal import FloatArray
from twin.profile import TwinProfile


def programming_sd(profile: TwinProfile, conductance: FloatArray) -> FloatArray:
    """Standard deviation of a cell's error right after programming, S, same shape as the targets (S).

    Where the chip's statistics are given, theirs. Else the window law: a loop that accepts within +-tolerance leaves
    errors uniform in that window, of sd tolerance / sqrt(3). Relaxation and read noise come on top.
    """
    if profile.programming is not None:
        return profile.programming.sd_at(conductance)
    return np.full_like(conductance, profile.recipe.tolerance_in / np.sqrt(3))
