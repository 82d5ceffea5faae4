"""A profile as a device model of CrossSim: the text of a Python file that needs CrossSim and nothing of this package.

By CrossSim's description of custom devices (`simulator/devices/readme.md`, version 3): a class derived from
`EmptyDevice` with programming_error, drift_error and read_noise, which take and return conductances as shares of the
highest one, 1/Rmin.
"""

from __future__ import annotations

from imssa_lab.bridges.profile_tables import filled
from twin.profile import TwinProfile

_FILE = '''"""Device of chips of the profile {name}, for CrossSim 3: programming, relaxation and white read noise.

Written by imssa_lab from a twin profile. Source of the numbers: {source}
Put this file into simulator/devices/custom and import {class_name} at the top of simulator/devices/device.py. Then

    params.xbar.device.Rmin = {r_min:.6g}  # Ohm: {high:g} uS; a higher Rmin uses a part of the window
    params.xbar.device.Rmax = {r_max:.6g}  # Ohm: {low:g} uS
    params.xbar.device.time = 0  # s since programming, at most {until:g}
    for errors in ("programming_error", "drift_error", "read_noise"):
        getattr(params.xbar.device, errors).enable = True
        getattr(params.xbar.device, errors).model = "{class_name}"

Below {low:g} uS, errors are those at {low:g} uS. Not in here: 1/f and telegraph noise, stuck cells, wires and
converters, and that one cell keeps its place in the law and its share of the noise: each is drawn every time.
"""

import math
from bisect import bisect_right

from simulator.backend import ComputeBackend
from simulator.devices.idevice import EmptyDevice

xp = ComputeBackend()

TARGETS = {targets}
SCORES = {scores}
PROGRAMMED = {programmed}
T0 = {t0!r}
LOG_AGES = {log_ages}
RELAXED = {relaxed}
READ_SD = {read_sd}
READ_SPREAD = {read_spread}
UNTIL = {until!r}


class {class_name}(EmptyDevice):
    """Conductances come and go as shares of 1/Rmin; tables are in uS."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.Gmax = 1e6 / self.device_params.Rmin
        if self.Gmax > TARGETS[-1] * (1 + 1e-6):
            raise ValueError(
                f"Rmin = {{self.device_params.Rmin:g}} Ohm is {{self.Gmax:g}} uS, and this device ends at "
                f"{{TARGETS[-1]:g}} uS: set Rmin to at least {{1e6 / TARGETS[-1]:g}} Ohm"
            )

    def programming_error(self, input_):
        """Conductances right after programming."""
        inside, beyond = _inside(self.Gmax * input_)
        return self._shares(_drawn(PROGRAMMED, inside) + beyond, input_)

    def drift_error(self, input_, time):
        """Conductances so many s after programming, errors of programming among them."""
        if time > UNTIL:
            raise ValueError(f"time = {{time:g}} s; the source of this profile ends at {{UNTIL:g}} s")
        if not RELAXED:
            return self.programming_error(input_)
        inside, beyond = _inside(self.Gmax * input_)
        programmed, outside = _inside(xp.maximum(_drawn(PROGRAMMED, inside) + beyond, 0.0))
        at = min(math.log1p(time / T0), LOG_AGES[-1])
        later = min(max(bisect_right(LOG_AGES, at), 1), len(LOG_AGES) - 1)
        share = (at - LOG_AGES[later - 1]) / (LOG_AGES[later] - LOG_AGES[later - 1])
        before, after = xp.asarray(RELAXED[later - 1]), xp.asarray(RELAXED[later])
        return self._shares(_drawn(before + share * (after - before), programmed) + outside, input_)

    def read_noise(self, input_):
        """Conductances of one read."""
        g = self.Gmax * input_
        sd = _along(xp.asarray(READ_SD), _place(TARGETS, g))
        spread = xp.exp(READ_SPREAD * xp.random.normal(size=g.shape))
        return self._shares(g + sd * spread * xp.random.normal(size=g.shape), input_)

    def _shares(self, g, like):
        return (xp.maximum(g, 0.0) / self.Gmax).astype(like.dtype)


def _inside(g):
    inside = xp.clip(g, TARGETS[0], TARGETS[-1])
    return inside, g - inside


def _place(nodes, values):
    return xp.clip((values - nodes[0]) / (nodes[1] - nodes[0]), 0, len(nodes) - 1)


def _along(row, place):
    low = xp.minimum(xp.floor(place), len(row) - 2).astype(int)
    return row[low] + (place - low) * (row[low + 1] - row[low])


def _drawn(table, g):
    """Bilinear in conductance and normal score, both on even grids; a score is drawn for each cell."""
    table = xp.asarray(table)
    at, along = _place(TARGETS, g), _place(SCORES, xp.random.normal(size=g.shape))
    i = xp.minimum(xp.floor(at), len(TARGETS) - 2).astype(int)
    k = xp.minimum(xp.floor(along), len(SCORES) - 2).astype(int)
    u, v = at - i, along - k
    low = table[i, k] + v * (table[i, k + 1] - table[i, k])
    high = table[i + 1, k] + v * (table[i + 1, k + 1] - table[i + 1, k])
    return low + u * (high - low)
'''


def device_source(profile: TwinProfile, class_name: str = "ChipDevice") -> str:
    """The file as text; its docstring says where it belongs and which parameters go with it.

    Args:
        profile: with a section `programming`, as `imssa fit --quantity programming` makes it.
        class_name: of the device.

    Raises:
        ConfigError: the profile has no law of programming, or the name cannot be that of a class.
    """
    return filled(_FILE, profile, "CrossSim", class_name)
