"""What cells hold, against values worked out by hand or by the formula of the source."""

import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch

from imssa_lab.s4d.model.layers import S4DLayer
from imssa_lab.s4d.model.network import Architecture, QuantisedLinear
from imssa_lab.s4d.quantise.cell_errors import CellErrors
from imssa_lab.s4d.quantise.pole_forms import DirectionUniform, delta_ternary
from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.quantise.quantisers import LearnedStep


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
