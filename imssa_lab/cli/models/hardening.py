"""What the cells of a profile do to weights, measured: a twin of it is programmed, left alone, and read once."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imssa_lab.s4d.quantise.cell_errors import CellErrors

SHAPE = (64, 64)
LEVELS = 9
WAIT = 60.0
"""Seconds between programming and reading, in which cells relax."""
_ASTRAY = 0.15
"""A cell that ends further from its target than this fraction of the window does not follow: it counts as stuck."""
_SEED = 2_000_003
"""Of a chip that no deployment's seeds come near."""


@lru_cache(maxsize=8)
def measured_errors(profile: str) -> CellErrors:
    """Errors by level, and the cells that do not follow, of one chip of 64x64 cells; kept for the process.

    Cells get levels evenly spread over the window at random, by the chip's own programmer, through its own pulses,
    faults and wires; after a minute each is read once, so that relaxation and the noise of a read are part of what
    is measured. Converters of inputs and outputs are not.

    Args:
        profile: name of a preset or path of a TOML file.

    Raises:
        ConfigError: no such profile.
    """
    import numpy as np

    from imssa_lab.contract.hal import CellOutcome
    from imssa_lab.s4d.quantise.cell_errors import CellErrors
    from twin import DigitalTwin

    with DigitalTwin(profile, SHAPE, seed=_SEED) as chip:
        window = chip.info.window
        levels = np.linspace(window.low, window.high, LEVELS)
        chosen = np.random.default_rng(_SEED).integers(LEVELS, size=SHAPE)
        report = chip.program_conductances(levels[chosen])
        chip.wait(WAIT)
        held = chip.read_conductances(averages=1)
    error = held - levels[chosen]
    stuck = np.isin(report.outcome, (CellOutcome.STUCK_LOW, CellOutcome.STUCK_HIGH))
    stuck |= np.abs(error) > _ASTRAY * window.span
    high = held > (window.low + window.high) / 2
    sigma = [float(np.sqrt(np.mean(error[(chosen == level) & ~stuck] ** 2))) for level in range(LEVELS)]
    return CellErrors(
        conductance=tuple(levels.tolist()),
        sigma=tuple(sigma),
        window=(window.low, window.high),
        stuck_on=float(np.mean(stuck & high)),
        stuck_off=float(np.mean(stuck & ~high)),
    )
