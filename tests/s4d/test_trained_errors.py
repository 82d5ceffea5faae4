"""Hardening: errors of cells in training, and what they do to the kernels as part of the loss."""

import pytest
import torch

from imssa_lab.s4d.model.layers import S4DLayer
from imssa_lab.s4d.model.poles import Poles
from imssa_lab.s4d.quantise.cell_errors import CellErrors
from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.train.settings import Stage
from imssa_lab.s4d.train.training import train_float, train_quantised
from tests.s4d.test_bundle import CONFIG, make_task

ERRORS = CellErrors.relative(0.05).model_copy(update={"by_column": True})


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_outputs_that_are_a_tenth_too_large_have_an_nrmse_of_a_tenth() -> None:
    class Tenth:
        by_column = True

        def apply(self, weights: torch.Tensor, dims: tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
            return 1.1 * weights if dims == (1,) else weights

    layer = S4DLayer(Poles(3, 2, generator(0)), generator(0)).train()
    layer.set_cell_errors(Tenth(), generator(1), judged=True)  # type: ignore[arg-type]
    layer(torch.randn(4, 40, 3, generator=generator(2)) + 3)
    assert layer.error_by_cells().item() == pytest.approx(0.1, rel=1e-4)
    with pytest.raises(AssertionError):
        layer.error_by_cells()
    layer.set_cell_errors(Tenth(), generator(1))  # type: ignore[arg-type]
    layer(torch.randn(4, 40, 3, generator=generator(2)))
    with pytest.raises(AssertionError):
        layer.error_by_cells()


@pytest.mark.parametrize("by_column", [True, False])
def test_a_column_learns_what_its_largest_weight_makes_of_errors(by_column: bool) -> None:
    weights = torch.tensor([2.0, 0.5], requires_grad=True)
    errors = ERRORS.model_copy(update={"by_column": by_column})
    held = errors.apply(weights, (0,), generator(3))
    held[1].backward()
    of_largest, own = weights.grad.tolist() if weights.grad is not None else (0.0, 0.0)
    assert own == 1.0
    assert of_largest == pytest.approx((held[1].item() - 0.5) / 2.0 if by_column else 0.0, abs=1e-6)
    assert abs(held[1].item() - 0.5) > 0.01


def test_kernels_learn_to_tolerate_errors() -> None:
    layer = S4DLayer(Poles(4, 2, generator(0)), generator(0))
    u = torch.randn(16, 60, 4, generator=generator(1))
    layer.set_precision(Precision.parse("ternary"))
    layer.calibrate_state(u)
    layer.train().set_cell_errors(ERRORS, generator(2), judged=True)
    optimiser, errors = torch.optim.Adam(layer.parameters(), 0.05), []
    for _ in range(150):
        layer(u)
        error = layer.error_by_cells()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        errors.append(error.item())
    assert sum(errors[-20:]) < 0.6 * sum(errors[:20])


def test_errors_of_kernels_are_part_of_the_loss_by_their_weight() -> None:
    task = make_task()
    start = train_float(task, CONFIG)
    stage = Stage(epochs=1, rate=1e-9, pole_share=1.0, cell_errors=ERRORS)  # a net that stays as it is
    loss = []
    for weight in (0.0, 1.0, 3.0):
        judged = stage.model_copy(update={"kernel_errors": weight})
        loss.append(train_quantised(start, task, Precision.parse("ternary"), stage=judged).history[-1].loss)
    assert 0.02 < loss[1] - loss[0] < 0.5
    assert loss[2] - loss[0] == pytest.approx(3 * (loss[1] - loss[0]), rel=1e-3)
