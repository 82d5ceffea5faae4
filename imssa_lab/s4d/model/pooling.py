"""What comes before the encoder and before the head: a sequence brought to one level, and steps made one vector."""

from __future__ import annotations

import torch
from torch import Tensor

from imssa_lab.s4d.bundle import PRIOR_STEPS, SMALLEST_SD, Levelling, Pooling


def levelled(inputs: Tensor, how: Levelling) -> Tensor:
    """Inputs (n, steps, inputs), each input of each sequence brought to mean 0 and deviation 1; see `Levelling`."""
    if how == "none":
        return inputs
    if how == "sequence":
        mean = inputs.mean(1, keepdim=True)
        spread = (inputs - mean).square().mean(1, keepdim=True).sqrt()
        return (inputs - mean) / spread.clamp_min(SMALLEST_SD)
    steps = torch.arange(1, inputs.shape[1] + 1, dtype=inputs.dtype, device=inputs.device)[:, None] + PRIOR_STEPS
    mean = inputs.cumsum(1) / steps
    power = (PRIOR_STEPS + inputs.square().cumsum(1)) / steps
    return (inputs - mean) / (power - mean.square()).sqrt()


def pooled(features: Tensor, how: Pooling) -> Tensor:
    """One vector (n, H) of features (n, steps, H)."""
    if how == "last":
        return features[:, -1]
    return features.mean(1) if how == "mean" else features.amax(1)
