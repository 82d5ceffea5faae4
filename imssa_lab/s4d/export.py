"""From a trained model to the bundle that is deployed."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.s4d.bundle import INCREMENT_HEADROOM, STATE_HEADROOM, KernelBundle
from imssa_lab.s4d.inference import kernel_ranges, layer_inputs, run_network
from imssa_lab.s4d.layer_kernels import LayerKernels
from imssa_lab.s4d.model.layers import S4DLayer
from imssa_lab.s4d.model.network import QuantisedLinear, S4DNetwork
from imssa_lab.s4d.quantise.precision import ConverterBits
from imssa_lab.s4d.scores import answers
from imssa_lab.s4d.tasks import Task
from imssa_lab.s4d.tolerated_errors import tolerated_dense_errors, tolerated_errors
from imssa_lab.s4d.train.training import TrainedModel, versions


def to_bundle(model: TrainedModel, task: Task, *, provenance: Mapping[str, str] | None = None) -> KernelBundle:
    """The bundle of a trained model, with kernel ranges from the training split and accuracy on the test split.

    Ranges are measured by running the quantised kernels recurrently over all training sequences, without
    augmentation; the expected accuracy is that of the exported numpy network, not of the torch one, and its interval
    counts the independent recordings of the test split. Tolerated errors are found on the validation split.

    Args:
        provenance: facts to keep beside seed, versions and training settings.

    Raises:
        BundleError: a weight of the model is not finite.
    """
    draft = _unmeasured(model, task, dict(provenance or {}))
    seen = layer_inputs(draft, task.train[0])
    measured = replace(draft, layers=tuple(map(_with_ranges, draft.layers, seen)))
    inputs, wanted = task.test
    found = task.scored(answers(task.goal, run_network(measured, inputs)))
    facts = {**measured.provenance, "test": f"{len(wanted)} sequences of {found.units} independent {task.unit}"}
    validation = task.validation[0].astype(np.float64), task.validation[1]
    return replace(
        measured,
        expected_accuracy=found[:3],
        provenance=facts,
        tolerated_errors=tolerated_errors(measured, *validation),
        tolerated_dense_errors=tolerated_dense_errors(measured, *validation),
    )


def _with_ranges(layer: LayerKernels, inputs: FloatArray) -> LayerKernels:
    input_range = float(np.abs(inputs).max())
    # A kernel that never moved has no range of its own; any positive one will do, zero would be divided by.
    state, increment, output = (np.where(values > 0, values, input_range) for values in kernel_ranges(layer, inputs))
    # A converter that was trained for keeps the range it was trained with.
    return replace(
        layer,
        input_range=input_range,
        state_range=state if layer.state_bits is None else layer.state_range,
        increment_range=increment,
        output_range=output if layer.output_bits is None else layer.output_range,
    )


def _unmeasured(model: TrainedModel, task: Task, provenance: Mapping[str, str]) -> KernelBundle:
    network = copy.deepcopy(model.network).double().eval()
    head_weight, head_bias = _array(network.head.effective_weight()), _array(network.head.bias)
    if network.architecture.goal == "values":  # the head gives them in their own unit: a factor for each row
        scale, mean = _array(network.get_buffer("value_scale")), _array(network.get_buffer("value_mean"))
        head_weight, head_bias = scale[:, None] * head_weight, scale * head_bias + mean
    return KernelBundle(
        layers=tuple(_layer(network, index) for index in range(len(network.kernels))),
        encoder_weight=_array(network.encoder.effective_weight()),
        encoder_bias=_array(network.encoder.bias),
        encoder_range=_scale(network.encoder_converter),
        layer_ranges=tuple(_scale(converter) for converter in network.layer_converters),
        head_weight=head_weight,
        head_bias=head_bias,
        head_range=_scale(network.head_converter),
        activation_bits=_bits(model.precision.input),
        labels=task.labels,
        task=task.name,
        precision=str(model.precision),
        preprocessing=task.preprocessing,
        expected_accuracy=(0.0, 0.0, 1.0),
        provenance={
            "seed": str(model.config.seed),
            "training": model.config.model_dump_json(),
            "data": task.licence,
            **versions(),
            **provenance,
        },
        pooling=network.architecture.pooling,
        levelling=network.architecture.levelling,
        goal=network.architecture.goal,
    )


def _layer(network: S4DNetwork, index: int) -> LayerKernels:
    layer, block = network.layer(index), network.architecture.block
    transition, b, c, d = layer.matrices()
    mix: dict[str, Any] = {}
    if index < len(network.mixes):
        linear = network.mixes[index]
        assert isinstance(linear, QuantisedLinear)
        mix = {"mix_weight": _array(linear.effective_weight()), "mix_bias": _array(linear.bias)}
    return LayerKernels(
        transition=_array(transition),
        b=_array(b),
        c=_array(c),
        d=_array(d),
        input_range=1.0,
        state_range=_or_one(_array(layer.state_converter.full_scale).max(axis=(1, 2)) / STATE_HEADROOM),
        increment_range=np.ones(len(d)),
        output_range=_or_one(_array(layer.output_converter.full_scale)),
        activation_range=_scale(network.relu_converters[index]),
        state_bits=_bits(layer.state_converter.bits),
        output_bits=_bits(layer.output_converter.bits),
        each_state_range=_each_state_range(layer, network.precision.form == "delta"),
        increment_bits=_bits(layer.increment_converter.bits),
        column_range=_column_range(layer),
        form=network.precision.form,
        common_scale=network.precision.three_levels,
        bidirectional=block.bidirectional,
        activation=block.activation,
        gate=block.gate if mix else "none",
        **_norm(network, index),
        **mix,
    )


def _each_state_range(layer: S4DLayer, delta: bool) -> FloatArray | None:
    """Largest |x| of every state, (K, N), where accumulators are rounded; one that never moved takes one."""
    if layer.state_converter.bits == "float" or not delta:
        return None
    return _or_one(_array(layer.state_converter.full_scale)[..., 0] / STATE_HEADROOM)


def _column_range(layer: S4DLayer) -> FloatArray | None:
    """Largest increment of every column, (K, N, 2), where they are converted; a column that never moved takes one."""
    if layer.increment_converter.bits == "float":
        return None
    return _or_one(_array(layer.increment_converter.full_scale) / INCREMENT_HEADROOM)


def _norm(network: S4DNetwork, index: int) -> dict[str, Any]:
    """The norm of one layer, as a layer of a bundle has it: a batch norm folded, a layer norm as it is."""
    norm, place = network.norm(index), network.architecture.block.norm
    if isinstance(norm, torch.nn.BatchNorm1d):
        scale = norm.weight / torch.sqrt(_buffer(norm.running_var) + norm.eps)
        return {"norm_scale": _array(scale), "norm_shift": _array(norm.bias - _buffer(norm.running_mean) * scale)}
    return {
        "norm_scale": np.ones(len(norm.weight)),
        "norm_shift": np.zeros(len(norm.weight)),
        "layer_norm": place,
        "layer_norm_scale": _array(norm.weight),
        "layer_norm_shift": _array(norm.bias),
        "layer_norm_eps": norm.eps,
    }


def _or_one(ranges: FloatArray) -> FloatArray:
    """Ranges that were never tracked, because nothing is converted there, are measured later; until then one."""
    return np.where(ranges > 0, ranges, 1.0)


def _bits(bits: ConverterBits) -> int | None:
    return None if bits == "float" else bits


def _array(values: Tensor) -> FloatArray:
    return np.array(values.detach().cpu().numpy(), dtype=np.float64)


def _buffer(values: Tensor | None) -> Tensor:
    assert values is not None
    return values


def _scale(converter: nn.Module) -> float:
    return float(_buffer(converter.get_buffer("full_scale")))
