"""What the cells of a profile do to weights, measured: a twin of it is programmed, left alone, and read once."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from imssa_lab.contract.errors import ConfigError

if TYPE_CHECKING:
    from imssa_lab.s4d.quantise.cell_errors import CellErrors
    from imssa_lab.s4d.train.settings import TrainingConfig

SHAPE = (64, 64)
LEVELS = 9
WAIT = 60.0
"""Seconds between programming and reading, in which cells relax."""
_ASTRAY = 0.15
"""A cell that ends further from its target than this fraction of the window does not follow: it counts as stuck."""
KERNEL_ERRORS = 0.3
"""Weight of the kernels' errors in the loss of a net that is hardened against a profile."""
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
        by_column=True,
    )


def hardened(config: TrainingConfig, against: str | None) -> TrainingConfig:
    """The same settings with other errors of cells in the quantised training.

    Against a profile, what the errors do to the kernels is part of the loss. Stuck cells are left out: a deployment
    works around them, and nets that were trained with them lost more accuracy than they won on chips.

    Args:
        against: name of a preset or path of a TOML file, of which a twin is measured; or the sd of a weight's error
            as a fraction of the largest weight; None leaves what the recipe says.

    Raises:
        ConfigError: no such profile, or a fraction that is not between 0 and 1.
    """
    from imssa_lab.s4d.quantise.cell_errors import CellErrors

    if against is None:
        return config
    try:
        fraction = float(against)
    except ValueError:
        errors = measured_errors(against).model_copy(update={"stuck_on": 0.0, "stuck_off": 0.0})
        changes: dict[str, object] = {"kernel_errors": KERNEL_ERRORS}
    else:
        if not 0 < fraction < 1:
            raise ConfigError(f"--harden {against}: a fraction of the largest weight is between 0 and 1, such as 0.1")
        errors, changes = CellErrors.relative(fraction), {}
    stage = config.quantised.model_copy(update={"cell_errors": errors, **changes})
    return config.model_copy(update={"quantised": stage})
