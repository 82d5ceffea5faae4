"""A network that listens: sequences arrive piece by piece, the state is carried."""

from __future__ import annotations

import torch
from torch import Tensor

from imssa_lab.s4d.model.network import S4DNetwork


class Stream:
    """Exact recurrent mode of a network in evaluation, for sequences of any length in constant memory.

    Args:
        network: is put into evaluation mode.
    """

    def __init__(self, network: S4DNetwork) -> None:
        self._network = network.eval()
        self._states: list[Tensor | None] = [None] * len(network.kernels)
        self._sum: Tensor | None = None
        self.steps = 0

    @torch.no_grad()
    def push(self, inputs: Tensor) -> Tensor:
        """Take the next steps, (n, steps, inputs) with the same n each time; logits (n, classes) of all so far."""
        features = self._network.features(inputs, self._states).sum(1)
        self._sum = features if self._sum is None else self._sum + features
        self.steps += inputs.shape[1]
        return self._network.classify(self._sum / self.steps)
