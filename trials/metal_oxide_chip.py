"""A chip of other physics than the twin's: metal-oxide cells that each pulse moves by a step, as a function of where
they are.

Pulses after the phenomenological model of Nili et al. (IEEE TED 67:4, 2020): a step is a product of hyperbolic
tangents of voltage and of ln width, c0 (1 - tanh(c1 (ln t - c2))) (tanh(c3 V - c4) + 1), times a window that closes
towards the ends of the range; currents have a cubic term, I = A1 V + A3 V^3 with A3 = 1.18 G + 6596 G^2. The
transistor bounds the voltage across a cell by its gate. Cells relax by a power law (Nandakumar et al., ICECS 2019),
which is no law that `imssa fit` knows. Amplitudes are ours, chosen so that the chip's recipe can program it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from imssa_lab.contract.hal import BoolArray, FloatArray, PulseKind, Pulses
from twin import DigitalTwin, TwinProfile

LOW, HIGH = 2e-6, 160e-6
"""S, where the window closes, in the middle of the cells."""
_STEADY = 12
"""Parts of a pulse, in each of which the window is looked at again."""


def metal_oxide_kind(**changed: Any) -> TwinProfile:
    """Periphery, noise, relaxation and recipe of the chip; what says how pulses act is not used.

    Args:
        changed: fields by section, in the place of those.
    """
    board = TwinProfile.load("supert-a0-easy").model_dump(exclude_none=True)
    sections: dict[str, Any] = {
        "name": "metal-oxide",
        "columns": {"gain": 0.97, "gain_spread": 0.02, "offset_spread": 0.2e-6},
        "stuck": board["stuck"] | {"on_fraction": 0.0, "off_fraction": 0.0},
        "relaxation": {
            "kind": "power-law",
            "t0": 1.0,
            "levels": [10e-6, 150e-6],
            "exponent_mean": [0.004, 0.002],
            "exponent_sd": [0.004, 0.002],
        },
    }
    for name, fields in changed.items():
        sections[name] = {**board.get(name, {}), **sections.get(name, {}), **fields}
    return TwinProfile.model_validate(board | sections)


class MetalOxideCells:
    """The cells of one chip, in the place of `twin.cells.Cells`.

    Args:
        stuck: share of the cells that no pulse moves.
        noise: factor of the scatter of pulses, which is of the voltage that a cell feels.
    """

    def __init__(self, shape: tuple[int, int], seed: int, stuck: float, noise: float) -> None:
        devices, self._cycles = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2))
        self._low = LOW * np.exp(0.25 * devices.standard_normal(shape))
        self._high = HIGH * np.exp(0.08 * devices.standard_normal(shape))
        self._strength = np.exp(0.25 * devices.standard_normal(shape))
        self._threshold = 0.06 * devices.standard_normal(shape)
        self._noise = noise
        lot = devices.random(shape)
        self.stuck: BoolArray = lot < stuck
        self.formed: BoolArray = np.ones(shape, dtype=np.bool_)
        stays = np.where(lot < stuck / 2, 200e-6, 0.8e-6)
        self.conductance: FloatArray = np.where(self.stuck, stays, self._low * 1.5)

    @property
    def cubic(self) -> FloatArray:
        """A3 / A1 of every cell as it is, 1/V^2, (rows, cols)."""
        return np.asarray(1.18 + 6596.0 * self.conductance)

    def apply(self, pulses: Pulses) -> None:
        """Move the selected cells, each by its steps; a stuck cell stays."""
        mask = pulses.mask & ~self.stuck
        jitter = 0.012 * self._noise * self._cycles.standard_normal(mask.shape)
        up = pulses.kind is not PulseKind.RESET
        # the transistor takes what its gate does not let through
        across = np.minimum(pulses.voltage, 1.0 * (pulses.gate - 0.3) + 0.35) if up else pulses.voltage
        felt = across + self._threshold + jitter
        drive = (np.tanh(2.6 * felt - 3.4) + 1.0) * (1.0 - np.tanh(-0.2 * np.log(pulses.width / 1e-6)))
        now = self.conductance
        for _ in range(_STEADY):
            # the window: where a pulse of this drive would leave the cell for good
            share = np.clip((now - self._low) / (self._high - self._low), 0.0, 1.0)
            if up:
                room = np.maximum(drive / 2.2 - share, 0.0)
            else:
                room = -np.maximum(share - np.maximum(1.0 - drive / 2.0, 0.0), 0.0)
            now = now + np.where(mask, 0.35 * self._strength * room * (self._high - self._low), 0.0)
        self.conductance = np.where(mask, now, self.conductance)


class MetalOxideChip(DigitalTwin):
    """A `DigitalTwin` around metal-oxide cells; profile, shape and seed as there.

    Args:
        stuck, noise: as of `MetalOxideCells`.
    """

    def __init__(
        self,
        kind: TwinProfile | None = None,
        shape: tuple[int, int] = (64, 64),
        seed: int = 0,
        stuck: float = 0.0,
        noise: float = 1.0,
    ) -> None:
        super().__init__(kind or metal_oxide_kind(), shape, seed)
        self.cells = MetalOxideCells(shape, seed, stuck, noise)  # type: ignore[assignment]  # of its kind, not its class
