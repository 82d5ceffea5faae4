"""The classifier: encoder, S4D layers with batch norm, ReLU and mixing, mean over time, head."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from imssa_lab.s4d.layers import S4DLayer
from imssa_lab.s4d.quantisers import ActivationQuantiser, Precision, ternary, uniform


class QuantisedLinear(nn.Module):
    """A linear map whose weight is held at a precision, one scale per output; the bias stays digital float."""

    def __init__(self, inputs: int, outputs: int, rng: torch.Generator) -> None:
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(bound * (2 * torch.rand(outputs, inputs, generator=rng) - 1))
        self.bias = nn.Parameter(bound * (2 * torch.rand(outputs, generator=rng) - 1))
        self.precision: Precision = "float"

    def effective_weight(self) -> Tensor:
        """The weight (outputs, inputs) at the current precision."""
        if self.precision == "float":
            return self.weight
        return ternary(self.weight, (1,)) if self.precision == "ternary" else uniform(self.weight, 4, (1,))

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        return functional.linear(x, self.effective_weight(), self.bias)


class S4DNetwork(nn.Module):
    """S4D classifier: encoder, [S4D, batch norm, ReLU (, mix + residual)] per layer, mean over time, head.

    Converters of 8 bits stand before the encoder, before every S4D layer, after every ReLU and before the head.

    Args:
        inputs, channels (H), states (N), layers, classes: sizes.
        rng: draws the initial values.
        memory: False for the null control, the same net whose kernels have no state.
    """

    def __init__(
        self,
        inputs: int,
        classes: int,
        rng: torch.Generator,
        channels: int = 32,
        states: int = 4,
        layers: int = 2,
        memory: bool = True,
    ) -> None:
        super().__init__()
        self.encoder = QuantisedLinear(inputs, channels, rng)
        self.head = QuantisedLinear(channels, classes, rng)
        self.kernels = nn.ModuleList(S4DLayer(channels, states, rng, memory=memory) for _ in range(layers))
        self.norms = nn.ModuleList(nn.BatchNorm1d(channels) for _ in range(layers))
        self.mixes = nn.ModuleList(QuantisedLinear(channels, channels, rng) for _ in range(layers - 1))
        self.encoder_converter = ActivationQuantiser()
        self.head_converter = ActivationQuantiser()
        self.layer_converters = nn.ModuleList(ActivationQuantiser() for _ in range(layers))
        self.relu_converters = nn.ModuleList(ActivationQuantiser() for _ in range(layers))

    def set_precision(self, precision: Precision) -> None:
        """Hold every weight at `precision`; anything but float switches the 8-bit converters on."""
        for module in self.modules():
            match module:
                case S4DLayer() | QuantisedLinear():
                    module.precision = precision
                case ActivationQuantiser():
                    module.enabled = precision != "float"

    def set_weight_noise(self, fraction: float) -> None:
        """Noise on the kernels' weights in training, as a fraction of the largest of its kind."""
        for index in range(len(self.kernels)):
            self.layer(index).weight_noise = fraction

    def layer(self, index: int) -> S4DLayer:
        """The kernels of one layer."""
        layer = self.kernels[index]
        assert isinstance(layer, S4DLayer)
        return layer

    def norm(self, index: int) -> nn.BatchNorm1d:
        """The batch norm after the kernels of one layer."""
        norm = self.norms[index]
        assert isinstance(norm, nn.BatchNorm1d)
        return norm

    def pole_parameters(self) -> list[nn.Parameter]:
        """The parameters of all poles, which learn more slowly than the rest."""
        return [parameter for index in range(len(self.kernels)) for parameter in self.layer(index).pole_parameters()]

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (n, steps, inputs) -> logits (n, classes)."""
        x = self.encoder(self.encoder_converter(inputs))
        for index, (layer, norm) in enumerate(zip(self.kernels, self.norms, strict=True)):
            u = self.layer_converters[index](x)
            y = layer(u)
            y = norm(y.flatten(0, 1)).unflatten(0, y.shape[:2])
            x = self.relu_converters[index](functional.relu(y))
            if index < len(self.mixes):
                x = self.mixes[index](x) + u
        logits: Tensor = self.head(self.head_converter(x.mean(1)))
        return logits
