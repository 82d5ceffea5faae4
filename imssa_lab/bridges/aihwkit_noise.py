"""A profile as a noise model of aihwkit: the text of a Python file that needs aihwkit and nothing of this package.

The laws are written as tables of conductance by target and normal score, so that the file does not depend on which
law a profile has. The methods are those that aihwkit documents for subclasses of `BaseNoiseModel`: conductances in
uS, time in s since programming.
"""

from __future__ import annotations

from imssa_lab.bridges.profile_tables import filled
from twin.profile import TwinProfile

_FILE = '''"""Noise of chips of the profile {name}, for aihwkit: programming, relaxation and white read noise.

Written by imssa_lab from a twin profile. Source of the numbers: {source}
Conductances lie in {low:g} to {high:g} uS. Use a conductance converter with g_min = {low:g} and g_max = {high:g};
what lies outside is treated as the nearest end, and stays as far from it as it was. The law of relaxation is known
until {until:g} s. Not in here: 1/f and telegraph noise, stuck cells, wires, converters, and that one cell keeps its
place in the law from one time to another (aihwkit draws every time by itself).
"""

import torch
from aihwkit.inference.noise.base import BaseNoiseModel

TARGETS = {targets}
SCORES = {scores}
PROGRAMMED = {programmed}
T0 = {t0!r}
LOG_AGES = {log_ages}
RELAXED = {relaxed}
READ_SD = {read_sd}
READ_SPREAD = {read_spread}
UNTIL = {until!r}


class {class_name}(BaseNoiseModel):
    """Conductances in uS; t_inference in s after programming."""

    @torch.no_grad()
    def apply_programming_noise_to_conductance(self, g_target):
        """Conductances right after programming."""
        inside, beyond = _inside(g_target)
        table = torch.tensor(PROGRAMMED, dtype=g_target.dtype, device=g_target.device)
        return (_drawn(table, inside, torch.randn_like(inside)) + beyond).clamp(min=0.0)

    @torch.no_grad()
    def generate_drift_coefficients(self, g_target):
        """The place of each cell in the law of relaxation, as a normal score."""
        return torch.randn_like(g_target)

    @torch.no_grad()
    def apply_drift_noise_to_conductance(self, g_prog, drift_noise_param, t_inference):
        """Conductances read so long after programming."""
        if t_inference > UNTIL:
            raise ValueError(f"t_inference = {{t_inference:g}} s; the source of this profile ends at {{UNTIL:g}} s")
        inside, beyond = _inside(g_prog)
        relaxed = inside
        if RELAXED:
            score = torch.randn_like(inside) if drift_noise_param is None else drift_noise_param
            ages = torch.tensor(LOG_AGES, dtype=torch.float64)
            at = torch.log1p(torch.tensor(t_inference / T0, dtype=torch.float64)).clamp(max=ages[-1])
            later = int(torch.searchsorted(ages, at).clamp(1, len(ages) - 1))
            share = float((at - ages[later - 1]) / (ages[later] - ages[later - 1]))
            tables = torch.tensor(RELAXED, dtype=g_prog.dtype, device=g_prog.device)
            table = tables[later - 1] + share * (tables[later] - tables[later - 1])
            relaxed = _drawn(table, inside, score)
        spread = torch.exp(READ_SPREAD * torch.randn_like(inside))
        sd = torch.tensor(READ_SD, dtype=g_prog.dtype, device=g_prog.device)
        noise = _along(sd, _place(TARGETS, relaxed)) * spread * torch.randn_like(inside)
        return (relaxed + beyond + noise).clamp(min=0.0)


def _inside(g):
    inside = g.clamp(TARGETS[0], TARGETS[-1])
    return inside, g - inside


def _place(nodes, values):
    return ((values - nodes[0]) / (nodes[1] - nodes[0])).clamp(0, len(nodes) - 1)


def _along(row, place):
    low = place.floor().clamp(max=len(row) - 2).long()
    return row[low] + (place - low) * (row[low + 1] - row[low])


def _drawn(table, g, score):
    """Bilinear in conductance and normal score, both on even grids."""
    at, along = _place(TARGETS, g), _place(SCORES, score)
    i, k = at.floor().clamp(max=len(TARGETS) - 2).long(), along.floor().clamp(max=len(SCORES) - 2).long()
    u, v = at - i, along - k
    low = table[i, k] + v * (table[i, k + 1] - table[i, k])
    high = table[i + 1, k] + v * (table[i + 1, k + 1] - table[i + 1, k])
    return low + u * (high - low)
'''


def noise_model_source(profile: TwinProfile, class_name: str = "ChipNoiseModel") -> str:
    """The file as text; write it beside your aihwkit script and import the class from it.

    Args:
        profile: with a section `programming`, as `imssa fit --quantity programming` makes it.
        class_name: of the noise model.

    Raises:
        ConfigError: the profile has no law of programming, or the name cannot be that of a class.
    """
    return filled(_FILE, profile, "aihwkit", class_name)
