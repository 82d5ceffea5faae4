"""Straight-through quantisers: the forward pass sees the quantised value, the gradient passes unchanged."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

R_MAX = 0.9995
"""Largest pole radius: keeps every state's gain and memory finite."""

Precision = Literal["float", "4bit", "ternary"]

_TINY = 1e-12


def straight_through(exact: Tensor, quantised: Tensor) -> Tensor:
    """`quantised` in the forward pass, the gradient of `exact` in the backward pass; shapes are equal."""
    # In this order the value is `quantised` to the last bit; exact + (quantised - exact) would blur the levels.
    return quantised.detach() + (exact - exact.detach())


def uniform(weight: Tensor, bits: int, dims: tuple[int, ...]) -> Tensor:
    """Symmetric uniform quantisation: s round(w / s), s = max|w| / (2^(bits-1) - 1).

    Args:
        weight: any shape; bits: two or more; dims: the group that shares one scale, which carries no gradient.

    Returns:
        The quantised weight, same shape.
    """
    top = 2 ** (bits - 1) - 1
    scale = weight.detach().abs().amax(dims, keepdim=True).clamp_min(_TINY) / top
    return straight_through(weight, scale * torch.round(weight / scale).clamp(-top, top))


def ternary(weight: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Ternary weight network: alpha sign(w) where |w| > 0.7 mean|w|, else 0, one alpha per group over `dims`.

    alpha is the mean of |w| over the weights that are kept. Li et al., Ternary Weight Networks, arXiv 1605.04711.

    Returns:
        The ternary weight, same shape.
    """
    size = weight.detach().abs()
    kept = (size > 0.7 * size.mean(dims, keepdim=True)).to(weight.dtype)
    alpha = (size * kept).sum(dims, keepdim=True) / kept.sum(dims, keepdim=True).clamp_min(1.0)
    return straight_through(weight, alpha * torch.sign(weight) * kept)


def delta_uniform(real: Tensor, imag: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Abar - 1 on a uniform grid with one scale per channel; the real part at least one step below zero.

    That floor alone does not make every code stable (a large imaginary part can still leave the unit circle), so
    what is left outside is shrunk onto radius R_MAX.

    Args:
        real, imag: parts of Abar, (H, N); bits: two or more.

    Returns:
        Parts of the quantised Abar, (H, N), radius at most R_MAX.
    """
    top = 2 ** (bits - 1) - 1
    less, turn = real.detach() - 1.0, imag.detach()
    scale = torch.maximum(less.abs(), turn.abs()).amax(-1, keepdim=True).clamp_min(_TINY) / top
    a = 1.0 + scale * torch.round(less / scale).clamp(-top, -1)
    q = scale * torch.round(turn / scale).clamp(-top, top)
    shrink = (R_MAX / torch.hypot(a, q).clamp_min(_TINY)).clamp_max(1.0)
    return straight_through(real, a * shrink), straight_through(imag, q * shrink)


def delta_ternary(real: Tensor, imag: Tensor) -> tuple[Tensor, Tensor]:
    """Abar - 1 = g (-1, {-1, 0, 1}) with a gain g per state, which is a digital factor of the column.

    |1 - g + i g|^2 = 1 - 2g + 2g^2 < 1 for 0 < g < 1, so no code is unstable.

    Args:
        real, imag: parts of Abar, (H, N).

    Returns:
        Parts of the quantised Abar, (H, N).
    """
    a, q = (1.0 - real).detach().abs(), imag.detach()
    turning = (q.abs() > 0.5 * a).to(real.dtype)
    gain = torch.where(turning > 0, (a + q.abs()) / 2, a).clamp(1e-4, 0.9)
    return straight_through(real, 1.0 - gain), straight_through(imag, gain * torch.sign(q) * turning)


class ActivationQuantiser(nn.Module):
    """A converter whose full scale follows max|x| in training (moving average) and is frozen in evaluation.

    Until `enabled` values pass unchanged; the range is tracked all the same, so a float net can be quantised
    without another calibration. Values beyond the full scale saturate.

    Args:
        bits: width of the converter; momentum: weight of the newest maximum.
    """

    full_scale: Tensor

    def __init__(self, bits: int = 8, momentum: float = 0.05) -> None:
        super().__init__()
        self.bits = bits
        self.momentum = momentum
        self.enabled = False
        self.register_buffer("full_scale", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Quantised x, same shape."""
        if self.training:
            peak = x.detach().abs().max()
            fresh = self.full_scale == 0
            self.full_scale.copy_(torch.where(fresh, peak, torch.lerp(self.full_scale, peak, self.momentum)))
        if not self.enabled:
            return x
        top: int = 2 ** (self.bits - 1) - 1
        step = self.full_scale.clamp_min(_TINY) / top
        codes = straight_through(x / step, torch.round(x / step)).clamp(-top, top)
        return step * codes
