"""Device-to-device spread of the cells' parameters: correlated, with long-tailed or skewed marginals."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from imssa_lab.contract.hal import FloatArray
from twin.profile_section import Section

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(120)


class DeviceSpread(Section):
    """The joint law of the device-to-device spreads; their sizes are given with the parameters themselves.

    Every parameter is a standard normal z = load * common + sqrt(1 - load^2) * own, with one common factor a cell
    (its filament), taken through sinh((asinh z + skew)/tail) and brought to mean 0 and sd 1 (Jones and Pewsey,
    Biometrika 96:761, 2009). Two parameters correlate by the product of their loads (exactly while Gaussian).
    """

    skew: float = Field(default=0.0, ge=-2, le=2, description="0: symmetric; above: a longer tail upwards")
    tail: float = Field(default=1.0, ge=0.4, le=3, description="1: Gaussian; below: heavier tails")
    set_threshold: float = Field(default=0.0, ge=-1, le=1, description="load of set.v_threshold")
    set_slope: float = Field(default=0.0, ge=-1, le=1, description="load of ln set.slope")
    reset_shift: float = Field(default=0.0, ge=-1, le=1, description="load of reset's offset of the pulse voltage")
    floor: float = Field(default=0.0, ge=-1, le=1, description="load of ln reset.floor")

    def draw(self, shape: tuple[int, int], rng: np.random.Generator) -> dict[str, FloatArray]:
        """Standardised deviations of every cell by the names of the loads, (rows, cols) each."""
        common = rng.standard_normal(shape)
        loads = {name: getattr(self, name) for name in ("set_threshold", "set_slope", "reset_shift", "floor")}
        return {
            name: self.marginal(load * common + np.sqrt(1.0 - load**2) * rng.standard_normal(shape))
            for name, load in loads.items()
        }

    def marginal(self, z: FloatArray) -> FloatArray:
        """Standard normals taken to the marginal law, same shape."""
        if self.skew == 0.0 and self.tail == 1.0:
            return z
        weights = _WEIGHTS / _WEIGHTS.sum()
        at_nodes = self._bent(_NODES)
        mean = weights @ at_nodes
        return np.asarray((self._bent(z) - mean) / np.sqrt(weights @ (at_nodes - mean) ** 2))

    def _bent(self, z: FloatArray) -> FloatArray:
        return np.asarray(np.sinh((np.arcsinh(z) + self.skew) / self.tail))
