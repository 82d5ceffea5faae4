"""A network that listens: sequences arrive piece by piece, the state is carried."""

from __future__ import annotations

import torch
from torch import Tensor

from imssa_lab.contract.errors import ConfigError
from imssa_lab.s4d.bundle import PRIOR_STEPS
from imssa_lab.s4d.model.network import S4DNetwork


class Stream:
    """Exact recurrent mode of a network in evaluation, for sequences of any length in constant memory.

    Args:
        network: is put into evaluation mode.

    Raises:
        ConfigError: its inputs are levelled by whole sequences, or its kernels see them from the end too: a stream
            has neither.
    """

    def __init__(self, network: S4DNetwork) -> None:
        if network.architecture.levelling == "sequence":
            raise ConfigError(
                "this net levels its inputs by whole sequences; train one with levelling running to stream"
            )
        if network.architecture.block.bidirectional:
            raise ConfigError("this net also sees sequences from their end, which a stream does not have")
        self._network = network.eval()
        self._states: list[Tensor | None] = [None] * len(network.kernels)
        self._sum: Tensor | None = None
        self._largest: Tensor | None = None
        self._seen: tuple[Tensor, Tensor] | None = None
        self.steps = 0

    @torch.no_grad()
    def push(self, inputs: Tensor) -> Tensor:
        """Take the next steps, (n, steps, inputs) with the same n each time.

        Returns:
            Logits, or values, (n, classes or values) of all steps so far.
        """
        features = self._network.encoded_features(self._levelled(inputs), self._states)
        total, largest = features.sum(1), features.amax(1)
        self._sum = total if self._sum is None else self._sum + total
        self._largest = largest if self._largest is None else torch.maximum(self._largest, largest)
        self.steps += inputs.shape[1]
        seen = {"mean": self._sum / self.steps, "max": self._largest, "last": features[:, -1]}
        return self._network.in_unit(self._network.classify(seen[self._network.architecture.pooling]))

    def _levelled(self, inputs: Tensor) -> Tensor:
        """By what was seen so far, if the net does so; see `Levelling`."""
        if self._network.architecture.levelling == "none":
            return inputs
        before = (inputs.new_zeros(len(inputs), 1, inputs.shape[2]),) * 2 if self._seen is None else self._seen
        total, power = before[0] + inputs.cumsum(1), before[1] + inputs.square().cumsum(1)
        self._seen = total[:, -1:], power[:, -1:]
        steps = torch.arange(1, inputs.shape[1] + 1, dtype=inputs.dtype)[:, None] + self.steps + PRIOR_STEPS
        mean = total / steps
        return (inputs - mean) / ((PRIOR_STEPS + power) / steps - mean.square()).sqrt()
