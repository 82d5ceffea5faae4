"""Poles Abar = a + i q as cells can hold them: every code of every form lies inside the unit circle.

A form maps the exact parts (a, q), each (H, N), to those of a pole that is held with few bits, straight through. What
the cells hold and what stays digital is said in each class; gains and radii per state are digital column factors.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.quantise.quantisers import TINY, straight_through

PoleForm = Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]]
"""`form(real, imag, r_max)`: parts of the held pole, (H, N) each, of radius at most `r_max`."""


def pole_form(precision: Precision) -> PoleForm:
    """The form in which poles are held at a precision."""
    bits = precision.a
    if bits == "float":
        return exact
    if precision.three_levels:
        return one_magnitude
    if bits == "ternary":
        return delta_ternary if precision.form == "delta" else eight_directions
    if precision.form == "delta":
        return DeltaUniform(bits)
    return DirectUniform(bits) if precision.form == "direct" else DirectionUniform(bits)


def exact(real: Tensor, imag: Tensor, r_max: float) -> tuple[Tensor, Tensor]:
    """The poles as they are; `r_max` holds already."""
    del r_max
    return real, imag


def delta_ternary(real: Tensor, imag: Tensor, r_max: float) -> tuple[Tensor, Tensor]:
    """Abar - 1 = g (-1, {-1, 0, 1}) with a gain g per state.

    |1 - g + i g|^2 = 1 - 2g + 2g^2 < 1 for 0 < g < 1, so no code is unstable; g stays between 1 - r_max and 0.9.
    """
    a, q = (1.0 - real).detach().abs(), imag.detach()
    turning = (q.abs() > 0.5 * a).to(real.dtype)
    gain = torch.where(turning > 0, (a + q.abs()) / 2, a).clamp(1.0 - r_max, 0.9)
    return straight_through(real, 1.0 - gain), straight_through(imag, gain * torch.sign(q) * turning)


def one_magnitude(real: Tensor, imag: Tensor, r_max: float) -> tuple[Tensor, Tensor]:
    """`delta_ternary` whose two parts of Abar - 1 are of the same magnitude to the last bit."""
    held, turn = delta_ternary(real, imag, r_max)
    return held, straight_through(imag, (1.0 - held.detach()) * torch.sign(turn.detach()))


def eight_directions(real: Tensor, imag: Tensor, r_max: float) -> tuple[Tensor, Tensor]:
    """Cells hold the direction, a multiple of 45 degrees, as {-1, 0, 1} twice; the radius is a digital factor."""
    del r_max
    radius = torch.hypot(real, imag)
    cos, sin = ((part / radius.clamp_min(TINY)).detach() for part in (real, imag))
    threshold = math.sin(math.pi / 8)
    cos, sin = (torch.sign(part) * (part.abs() > threshold) for part in (cos, sin))
    length = torch.hypot(cos, sin).clamp_min(TINY)
    # The radius is a digital number that trains; the direction passes its gradient straight through.
    held = radius.detach() * cos / length, radius.detach() * sin / length
    return straight_through(real, held[0]), straight_through(imag, held[1])


class DeltaUniform:
    """Abar - 1 on a uniform grid with one scale per channel; the real part at least one step below zero.

    That floor alone does not make every code stable (a large imaginary part can still leave the unit circle), so
    what is left outside is shrunk onto radius r_max.

    Args:
        bits: two or more.
    """

    def __init__(self, bits: int) -> None:
        self._top = 2 ** (bits - 1) - 1

    def __call__(self, real: Tensor, imag: Tensor, r_max: float) -> tuple[Tensor, Tensor]:
        """Parts of the held pole, (H, N) each."""
        less, turn = real.detach() - 1.0, imag.detach()
        scale = torch.maximum(less.abs(), turn.abs()).amax(-1, keepdim=True).clamp_min(TINY) / self._top
        a = 1.0 + scale * torch.round(less / scale).clamp(-self._top, -1)
        q = scale * torch.round(turn / scale).clamp(-self._top, self._top)
        a, q = _within(a, q, r_max)
        return straight_through(real, a), straight_through(imag, q)


class DirectUniform:
    """Abar on a uniform grid of full scale 1; codes outside r_max are shrunk onto it."""

    def __init__(self, bits: int) -> None:
        self._top = 2 ** (bits - 1) - 1

    def __call__(self, real: Tensor, imag: Tensor, r_max: float) -> tuple[Tensor, Tensor]:
        """Parts of the held pole, (H, N) each."""
        a, q = (
            torch.round(part.detach() * self._top).clamp(-self._top, self._top) / self._top for part in (real, imag)
        )
        a, q = _within(a, q, r_max)
        return straight_through(real, a), straight_through(imag, q)


class DirectionUniform:
    """Cells hold cosine and sine of the angle on a uniform grid, made unit length; the radius is a digital factor."""

    def __init__(self, bits: int) -> None:
        self._top = 2 ** (bits - 1) - 1

    def __call__(self, real: Tensor, imag: Tensor, r_max: float) -> tuple[Tensor, Tensor]:
        """Parts of the held pole, (H, N) each."""
        del r_max
        radius = torch.hypot(real, imag).detach()
        cos, sin = (
            torch.round(part.detach() / radius.clamp_min(TINY) * self._top).clamp(-self._top, self._top)
            for part in (real, imag)
        )
        length = torch.hypot(cos, sin).clamp_min(TINY)
        return straight_through(real, radius * cos / length), straight_through(imag, radius * sin / length)


def _within(real: Tensor, imag: Tensor, r_max: float) -> tuple[Tensor, Tensor]:
    shrink = (r_max / torch.hypot(real, imag).clamp_min(TINY)).clamp_max(1.0)
    return real * shrink, imag * shrink
