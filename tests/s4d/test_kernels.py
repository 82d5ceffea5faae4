"""Layers and quantisers: the two modes agree, the kernel is the S4D formula's, no code is unstable."""

import itertools
import math

import numpy as np
import pytest
import torch

from imssa_lab.s4d.layers import S4DLayer, impulse_states
from imssa_lab.s4d.quantisers import (
    R_MAX,
    ActivationQuantiser,
    Precision,
    delta_ternary,
    delta_uniform,
    ternary,
    uniform,
)

PRECISIONS: list[Precision] = ["float", "4bit", "ternary"]


def make_layer(precision: Precision = "float", seed: int = 0) -> S4DLayer:
    layer = S4DLayer(6, 4, torch.Generator().manual_seed(seed))
    layer.precision = precision
    return layer.eval()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("steps", [1, 2, 16, 33, 100])
def test_convolution_equals_recurrence(precision: Precision, steps: int) -> None:
    layer = make_layer(precision)
    u = torch.randn(5, steps, 6, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.allclose(layer(u), layer.recur(u)[0], rtol=0, atol=1e-5)


def test_step_by_step_is_the_recurrence() -> None:
    layer, state, outputs = make_layer("ternary"), None, []
    u = torch.randn(3, 7, 6, generator=torch.Generator().manual_seed(1))
    for now in u.unbind(1):
        y, state = layer.step(now, state)
        outputs.append(y)
    whole, last = layer.recur(u)
    assert torch.allclose(torch.stack(outputs, 1), whole, rtol=0, atol=1e-6)
    assert state is not None
    assert torch.allclose(state, last, rtol=0, atol=1e-6)


def test_kernel_is_the_complex_s4d_formula() -> None:
    """K[l] = Re sum_n conj(C_n) Abar_n^(l-1) beta_n, Abar = exp(dt A): S4D with complex numbers, in numpy."""
    layer = make_layer()
    dt = np.exp(layer.log_dt.detach().double().numpy())
    A = -np.exp(layer.a_re.detach().double().numpy()) + 1j * layer.a_im.detach().double().numpy()
    abar = np.exp(dt * A)
    beta = np.sqrt(1 - np.abs(abar) ** 2)
    c = layer.c.detach().double().numpy()
    weights = (c[..., 0] - 1j * c[..., 1]) * beta
    expected = [layer.d.detach().double().numpy()]
    expected += [(weights * abar**power).sum(1).real for power in range(39)]
    with torch.no_grad():
        assert np.allclose(layer.kernel(40).numpy(), np.stack(expected, 1), rtol=0, atol=2e-6)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_kernel_is_what_scipy_simulates(precision: Precision) -> None:
    signal = pytest.importorskip("scipy.signal")
    layer = make_layer(precision)
    transition, b, c, d = (part.detach().double().numpy() for part in layer.matrices())
    u = np.random.default_rng(0).standard_normal(50)
    with torch.no_grad():
        outputs = layer(torch.from_numpy(np.repeat(u[None, :, None], 6, axis=2)).float())[0].numpy()
    for channel in range(6):
        A = np.zeros((8, 8))
        for state in range(4):
            A[2 * state : 2 * state + 2, 2 * state : 2 * state + 2] = transition[channel, state]
        system = (A, b[channel].reshape(8, 1), c[channel].reshape(1, 8), d[channel].reshape(1, 1), 1)
        truth = signal.dlsim(system, u[:, None])[1][:, 0]
        assert np.allclose(outputs[:, channel], truth, rtol=0, atol=1e-5)


def test_every_state_has_unit_impulse_energy() -> None:
    transition, b, _, _ = make_layer().matrices()
    energy = impulse_states(transition, b, 4000).square().sum((0, -1))
    assert torch.allclose(energy, torch.ones_like(energy), atol=1e-3)


@pytest.mark.parametrize(
    "block",
    [
        [[0.0, 0.0], [0.0, 0.0]],
        [[0.5, 0.3], [-0.1, 0.7]],
        [[0.0, 1.0], [0.0, 0.0]],
        [[0.9, 0.0], [0.0, 0.9]],
    ],
)
def test_any_block_has_a_kernel_and_finite_gradients(block: list[list[float]]) -> None:
    transition = torch.tensor([[block]], requires_grad=True)
    b = torch.tensor([[[1.0, 0.5]]], requires_grad=True)
    states = impulse_states(transition, b, 9)
    truth = [np.linalg.matrix_power(np.array(block), power) @ [1.0, 0.5] for power in range(9)]
    assert np.allclose(states.detach().numpy()[:, 0, 0], truth, atol=1e-6)
    states.square().sum().backward()
    assert transition.grad is not None
    assert torch.isfinite(transition.grad).all()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("log_dt", "c"), [(-20.0, 1.0), (6.0, 1.0), (-3.0, 0.0)])
def test_extreme_layers_give_finite_gradients(precision: Precision, log_dt: float, c: float) -> None:
    layer = make_layer(precision)
    with torch.no_grad():
        layer.log_dt.fill_(log_dt)
        layer.c.fill_(c)
        layer.d.zero_()
    layer(torch.ones(2, 16, 6)).square().sum().backward()
    for parameter in layer.parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()


def test_every_ternary_delta_code_is_stable() -> None:
    gain = torch.logspace(-6, 1, 400)
    for sign in (-1.0, 0.0, 1.0):
        real, imag = delta_ternary((1 - gain)[:, None], (sign * gain)[:, None])
        assert (torch.hypot(real, imag) < 1).all()
        assert set(torch.sign(imag).unique().tolist()) == {sign}


def test_every_4bit_delta_code_is_stable() -> None:
    """All 15 x 15 codes of a state, beside another state that sets the channel's scale, at many scales."""
    codes = torch.tensor(list(itertools.product(range(-7, 8), repeat=2)), dtype=torch.float32)
    for scale in (1e-5, 1e-3, 0.02, 0.1, 0.285):
        real = torch.stack([1 + scale * codes[:, 0], torch.full((225,), 1 - 7 * scale)], 1)
        imag = torch.stack([scale * codes[:, 1], torch.zeros(225)], 1)
        radius = torch.hypot(*delta_uniform(real, imag, 4))
        assert (radius <= R_MAX + 1e-6).all()


def test_4bit_delta_without_the_projection_would_be_unstable() -> None:
    """The null control of the test above: the raw grid has codes outside the unit circle."""
    assert math.hypot(1 - 0.1, 7 * 0.1) > 1


def test_random_poles_are_stable_at_every_precision() -> None:
    rng = torch.Generator().manual_seed(2)
    radius, angle = torch.rand(200, 4, generator=rng) * R_MAX, math.pi * torch.rand(200, 4, generator=rng)
    real, imag = radius * angle.cos(), radius * angle.sin()
    for quantised in (delta_ternary(real, imag), delta_uniform(real, imag, 4), delta_uniform(real, imag, 2)):
        assert (torch.hypot(*quantised) < 1).all()


def test_uniform_and_ternary_have_their_levels_and_pass_the_gradient() -> None:
    weight = torch.randn(5, 40, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for quantised, levels in ((uniform(weight, 4, (1,)), 15), (ternary(weight, (1,)), 3)):
        assert max(len(row.unique()) for row in quantised.detach()) <= levels
        (gradient,) = torch.autograd.grad(quantised.sum(), weight)
        assert torch.equal(gradient, torch.ones_like(weight))
    zero = torch.zeros(3, 4)
    assert torch.equal(uniform(zero, 4, (1,)), zero)
    assert torch.equal(ternary(zero, (1,)), zero)


def test_ternary_is_the_published_rule() -> None:
    """Worked by hand: mean 0.5, threshold 0.35, alpha = mean(0.4, 0.6, 0.9)."""
    got = ternary(torch.tensor([[0.1, -0.4, 0.6, 0.9]]), (1,))
    assert torch.allclose(got, torch.tensor([[0.0, -1.0, 1.0, 1.0]]) * 1.9 / 3)


def test_activation_range_follows_training_and_freezes() -> None:
    converter = ActivationQuantiser()
    converter(torch.tensor([2.0, -1.0]))
    converter(torch.tensor([4.0]))
    assert converter.full_scale.item() == pytest.approx(2.1)
    converter.eval()
    converter(torch.tensor([100.0]))
    assert converter.full_scale.item() == pytest.approx(2.1)
    converter.enabled = True
    assert converter(torch.tensor([100.0])).item() == pytest.approx(2.1)
    assert (converter(torch.tensor([1.0])) - 1.0).abs().item() <= 2.1 / 127 / 2 + 1e-6


def test_converter_that_only_saw_zero_stays_finite() -> None:
    converter = ActivationQuantiser()
    converter.enabled = True
    assert torch.equal(converter(torch.zeros(4)), torch.zeros(4))


def test_weight_noise_acts_in_training_only_and_repeats_with_the_seed() -> None:
    u = torch.randn(4, 16, 6, generator=torch.Generator().manual_seed(1))
    outputs = []
    for _ in range(2):
        layer = make_layer("ternary")
        exact = layer(u)
        layer.weight_noise = 0.05
        assert torch.equal(layer(u), exact), "evaluation is exact"
        outputs.append(layer.train()(u))
        assert not torch.allclose(outputs[-1], exact, atol=1e-3)
    assert torch.equal(*outputs)
