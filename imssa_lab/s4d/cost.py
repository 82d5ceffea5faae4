"""What a bundle costs to compute and to keep, counted from its shapes."""

from __future__ import annotations

from dataclasses import dataclass

from imssa_lab.contract.errors import ConfigError
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.quantise.precision import Precision

FLOAT_BITS = 32
"""Width that counts for a part that is not quantised."""


@dataclass(frozen=True)
class Cost:
    """One step of a network, and what it keeps.

    Attributes:
        parameters: numbers that were trained: per kernel a step, 2N of poles, 2N of c and d; linear maps and norms.
        kernel_macs: multiplications a step with weights of the kernels, zeros of a block left out; digital_macs: of
            encoder, mixes and norms; head_macs: once a sequence.
        bit_operations: a step, sum over all multiplications of weight bits times input bits, ternary as 2 and what is
            not quantised as 32; None where the bundle's precision cannot be read.
        state_bytes: of the digital accumulators, 4 bytes each unless the state has a converter and no accumulator.
        cells: of the kernels' blocks, a differential pair for every weight, zeros included.
    """

    parameters: int
    kernel_macs: int
    digital_macs: int
    head_macs: int
    bit_operations: int | None
    state_bytes: int
    cells: int


@dataclass(frozen=True)
class MultiplyAdds:
    """Multiplications with weights, each with its addition, by the part of the network that they belong to.

    Attributes:
        kernels: with the weights of the kernels, zeros of a block left out; norms: the scaling of their outputs.
    """

    encoder: int
    kernels: int
    mixing: int
    norms: int
    head: int

    @property
    def whole(self) -> int:
        """Of the whole network."""
        return self.encoder + self.kernels + self.mixing + self.norms + self.head

    @property
    def beside_kernels(self) -> int:
        """All but those of the kernels: what stays digital where arrays hold kernels alone."""
        return self.whole - self.kernels

    @property
    def digital_share(self) -> float:
        """Share of `beside_kernels`."""
        return self.beside_kernels / self.whole


def multiply_adds(bundle: KernelBundle, steps: int) -> MultiplyAdds:
    """Of one sequence of so many steps; the head works once, everything else at every step."""
    channels = len(bundle.encoder_weight)
    return MultiplyAdds(
        encoder=steps * bundle.inputs * channels,
        kernels=steps * sum(h * (8 * n + 1) for h, n in (layer.b.shape[:2] for layer in bundle.layers)),
        mixing=steps * sum(layer.mix_weight.size for layer in bundle.layers if layer.mix_weight is not None),
        norms=steps * channels * len(bundle.layers),
        head=channels * len(bundle.labels),
    )


def cost(bundle: KernelBundle) -> Cost:
    """What `bundle` costs."""
    inputs, channels, classes = bundle.inputs, len(bundle.encoder_weight), len(bundle.labels)
    step = multiply_adds(bundle, 1)
    sizes = [layer.b.shape[:2] for layer in bundle.layers]
    mixes = sum(layer.mix_weight.size for layer in bundle.layers if layer.mix_weight is not None)
    biases = sum(layer.mix_bias.size for layer in bundle.layers if layer.mix_bias is not None)
    linear = (inputs + 1) * channels + mixes + biases + (channels + 1) * classes
    norms = len(sizes) * channels
    accumulators = sum(
        2 * h * n * (4 if layer.form == "delta" else _bytes(layer.state_bits))
        for layer, (h, n) in zip(bundle.layers, sizes, strict=True)
    )
    return Cost(
        parameters=linear + 2 * norms + sum(h * (4 * n + 2) for h, n in sizes),
        kernel_macs=step.kernels,
        digital_macs=step.encoder + step.mixing + step.norms,
        head_macs=step.head,
        bit_operations=_bit_operations(bundle),
        state_bytes=accumulators,
        cells=sum(h * 2 * (2 * n + 1) ** 2 for h, n in sizes),
    )


def _bit_operations(bundle: KernelBundle) -> int | None:
    try:
        precision = Precision.parse(bundle.precision)
    except ConfigError:
        return None
    activations = bundle.activation_bits or FLOAT_BITS
    channels, total = len(bundle.encoder_weight), 0
    for layer in bundle.layers:
        h, n = layer.b.shape[:2]
        state = layer.state_bits or FLOAT_BITS
        total += h * state * (4 * n * _width(precision.a) + 2 * n * _width(precision.c))
        total += h * activations * (2 * n * _width(precision.b) + _width(precision.d))
        total += channels * FLOAT_BITS * (layer.output_bits or FLOAT_BITS)  # the norm
        if layer.mix_weight is not None:
            total += layer.mix_weight.size * activations * _width(precision.mixing)
    return total + bundle.inputs * channels * activations * _width(precision.encoder)


def _width(bits: int | str) -> int:
    """Bits of a weight."""
    if isinstance(bits, int):
        return bits
    return FLOAT_BITS if bits == "float" else 2


def _bytes(bits: int | None) -> int:
    return 4 if bits is None else -(-bits // 8)
