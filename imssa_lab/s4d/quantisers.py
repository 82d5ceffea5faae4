"""Straight-through quantisers: the forward pass sees the quantised value, the gradient passes unchanged."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

R_MAX = 0.9995
Precision = Literal["float", "4bit", "ternary"]


def straight_through(exact: Tensor, quantised: Tensor) -> Tensor:
    """`quantised` in the forward pass, the gradient of `exact` in the backward pass."""
    return exact + (quantised - exact).detach()


def uniform(weight: Tensor, bits: int, dims: tuple[int, ...]) -> Tensor:
    """Symmetric uniform quantisation with full scale max|w| over `dims`; same shape as `weight`."""
    top = 2 ** (bits - 1) - 1
    scale = weight.detach().abs().amax(dims, keepdim=True).clamp_min(1e-12) / top
    return straight_through(weight, scale * torch.round(weight / scale))


def ternary(weight: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Ternary weight network: alpha sign(w) where |w| > 0.7 mean|w|, else 0, one alpha per group over `dims`.

    Li et al., Ternary Weight Networks, arXiv 1605.04711.
    """
    size = weight.detach().abs()
    kept = (size > 0.7 * size.mean(dims, keepdim=True)).to(weight.dtype)
    alpha = (size * kept).sum(dims, keepdim=True) / kept.sum(dims, keepdim=True).clamp_min(1.0)
    return straight_through(weight, alpha * torch.sign(weight) * kept)


def delta_uniform(real: Tensor, imag: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Abar - 1 on a uniform grid with one scale per channel; the real part at least one step below zero.

    Args:
        real, imag: parts of Abar, (H, N).

    Returns:
        Parts of the quantised Abar, radius at most R_MAX.
    """
    top = 2 ** (bits - 1) - 1
    less = real - 1.0
    scale = torch.maximum(less.detach().abs(), imag.detach().abs()).amax(-1, keepdim=True) / top
    a = scale * torch.round(less / scale).clamp(-top, -1)
    q = scale * torch.round(imag / scale).clamp(-top, top)
    shrink = (R_MAX / torch.hypot(1.0 + a, q)).clamp_max(1.0)
    return straight_through(real, (1.0 + a) * shrink), straight_through(imag, q * shrink)


def delta_ternary(real: Tensor, imag: Tensor) -> tuple[Tensor, Tensor]:
    """Abar - 1 = g (-1, {-1, 0, 1}) with a gain g per state; |1 - g + i g| < 1 for 0 < g < 1, so always stable.

    Args:
        real, imag: parts of Abar, (H, N).

    Returns:
        Parts of the quantised Abar.
    """
    a, q = (1.0 - real).detach().abs(), imag.detach()
    turning = (q.abs() > 0.5 * a).to(real.dtype)
    gain = torch.where(turning > 0, (a + q.abs()) / 2, a).clamp(1e-4, 0.9)
    return straight_through(real, 1.0 - gain), straight_through(imag, gain * torch.sign(q) * turning)


class ActivationQuantiser(nn.Module):
    """A converter of `bits` whose full scale follows max|x| in training (moving average) and is frozen after.

    Passes values through unchanged until `enabled`; the range is tracked all the same.
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
        top = 2 ** (self.bits - 1) - 1
        step = self.full_scale / top
        return step * straight_through(x / step, torch.round(x / step)).clamp(-top, top)
