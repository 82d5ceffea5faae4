"""Impulse responses of real 2x2 blocks, and causal convolution with them."""

from __future__ import annotations

import math

import scipy.fft
import torch
from torch import Tensor
from torch.nn import functional

DIRECT_STEPS = 32
"""Up to so many steps a Toeplitz product is faster than the transform."""


def impulse_states(transition: Tensor, b: Tensor, steps: int) -> Tensor:
    """M^l b for l = 0 .. steps - 1, (steps, H, N, 2), by doubling: about log2(steps) batched 2x2 products.

    Works for any real 2x2 block M (H, N, 2, 2), zero and non-normal ones included; b is (H, N, 2).
    """
    return _powers(transition, b, steps)[0][:steps]


def impulse_response(transition: Tensor, b: Tensor, c: Tensor, d: Tensor, steps: int) -> Tensor:
    """Kernels (H, steps) of M (H, N, 2, 2), b, c (H, N, 2) and d (H,): K[0] = d, K[l] = c . M^(l-1) b.

    In two levels, l - 1 = i P + j: (c M^(i P)) . (M^j b), so that no tensor of all states at all steps is made: time
    and memory of the states grow with the square root of the steps.
    """
    inner = 1 << max(0, math.ceil(math.log2(max(1, steps - 1)) / 2))
    outer = math.ceil((steps - 1) / inner)
    if outer == 0:
        return d[:, None]
    columns, leap = _powers(transition, b, inner)
    rows = impulse_states(leap.transpose(-1, -2), c, outer)
    tail = torch.einsum("ihnk,jhnk->hij", rows, columns).flatten(1)[:, : steps - 1]
    return torch.cat([d[:, None], tail], -1)


def stabilised(transition: Tensor, r_max: float) -> Tensor:
    """Blocks (H, N, 2, 2); a spectral radius above r_max is scaled back to it, by a factor without gradient."""
    blocks = transition.detach()
    half_trace = (blocks[..., 0, 0] + blocks[..., 1, 1]) / 2
    determinant = blocks[..., 0, 0] * blocks[..., 1, 1] - blocks[..., 0, 1] * blocks[..., 1, 0]
    gap = half_trace**2 - determinant
    real = half_trace.abs() + gap.clamp_min(0.0).sqrt()
    radius = torch.where(gap < 0, determinant.clamp_min(0.0).sqrt(), real)
    return transition * (r_max / radius.clamp_min(r_max))[..., None, None]


def convolve(u: Tensor, kernel: Tensor) -> Tensor:
    """Causal convolution of u (n, steps, H) with kernels (H, steps) from rest, (n, steps, H)."""
    steps = u.shape[1]
    if steps <= DIRECT_STEPS:
        matrix = functional.pad(kernel, (steps - 1, 0)).unfold(1, steps, 1).flip(2)
        return torch.bmm(u.permute(2, 0, 1), matrix.transpose(1, 2)).permute(1, 2, 0)
    length: int = scipy.fft.next_fast_len(2 * steps - 1, real=True)
    spectrum = torch.fft.rfft(u, length, dim=1) * torch.fft.rfft(kernel.T, length, dim=0)
    outputs: Tensor = torch.fft.irfft(spectrum, length, dim=1)[:, :steps]
    return outputs


def free_response(transition: Tensor, c: Tensor, state: Tensor, steps: int) -> Tensor:
    """Outputs c . M^l x of a state x (n, H, N, 2) that is left alone, l = 0 .. steps - 1, (n, steps, H)."""
    rows = impulse_states(transition.transpose(-1, -2), c, steps)
    return torch.einsum("lhnk,bhnk->blh", rows, state)


def final_state(transition: Tensor, b: Tensor, u: Tensor, state: Tensor) -> Tensor:
    """State (n, H, N, 2) after all steps of u (n, steps, H) from `state`, (n, H, N, 2).

    In two levels like `impulse_response`: sums within blocks of steps, then over the blocks.
    """
    steps = u.shape[1]
    inner = 1 << max(0, math.ceil(math.log2(steps) / 2))
    outer = math.ceil(steps / inner)
    padded = functional.pad(u, (0, 0, outer * inner - steps, 0)).unflatten(1, (outer, inner))
    columns, leap = _powers(transition, b, inner)
    sums = torch.einsum("bijh,jhnk->bihnk", padded, columns.flip(0))
    following = torch.einsum("hnij,bhnj->bhni", torch.linalg.matrix_power(transition, steps), state)
    power = torch.eye(2, dtype=b.dtype, device=b.device).expand_as(transition)
    for block in reversed(range(outer)):
        following = following + torch.einsum("hnij,bhnj->bhni", power, sums[:, block])
        power = leap @ power
    return following


def _powers(transition: Tensor, b: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """M^l b for l up to the next power of two L >= steps, (L, H, N, 2), and M^L."""
    powers, states = transition, b[None]
    while len(states) < steps:
        states = torch.cat([states, torch.einsum("hnij,lhnj->lhni", powers, states)])
        powers = powers @ powers
    return states, powers
