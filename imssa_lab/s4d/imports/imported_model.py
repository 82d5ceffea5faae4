"""From plain arrays of an S4D classifier to a net of ours, which exports, quantises and trains like any other."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from imssa_lab.contract.errors import BundleError, ConfigError
from imssa_lab.s4d.imports.s4d_arrays import S4DArrays, S4DLayerArrays
from imssa_lab.s4d.model.layers import S4DLayer
from imssa_lab.s4d.model.network import Architecture, Block, S4DNetwork
from imssa_lab.s4d.model.poles import Poles
from imssa_lab.s4d.quantise.precision import Precision
from imssa_lab.s4d.scores import Goal
from imssa_lab.s4d.tasks import Task
from imssa_lab.s4d.train.epochs import one_thread, value_scale
from imssa_lab.s4d.train.evaluation import accuracy
from imssa_lab.s4d.train.recipes import training_recipe
from imssa_lab.s4d.train.training import TrainedModel

LARGEST_RADIUS = 1.0 - 1e-6
"""Of a pole that can be asked for: closer to one its input gain is lost in rounding."""
_BATCH = 64


def import_s4d(arrays: S4DArrays, task: Task, *, r_max: float = 0.9995, seed: int = 0) -> TrainedModel:
    """An S4D classifier that was trained elsewhere, as if it had been trained here in float.

    `to_bundle` exports it, `quantise` rounds it, `train_quantised` trains it on. Numbers are kept in float64, and
    converter ranges are tracked on the task's training sequences.

    Args:
        task: what the model was trained for, scaled as it was there.
        r_max: largest radius of a pole; seed: of what is trained later.

    Raises:
        BundleError: a pole lies outside `r_max` (it is named, never moved), or the model has other inputs or classes
            than the task.
        ConfigError: `r_max` is not above 0 and at most LARGEST_RADIUS.
    """
    if not 0 < r_max <= LARGEST_RADIUS:
        raise ConfigError(f"r_max {r_max}: the largest radius of a pole is above 0 and at most {LARGEST_RADIUS:.6f}")
    if outside := arrays.beyond(r_max):
        raise BundleError(
            f"{outside}; they were not moved. Allow slower poles with a larger r_max (at most {LARGEST_RADIUS:.6f}), "
            "or train the model again with a larger smallest dt"
        )
    classes, inputs = len(arrays.decoder_weight), arrays.encoder_weight.shape[1]
    if (inputs, classes) != (task.inputs, len(task.labels)):
        raise BundleError(
            f"the model has {inputs} inputs and {classes} classes, task {task.name} has {task.inputs} inputs and "
            f"{len(task.labels)} classes; give the task that it was trained for"
        )
    network = _network(arrays, r_max, task.goal)
    if task.goal == "values":  # what follows trains on values of deviation 1, so the head takes their scale
        mean, scale = value_scale(task)
        network.set_value_scale(mean, scale)
        weight, bias = torch.tensor(arrays.decoder_weight), torch.tensor(arrays.decoder_bias)
        _fill(network.head, weight=(weight / scale[:, None]).numpy(), bias=((bias - mean) / scale).numpy())
    config = training_recipe(task.name, Precision(), seed).model_copy(
        update={
            "channels": len(arrays.encoder_weight),
            "states": max(layer.a_imag.shape[1] for layer in arrays.layers),
            "layers": len(arrays.layers),
            "r_max": r_max,
            "pooling": arrays.pooling,
        }
    )
    with one_thread():
        _track(network, task.train[0])
        validation, test = accuracy(network, task.validation), accuracy(network, task.test)
    return TrainedModel(network, Precision(), config, (), validation, test)


def _network(arrays: S4DArrays, r_max: float, goal: Goal) -> S4DNetwork:
    first = arrays.layers[0]
    architecture = Architecture(
        inputs=arrays.encoder_weight.shape[1],
        classes=len(arrays.decoder_weight),
        channels=len(arrays.encoder_weight),
        states=first.a_imag.shape[1],
        layers=len(arrays.layers),
        r_max=r_max,
        block=Block(arrays.norm, arrays.activation, first.gate, first.bidirectional, arrays.norm_eps),
        pooling=arrays.pooling,
        goal=goal,
    )
    rng = torch.Generator().manual_seed(0)  # of values that are all replaced
    network = S4DNetwork(architecture, rng)
    network.kernels = torch.nn.ModuleList(_kernels(layer, r_max, rng) for layer in arrays.layers)
    network.double()
    _fill(network.encoder, weight=arrays.encoder_weight, bias=arrays.encoder_bias)
    _fill(network.head, weight=arrays.decoder_weight, bias=arrays.decoder_bias)
    for index, layer in enumerate(arrays.layers):
        _fill(network.mixes[index], weight=layer.output_weight, bias=layer.output_bias)
        _fill(network.norms[index], weight=layer.norm_weight, bias=layer.norm_bias)
    return network.eval()


def _kernels(layer: S4DLayerArrays, r_max: float, rng: torch.Generator) -> S4DLayer:
    """The kernels of one layer: C with the discrete input gain in our c, and what acts at once in our d.

    With w = C (Abar - 1) / A the kernel is 2 Re sum w Abar^l. Ours is d at l = 0 and c . M^(l-1) b from then on, with
    b = (beta, 0), so c = 2 / beta (Re, -Im) of w Abar and d takes 2 Re sum w. From the end the kernel begins one step
    away: c is 2 / beta (Re, -Im) of w, and d is zero.
    """
    ways = 2 if layer.bidirectional else 1
    made = S4DLayer(Poles(ways * len(layer.d), layer.a_imag.shape[1], rng, r_max=r_max), rng).double()
    _fill(
        made.poles,
        log_dt=np.tile(layer.log_dt, ways)[:, None],
        a_re=np.tile(layer.log_a_real, (ways, 1)),
        a_im=np.tile(layer.a_imag, (ways, 1)),
    )
    a = -np.exp(layer.log_a_real) + 1j * layer.a_imag
    exponent = np.exp(layer.log_dt)[:, None] * a
    w = layer.c * np.expm1(exponent) / a
    ahead = w[0] if layer.bidirectional else w
    weights = [ahead * np.exp(exponent), *([w[1]] if layer.bidirectional else [])]
    d = [layer.d + 2.0 * ahead.real.sum(axis=1), *([np.zeros(len(layer.d))] if layer.bidirectional else [])]
    with torch.no_grad():
        beta = made.matrices()[1][..., 0].numpy()
    outputs = 2.0 / beta * np.concatenate(weights)
    _fill(made, c=np.stack([outputs.real, -outputs.imag], axis=-1), d=np.concatenate(d))
    return made


@torch.no_grad()
def _fill(module: torch.nn.Module, **values: NDArray[np.float64]) -> None:
    """Set parameters of a module, each to an array of its shape."""
    for name, array in values.items():
        parameter = module.get_parameter(name)
        assert parameter.shape == array.shape
        parameter.copy_(torch.from_numpy(np.array(array)))


@torch.no_grad()
def _track(network: S4DNetwork, inputs: NDArray[np.float32]) -> None:
    """Let the converters follow the training sequences (n, steps, inputs), as they do in training."""
    network.train()
    for batch in torch.from_numpy(inputs).double().split(_BATCH):
        network(batch)
    network.eval()
