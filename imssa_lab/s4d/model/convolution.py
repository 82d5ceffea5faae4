"""Impulse responses of real 2x2 blocks, and causal convolution with them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import scipy.fft
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

DIRECT_STEPS = 32
"""Up to so many steps a Toeplitz product is faster than the transform."""
TRANSFORMED = 1 << 21
"""Numbers that are transformed at once, unless one channel has more: few enough to stay near the core."""


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
    outputs: Tensor = _Convolution.apply(u, kernel)  # type: ignore[no-untyped-call]
    return outputs


class _Convolution(torch.autograd.Function):
    """By transform, some channels at a time, each written to its place.

    Spectra are not kept for the gradient but made again: memory is that of inputs and outputs.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, kernel: Tensor) -> Tensor:
        """See `convolve`."""
        ctx.save_for_backward(u, kernel)
        outputs = u.new_empty(u.shape)
        for some, length in _some_channels(u):
            spectrum = _spectrum(u[..., some], length) * _spectrum(kernel[some].T, length)
            outputs[..., some] = _signal(spectrum, length, u.shape[1])
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Correlations of the outputs' gradient with the kernels and with the inputs."""
        u, kernel = ctx.saved_tensors
        of_u, of_kernel = (
            like.new_empty(like.shape) if needed else None
            for like, needed in zip((u, kernel), ctx.needs_input_grad, strict=True)
        )
        for some, length in _some_channels(u):
            spectrum = _spectrum(gradient[..., some], length)
            if of_kernel is not None:
                total = (spectrum * _spectrum(u[..., some], length).conj()).sum(0)
                of_kernel[some] = _signal(total, length, u.shape[1]).T
            if of_u is not None:
                spectrum *= _spectrum(kernel[some].T, length).conj()
                of_u[..., some] = _signal(spectrum, length, u.shape[1])
        return of_u, of_kernel


def _some_channels(u: Tensor) -> Iterator[tuple[slice, int]]:
    """Channels of inputs (n, steps, H) to transform at once, and the length of their transforms."""
    count, steps, channels = u.shape
    length: int = scipy.fft.next_fast_len(2 * steps - 1, real=True)
    some = max(1, TRANSFORMED // (max(1, count) * length))
    for first in range(0, channels, some):
        yield slice(first, first + some), length


def _spectrum(signal: Tensor, length: int) -> Tensor:
    """Over the steps of (..., steps, channels)."""
    spectrum: Tensor = torch.fft.rfft(signal, length, dim=-2)
    return spectrum


def _signal(spectrum: Tensor, length: int, steps: int) -> Tensor:
    """The first steps of what has this spectrum."""
    signal: Tensor = torch.fft.irfft(spectrum, length, dim=-2)
    return signal[..., :steps, :]


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
