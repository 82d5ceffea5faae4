"""The S4D layer as real 2x2 blocks in state-normalised form, trained by convolution, deployed by recurrence."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from imssa_lab.s4d.quantisers import R_MAX, Precision, delta_ternary, delta_uniform, ternary, uniform


class S4DLayer(nn.Module):
    """H single-input single-output kernels with N complex states each, zero-order hold, S4D-Lin.

    x[k+1] = M x[k] + b u[k], y[k] = c . x[k] + d u[k], M = r (cos th, -sin th; sin th, cos th) with
    r = exp(-dt e^a_re), th = dt a_im and b = (sqrt(1 - r^2), 0), so that every state's impulse response has unit
    energy. Gu et al., On the Parameterization and Initialization of Diagonal State Space Models, arXiv 2206.11893.

    Args:
        channels: H; states: N; rng: draws the initial values.
        dt_range: bounds of the log-uniform initial step.
        memory: False freezes c at zero, which leaves a layer without state (the null control).
    """

    def __init__(
        self,
        channels: int,
        states: int,
        rng: torch.Generator,
        dt_range: tuple[float, float] = (0.01, 0.2),
        memory: bool = True,
    ) -> None:
        super().__init__()
        low, high = (math.log(bound) for bound in dt_range)
        self.log_dt = nn.Parameter(low + (high - low) * torch.rand(channels, 1, generator=rng))
        self.a_re = nn.Parameter(torch.full((channels, states), math.log(0.5)))
        self.a_im = nn.Parameter(math.pi * torch.arange(states).repeat(channels, 1).to(torch.float32))
        c = torch.randn(channels, states, 2, generator=rng) / states
        self.c = nn.Parameter(c if memory else torch.zeros_like(c), requires_grad=memory)
        self.d = nn.Parameter(0.5 * torch.randn(channels, generator=rng))
        self.precision: Precision = "float"

    def pole_parameters(self) -> list[nn.Parameter]:
        """The parameters of the poles, which learn more slowly than the rest."""
        return [self.log_dt, self.a_re, self.a_im]

    def matrices(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Effective M (H, N, 2, 2), b (H, N, 2), c (H, N, 2), d (H,) at the current precision."""
        dt = self.log_dt.exp()
        radius = torch.exp(-dt * self.a_re.exp()).clamp_max(R_MAX)
        angle = dt * self.a_im
        real, imag, c, d = radius * angle.cos(), radius * angle.sin(), self.c, self.d
        if self.precision != "float":
            d = uniform(d, 8, (0,))
            if self.precision == "ternary":
                real, imag = delta_ternary(real, imag)
                c = ternary(c, (1, 2))
            else:
                real, imag = delta_uniform(real, imag, 4)
                c = uniform(c, 4, (1, 2))
        beta = torch.sqrt((1.0 - real**2 - imag**2).clamp_min(1e-9))
        transition = torch.stack([torch.stack([real, -imag], -1), torch.stack([imag, real], -1)], -2)
        return transition, torch.stack([beta, torch.zeros_like(beta)], -1), c, d

    def kernel(self, steps: int) -> Tensor:
        """Impulse response (H, steps): K[0] = d, K[l] = c . M^(l-1) b."""
        transition, b, c, d = self.matrices()
        return torch.cat([d[:, None], torch.einsum("hnk,lhnk->hl", c, impulse_states(transition, b, steps - 1))], -1)

    def forward(self, u: Tensor) -> Tensor:
        """Convolution mode: (n, steps, H) -> (n, steps, H), from a zero state."""
        steps = u.shape[1]
        spectrum = torch.fft.rfft(u, 2 * steps, dim=1) * torch.fft.rfft(self.kernel(steps).T, 2 * steps, dim=0)
        return torch.fft.irfft(spectrum, 2 * steps, dim=1)[:, :steps]

    def recur(self, u: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Recurrent mode: outputs (n, steps, H) and the state after the last step, (n, H, N, 2)."""
        transition, b, c, d = self.matrices()
        x = u.new_zeros(len(u), *b.shape) if state is None else state
        outputs = []
        for step in u.unbind(1):
            outputs.append((c * x).sum((-2, -1)) + d * step)
            x = torch.einsum("hnij,bhnj->bhni", transition, x) + b * step[..., None, None]
        return torch.stack(outputs, 1), x


def impulse_states(transition: Tensor, b: Tensor, steps: int) -> Tensor:
    """M^l b for l = 0 .. steps - 1, (steps, H, N, 2), by doubling: about log2(steps) batched 2x2 products.

    Works for any real 2x2 block M (H, N, 2, 2), zero and non-normal ones included; b is (H, N, 2).
    """
    powers, states = transition, b[None]
    while len(states) < steps:
        states = torch.cat([states, torch.einsum("hnij,lhnj->lhni", powers, states)])
        powers = powers @ powers
    return states[:steps]


