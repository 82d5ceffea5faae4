"""The net: encoder, S4D layers with norm, activation and mixing, mean, maximum or end over time, head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from imssa_lab.s4d.bundle import Levelling, Pooling
from imssa_lab.s4d.layer_kernels import Activation, Gate
from imssa_lab.s4d.model.layers import S4DLayer
from imssa_lab.s4d.model.poles import Discretisation, Initialisation, Poles
from imssa_lab.s4d.model.pooling import levelled, pooled
from imssa_lab.s4d.quantise.cell_errors import CellErrors
from imssa_lab.s4d.quantise.precision import Precision, WeightBits
from imssa_lab.s4d.quantise.quantisers import Converter, Exact, weight_quantiser
from imssa_lab.s4d.scores import Goal


@dataclass(frozen=True)
class Block:
    """What is around the kernels of every layer; see `imssa_lab.s4d.layer_kernels`.

    Attributes:
        norm: "batch": a batch norm after the kernels, and a mix with residual in every layer but the last; "before",
            "after": a layer norm there, and a mix with residual in every layer.
        layer_norm_eps: what a layer norm adds to the variance.
    """

    norm: Literal["batch", "before", "after"] = "batch"
    activation: Activation = "relu"
    gate: Gate = "none"
    bidirectional: bool = False
    layer_norm_eps: float = 1e-5


@dataclass(frozen=True)
class Architecture:
    """Sizes and kind of a network.

    Attributes:
        inputs, classes: numbers per step, and of labels, which are names of classes or of values.
        channels (H), states (N), layers: of the kernels.
        initialisation, discretisation, dt_range, r_max, leak: of the poles, see `Poles`.
        memory: False for the null control, the same net whose kernels have no state.
        pooling, levelling: what the head sees of the steps, and how inputs are levelled first; see the bundle.
        block: what is around the kernels.
        goal: whether the net gives logits or values.
    """

    inputs: int
    classes: int
    channels: int = 32
    states: int = 4
    layers: int = 2
    initialisation: Initialisation = "lin"
    discretisation: Discretisation = "zoh"
    dt_range: tuple[float, float] = (0.01, 0.2)
    r_max: float = 0.9995
    leak: float = 1.0
    memory: bool = True
    pooling: Pooling = "mean"
    levelling: Levelling = "none"
    block: Block = Block()
    goal: Goal = "classes"

    def poles(self, rng: torch.Generator) -> Poles:
        """Fresh poles of one layer."""
        return Poles(
            self.channels * (2 if self.block.bidirectional else 1),
            self.states,
            rng,
            initialisation=self.initialisation,
            discretisation=self.discretisation,
            dt_range=self.dt_range,
            r_max=self.r_max,
            leak=self.leak,
        )


class QuantisedLinear(nn.Module):
    """A linear map whose weight is held with few bits, one scale per output; the bias stays digital float."""

    def __init__(self, inputs: int, outputs: int, rng: torch.Generator) -> None:
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(bound * (2 * torch.rand(outputs, inputs, generator=rng) - 1))
        self.bias = nn.Parameter(bound * (2 * torch.rand(outputs, generator=rng) - 1))
        self.quantiser: nn.Module = Exact()

    def set_bits(self, bits: WeightBits, precision: Precision) -> None:
        """Hold the weight with these bits."""
        self.quantiser = weight_quantiser(bits, (1,), self.weight, precision)

    def effective_weight(self) -> Tensor:
        """The weight (outputs, inputs) as it is held."""
        weight: Tensor = self.quantiser(self.weight)
        return weight

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        return functional.linear(x, self.effective_weight(), self.bias)


class S4DNetwork(nn.Module):
    """S4D net: encoder, [S4D, batch norm, ReLU (, mix + residual)] per layer, pooling over time, head.

    That is the usual block; `Architecture.block` has others. Converters are before the encoder, before every S4D
    layer, after every activation and before the head. What the head gives are logits, or values less their mean and
    over their deviation in training data, `value_mean` and `value_scale`, both (values,).

    Args:
        rng: draws the initial values.
    """

    def __init__(self, architecture: Architecture, rng: torch.Generator) -> None:
        super().__init__()
        self.architecture = architecture
        channels, layers = architecture.channels, architecture.layers
        self.encoder = QuantisedLinear(architecture.inputs, channels, rng)
        self.head = QuantisedLinear(channels, architecture.classes, rng)
        self.kernels = nn.ModuleList(
            S4DLayer(architecture.poles(rng), rng, memory=architecture.memory) for _ in range(layers)
        )
        block = architecture.block
        batch = block.norm == "batch"
        self.norms = nn.ModuleList(
            nn.BatchNorm1d(channels) if batch else nn.LayerNorm(channels, eps=block.layer_norm_eps)
            for _ in range(layers)
        )
        rows = channels * (2 if block.gate == "glu" else 1)
        mixes = layers - 1 if batch else layers
        self.mixes = nn.ModuleList(QuantisedLinear(channels, rows, rng) for _ in range(mixes))
        self.encoder_converter = Converter()
        self.head_converter = Converter()
        self.layer_converters = nn.ModuleList(Converter() for _ in range(layers))
        self.relu_converters = nn.ModuleList(Converter() for _ in range(layers))
        self.precision = Precision()
        if architecture.goal == "values":
            self.register_buffer("value_mean", torch.zeros(architecture.classes))
            self.register_buffer("value_scale", torch.ones(architecture.classes))

    def set_precision(self, precision: Precision) -> None:
        """Hold every part at its width."""
        self.precision = precision
        self.encoder.set_bits(precision.encoder, precision)
        self.head.set_bits(precision.head, precision)
        for mix in self.mixes:
            assert isinstance(mix, QuantisedLinear)
            mix.set_bits(precision.mixing, precision)
        for index in range(len(self.kernels)):
            self.layer(index).set_precision(precision)
        for converter in (self.encoder_converter, self.head_converter, *self.layer_converters, *self.relu_converters):
            assert isinstance(converter, Converter)
            converter.bits = precision.input

    def set_cell_errors(self, errors: CellErrors | None, rng: torch.Generator, judged: bool = False) -> None:
        """In training, put errors of programmed cells on the kernels' weights, drawn from `rng`; None for none.

        `judged`: keep what they do to the kernels, for `error_by_cells`.
        """
        for index in range(len(self.kernels)):
            self.layer(index).set_cell_errors(errors, rng, judged)

    def error_by_cells(self) -> Tensor:
        """Mean NRMSE of all kernels by the errors of cells in the last pass of training, ()."""
        return torch.stack([self.layer(index).error_by_cells() for index in range(len(self.kernels))]).mean()

    @torch.no_grad()
    def calibrate_states(self, inputs: Tensor) -> None:
        """Set the full scales of all states from inputs (n, steps, inputs), in evaluation mode."""
        assert not self.training
        x = self.encoder(self.encoder_converter(levelled(inputs, self.architecture.levelling)))
        for index in range(len(self.kernels)):
            u = self._before_kernels(index, x)
            given = self._both_ways(u)
            self.layer(index).calibrate_state(given)
            x = self._after_kernels(index, self.layer(index)(given), u, x)

    def layer(self, index: int) -> S4DLayer:
        """The kernels of one layer."""
        layer = self.kernels[index]
        assert isinstance(layer, S4DLayer)
        return layer

    def norm(self, index: int) -> nn.BatchNorm1d | nn.LayerNorm:
        """The norm of one layer."""
        norm = self.norms[index]
        assert isinstance(norm, nn.BatchNorm1d | nn.LayerNorm)
        return norm

    def pole_parameters(self) -> list[nn.Parameter]:
        """The parameters of all poles, which learn more slowly than the rest."""
        return [parameter for index in range(len(self.kernels)) for parameter in self.layer(index).poles.parameters()]

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (n, steps, inputs) -> logits (n, classes), or values (n, values) in their own unit."""
        return self.in_unit(self.scaled(inputs))

    def scaled(self, inputs: Tensor) -> Tensor:
        """Inputs (n, steps, inputs) -> what the head gives, (n, classes or values): training compares that."""
        return self.classify(pooled(self.features(inputs), self.architecture.pooling))

    @torch.no_grad()
    def set_value_scale(self, mean: Tensor, scale: Tensor) -> None:
        """Give values in the unit of these: their mean and deviation in training data, (values,) each."""
        self.get_buffer("value_mean").copy_(mean)
        self.get_buffer("value_scale").copy_(scale)

    def in_unit(self, given: Tensor) -> Tensor:
        """Logits as they are, and values in their own unit, of what the head gives; same shape."""
        if self.architecture.goal == "classes":
            return given
        return given * self.get_buffer("value_scale") + self.get_buffer("value_mean")

    def features(self, inputs: Tensor, states: list[Tensor | None] | None = None) -> Tensor:
        """What the last layer gives at every step, (n, steps, H).

        Args:
            states: recurrent mode: one state (n, H, N, 2) per layer, None for zero, replaced by those after the last
                step; without it convolution, from zero states.
        """
        return self.encoded_features(levelled(inputs, self.architecture.levelling), states)

    def encoded_features(self, inputs: Tensor, states: list[Tensor | None] | None = None) -> Tensor:
        """`features` of inputs that are levelled already."""
        x = self.encoder(self.encoder_converter(inputs))
        for index in range(len(self.kernels)):
            u = self._before_kernels(index, x)
            if states is None:
                y = self.layer(index)(self._both_ways(u))
            else:
                y, states[index] = self.layer(index).recur(u, states[index])
            x = self._after_kernels(index, y, u, x)
        features: Tensor = x
        return features

    def _before_kernels(self, index: int, x: Tensor) -> Tensor:
        """Layer norm, if it is there, and converter: what a layer's kernels see of its features (n, steps, H)."""
        before = self.architecture.block.norm == "before"
        u: Tensor = self.layer_converters[index](self.norms[index](x) if before else x)
        return u

    def _both_ways(self, u: Tensor) -> Tensor:
        """What the kernels get, (n, steps, K), of (n, steps, H): u, and turned round where the block asks for it."""
        return torch.cat([u, u.flip(1)], -1) if self.architecture.block.bidirectional else u

    def _after_kernels(self, index: int, y: Tensor, u: Tensor, x: Tensor) -> Tensor:
        """What follows the kernels' outputs y (n, steps, K), with their inputs u and the layer's x: (n, steps, H)."""
        block = self.architecture.block
        if block.bidirectional:
            ahead, back = y.chunk(2, -1)
            y = ahead + back.flip(1)
        if block.norm == "batch":
            y = self.norms[index](y.flatten(0, 1)).unflatten(0, y.shape[:2])
        active = functional.relu(y) if block.activation == "relu" else functional.gelu(y)
        z: Tensor = self.relu_converters[index](active)
        if index < len(self.mixes):
            mixed: Tensor = self.mixes[index](z)
            gated = functional.glu(mixed, -1) if block.gate == "glu" else mixed
            z = gated + (x if block.norm == "before" else u)
        features: Tensor = self.norms[index](z) if block.norm == "after" else z
        return features

    def classify(self, vector: Tensor) -> Tensor:
        """What the head gives, (n, classes or values), of features made one vector, (n, H)."""
        logits: Tensor = self.head(self.head_converter(vector))
        return logits
