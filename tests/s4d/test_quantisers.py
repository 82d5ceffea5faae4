"""Quantisers have the levels they promise and pass the gradient; no code of any form of a pole is unstable."""

import itertools
import math

import pytest
import torch

from imssa_lab.contract.errors import ConfigError
from imssa_lab.s4d.quantise.cell_errors import CellErrors
from imssa_lab.s4d.quantise.pole_forms import (
    DeltaUniform,
    DirectionUniform,
    DirectUniform,
    delta_ternary,
    eight_directions,
    pole_form,
)
from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.quantise.quantisers import Converter, LearnedStep, Ternary, Uniform

R_MAX = 0.9995


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def grid(bits: int) -> torch.Tensor:
    """Every pair of codes, (codes, 2)."""
    top = 2 ** (bits - 1) - 1
    return torch.tensor(list(itertools.product(range(-top, top + 1), repeat=2)), dtype=torch.float32)


@pytest.mark.parametrize("bits", range(2, 9))
def test_every_delta_code_is_stable(bits: int) -> None:
    """All codes of a state, beside another state that sets the channel's scale, at many scales."""
    codes, top = grid(bits), 2 ** (bits - 1) - 1
    for scale in torch.logspace(-5, math.log10(1.99), 12) / top:
        real = torch.stack([1 + scale * codes[:, 0], torch.full((len(codes),), 1 - top * float(scale))], 1)
        imag = torch.stack([scale * codes[:, 1], torch.zeros(len(codes))], 1)
        held = DeltaUniform(bits)(real, imag, R_MAX)
        assert (torch.hypot(*held) <= R_MAX + 1e-6).all()


def test_the_bare_delta_grid_would_be_unstable() -> None:
    """The null control of the test above."""
    assert math.hypot(1 - 0.1, 7 * 0.1) > 1


@pytest.mark.parametrize("bits", range(2, 9))
def test_every_direct_and_direction_code_is_stable(bits: int) -> None:
    codes, top = grid(bits), 2 ** (bits - 1) - 1
    real, imag = codes[:, :1] / top, codes[:, 1:] / top
    assert (torch.hypot(*DirectUniform(bits)(real, imag, R_MAX)) <= R_MAX + 1e-6).all()
    for radius in (0.3, 0.9, R_MAX):
        length = torch.hypot(real, imag).clamp_min(1e-12)
        held = DirectionUniform(bits)(radius * real / length, radius * imag / length, R_MAX)
        assert (torch.hypot(*held) <= radius + 1e-6).all()


def test_every_ternary_code_is_stable() -> None:
    gain = torch.logspace(-6, 1, 400)
    for sign in (-1.0, 0.0, 1.0):
        real, imag = delta_ternary((1 - gain)[:, None], (sign * gain)[:, None], R_MAX)
        assert (torch.hypot(real, imag) < 1).all()
        assert set(torch.sign(imag).unique().tolist()) == {sign}
    for angle in torch.linspace(0, 2 * math.pi, 97):
        held = torch.stack(eight_directions(0.9 * angle.cos()[None, None], 0.9 * angle.sin()[None, None], R_MAX))
        assert torch.hypot(*held).item() == pytest.approx(0.9)
        turn = torch.atan2(held[1], held[0]).item() / (math.pi / 4)
        assert turn == pytest.approx(round(turn), abs=1e-5)


WORDS = [f"{name}, form={form}" for form in ("delta", "direct", "state") for name in ("2bit", "5bit", "ternary")]


@pytest.mark.parametrize("words", WORDS)
def test_random_poles_stay_stable_and_pass_their_gradient(words: str) -> None:
    radius, angle = torch.rand(200, 4, generator=rng(2)) * R_MAX, math.pi * torch.rand(200, 4, generator=rng(3))
    real, imag = (radius * angle.cos()).requires_grad_(), (radius * angle.sin()).requires_grad_()
    held = pole_form(Precision.parse(words))(real, imag, R_MAX)
    assert (torch.hypot(*held) < 1).all()
    for part in torch.autograd.grad(held[0].sum() + held[1].sum(), (real, imag)):
        assert torch.equal(part, torch.ones_like(part))


def test_many_bits_hold_the_pole_itself() -> None:
    radius, angle = 0.5 + 0.4 * torch.rand(20, 4, generator=rng()), math.pi * torch.rand(20, 4, generator=rng(1))
    real, imag = radius * angle.cos(), radius * angle.sin()
    for form in (DeltaUniform(16), DirectUniform(16), DirectionUniform(16)):
        held = form(real, imag, R_MAX)
        assert torch.allclose(held[0], real, atol=2e-4)
        assert torch.allclose(held[1], imag, atol=2e-4)


@pytest.mark.parametrize("bits", range(2, 9))
def test_uniform_has_its_levels_and_passes_the_gradient(bits: int) -> None:
    weight = torch.randn(5, 4000, generator=rng()).requires_grad_()
    held = Uniform(bits, (1,))(weight)
    assert max(len(row.unique()) for row in held.detach()) <= 2**bits - 1
    assert len(held.detach()[0].unique()) > 2 ** (bits - 1)
    assert torch.allclose(held.abs().amax(1), weight.abs().amax(1))
    (gradient,) = torch.autograd.grad(held.sum(), weight)
    assert torch.equal(gradient, torch.ones_like(weight))
    assert torch.equal(Uniform(bits, (1,))(torch.zeros(3, 4)), torch.zeros(3, 4))


def test_ternary_is_the_published_rule() -> None:
    """Worked by hand: mean 0.5, threshold 0.35, alpha = mean(0.4, 0.6, 0.9)."""
    weight = torch.tensor([[0.1, -0.4, 0.6, 0.9]], requires_grad=True)
    held = Ternary((1,))(weight)
    assert torch.allclose(held, torch.tensor([[0.0, -1.0, 1.0, 1.0]]) * 1.9 / 3)
    assert torch.equal(torch.autograd.grad(held.sum(), weight)[0], torch.ones_like(weight))
    assert torch.equal(Ternary((1,))(torch.zeros(3, 4)), torch.zeros(3, 4))


def test_a_learned_step_finds_the_grid_of_its_weights() -> None:
    """Weights on a grid of step 0.1: the step that loses least is 0.1, and gradient descent gets there."""
    weight = 0.1 * torch.randint(-7, 8, (1, 2000), generator=rng()).float()
    quantiser = LearnedStep(4, (1,), weight)
    optimiser = torch.optim.Adam(quantiser.parameters(), 0.02)
    for _ in range(400):
        optimiser.zero_grad()
        (quantiser(weight) - weight).square().mean().backward()
        optimiser.step()
    assert quantiser.log_step.exp().item() == pytest.approx(0.1, rel=0.02)


def test_converter_range_follows_training_and_freezes() -> None:
    converter = Converter()
    converter(torch.tensor([2.0, -1.0]))
    converter(torch.tensor([4.0]))
    assert converter.full_scale.item() == pytest.approx(2.1)
    converter.eval()
    converter(torch.tensor([100.0]))
    assert converter.full_scale.item() == pytest.approx(2.1)
    converter.bits = 8
    assert converter(torch.tensor([100.0])).item() == pytest.approx(2.1)
    assert (converter(torch.tensor([1.0])) - 1.0).abs().item() <= 2.1 / 127 / 2 + 1e-6


def test_a_converter_per_channel_keeps_a_range_per_channel() -> None:
    converter = Converter((3,))
    converter(torch.tensor([[[1.0, -2.0, 3.0]], [[-4.0, 1.0, 0.5]]]))
    assert converter.full_scale.tolist() == [4.0, 2.0, 3.0]


def test_converter_that_only_saw_zero_stays_finite() -> None:
    converter = Converter()
    converter.bits = 8
    assert torch.equal(converter(torch.zeros(4)), torch.zeros(4))


def test_precision_reads_its_own_words() -> None:
    for words in (
        "float",
        "ternary",
        "2bit",
        "8bit",
        "ternary, head=8",
        "4bit, state=10, form=direct",
        "3bit, a=float",
    ):
        precision = Precision.parse(words)
        assert Precision.parse(str(precision)) == precision
    assert str(Precision.parse("4bit")) == "4bit"
    assert str(Precision.parse("ternary, head=8")) == "ternary, head=8"
    assert Precision.parse("ternary").b == "float"
    assert Precision.parse("float, form=direct").is_float
    assert not Precision.parse("float, output=8").is_float


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("9bit", "no such name"),
        ("octonary", "choose float, ternary or 2bit to 8bit"),
        ("4bit, a=1", "a cannot be 1"),
        ("4bit, a=9", "weights take 2 to 8"),
        ("4bit, state=ternary", "state cannot be 'ternary'"),
        ("4bit, tail=8", "no part 'tail'"),
        ("4bit, form=polar", "form delta, direct or state"),
    ],
)
def test_widths_that_no_quantiser_can_do_are_refused(words: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Precision.parse(words)


def test_cell_errors_have_the_sigma_of_the_level() -> None:
    """A pair at weight w: sd = sqrt(sigma(G+)^2 + sigma(G-)^2) / span, to 2 % with 20,000 draws."""
    errors = CellErrors(conductance=(2e-6, 50e-6, 150e-6), sigma=(1e-6, 4e-6, 2e-6), window=(2e-6, 150e-6))
    for weight, sigma_plus in ((0.0, 1e-6), (1.0, 2e-6), (-1.0, 2e-6), ((50 - 2) / 148, 4e-6)):
        weights = torch.full((20001,), weight)
        weights[-1] = 1.0
        held = errors.apply(weights, (0,), rng())[:-1]
        assert held.mean().item() == pytest.approx(weight, abs=1e-3)
        assert held.std().item() == pytest.approx(math.hypot(sigma_plus, 1e-6) / 148e-6, rel=0.02)


def test_stuck_cells_take_the_ends_of_the_window() -> None:
    errors = CellErrors(conductance=(0, 1), sigma=(0, 0), window=(0, 1), stuck_on=0.1, stuck_off=0.2)
    held = errors.apply(torch.ones(50000), (0,), rng())
    # G+ stays 1 unless stuck off; G- is 0 unless stuck on.
    share = {value: (held.sub(value).abs() < 1e-6).float().mean().item() for value in (1.0, 0.0, -1.0)}
    assert share[1.0] == pytest.approx(0.8 * 0.9, abs=0.01)
    assert share[-1.0] == pytest.approx(0.2 * 0.1, abs=0.005)
    assert share[0.0] == pytest.approx(0.8 * 0.1 + 0.2 * 0.9, abs=0.01)


def test_cell_errors_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="one sigma each"):
        CellErrors(conductance=(0, 1), sigma=(0, 0, 0), window=(0, 1))
    with pytest.raises(ValueError, match="exceed 1"):
        CellErrors(conductance=(0, 1), sigma=(0, 0), window=(0, 1), stuck_on=0.7, stuck_off=0.7)
    with pytest.raises(ValueError, match="window"):
        CellErrors(conductance=(0, 1), sigma=(0, 0), window=(1, 1))


def test_the_ternary_threshold_lies_at_seven_tenths_of_the_mean() -> None:
    """Weights just under and just over 0.7 mean|w| (Li et al., arXiv 1605.04711) end on either side of it."""
    weight = torch.tensor([[0.69, -0.71, 1.3, -1.3], [6.99, 7.01, 13.0, 13.0]], dtype=torch.float64)
    assert weight.abs().mean(1).tolist() == pytest.approx([1.0, 10.0])
    alpha = (0.71 + 2.6) / 3
    ternary = Ternary((1,))(weight)
    assert ternary[0].tolist() == pytest.approx([0.0, -alpha, alpha, -alpha])
    assert (ternary[1] != 0).tolist() == [False, True, True, True]
