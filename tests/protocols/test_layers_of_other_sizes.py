"""Layers with different numbers of states: every state of every layer is on the arrays, or the deployment says no."""

from dataclasses import replace

import numpy as np
import pytest

from imssa_lab.contract.hal import Window
from imssa_lab.mapping import arrays_needed, map_bundle
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.inference import run_network
from imssa_lab.s4d.layer_kernels import LayerKernels
from protocols.deployment.deployment import deploy
from protocols.deployment.sequences import Sequences
from trials import tiny
from twin import DigitalTwin

WINDOW = Window(low=2e-6, high=150e-6)


def layer_of(states: int, seed: int) -> LayerKernels:
    """Three channels with slow and fast states, all of which matter for the output."""
    rng = np.random.default_rng(seed)
    radius, angle = rng.uniform(0.6, 0.9, (3, states)), rng.uniform(0.1, 1.2, (3, states))
    cos, sin = radius * np.cos(angle), radius * np.sin(angle)
    return replace(
        tiny.bundle().layers[0],
        transition=np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2),
        b=np.ones((3, states, 2)),
        c=rng.uniform(0.5, 1.0, (3, states, 2)),
    )


def bundle_of(*states: int) -> KernelBundle:
    """One layer for each number of states."""
    layers = [layer_of(count, seed) for seed, count in enumerate(states)]
    mix = {"mix_weight": np.eye(3) / 8, "mix_bias": np.zeros(3)}
    layers[:-1] = [replace(layer, **mix) for layer in layers[:-1]]
    return replace(tiny.bundle(), layers=tuple(layers), layer_ranges=(2.0,) * len(layers))


@pytest.mark.parametrize("states", [(1, 3), (3, 1), (2, 1, 3)])
def test_every_state_has_its_place(states: tuple[int, ...]) -> None:
    mapping = map_bundle(bundle_of(*states), (64, 64), WINDOW, 4)
    for layer, count in enumerate(states):
        for channel in range(3):
            held = [k.block.states for k in mapping.kernels if (k.layer, k.channel) == (layer, channel)]
            assert sorted(state for part in held for state in part) == list(range(count))
    assert arrays_needed(bundle_of(*states), (64, 64)) == mapping.arrays


def test_large_kernels_come_in_parts_and_small_ones_whole() -> None:
    """Arrays of 6 word lines hold two states at most."""
    mapping = map_bundle(bundle_of(1, 3), (6, 12), WINDOW, 9)
    assert [len(k.block.states) for k in mapping.kernels] == [1, 1, 1, 2, 1, 2, 1, 2, 1]


@pytest.mark.parametrize("states", [(1, 3), (3, 1)])
def test_a_deployment_computes_all_of_them(states: tuple[int, ...]) -> None:
    bundle = bundle_of(*states)
    calibration, test, _ = tiny.sequences()
    labels = run_network(bundle, test).argmax(axis=1)
    with DigitalTwin("ideal", (64, 64), seed=0) as array:
        done = deploy(bundle, [array], Sequences(calibration, test, labels))
    assert done.passed
    assert done.kernel_nrmse.max() < 0.02
    for measured, exact in done.impulses:
        assert np.abs(measured - exact).max() < 0.02 * np.abs(exact).max()
