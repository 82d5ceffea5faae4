"""Trainings of a smoke run: the recipe with fewer epochs."""

from __future__ import annotations

from imssa_lab.s4d.train.settings import TrainingConfig


def shortened(config: TrainingConfig, epochs: int | None) -> TrainingConfig:
    """The same with so many epochs in both stages; as it is for None."""
    if epochs is None:
        return config
    stages = {part: getattr(config, part).model_copy(update={"epochs": epochs}) for part in ("full", "quantised")}
    return config.model_copy(update=stages)
