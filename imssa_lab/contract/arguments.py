"""What callers hand to an array: checked before anything is sent."""

from __future__ import annotations

import numpy as np

from imssa_lab.contract.array_types import ArrayInfo, BoolArray, FloatArray
from imssa_lab.contract.errors import LimitError


def check_targets(info: ArrayInfo, target: FloatArray, mask: BoolArray) -> None:
    """Raise LimitError where `mask` selects a target (rows, cols), S, that is not finite or outside the window."""
    name, window = info.name, info.window
    bad = mask & ~np.isfinite(target)
    if bad.any():
        row, col = np.argwhere(bad)[0]
        raise LimitError(f"{name}: target of word line {row}, bit line {col} is not finite; leave it out by mask")
    outside = mask & ((target < window.low) | (target > window.high))
    if outside.any():
        row, col = np.argwhere(outside)[0]
        raise LimitError(
            f"{name}: target {target[row, col] * 1e6:.4g} uS of word line {row}, bit line {col} lies outside the "
            f"conductance window {window.low * 1e6:g} to {window.high * 1e6:g} uS "
            f"({np.count_nonzero(outside)} such cells)"
        )
