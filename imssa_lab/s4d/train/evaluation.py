"""What a network makes of sequences."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray

from imssa_lab.s4d.model.network import S4DNetwork
from imssa_lab.s4d.scores import Wanted, answers, score
from imssa_lab.s4d.tasks import Split

_BATCH = 256


def predict(network: S4DNetwork, inputs: NDArray[np.float32]) -> Wanted:
    """Class numbers (n,), or values (n, values), of sequences (n, steps, inputs), by the net left as it is.

    In float64, as the deployed bundle computes: in float32 a value at a converter's threshold may take the next code,
    and about one sequence in a thousand another class.
    """
    exact, device = copy.deepcopy(network).double().eval(), network.head.weight.device
    with torch.no_grad():
        batches = torch.tensor(inputs, dtype=torch.float64).split(_BATCH)
        outputs = np.concatenate([exact(batch.to(device)).cpu().numpy() for batch in batches])
    return answers(network.architecture.goal, outputs)


def accuracy(network: S4DNetwork, split: Split) -> float:
    """Fraction of the split's sequences that are classified rightly, or share of its values' variance explained."""
    return score(predict(network, split[0]), split[1])
