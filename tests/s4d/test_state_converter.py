"""Training with a converter in the loop: the net meets the rounding that it will run with."""

import pytest
import torch
from torch import Tensor

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


@pytest.mark.parametrize("form", ["delta", "direct"])
def test_training_sees_the_values_of_the_recurrence_and_the_gradient_of_the_exact_kernel(form: str) -> None:
    layer, u = layer_and_inputs(f"float, state=4, form={form}")
    exact, _ = layer_and_inputs(f"float, form={form}")
    trained, unrounded = layer.train()(u), exact.train()(u)
    assert torch.equal(trained, layer.eval()(u))
    assert float((trained - unrounded).detach().abs().max()) > 0.1  # null control: four bits are felt
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


def test_every_epoch_is_judged_with_the_ranges_of_its_states() -> None:
    start = train_float(TASK, CONFIG)
    stage = Stage(epochs=1, rate=8e-3, pole_share=0.2)
    model = train_quantised(start, TASK, Precision.parse("8bit, state=8"), stage=stage)
    assert model.history[-1].validation_accuracy == accuracy(model.network, TASK.validation)
    scale = model.network.layer(0).state_converter.full_scale
    kept = scale.clone()
    model.network.calibrate_states(torch.from_numpy(TASK.train[0][:256]))
    assert kept.min() > 0
    assert torch.equal(kept, scale)


def test_a_net_that_trained_with_few_bits_of_state_is_better_than_one_that_was_rounded() -> None:
    start = train_float(TASK, CONFIG.model_copy(update={"full": Stage(epochs=12, rate=8e-3, pole_share=0.2)}))
    precision = Precision.parse("8bit, state=2, form=direct")
    rounded = quantise(start, TASK, precision).test_accuracy
    trained = train_quantised(start, TASK, precision, stage=Stage(epochs=8, rate=8e-3, pole_share=0.2)).test_accuracy
    assert start.test_accuracy > 0.95
    assert trained > rounded + 0.05
