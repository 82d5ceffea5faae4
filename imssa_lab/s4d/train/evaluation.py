"""What a network makes of sequences."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray

from imssa_lab.s4d.model.network import S4DNetwork
from imssa_lab.s4d.tasks import Split

_BATCH = 256


def predict(network: S4DNetwork, inputs: NDArray[np.float32]) -> NDArray[np.int64]:
    """Class numbers (n,) of sequences (n, steps, inputs), by the net where it is, left as it is.

    In float64, as the deployed bundle computes: in float32 a value at a converter's threshold may take the next code,
    and about one sequence in a thousand another class.
    """
    exact, device = copy.deepcopy(network).double().eval(), network.head.weight.device
    with torch.no_grad():
        batches = torch.tensor(inputs, dtype=torch.float64).split(_BATCH)
        return np.concatenate([exact(batch.to(device)).argmax(1).cpu().numpy() for batch in batches]).astype(np.int64)


def accuracy(network: S4DNetwork, split: Split) -> float:
    """Fraction of the split's sequences that are classified rightly."""
    return float(np.mean(predict(network, split[0]) == split[1]))
