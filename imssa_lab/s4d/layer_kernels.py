"""`LayerKernels`: the recurrent kernels of one layer, and the digital operations around them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.errors import BundleError
from imssa_lab.s4d.quantise.precision import Form

Activation = Literal["relu", "gelu"]
"""max(0, y), or y Phi(y) with the normal distribution's Phi (Hendrycks and Gimpel, arXiv 1606.08415)."""

Gate = Literal["none", "glu"]
"""What a mix gives: its H outputs, or of its 2H outputs the first H times the logistic function of the last H.

Dauphin et al., arXiv 1612.08083.
"""

NormPlace = Literal["none", "before", "after"]
"""Position of a layer norm: none, before the kernels, outside the residual, or after the residual."""


@dataclass(frozen=True, eq=False)
class LayerKernels(FrozenArrays):
    """The kernels of one layer, and the digital operations around them.

    x[k+1] = M x[k] + b u[k], y[k] = c . x[k] + d u[k] for each of K kernels with N states of two real parts. A layer
    has H features and K = H kernels, or with `bidirectional` K = 2H: the last H see the sequence from its end, and
    what they give is turned round and added to what the first H give.

    From the features v: u = v, with a layer norm "before" its norm; z = activation(norm_scale y + norm_shift); with
    a mix z = gate(mix_weight z + mix_bias) + r, r = u, with a norm "before" v; with a layer norm "after" its norm.
    Numbers are those of the trained net, without unit.

    Attributes:
        transition: M, (K, N, 2, 2); b, c: (K, N, 2); d: (K,).
        input_range: largest |u| on training data; state_range, increment_range, output_range: (K,), largest |x| over
            all states of a kernel, largest |x[k+1] - x[k]|, largest |y|.
        norm_scale, norm_shift: (H,), the batch norm after the kernels, folded.
        activation_range: full scale of the quantiser after the activation.
        mix_weight, mix_bias: (H, H) and (H,), with a gate (2H, H) and (2H,), of the 1x1 mix with residual; None for
            none.
        state_bits, output_bits: converters that the model was trained for, of the fed-back state (full scale
            STATE_HEADROOM state_range) and of the output (full scale output_range); None for none.
        each_state_range: (K, N), largest |x| of every state, which takes the place of state_range in that converter;
            only with state_bits and in the delta form, None for none.
        increment_bits: that of the increments of the delta form, of full scale INCREMENT_HEADROOM column_range;
            column_range: (K, N, 2), largest increment of every column on training data, only with such a converter.
        common_scale: inputs and states have one full scale at the array's inputs, so that a column of cells has one
            magnitude where the model was trained for three levels.
        form: "delta", where the array gives the increment and the state keeps all its digits, "direct" or "state".
        layer_norm_scale, layer_norm_shift: (H,), of the layer norm (Ba et al., arXiv 1607.06450), None without one;
            layer_norm_eps: what it adds to the variance.

    Raises:
        BundleError: an array has the wrong shape, a value is not finite, a range not above zero, a width, a form or a
            kind unknown, or there is no state.
    """

    transition: FloatArray
    b: FloatArray
    c: FloatArray
    d: FloatArray
    input_range: float
    state_range: FloatArray
    increment_range: FloatArray
    output_range: FloatArray
    norm_scale: FloatArray
    norm_shift: FloatArray
    activation_range: float
    mix_weight: FloatArray | None = None
    mix_bias: FloatArray | None = None
    state_bits: int | None = None
    output_bits: int | None = None
    form: str = "delta"
    common_scale: bool = False
    bidirectional: bool = False
    activation: Activation = "relu"
    gate: Gate = "none"
    layer_norm: NormPlace = "none"
    layer_norm_scale: FloatArray | None = None
    layer_norm_shift: FloatArray | None = None
    layer_norm_eps: float = 1e-5
    increment_bits: int | None = None
    column_range: FloatArray | None = None
    each_state_range: FloatArray | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.b.ndim != 3:
            raise BundleError(f"layer: b must have shape (kernels, states, 2), got {self.b.shape}")
        kernels, states = self.b.shape[:2]
        if not kernels or not states:
            raise BundleError(f"layer: {kernels} kernels of {states} states; one or more of each")
        if self.bidirectional and kernels % 2:
            raise BundleError(f"layer: bidirectional with {kernels} kernels; as many from the end as from the start")
        check_shape("transition", self.transition, (kernels, states, 2, 2))
        check_shape("b", self.b, (kernels, states, 2))
        check_shape("c", self.c, (kernels, states, 2))
        for name in ("d", "state_range", "increment_range", "output_range"):
            check_shape(name, getattr(self, name), (kernels,))
        for name in ("norm_scale", "norm_shift"):
            check_shape(name, getattr(self, name), (self.features,))
        for name in ("input_range", "state_range", "increment_range", "output_range", "activation_range"):
            check_range(f"layer: {name}", getattr(self, name))
        if (self.column_range is None) != (self.increment_bits is None) or (
            self.increment_bits is not None and self.form != "delta"
        ):
            raise BundleError("layer: increment_bits and column_range come together, and only in the delta form")
        if self.column_range is not None:
            check_shape("column_range", self.column_range, (kernels, states, 2))
            check_range("layer: column_range", self.column_range)
        if self.each_state_range is not None:
            if self.state_bits is None or self.form != "delta":
                raise BundleError("layer: each_state_range comes with state_bits, and only in the delta form")
            check_shape("each_state_range", self.each_state_range, (kernels, states))
            check_range("layer: each_state_range", self.each_state_range)
        for name in ("state_bits", "output_bits", "increment_bits"):
            check_bits(f"layer: {name}", getattr(self, name))
        for name, kinds in (("form", Form), ("activation", Activation), ("gate", Gate), ("layer_norm", NormPlace)):
            check_kind(f"layer: {name}", getattr(self, name), get_args(kinds))
        self._check_digital()

    def _check_digital(self) -> None:
        if (self.mix_weight is None) != (self.mix_bias is None):
            raise BundleError("layer: mix_weight and mix_bias come together or not at all")
        if self.mix_weight is not None and self.mix_bias is not None:
            rows = self.features * (2 if self.gate == "glu" else 1)
            check_shape("mix_weight", self.mix_weight, (rows, self.features))
            check_shape("mix_bias", self.mix_bias, (rows,))
        elif self.gate != "none":
            raise BundleError(f"layer: gate {self.gate!r} without a mix; a gate acts on what a mix gives")
        for name in ("layer_norm_scale", "layer_norm_shift"):
            values = getattr(self, name)
            if (values is None) != (self.layer_norm == "none"):
                raise BundleError(f"layer: layer_norm {self.layer_norm!r} and {name} do not go together")
            if values is not None:
                check_shape(name, values, (self.features,))
        check_range("layer: layer_norm_eps", self.layer_norm_eps)

    @property
    def features(self) -> int:
        """H, numbers a step that the layer takes and gives."""
        return len(self.d) // (2 if self.bidirectional else 1)


def check_shape(name: str, values: FloatArray, shape: tuple[int, ...]) -> None:
    """BundleError unless `values` are finite and of that shape."""
    if values.shape != shape or not np.isfinite(values).all():
        raise BundleError(
            f"bundle: {name} must be finite and of shape {shape}, got shape {values.shape}; train again"
        )


def check_range(name: str, values: float | FloatArray | tuple[float, ...]) -> None:
    """BundleError unless all `values`, of any shape, are finite and above zero."""
    numbers = np.asarray(values, dtype=np.float64)
    if not (np.isfinite(numbers) & (numbers > 0)).all():
        raise BundleError(f"{name} is {values}; a range is the largest value on training data, finite and above zero")


def check_bits(name: str, bits: int | None) -> None:
    """BundleError unless `bits` is a width of a converter, or None."""
    if bits is not None and (isinstance(bits, bool) or bits not in range(2, 17)):
        raise BundleError(f"{name} is {bits!r}; converters have 2 to 16 bits, or None where there is none")


def check_kind(name: str, value: object, kinds: tuple[object, ...]) -> None:
    """BundleError unless `value` is one of `kinds`."""
    if value not in kinds:
        raise BundleError(f"{name} {value!r}; it is one of {', '.join(map(str, kinds))}")
