"""How each task is trained: sizes, rates and epochs that were found on its validation split."""

from __future__ import annotations

from imssa_lab.s4d.cell_errors import CellErrors
from imssa_lab.s4d.precision import Precision
from imssa_lab.s4d.settings import Stage, TrainingConfig

_HARDENED = CellErrors.relative(0.03)


def recipe(task: str, precision: Precision, seed: int) -> TrainingConfig:
    """Settings for a task by its name; a task without a recipe of its own gets that of `fsdd-first10`.

    A ternary pole's memory is tied to its angle, so ternary nets have far to go from the float poles: they get a
    higher rate and more epochs than 4 bits do.
    """
    ternary = precision.a == "ternary"
    if task == "digits-first":
        return TrainingConfig(
            precision=precision,
            full=Stage(epochs=30, rate=8e-3, pole_share=0.2),
            quantised=Stage(epochs=45, rate=2e-2, pole_share=0.5, shift=False, cell_errors=_HARDENED),
            seed=seed,
        )
    if task == "fsdd-order":
        return TrainingConfig(
            precision=precision,
            channels=16,
            layers=1,
            full=Stage(epochs=25, rate=5e-3, pole_share=0.2),
            quantised=Stage(epochs=35 if ternary else 20, rate=6e-3, pole_share=0.25),
            seed=seed,
        )
    if task == "fsdd-t2-raw":
        return TrainingConfig(
            precision=precision,
            channels=8,
            states=2,
            layers=1,
            initialisation="spread",
            r_max=0.99,
            full=Stage(epochs=30, rate=5e-3, pole_share=0.2),
            quantised=Stage(epochs=15, rate=4e-3, pole_share=0.25, cell_errors=CellErrors.relative(0.01)),
            batch=32,
            seed=seed,
        )
    if task == "fsdd-t10":
        quantised = (
            Stage(epochs=30, rate=6e-3, pole_share=0.2) if ternary else Stage(epochs=15, rate=4e-3, pole_share=0.25)
        )
    else:
        quantised = Stage(epochs=25 if ternary else 12, rate=6e-3, pole_share=0.2)
    return TrainingConfig(
        precision=precision, full=Stage(epochs=30, rate=5e-3, pole_share=0.2), quantised=quantised, seed=seed
    )
