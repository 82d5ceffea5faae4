"""Straight-through quantisers: the forward pass sees the quantised value, the gradient passes unchanged."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from imssa_lab.s4d.quantise.precision import ConverterBits, Precision, WeightBits

TINY = 1e-12
"""Smallest scale: what divides weights that are all zero."""


def straight_through(exact: Tensor, quantised: Tensor) -> Tensor:
    """`quantised` in the forward pass, the gradient of `exact` in the backward pass; shapes are equal."""
    # In this order the value is `quantised` to the last bit; exact + (quantised - exact) would blur the levels.
    return quantised.detach() + (exact - exact.detach())


class Exact(nn.Module):
    """No quantisation."""

    def forward(self, weight: Tensor) -> Tensor:
        """The weight as it is."""
        return weight


class Uniform(nn.Module):
    """Symmetric uniform quantisation: s round(w / s), s = max|w| / (2^(bits-1) - 1).

    Args:
        bits: two or more; dims: the group that shares one scale, which carries no gradient.
    """

    def __init__(self, bits: int, dims: tuple[int, ...]) -> None:
        super().__init__()
        self._top = 2 ** (bits - 1) - 1
        self._dims = dims

    def forward(self, weight: Tensor) -> Tensor:
        """Quantised weight, same shape."""
        scale = weight.detach().abs().amax(self._dims, keepdim=True).clamp_min(TINY) / self._top
        return straight_through(weight, scale * torch.round(weight / scale).clamp(-self._top, self._top))


class LearnedStep(nn.Module):
    """Symmetric uniform quantisation whose step is trained with the weights, one a group.

    Gradient of the step and its scale 1 / sqrt(levels * weights): Esser et al., arXiv 1902.08153, eq. 3 and 2.2.

    Args:
        bits: two or more; dims: the group that shares one step; weight: sets the first step, 2 mean|w| / sqrt(top).
    """

    def __init__(self, bits: int, dims: tuple[int, ...], weight: Tensor) -> None:
        super().__init__()
        self._top = 2 ** (bits - 1) - 1
        size = weight.detach().abs()
        first = 2 * size.mean(dims, keepdim=True).clamp_min(TINY) / self._top**0.5
        self.log_step = nn.Parameter(first.log())
        self._share = (self._top * weight.numel() / first.numel()) ** -0.5

    def forward(self, weight: Tensor) -> Tensor:
        """Quantised weight, same shape; weights beyond the last level get no gradient."""
        slow = self._share * self.log_step
        step = (slow + (self.log_step - slow).detach()).exp()
        ratio = (weight / step).clamp(-self._top, self._top)
        quantised: Tensor = straight_through(ratio, torch.round(ratio)) * step
        return quantised


class Ternary(nn.Module):
    """Ternary weight network: alpha sign(w) where |w| > 0.7 mean|w|, else 0, one alpha per group over `dims`.

    alpha is the mean of |w| over the weights that are kept. Li et al., Ternary Weight Networks, arXiv 1605.04711.
    """

    def __init__(self, dims: tuple[int, ...]) -> None:
        super().__init__()
        self._dims = dims

    def forward(self, weight: Tensor) -> Tensor:
        """Ternary weight, same shape."""
        size = weight.detach().abs()
        kept = (size > 0.7 * size.mean(self._dims, keepdim=True)).to(weight.dtype)
        alpha = (size * kept).sum(self._dims, keepdim=True) / kept.sum(self._dims, keepdim=True).clamp_min(1.0)
        return straight_through(weight, alpha * torch.sign(weight) * kept)


def weight_quantiser(bits: WeightBits, dims: tuple[int, ...], weight: Tensor, precision: Precision) -> nn.Module:
    """The quantiser of a weight at a width, one scale per group over `dims`."""
    if bits == "float":
        return Exact()
    if bits == "ternary":
        return Ternary(dims)
    return LearnedStep(bits, dims, weight) if precision.step == "learned" else Uniform(bits, dims)


class Converter(nn.Module):
    """A converter whose full scale follows max|x| in training (moving average) and is frozen in evaluation.

    Its range is tracked at `bits` "float" too, where values pass unchanged, so that a float net can be quantised
    without another calibration. Values beyond the full scale saturate.

    Args:
        shape: of the full scale: () for one converter, (H, 1, 1) for one per channel of states (n, H, N, 2), say.
        momentum: weight of the newest maximum.
    """

    full_scale: Tensor

    def __init__(self, shape: tuple[int, ...] = (), momentum: float = 0.05) -> None:
        super().__init__()
        self.bits: ConverterBits = "float"
        self.momentum = momentum
        self.register_buffer("full_scale", torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Quantised x, same shape."""
        if self.training:
            self.track(x)
        return self.rounded(x)

    def rounded(self, x: Tensor) -> Tensor:
        """Quantised x, same shape, with the full scale left as it is."""
        if self.bits == "float":
            return x
        top: int = 2 ** (self.bits - 1) - 1
        step = self.full_scale.clamp_min(TINY) / top
        codes = straight_through(x / step, torch.round(x / step)).clamp(-top, top)
        return step * codes

    def track(self, x: Tensor) -> None:
        """Let the full scale follow max|x| over the axes in which it has length 1, or does not exist."""
        size = x.detach().abs()
        missing = size.dim() - self.full_scale.dim()
        axes = [axis for axis in range(size.dim()) if axis < missing or self.full_scale.shape[axis - missing] == 1]
        peak = size.amax(axes).reshape(self.full_scale.shape)
        fresh = self.full_scale == 0
        self.full_scale.copy_(torch.where(fresh, peak, torch.lerp(self.full_scale, peak, self.momentum)))
