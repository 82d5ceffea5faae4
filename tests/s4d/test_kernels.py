"""Kernels and layers: the two modes agree, the kernel is the S4D formula's, whatever is in the cells."""

import math

import numpy as np
import pytest
import scipy.signal
import torch

from imssa_lab.s4d.model import convolution, layers
from imssa_lab.s4d.model.convolution import (
    convolve,
    final_state,
    free_response,
    impulse_response,
    impulse_states,
    stabilised,
)
from imssa_lab.s4d.model.layers import S4DLayer
from imssa_lab.s4d.model.network import Architecture, S4DNetwork
from imssa_lab.s4d.model.poles import Discretisation, Initialisation, Poles, legs_frequencies
from imssa_lab.s4d.model.streaming import Stream
from imssa_lab.s4d.quantise.cell_errors import CellErrors
from imssa_lab.s4d.quantise.precision import Precision

PRECISIONS = [
    "float",
    "8bit",
    "4bit",
    "2bit",
    "ternary",
    "4bit, form=direct",
    "4bit, form=state",
    "3bit, step=learned",
]
PRECISIONS += ["ternary, form=direct", "4bit, output=8"]
INITIALISATIONS: list[Initialisation] = ["lin", "inv", "legs", "spread", "real"]
DISCRETISATIONS: list[Discretisation] = ["zoh", "bilinear"]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_layer(
    precision: str = "float",
    seed: int = 0,
    initialisation: Initialisation = "lin",
    discretisation: Discretisation = "zoh",
) -> S4DLayer:
    rng = generator(seed)
    poles = Poles(6, 4, rng, initialisation=initialisation, discretisation=discretisation)
    layer = S4DLayer(poles, rng)
    layer.set_precision(Precision.parse(precision))
    layer.output_converter.track(torch.full((1, 1, 6), 20.0))
    return layer.eval()


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("discretisation", DISCRETISATIONS)
@pytest.mark.parametrize("initialisation", INITIALISATIONS)
def test_convolution_equals_recurrence(
    initialisation: Initialisation, discretisation: Discretisation, precision: str
) -> None:
    layer = make_layer(precision, 0, initialisation, discretisation)
    for steps in (1, 2, 33, 100):
        u = torch.randn(5, steps, 6, generator=generator(1))
        with torch.no_grad():
            difference = (layer(u) - layer.recur(u)[0]).abs().max()
            if "output" in precision:  # a converter may round the two sides of a threshold apart, by one code
                assert difference <= 20.0 / 127 + 1e-5
            else:
                assert difference <= 1e-5


def test_a_layer_that_forgets_its_state_is_caught() -> None:
    """The null control of the test above."""
    layer = make_layer()
    u = torch.randn(5, 100, 6, generator=generator(1))
    with torch.no_grad():
        forgetful = torch.cat([layer.recur(piece)[0] for piece in u.split(50, 1)], 1)
        assert (layer(u) - forgetful).abs().max() > 1e-2


def test_step_by_step_is_the_recurrence() -> None:
    layer, state, outputs = make_layer("ternary"), None, []
    u = torch.randn(3, 7, 6, generator=generator(1))
    for now in u.unbind(1):
        y, state = layer.step(now, state)
        outputs.append(y)
    whole, last = layer.recur(u)
    assert torch.allclose(torch.stack(outputs, 1), whole, rtol=0, atol=1e-6)
    assert state is not None
    assert torch.allclose(state, last, rtol=0, atol=1e-6)


@pytest.mark.parametrize("discretisation", DISCRETISATIONS)
def test_kernel_is_the_complex_s4d_formula(discretisation: Discretisation) -> None:
    """K[l] = Re sum_n conj(C_n) Abar_n^(l-1) beta_n: S4D with complex numbers, in numpy."""
    layer = make_layer(discretisation=discretisation)
    dt = np.exp(layer.poles.log_dt.detach().double().numpy())
    A = -np.exp(layer.poles.a_re.detach().double().numpy()) + 1j * layer.poles.a_im.detach().double().numpy()
    abar = np.exp(dt * A) if discretisation == "zoh" else (1 + dt * A / 2) / (1 - dt * A / 2)
    beta = np.sqrt(1 - np.abs(abar) ** 2)
    c = layer.c.detach().double().numpy()
    weights = (c[..., 0] - 1j * c[..., 1]) * beta
    expected = [layer.d.detach().double().numpy()]
    expected += [(weights * abar**power).sum(1).real for power in range(39)]
    with torch.no_grad():
        assert np.allclose(layer.kernel(40).numpy(), np.stack(expected, 1), rtol=0, atol=2e-6)


@pytest.mark.parametrize("precision", PRECISIONS[:-1])
def test_kernel_is_what_scipy_simulates(precision: str) -> None:
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
        truth = scipy.signal.dlsim(system, u[:, None])[1][:, 0]
        assert np.allclose(outputs[:, channel], truth, rtol=0, atol=1e-5)


def test_poles_start_where_their_names_say() -> None:
    """Lin and Inv by their formulas (arXiv 2206.11893); LegS by eigenvalues of the matrix as HiPPO writes it."""
    assert torch.allclose(Poles(1, 3, generator(0)).a_im[0], math.pi * torch.arange(3))
    inverse = Poles(1, 2, generator(0), initialisation="inv").a_im[0]
    assert torch.allclose(inverse, torch.tensor([4 / math.pi * 3, 4 / math.pi * (4 / 3 - 1)]))
    n = np.arange(8)
    legs = -np.where(n[:, None] > n, np.sqrt((2 * n[:, None] + 1) * (2 * n + 1)), np.diag(n + 1))
    low_rank = np.sqrt(n + 0.5)
    eigenvalues = np.linalg.eigvals(legs + np.outer(low_rank, low_rank))
    assert np.allclose(eigenvalues.real, -0.5)
    assert np.allclose(np.sort(eigenvalues.imag)[4:], legs_frequencies(4).numpy())
    poles = Poles(2, 3, generator(0), initialisation="real")
    assert torch.allclose(poles.a_re.exp(), torch.tensor([1.0, 2.0, 3.0]).expand(2, 3))
    dt = poles.log_dt.exp()
    assert torch.allclose(poles()[0], torch.exp(-dt * torch.tensor([1.0, 2.0, 3.0])).clamp_max(0.9995))
    assert not poles()[1].any()
    sum(part.sum() for part in poles()).backward()  # type: ignore[union-attr]
    assert poles.a_im.grad is None, "they stay real"
    assert poles.a_re.grad is not None
    angles = Poles(5, 4, generator(0), initialisation="spread").a_im.flatten().sort().values
    assert torch.allclose(angles, math.pi * (torch.arange(20) + 0.5) / 20)


def test_every_state_has_unit_impulse_energy() -> None:
    transition, b, _, _ = make_layer().matrices()
    energy = impulse_states(transition, b, 4000).square().sum((0, -1))
    assert torch.allclose(energy, torch.ones_like(energy), atol=1e-3)


BLOCKS = [
    [[0.0, 0.0], [0.0, 0.0]],
    [[0.5, 0.3], [-0.1, 0.7]],
    [[0.0, 1.0], [0.0, 0.0]],
    [[0.9, 0.0], [0.0, 0.9]],
]


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("steps", [1, 2, 9, 40])
def test_any_block_has_a_kernel_and_finite_gradients(block: list[list[float]], steps: int) -> None:
    transition = torch.tensor([[block]], requires_grad=True)
    b = torch.tensor([[[1.0, 0.5]]], requires_grad=True)
    c, d = torch.tensor([[[0.3, -0.7]]], requires_grad=True), torch.tensor([0.2])
    kernel = impulse_response(transition, b, c, d, steps)
    powers = [np.linalg.matrix_power(np.array(block), power) @ [1.0, 0.5] for power in range(steps - 1)]
    assert np.allclose(kernel.detach().numpy()[0], [0.2, *(np.array([0.3, -0.7]) @ x for x in powers)], atol=1e-6)
    if steps > 2:
        kernel.square().sum().backward()
        for part in (transition, b, c):
            assert part.grad is not None
            assert torch.isfinite(part.grad).all()


def test_unstable_blocks_are_scaled_back_and_stable_ones_are_left() -> None:
    blocks = torch.randn(50, 40, 2, 2, generator=generator(0))
    radius = np.abs(np.linalg.eigvals(blocks.double().numpy())).max(-1)
    held = stabilised(blocks, 0.9)
    after = np.abs(np.linalg.eigvals(held.double().numpy())).max(-1)
    assert np.allclose(after, np.minimum(radius, 0.9), atol=1e-3)
    assert torch.equal(held[torch.from_numpy(radius) < 0.899], blocks[torch.from_numpy(radius) < 0.899])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("discretisation", DISCRETISATIONS)
@pytest.mark.parametrize(("log_dt", "c"), [(-20.0, 1.0), (6.0, 1.0), (-3.0, 0.0)])
def test_extreme_layers_give_finite_gradients(
    precision: str, discretisation: Discretisation, log_dt: float, c: float
) -> None:
    layer = make_layer(precision, discretisation=discretisation)
    with torch.no_grad():
        layer.poles.log_dt.fill_(log_dt)
        layer.c.fill_(c)
        layer.d.zero_()
    layer(torch.ones(2, 16, 6)).square().sum().backward()
    for parameter in layer.parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()


@pytest.mark.parametrize("at_once", [1, 2 * 3 * 128, 1 << 21])
def test_convolution_and_its_gradients_are_those_of_the_sum(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One channel at a time, three (the last piece has one), all; by numeric differences and against a plain sum."""
    monkeypatch.setattr(convolution, "TRANSFORMED", at_once)
    u = torch.randn(2, 40, 4, generator=generator(1), dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(4, 40, generator=generator(2), dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        plain = torch.stack([(u[:, : k + 1] * kernel.T[: k + 1].flip(0)).sum(1) for k in range(40)], 1)
        assert torch.allclose(convolve(u, kernel), plain, atol=1e-12)
    for given in ((u, kernel), (u.detach(), kernel), (u, kernel.detach())):
        # along random directions; every single derivative would take a minute
        assert torch.autograd.gradcheck(convolve, given, fast_mode=True)


def test_a_long_sequence_in_pieces_is_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs and gradients of pieces with carried state against one transform over everything."""
    u = torch.randn(2, 500, 6, generator=generator(1))
    results = []
    for chunk in (4096, 64):
        monkeypatch.setattr(layers, "CHUNK", chunk)
        layer = make_layer("ternary").train()
        outputs = layer(u)
        outputs.square().mean().backward()
        results.append([outputs, layer.c.grad, layer.poles.log_dt.grad])
    for whole, pieces in zip(*results, strict=True):
        assert torch.allclose(whole, pieces, rtol=1e-4, atol=1e-5)


def test_state_after_a_piece_and_what_it_still_says() -> None:
    layer = make_layer()
    transition, b, c, d = layer.matrices()
    u = torch.randn(3, 90, 6, generator=generator(1))
    with torch.no_grad():
        whole, last = layer.recur(u)
        start = torch.zeros(3, *b.shape)
        assert torch.allclose(final_state(transition, b, u, start), last, atol=1e-5)
        middle = final_state(transition, b, u[:, :50], start)
        rest = convolve(u[:, 50:], impulse_response(transition, b, c, d, 40))
        assert torch.allclose(rest + free_response(transition, c, middle, 40), whole[:, 50:], atol=1e-5)


def test_a_stream_in_any_pieces_is_the_whole_sequence() -> None:
    network = S4DNetwork(Architecture(inputs=3, classes=4, channels=6, states=2), generator(0)).eval()
    inputs = torch.randn(2, 60, 3, generator=generator(1))
    for pieces in ([60], [1] * 60, [7, 13, 40]):
        stream = Stream(network)
        for piece in inputs.split(pieces, 1):
            logits = stream.push(piece)
        assert torch.allclose(logits, network(inputs), atol=1e-5)
        assert stream.steps == 60


def test_a_state_converter_rounds_what_cells_see_and_keeps_the_accumulator() -> None:
    """A slow pole decays to below half a code in the delta form; in the direct form it sticks where
    (1 - r) |x| is less than half a code, here at most 25 of 31 codes."""
    remains = {}
    for form in ("delta", "direct"):
        layer = make_layer(f"float, state=6, form={form}")
        with torch.no_grad():
            layer.poles.log_dt.fill_(math.log(0.04))
            layer.poles.a_im.zero_()
        impulse = torch.zeros(1, 600, 6)
        impulse[:, 0] = 1.0
        layer.calibrate_state(impulse)
        remains[form] = layer.recur(impulse)[1].abs().max() / layer.state_converter.full_scale.max()
    assert remains["delta"] <= 0.5 / 31
    assert 0.5 < remains["direct"] <= 25 / 31


def test_cell_errors_act_in_training_only_and_repeat_with_the_seed() -> None:
    u = torch.randn(4, 16, 6, generator=generator(1))
    outputs = []
    for _ in range(2):
        layer = make_layer("ternary")
        exact = layer(u)
        layer.set_cell_errors(CellErrors.relative(0.05), generator(3))
        assert torch.equal(layer(u), exact), "evaluation is exact"
        outputs.append(layer.train()(u))
        assert not torch.allclose(outputs[-1], exact, atol=1e-3)
    assert torch.equal(*outputs)
