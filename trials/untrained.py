"""Models small enough for tests and loops, made without training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.inference import run_network
from imssa_lab.s4d.layer_kernels import LayerKernels


def untrained_bundle(channels: int = 6, states: int = 2, layers: int = 2, seed: int = 0) -> KernelBundle:
    """A stable random bundle with ternary delta blocks: 4 inputs, 3 classes; ranges for inputs within [-1, 1]."""
    rng = np.random.default_rng(seed)
    parts = []
    for index in range(layers):
        gain = rng.uniform(0.05, 0.4, (channels, states))
        turn = gain * rng.integers(-1, 2, (channels, states))
        transition = np.stack([np.stack([1 - gain, -turn], axis=-1), np.stack([turn, 1 - gain], axis=-1)], axis=-2)
        radius = np.hypot(1 - gain, turn)
        b = np.stack([np.sqrt(1 - radius**2), np.zeros_like(radius)], axis=-1)
        last = index == layers - 1
        parts.append(
            LayerKernels(
                transition=transition,
                b=b,
                c=rng.choice([-0.5, 0.0, 0.5], (channels, states, 2)),
                d=rng.normal(0, 0.5, channels),
                input_range=2.0,
                state_range=np.full(channels, 4.0),
                increment_range=np.full(channels, 4.0),
                output_range=np.full(channels, 8.0),
                norm_scale=rng.uniform(0.5, 1.0, channels),
                norm_shift=rng.normal(0, 0.1, channels),
                activation_range=4.0,
                mix_weight=None if last else rng.normal(0, 0.3, (channels, channels)),
                mix_bias=None if last else np.zeros(channels),
            )
        )
    draft = KernelBundle(
        layers=tuple(parts),
        encoder_weight=rng.normal(0, 0.4, (channels, 4)),
        encoder_bias=np.zeros(channels),
        encoder_range=1.0,
        layer_ranges=(2.0,) * layers,
        head_weight=rng.normal(0, 1.0, (3, channels)),
        head_bias=np.zeros(3),
        head_range=2.0,
        activation_bits=8,
        labels=("a", "b", "c"),
        task="none",
        precision="ternary",
        preprocessing="none",
        expected_accuracy=(1.0, 0.9, 1.0),
    )
    return replace(draft, head_bias=-run_network(draft, varied_sequences(seed + 1)).mean(axis=0))


def varied_sequences(seed: int) -> FloatArray:
    """64 sequences of 12 steps and 4 inputs within [-1, 1], each about a mean of its own."""
    rng = np.random.default_rng(seed)
    return np.clip(rng.uniform(-1, 1, (64, 1, 4)) + 0.3 * rng.normal(size=(64, 12, 4)), -1, 1)
