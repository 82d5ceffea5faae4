"""How to train: `TrainingConfig`, and the recipes of the tasks."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from imssa_lab.s4d.bundle import Levelling, Pooling
from imssa_lab.s4d.model.poles import Discretisation, Initialisation
from imssa_lab.s4d.quantise.cell_errors import CellErrors
from imssa_lab.s4d.quantise.precision import Precision, PrecisionField
from imssa_lab.s4d.train.device import Device

Positive = Annotated[float, Field(gt=0)]


class Stage(BaseModel):
    """One training from start to end of a one-cycle schedule.

    Attributes:
        epochs: passes over the training data.
        rate: peak learning rate; pole_share: poles learn at this fraction of it.
        shift: whether sequences are shifted as the task allows; its noise and gain always apply.
        cell_errors: what the kernels' cells do to their weights, None for nothing.
        kernel_errors: weight in the loss of what cells' errors do to the kernels: the NRMSE of their outputs by the
            errors of this step, mean of all kernels; 0 for none.
        distillation: share of the loss that compares with the float net that the training started from, 0 for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(ge=1)
    rate: float = Field(gt=0)
    pole_share: float = Field(gt=0)
    shift: bool = True
    cell_errors: CellErrors | None = None
    kernel_errors: float = Field(default=0.0, ge=0)
    distillation: float = Field(default=0.0, ge=0, le=1)


class TrainingConfig(BaseModel):
    """How to train.

    Attributes:
        precision: of the final model, a `Precision` or its words; "float" stops after the float training.
        channels (H), states (N), layers: size of the net.
        initialisation, discretisation, dt_range, r_max, leak: of the poles, see `Poles`.
        pooling, levelling: what the head sees of the steps, and how inputs are levelled first; see the bundle.
        full, quantised: the float training and the one from there; the null control gets the first.
        batch: sequences per step; weight_decay: of all but the poles.
        patience: epochs without a better validation accuracy after which a training stops and goes back to its best
            epoch; None for never, which gives the last epoch.
        seed: of initial values, order and augmentation; same seed, same machine, same bits (but not on "cuda").
        device: where the arithmetic is done; all that is random is drawn on the processor.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    precision: PrecisionField = Precision.parse("ternary")
    channels: int = Field(default=32, ge=1)
    states: int = Field(default=4, ge=1)
    layers: int = Field(default=2, ge=1)
    initialisation: Initialisation = "lin"
    discretisation: Discretisation = "zoh"
    dt_range: tuple[Positive, Positive] = (0.01, 0.2)
    r_max: float = Field(default=0.9995, gt=0, lt=1)
    leak: float = Field(default=1.0, gt=0, le=1)
    pooling: Pooling = "mean"
    levelling: Levelling = "none"
    full: Stage
    quantised: Stage
    batch: int = Field(default=64, ge=2)
    label_smoothing: float = Field(default=0.05, ge=0, lt=1)
    weight_decay: float = Field(default=1e-2, ge=0)
    patience: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0)
    device: Device = "cpu"
