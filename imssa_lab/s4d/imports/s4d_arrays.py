"""An S4D classifier as plain arrays, in the published parametrisation; needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.errors import BundleError
from imssa_lab.s4d.bundle import Pooling
from imssa_lab.s4d.layer_kernels import Activation, Gate

_SHOWN = 6


@dataclass(frozen=True, eq=False)
class S4DLayerArrays(FrozenArrays):
    """One layer of S4D with H channels and N complex states each, conjugates implied; numbers without unit.

    A = -exp(log_a_real) + i a_imag, Abar = exp(dt A) with dt = exp(log_dt), and by zero-order hold the kernel is
    K[l] = 2 Re sum_n C_n (Abar_n - 1) / A_n Abar_n^l. Then y[t] = sum_l K[l] u[t - l] + d u[t], to which a second set
    of C adds sum_l K'[l] u[t + 1 + l]. Gu et al., arXiv 2206.11893; both directions: Goel et al., arXiv 2202.09729.

    Attributes:
        log_dt: (H,); log_a_real, a_imag: (H, N); c: complex, (H, N), or (2, H, N) for both directions; d: (H,).
        output_weight, output_bias: of the 1x1 map after the activation, (2H, H) and (2H,) with a gated linear unit,
            (H, H) and (H,) without one.
        norm_weight, norm_bias: (H,), of the layer norm.

    Raises:
        BundleError: an array has the wrong shape, or a value is not finite.
    """

    log_dt: FloatArray
    log_a_real: FloatArray
    a_imag: FloatArray
    c: NDArray[np.complex128]
    d: FloatArray
    output_weight: FloatArray
    output_bias: FloatArray
    norm_weight: FloatArray
    norm_bias: FloatArray

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.a_imag.ndim != 2 or 0 in self.a_imag.shape:
            raise BundleError(f"S4D layer: a_imag must have shape (channels, states), got {self.a_imag.shape}")
        channels, states = self.a_imag.shape
        _check("log_dt", self.log_dt, (channels,))
        _check("log_a_real", self.log_a_real, (channels, states))
        _check("a_imag", self.a_imag, (channels, states))
        _check("c", self.c, (channels, states), (2, channels, states))
        _check("d", self.d, (channels,))
        _check("output_weight", self.output_weight, (2 * channels, channels), (channels, channels))
        _check("output_bias", self.output_bias, (len(self.output_weight),))
        _check("norm_weight", self.norm_weight, (channels,))
        _check("norm_bias", self.norm_bias, (channels,))

    @property
    def bidirectional(self) -> bool:
        """Whether kernels see the sequence from its end too."""
        return self.c.ndim == 3

    @property
    def gate(self) -> Gate:
        """What the 1x1 map ends in."""
        return "glu" if len(self.output_weight) == 2 * len(self.d) else "none"

    def radii(self) -> FloatArray:
        """|Abar| of every pole, (H, N)."""
        return np.asarray(np.exp(-np.exp(self.log_dt)[:, None] * np.exp(self.log_a_real)))


@dataclass(frozen=True, eq=False)
class S4DArrays(FrozenArrays):
    """A whole net: encoder, layers with residual and layer norm, mean over all steps or the last one, decoder.

    Attributes:
        layers: in order, all with the encoder's H channels, the same directions and the same kind of 1x1 map.
        encoder_weight, encoder_bias: (H, inputs), (H,); decoder_weight, decoder_bias: (classes, H), (classes,).
        norm: position of the layer norms: "before" the kernels, outside the residual, or "after" the residual.
        norm_eps: what a layer norm adds to the variance; activation: after the kernels.
        pooling: what the decoder sees of the steps.

    Raises:
        BundleError: parts that do not fit together, or a value that is not finite.
    """

    layers: tuple[S4DLayerArrays, ...]
    encoder_weight: FloatArray
    encoder_bias: FloatArray
    decoder_weight: FloatArray
    decoder_bias: FloatArray
    norm: Literal["before", "after"] = "after"
    norm_eps: float = 1e-5
    activation: Activation = "gelu"
    pooling: Pooling = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.norm not in ("before", "after"):
            raise BundleError(f"S4D: norm {self.norm!r}; layer norms are before the kernels or after the residual")
        if self.pooling not in get_args(Pooling):
            raise BundleError(f"S4D: pooling {self.pooling!r}; it is one of {', '.join(get_args(Pooling))}")
        if self.encoder_weight.ndim != 2 or self.decoder_weight.ndim != 2 or not self.layers:
            raise BundleError(
                "S4D: encoder_weight (channels, inputs), decoder_weight (classes, channels), and a layer"
            )
        channels, classes = len(self.encoder_weight), len(self.decoder_weight)
        _check("encoder_weight", self.encoder_weight, self.encoder_weight.shape)
        _check("encoder_bias", self.encoder_bias, (channels,))
        _check("decoder_weight", self.decoder_weight, (classes, channels))
        _check("decoder_bias", self.decoder_bias, (classes,))
        first = self.layers[0]
        for number, layer in enumerate(self.layers):
            if len(layer.d) != channels:
                raise BundleError(f"S4D: layer {number} has {len(layer.d)} channels, the encoder {channels}")
            if (layer.bidirectional, layer.gate) != (first.bidirectional, first.gate):
                raise BundleError(
                    f"S4D: layer {number} differs from layer 0 in its directions or in its 1x1 map; all need the same"
                )

    def beyond(self, r_max: float) -> str:
        """The poles of a radius above `r_max`, by layer, channel and state, in words; empty where there are none."""
        found = [
            (number, int(channel), int(state), float(layer.radii()[channel, state]))
            for number, layer in enumerate(self.layers)
            for channel, state in np.argwhere(layer.radii() > r_max)
        ]
        if not found:
            return ""
        slowest = sorted(found, key=lambda pole: -pole[3])[:_SHOWN]
        named = "; ".join(f"layer {n}, channel {h}, state {k}: {radius:.7g}" for n, h, k, radius in slowest)
        total = sum(layer.a_imag.size for layer in self.layers)
        more = "" if len(found) == len(slowest) else f"; and {len(found) - len(slowest)} more"
        return f"{len(found)} of {total} poles have a radius above {r_max:g} ({named}{more})"


def _check(name: str, values: NDArray[np.generic], *shapes: tuple[int, ...]) -> None:
    if values.shape not in shapes or not np.isfinite(values).all():
        wanted = " or ".join(map(str, shapes))
        raise BundleError(f"S4D: {name} must be finite and of shape {wanted}, got shape {values.shape}")
