"""Poles of S4D: where they start and how continuous time becomes discrete."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

Initialisation = Literal["lin", "inv", "legs", "spread", "real"]
Discretisation = Literal["zoh", "bilinear"]


class Poles(nn.Module):
    """Poles Abar of H channels with N states each.

    A = -exp(a_re) + i a_im in continuous time and a step dt = exp(log_dt) per channel; Abar = exp(dt A) by
    zero-order hold, (1 + dt A / 2) / (1 - dt A / 2) by the bilinear transform. Gu et al., On the Parameterization and
    Initialization of Diagonal State Space Models, arXiv 2206.11893.

    With "spread" a_im is the angle of Abar itself, whatever the step: angles cover (0, pi) evenly over all states, as
    raw audio needs (DFouT, arXiv 2508.20441).

    Args:
        channels: H; states: N; rng: draws the initial values.
        initialisation: "lin" A_n = -1/2 + i pi n; "inv" -1/2 + i (2N / pi) (2N / (2n + 1) - 1); "legs" the
            eigenvalues of the normal part of HiPPO-LegS; "spread"; "real" A_n = -(n + 1), whose imaginary part stays
            zero in training (S4D-Real).
        dt_range: bounds of the log-uniform initial step.
        r_max: largest radius; leak: factor on every radius, at most 1.
    """

    def __init__(
        self,
        channels: int,
        states: int,
        rng: torch.Generator,
        *,
        initialisation: Initialisation = "lin",
        discretisation: Discretisation = "zoh",
        dt_range: tuple[float, float] = (0.01, 0.2),
        r_max: float = 0.9995,
        leak: float = 1.0,
    ) -> None:
        super().__init__()
        self.initialisation, self.discretisation = initialisation, discretisation
        self.r_max, self.leak = r_max, leak
        low, high = (math.log(bound) for bound in dt_range)
        self.log_dt = nn.Parameter(low + (high - low) * torch.rand(channels, 1, generator=rng))
        real = initialisation == "real"
        decay = torch.arange(1.0, states + 1) if real else torch.full((states,), 0.5)
        self.a_re = nn.Parameter(decay.log().repeat(channels, 1))
        frequencies = initial_frequencies(initialisation, channels, states, rng)
        self.a_im = nn.Parameter(frequencies, requires_grad=not real)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Real and imaginary parts of Abar, (H, N) each, of radius at most r_max."""
        dt = self.log_dt.exp()
        decay = dt * self.a_re.exp()
        if self.discretisation == "zoh" or self.initialisation == "spread":
            radius = (self.leak * torch.exp(-decay)).clamp_max(self.r_max)
            angle = self.a_im if self.initialisation == "spread" else dt * self.a_im
            return radius * angle.cos(), radius * angle.sin()
        # (1 + z) / (1 - z) with z = dt A / 2, written out: complex numbers would cost more in training.
        x, y = -decay / 2, dt * self.a_im / 2
        size = (1 - x) ** 2 + y**2
        real, imag = self.leak * (1 - x**2 - y**2) / size, self.leak * 2 * y / size
        shrink = (self.r_max / torch.sqrt(real**2 + imag**2 + 1e-24)).clamp_max(1.0)
        return real * shrink, imag * shrink


def initial_frequencies(kind: Initialisation, channels: int, states: int, rng: torch.Generator) -> Tensor:
    """Imaginary parts of A, or angles for "spread", (channels, states)."""
    if kind == "spread":
        count = channels * states
        angles = math.pi * (torch.arange(count) + 0.5) / count
        return angles[torch.randperm(count, generator=rng)].reshape(channels, states)
    n = torch.arange(states)
    if kind == "lin":
        row = math.pi * n
    elif kind == "real":
        row = torch.zeros(states)
    elif kind == "inv":
        full = 2 * states
        row = full / math.pi * (full / (2 * n + 1) - 1)
    else:
        row = legs_frequencies(states)
    return row.to(torch.float32).repeat(channels, 1)


def legs_frequencies(states: int) -> Tensor:
    """Positive imaginary parts of the eigenvalues of the normal part of HiPPO-LegS of order 2N, ascending, (N,).

    A_nk = -sqrt((2n + 1)(2k + 1)) below the diagonal, -(n + 1) on it; with P_n = sqrt(n + 1/2), A + P P^T is -1/2
    plus a skew-symmetric matrix. Gu et al., Efficiently Modeling Long Sequences, arXiv 2111.00396, theorem 1.
    """
    root = torch.sqrt(2 * torch.arange(2 * states, dtype=torch.float64) + 1)
    skew = torch.tril(-root[:, None] * root / 2, -1)
    skew = skew - skew.T
    frequencies = torch.linalg.eigvalsh(1j * skew)
    return torch.masked_select(frequencies, frequencies > 0)
