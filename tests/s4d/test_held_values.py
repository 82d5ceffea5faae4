"""What cells hold, against values worked out by hand or by the formula of the source."""

import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch

from imssa_lab.s4d.model.layers import S4DLayer
from imssa_lab.s4d.model.network import Architecture, QuantisedLinear
from imssa_lab.s4d.model.poles import Poles
from imssa_lab.s4d.quantise.cell_errors import CellErrors
from imssa_lab.s4d.quantise.pole_forms import DirectionUniform, delta_ternary
from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.quantise.quantisers import LearnedStep
from imssa_lab.s4d.train.settings import Stage
from imssa_lab.s4d.train.training import train_float, train_quantised
from tests.s4d.test_bundle import CONFIG, make_task


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("bits", "angle", "codes"), [(3, 25.0, (3, 1)), (4, 40.0, (5, 4)), (2, 100.0, (0, 1))])
@pytest.mark.parametrize("radius", [0.25, 0.95])
def test_a_direction_is_the_nearest_pair_of_codes_and_keeps_its_radius(
    bits: int, angle: float, codes: tuple[int, int], radius: float
) -> None:
    """Codes of cosine and sine at full scale 2^(bits - 1) - 1, rounded by hand."""
    pole = radius * np.exp(1j * math.radians(angle))
    real, imag = DirectionUniform(bits)(torch.tensor([[pole.real]]), torch.tensor([[pole.imag]]), 0.9995)
    assert math.hypot(real.item(), imag.item()) == pytest.approx(radius, rel=1e-6)
    assert math.atan2(imag.item(), real.item()) == pytest.approx(math.atan2(codes[1], codes[0]), abs=1e-6)


@pytest.mark.parametrize(
    ("exact", "held"),
    [((0.6, 0.3), (0.65, 0.35)), ((0.6, -0.3), (0.65, -0.35)), ((0.6, 0.1), (0.6, 0.0)), ((0.6, 0.2), (0.6, 0.0))],
)
def test_a_ternary_pole_turns_where_its_turn_exceeds_half_its_decay(
    exact: tuple[float, float], held: tuple[float, float]
) -> None:
    """The gain is the mean of decay and turn of a pole that turns, and the decay of one that does not."""
    real, imag = (torch.tensor([[part]], dtype=torch.float64) for part in exact)
    found = [part.item() for part in delta_ternary(real, imag, 0.9995)]
    assert found == pytest.approx(held, abs=1e-9)


def test_the_gradient_of_a_learned_step_is_that_of_the_paper() -> None:
    """Esser et al., eq. 3 and section 2.2: inside round(w/s) - w/s, beyond the last level -+top, times
    1 / sqrt(top * weights of the group); of the logarithm of the step, so times s."""
    weight = torch.randn(2, 16, generator=rng(4), dtype=torch.float64)
    weight[:, 0] = torch.tensor([6.0, -8.0])
    quantiser = LearnedStep(3, (1,), weight)
    quantiser(weight).sum().backward()
    step = quantiser.log_step.detach().exp()
    ratio, top = weight / step, 3
    assert bool((ratio.abs() > top).any())
    assert bool((ratio.abs() < top).any())
    slope = torch.where(ratio.abs() < top, ratio.round() - ratio, top * ratio.sign())
    expected = (slope * step).sum(1, keepdim=True) / math.sqrt(top * 16)
    assert quantiser.log_step.grad is not None
    assert quantiser.log_step.grad.numpy() == pytest.approx(expected.numpy(), rel=1e-6)


def test_relative_errors_are_a_fraction_of_the_largest_weight() -> None:
    """Both cells of a pair err, so the sd is that of a difference; 2 % is six sigma of 40,000 draws."""
    weights = torch.full((40_000,), 0.5)
    weights[0] = 2.0
    spread = (CellErrors.relative(0.05).apply(weights, (0,), rng(1)) - weights).std().item()
    assert spread == pytest.approx(0.05 * 2.0, rel=0.02)


@pytest.mark.parametrize("step", ["max", "learned"])
def test_input_gains_have_a_scale_for_each_channel(step: str) -> None:
    """As channels differ by a factor of 100, one scale for both would lose the small one."""
    poles = Architecture(inputs=1, classes=2, channels=2, states=4).poles(rng())
    layer = S4DLayer(poles, rng())
    layer.set_precision(Precision.parse(f"float, b=4, step={step}"))
    if step == "learned":
        assert [tuple(part.shape) for part in layer.b_quantiser.parameters()] == [(2, 1)]
    else:
        gains = torch.tensor([[7.0, 5.0, -3.0, 1.0], [0.07, 0.05, -0.03, 0.01]])
        assert layer.b_quantiser(gains).numpy() == pytest.approx(gains.numpy(), rel=1e-5)


@pytest.mark.parametrize(("form", "pole_at_rest"), [("delta", 1.0), ("direct", 0.0)])
def test_cells_err_on_what_they_hold(form: str, pole_at_rest: float) -> None:
    """In the delta form cells hold M - 1: a pole at 1 leaves them empty. The errors meet that, then b and c."""
    given: list[torch.Tensor] = []

    class Noted:
        by_column = False

        def apply(self, weights: torch.Tensor, dims: tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
            given.append(weights.detach())
            return weights

    layer = S4DLayer(Architecture(inputs=1, classes=2, channels=3, states=2).poles(rng()), rng())
    layer.set_precision(Precision.parse(f"float, form={form}"))
    layer.set_cell_errors(Noted(), rng())  # type: ignore[arg-type]
    layer.train()
    layer(torch.zeros(1, 5, 3))
    transition, b, c, _ = layer.matrices()
    assert given[0].numpy() == pytest.approx((transition - pole_at_rest * torch.eye(2)).detach().numpy(), abs=1e-7)
    assert [part.shape for part in given[1:]] == [b.shape, c.shape]


def test_errors_by_column_meet_the_columns_of_the_array() -> None:
    """As mapping scales them: W[u, x] = b U / X beside M - 1, and c X beside d U, with 1.1 of the largest state."""
    given: list[torch.Tensor] = []

    class Noted:
        by_column = True

        def apply(self, weights: torch.Tensor, dims: tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
            assert dims == (weights.dim() - 1,)
            given.append(weights.detach())
            return weights

    layer = S4DLayer(Architecture(inputs=1, classes=2, channels=3, states=2).poles(rng()), rng())
    u = 2 * torch.randn(4, 50, 3, generator=rng())
    layer.eval().calibrate_state(u)
    layer.set_cell_errors(Noted(), rng())  # type: ignore[arg-type]
    exact = layer(u)
    assert layer.train()(u).detach().numpy() == pytest.approx(exact.detach().numpy(), abs=1e-5)
    with torch.no_grad():
        transition, b, c, d = layer.matrices()
        states = torch.stack([layer.recur(u[:, :end])[1] for end in range(1, 51)])
        share = u.abs().max() / (1.1 * states.abs().amax((0, 1, 3, 4)))
        columns = torch.cat([(b * share[:, None, None])[..., None], transition - torch.eye(2)], -1)
        outputs = torch.cat([c.flatten(1), (d * share)[:, None]], 1)
    assert given[0].numpy() == pytest.approx(columns.numpy(), abs=1e-5)
    assert given[1].numpy() == pytest.approx(outputs.numpy(), abs=1e-5)


def test_a_bias_starts_evenly_about_zero() -> None:
    """Uniform within 1 / sqrt(inputs) of either sign, as the weights."""
    linear = QuantisedLinear(4, 4000, rng())
    for values in (linear.bias, linear.weight):
        assert values.abs().max().item() <= 0.5
        assert values.abs().max().item() > 0.49
        assert abs(values.mean().item()) < 0.02


def test_an_architecture_is_a_value() -> None:
    architecture = Architecture(inputs=1, classes=2)
    with pytest.raises(FrozenInstanceError):
        architecture.states = 8  # type: ignore[misc]


ERRORS = CellErrors.relative(0.05).model_copy(update={"by_column": True})


def test_outputs_that_are_a_tenth_too_large_have_an_nrmse_of_a_tenth() -> None:
    class Tenth:
        by_column = True

        def apply(self, weights: torch.Tensor, dims: tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
            return 1.1 * weights if dims == (1,) else weights

    layer = S4DLayer(Poles(3, 2, rng(0)), rng(0)).train()
    layer.set_cell_errors(Tenth(), rng(1), judged=True)  # type: ignore[arg-type]
    layer(torch.randn(4, 40, 3, generator=rng(2)) + 3)
    assert layer.error_by_cells().item() == pytest.approx(0.1, rel=1e-4)
    with pytest.raises(AssertionError):
        layer.error_by_cells()
    layer.set_cell_errors(Tenth(), rng(1))  # type: ignore[arg-type]
    layer(torch.randn(4, 40, 3, generator=rng(2)))
    with pytest.raises(AssertionError):
        layer.error_by_cells()


@pytest.mark.parametrize("by_column", [True, False])
def test_a_column_learns_what_its_largest_weight_makes_of_errors(by_column: bool) -> None:
    weights = torch.tensor([2.0, 0.5], requires_grad=True)
    errors = ERRORS.model_copy(update={"by_column": by_column})
    held = errors.apply(weights, (0,), rng(3))
    held[1].backward()
    of_largest, own = weights.grad.tolist() if weights.grad is not None else (0.0, 0.0)
    assert own == 1.0
    assert of_largest == pytest.approx((held[1].item() - 0.5) / 2.0 if by_column else 0.0, abs=1e-6)
    assert abs(held[1].item() - 0.5) > 0.01


def test_kernels_learn_to_tolerate_errors() -> None:
    layer = S4DLayer(Poles(4, 2, rng(0)), rng(0))
    u = torch.randn(16, 60, 4, generator=rng(1))
    layer.set_precision(Precision.parse("ternary"))
    layer.calibrate_state(u)
    layer.train().set_cell_errors(ERRORS, rng(2), judged=True)
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
