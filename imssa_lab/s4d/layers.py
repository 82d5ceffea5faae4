"""The S4D layer as real 2x2 blocks in state-normalised form, trained by convolution, deployed by recurrence."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from imssa_lab.s4d.quantisers import R_MAX, Precision, delta_ternary, delta_uniform, ternary, uniform

_DIRECT_STEPS = 32


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
        self.weight_noise = 0.0
        self._rng = rng

    def pole_parameters(self) -> list[nn.Parameter]:
        """The parameters of the poles, which learn more slowly than the rest."""
        return [self.log_dt, self.a_re, self.a_im]

    def matrices(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Effective M (H, N, 2, 2), b (H, N, 2), c (H, N, 2), d (H,) at the current precision.

        "4bit": M - 1, b and c on 4 bits, one scale each per channel. "ternary": M - 1 ternary with a gain per state,
        c ternary with a gain per channel, b exact. In both d has 8 bits, one scale for the layer.
        """
        dt = self.log_dt.exp()
        radius = torch.exp(-dt * self.a_re.exp()).clamp_max(R_MAX)
        angle = dt * self.a_im
        real, imag = radius * angle.cos(), radius * angle.sin()
        if self.precision == "ternary":
            real, imag = delta_ternary(real, imag)
        elif self.precision == "4bit":
            real, imag = delta_uniform(real, imag, 4)
        beta = torch.sqrt((1.0 - real**2 - imag**2).clamp_min(1e-9))
        c: Tensor = self.c
        d: Tensor = self.d
        if self.precision == "ternary":
            c, d = ternary(c, (1, 2)), uniform(d, 8, (0,))
        elif self.precision == "4bit":
            beta, c, d = uniform(beta, 4, (1,)), uniform(c, 4, (1, 2)), uniform(d, 8, (0,))
        transition = torch.stack([torch.stack([real, -imag], -1), torch.stack([imag, real], -1)], -2)
        return transition, torch.stack([beta, torch.zeros_like(beta)], -1), c, d

    def kernel(self, steps: int) -> Tensor:
        """Impulse response (H, steps): K[0] = d, K[l] = c . M^(l-1) b."""
        return impulse_response(*self.matrices(), steps)

    def forward(self, u: Tensor) -> Tensor:
        """Convolution mode: (n, steps, H) -> (n, steps, H), from a zero state.

        By FFT of twice the length; up to 32 steps by the kernel's Toeplitz matrix, which is faster there.

        In training, `weight_noise` hardens the net against programming errors: every block entry gets Gaussian noise
        of this fraction of the largest weight of its kind and channel (Joshi et al., Nat. Commun. 11:2473, 2020).
        """
        steps = u.shape[1]
        transition, b, c, d = self.matrices()
        if self.training and self.weight_noise > 0:
            transition = transition + self._noise(transition - torch.eye(2), (1, 2, 3))
            b, c = b + self._noise(b, (1, 2)), c + self._noise(c, (1, 2))
        kernel = impulse_response(transition, b, c, d, steps)
        if steps <= _DIRECT_STEPS:
            matrix = functional.pad(kernel, (steps - 1, 0)).unfold(1, steps, 1).flip(2)
            return torch.bmm(u.permute(2, 0, 1), matrix.transpose(1, 2)).permute(1, 2, 0)
        spectrum = torch.fft.rfft(u, 2 * steps, dim=1) * torch.fft.rfft(kernel.T, 2 * steps, dim=0)
        outputs: Tensor = torch.fft.irfft(spectrum, 2 * steps, dim=1)[:, :steps]
        return outputs

    def step(self, u: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One step of the recurrence: u (n, H), state (n, H, N, 2) or None for zero -> output (n, H), next state."""
        outputs, state = self.recur(u[:, None], state)
        return outputs[:, 0], state

    def _noise(self, weights: Tensor, dims: tuple[int, ...]) -> Tensor:
        peak = weights.detach().abs().amax(dims, keepdim=True)
        return self.weight_noise * peak * torch.randn(weights.shape, generator=self._rng)

    def recur(self, u: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Recurrent mode: u (n, steps, H) -> outputs (n, steps, H) and the state after the last step, (n, H, N, 2).

        Equal to the convolution mode from a zero state, to float32 rounding.
        """
        transition, b, c, d = self.matrices()
        x = u.new_zeros(len(u), *b.shape) if state is None else state
        outputs = []
        for now in u.unbind(1):
            outputs.append((c * x).sum((-2, -1)) + d * now)
            x = torch.einsum("hnij,bhnj->bhni", transition, x) + b * now[..., None, None]
        return torch.stack(outputs, 1), x


def impulse_response(transition: Tensor, b: Tensor, c: Tensor, d: Tensor, steps: int) -> Tensor:
    """Kernels (H, steps) of M (H, N, 2, 2), b, c (H, N, 2) and d (H,)."""
    states = impulse_states(transition, b, steps - 1)
    return torch.cat([d[:, None], torch.einsum("hnk,lhnk->hl", c, states)], -1)


def impulse_states(transition: Tensor, b: Tensor, steps: int) -> Tensor:
    """M^l b for l = 0 .. steps - 1, (steps, H, N, 2), by doubling: about log2(steps) batched 2x2 products.

    Works for any real 2x2 block M (H, N, 2, 2), zero and non-normal ones included; b is (H, N, 2).
    """
    powers, states = transition, b[None]
    while len(states) < steps:
        states = torch.cat([states, torch.einsum("hnij,lhnj->lhni", powers, states)])
        powers = powers @ powers
    return states[:steps]
