"""Errors of programmed cells, put on weights in training, so that a model learns to live with them."""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor


class CellErrors(BaseModel):
    """What a differential pair of cells makes of a weight.

    A weight w in [-1, 1] is held as G+ - G- over the window, one of the two at its bottom. Each cell gets a Gaussian
    error whose sd depends on its conductance; some cells are stuck at either end of the window.

    Attributes:
        conductance: levels at which `sigma` is given, S, ascending; sigma: sd there, S, linear in between.
        window: lowest and highest conductance that weights use, S.
        stuck_on, stuck_off: fractions of cells stuck at the top and the bottom.
        by_column: kernels' weights share a scale as on arrays, those of one state's input gain and pole, and all that
            the output adds up, and that scale is trained with them; else each kind of weight has a fixed one for
            its kernel.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    conductance: tuple[float, ...] = Field(min_length=2)
    sigma: tuple[float, ...] = Field(min_length=2)
    window: tuple[float, float]
    stuck_on: float = Field(default=0.0, ge=0, le=1)
    stuck_off: float = Field(default=0.0, ge=0, le=1)
    by_column: bool = False

    @model_validator(mode="after")
    def _fits(self) -> CellErrors:
        if len(self.sigma) != len(self.conductance) or list(self.conductance) != sorted(set(self.conductance)):
            raise ValueError("conductance must ascend and have one sigma each")
        if not 0 <= self.window[0] < self.window[1] or min(self.sigma) < 0:
            raise ValueError("the window must be above zero and ascend, sigma must not be negative")
        if self.stuck_on + self.stuck_off > 1:
            raise ValueError("stuck_on + stuck_off exceed 1")
        return self

    @classmethod
    def relative(cls, fraction: float) -> CellErrors:
        """Errors independent of the level, so that a weight's sd is `fraction` of the largest weight.

        Joshi et al., Nat. Commun. 11:2473 (2020).
        """
        sd = fraction / 2**0.5
        return cls(conductance=(0.0, 1.0), sigma=(sd, sd), window=(0.0, 1.0))

    def apply(self, weights: Tensor, dims: tuple[int, ...], rng: torch.Generator) -> Tensor:
        """Weights as a chip would hold them, straight through, same shape.

        Args:
            dims: axes over which weights share one scale, that of the largest.
            rng: of the processor, wherever the weights are.
        """
        peak = weights.abs().amax(dims, keepdim=True)
        peak = peak if self.by_column else peak.detach()
        share = weights.detach() / peak.detach().clamp_min(1e-12)
        held = self._cell(share.clamp_min(0.0), rng) - self._cell((-share).clamp_min(0.0), rng)
        return weights + (held - share) * peak

    def _cell(self, share: Tensor, rng: torch.Generator) -> Tensor:
        """One cell of every pair, as a share of the window."""
        low, high = self.window
        sd = _interpolate(low + (high - low) * share, self.conductance, self.sigma) / (high - low)
        held = share + sd * torch.randn(share.shape, generator=rng).to(share.device)
        if self.stuck_on + self.stuck_off > 0:
            lot = torch.rand(share.shape, generator=rng).to(share.device)
            held = torch.where(lot < self.stuck_on, torch.ones_like(held), held)
            held = torch.where(lot > 1 - self.stuck_off, torch.zeros_like(held), held)
        return held


def _interpolate(at: Tensor, x: tuple[float, ...], y: tuple[float, ...]) -> Tensor:
    """Linear interpolation, constant beyond the ends."""
    xs, ys = at.new_tensor(x), at.new_tensor(y)
    above = torch.searchsorted(xs, at.contiguous()).clamp(1, len(x) - 1)
    share = ((at - xs[above - 1]) / (xs[above] - xs[above - 1])).clamp(0.0, 1.0)
    return torch.lerp(ys[above - 1], ys[above], share)
