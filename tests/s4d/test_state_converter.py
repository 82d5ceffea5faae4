"""Training with converters in the loop: the net meets the rounding that it will run with."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from imssa_lab.contract.errors import BundleError, ConfigError
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.export import to_bundle
from imssa_lab.s4d.inference import run_network
from imssa_lab.s4d.model.layers import S4DLayer
from imssa_lab.s4d.model.poles import Poles
from imssa_lab.s4d.quantise.cell_errors import CellErrors
from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.train.evaluation import accuracy
from imssa_lab.s4d.train.settings import Stage
from imssa_lab.s4d.train.training import quantise, train_float, train_quantised
from tests.s4d.test_bundle import CONFIG, make_task

TASK = make_task()


def layer_and_inputs(words: str) -> tuple[S4DLayer, Tensor]:
    rng = torch.Generator().manual_seed(0)
    layer = S4DLayer(Poles(6, 4, rng), rng)
    u = torch.randn(5, 40, 6, generator=rng)
    layer.set_precision(Precision.parse(words))
    layer.calibrate_state(u)
    return layer, u


def gradients(layer: S4DLayer, outputs: Tensor) -> list[Tensor]:
    layer.zero_grad()
    (outputs * torch.linspace(-1, 1, outputs.numel()).reshape(outputs.shape)).sum().backward()
    return [parameter.grad.clone() for parameter in layer.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("words", ["state=4", "state=4, form=direct", "increment=4", "state=6, increment=4"])
def test_training_sees_the_values_of_the_recurrence_and_the_gradient_of_the_exact_kernel(words: str) -> None:
    layer, u = layer_and_inputs(f"float, {words}")
    exact, _ = layer_and_inputs("float, form=direct" if "direct" in words else "float")
    trained, unrounded = layer.train()(u), exact.train()(u)
    assert torch.equal(trained, layer.eval()(u))
    assert float((trained - unrounded).detach().abs().max()) > 0.1  # null control: so few bits are felt
    for ours, theirs in zip(gradients(layer, trained), gradients(exact, unrounded), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_recurrence_in_training_runs_on_the_cells_with_errors() -> None:
    layer, u = layer_and_inputs("float, state=16")
    exact, _ = layer_and_inputs("float")
    layer.state_converter.full_scale.mul_(4)  # room for states that grow by errors
    for each in (layer, exact):
        each.train().set_cell_errors(CellErrors.relative(0.03), torch.Generator().manual_seed(1))
    assert torch.allclose(layer(u), exact(u), atol=0.01)
    assert not torch.allclose(layer.train()(u), layer.eval()(u), atol=0.03)


def test_errors_of_rounded_increments_add_up_in_the_state() -> None:
    """Beside a loop of numpy, whose steps are written out: by column, saturating, and never measured again."""
    layer, u = layer_and_inputs("float, increment=5")
    with torch.no_grad():
        transition, b, c, d = (part.double().numpy() for part in layer.matrices())
        found = copy.deepcopy(layer).double().eval()(u.double()).numpy()
    full = np.zeros(b.shape)
    exact = np.zeros((len(u), *b.shape))
    for now in np.moveaxis(u.double().numpy(), 1, 0):
        change = np.einsum("hnij,bhnj->bhni", transition - np.eye(2), exact) + b * now[..., None, None]
        full = np.maximum(full, np.abs(change).max(axis=0))
        exact = exact + change
    held = layer.increment_converter.full_scale.double().numpy()
    assert held == pytest.approx(1.3 * full, rel=1e-5)
    step, x = np.maximum(held, 1e-12) / 15, np.zeros_like(exact)
    for number, now in enumerate(np.moveaxis(u.double().numpy(), 1, 0)):
        y = (c * x).sum(axis=(-2, -1)) + d * now
        assert found[:, number] == pytest.approx(y, abs=1e-4)
        change = np.einsum("hnij,bhnj->bhni", transition - np.eye(2), x) + b * now[..., None, None]
        x = x + step * np.clip(np.round(change / step), -15, 15)
    assert np.abs(x - exact).max() > step.max(), "null control: more than one rounding"


def test_a_bundle_keeps_the_converter_of_increments(tmp_path: Path) -> None:
    start = train_float(TASK, CONFIG)
    exact = to_bundle(quantise(start, TASK, Precision.parse("8bit, state=8")), TASK)
    model = quantise(start, TASK, Precision.parse("8bit, state=8, increment=6"))
    to_bundle(model, TASK).save(tmp_path / "b.safetensors")
    bundle = KernelBundle.load(tmp_path / "b.safetensors")
    assert (bundle.layers[0].increment_bits, bundle.precision) == (6, "8bit, state=8, increment=6")
    x = TASK.test[0].astype(np.float64)
    with torch.no_grad():
        network = copy.deepcopy(model.network).double().eval()(torch.from_numpy(x)).numpy()
    assert run_network(bundle, x) == pytest.approx(network, abs=1e-9)
    assert not np.allclose(run_network(exact, x), network, atol=1e-3), "null control: six bits are felt"
    layer = bundle.layers[0]
    for change in ({"column_range": None}, {"form": "direct"}, {"increment_bits": 1}):
        with pytest.raises(BundleError):
            replace(layer, **change)
    with pytest.raises(ConfigError, match="delta form alone"):
        Precision.parse("8bit, increment=8, form=direct")


def slow_and_fast() -> tuple[S4DLayer, Tensor]:
    """One channel of a fast state and one that is 20 times slower, with the tied gains of three levels, 4 bits."""
    rng = torch.Generator().manual_seed(0)
    layer = S4DLayer(Poles(1, 2, rng), rng)
    with torch.no_grad():
        layer.poles.log_dt.zero_()
        layer.poles.a_re.copy_(torch.tensor([[0.8, 0.02]]).log())
        layer.poles.a_im.zero_()
    u = torch.randn(5, 200, 1, generator=rng)
    layer.set_precision(Precision.parse("float, b=tied, state=4"))
    layer.calibrate_state(u)
    return layer, u


def test_a_slow_state_is_rounded_in_steps_of_its_own_size() -> None:
    """Beside a loop of numpy that rounds each state of a kernel by its own largest value."""
    layer, u = slow_and_fast()
    with torch.no_grad():
        transition, b, c, d = (part.double().numpy() for part in layer.matrices())
        found = copy.deepcopy(layer).double().eval()(u.double()).numpy()
    x, trace = np.zeros((len(u), 1, 2, 2)), []
    for now in np.moveaxis(u.double().numpy(), 1, 0):
        x = np.einsum("hnij,bhnj->bhni", transition, x) + b * now[..., None, None]
        trace.append(x)
    peak = np.abs(trace).max(axis=(0, 1, 4))[0]
    assert peak.max() > 4 * peak.min()
    full = 1.1 * peak
    assert layer.state_converter.full_scale[0, :, 0].numpy() == pytest.approx(full, rel=1e-5)
    step = (full / 7)[:, None]
    x, exact = np.zeros_like(x), []
    for number, now in enumerate(np.moveaxis(u.double().numpy(), 1, 0)):
        seen = step * np.clip(np.round(x / step), -7, 7)
        assert found[:, number] == pytest.approx((c * seen).sum(axis=(-2, -1)) + d * now, abs=1e-4)
        x = x + np.einsum("hnij,bhnj->bhni", transition - np.eye(2), seen) + b * now[..., None, None]
        exact.append(x)
    error = np.sqrt(np.mean((np.array(exact) - np.array(trace)) ** 2, axis=(0, 1, 2, 4)))
    spread = np.sqrt(np.mean(np.array(trace) ** 2, axis=(0, 1, 2, 4)))
    assert (error < 0.3 * spread).all()
    with torch.no_grad():  # null control: by one step of the channel the slow state is lost
        layer.state_converter.full_scale.copy_(layer.state_converter.full_scale.amax(1, keepdim=True).expand(1, 2, 1))
        _, coarse = layer.double().eval().recur(u.double())
    assert float((coarse - torch.from_numpy(trace[-1]))[:, 0, 1, 0].std()) > 0.5 * float(spread[1])


def test_a_bundle_keeps_the_range_of_every_state(tmp_path: Path) -> None:
    model = quantise(train_float(TASK, CONFIG), TASK, Precision.parse("three-level, state=4"))
    to_bundle(model, TASK).save(tmp_path / "b.safetensors")
    bundle = KernelBundle.load(tmp_path / "b.safetensors")
    x = TASK.test[0].astype(np.float64)
    with torch.no_grad():
        network = copy.deepcopy(model.network).double().eval()(torch.from_numpy(x)).numpy()
    assert run_network(bundle, x) == pytest.approx(network, abs=1e-9)
    layer = bundle.layers[0]
    own = layer.each_state_range
    assert own is not None
    assert np.array_equal(own.max(axis=1), layer.state_range)
    one_step = replace(bundle, layers=(replace(layer, each_state_range=None), *bundle.layers[1:]))
    assert not np.allclose(run_network(one_step, x), network, atol=1e-3), "null control: they are felt"
    for wrong in ({"form": "direct"}, {"state_bits": None}, {"each_state_range": 0 * own}):
        with pytest.raises(BundleError, match="each_state_range"):
            replace(layer, **wrong)
    with pytest.raises(BundleError, match="each_state_range"):
        replace(layer, each_state_range=own[:, :1])


@pytest.mark.parametrize("words", ["state=8", "increment=8"])
def test_every_epoch_is_judged_with_the_ranges_of_its_states(words: str) -> None:
    start = train_float(TASK, CONFIG)
    stage = Stage(epochs=1, rate=8e-3, pole_share=0.2)
    model = train_quantised(start, TASK, Precision.parse(f"8bit, {words}"), stage=stage)
    assert model.history[-1].validation_accuracy == accuracy(model.network, TASK.validation)
    layer = model.network.layer(0)
    scale = (layer.state_converter if "state" in words else layer.increment_converter).full_scale
    kept = scale.clone()
    model.network.calibrate_states(torch.from_numpy(TASK.train[0][:256]))
    assert kept.amax(-1).min() > 0  # the imaginary part of a real pole never moves
    assert torch.equal(kept, scale)


@pytest.mark.parametrize(("words", "gain"), [("state=2, form=direct", 0.05), ("increment=2", 0.02)])
def test_a_net_that_trained_with_few_bits_is_better_than_one_that_was_rounded(words: str, gain: float) -> None:
    start = train_float(TASK, CONFIG.model_copy(update={"full": Stage(epochs=12, rate=8e-3, pole_share=0.2)}))
    precision = Precision.parse(f"8bit, {words}")
    rounded = quantise(start, TASK, precision).test_accuracy
    trained = train_quantised(start, TASK, precision, stage=Stage(epochs=8, rate=8e-3, pole_share=0.2)).test_accuracy
    assert start.test_accuracy > 0.95
    assert trained > rounded + gain


def test_the_recurrence_is_rounded_where_the_state_or_what_the_cells_give_is() -> None:
    words = {"float": False, "4bit": False, "4bit, state=8": True, "4bit, form=delta, increment=8": True}
    assert {text: Precision.parse(text).rounds_recurrence for text in words} == words
