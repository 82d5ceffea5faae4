"""A bundle of three one-state kernels and a deployment of it on an ideal twin: small, but real."""

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.inference import run_network
from imssa_lab.s4d.layer_kernels import LayerKernels
from protocols.deployment.deployment import Deployment, deploy
from protocols.deployment.sequences import Sequences
from twin import DigitalTwin

CHANNELS, STEPS, INPUTS, CLASSES = 3, 6, 2, 2


def bundle() -> KernelBundle:
    """Three channels of one state each, one layer; every weight is written out."""
    angles = np.array([0.3, 0.8, 1.5])
    turn = 0.8 * np.array([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]])
    ones = np.ones(CHANNELS)
    layer = LayerKernels(
        transition=np.moveaxis(turn, -1, 0)[:, None],
        b=np.ones((CHANNELS, 1, 2)),
        c=np.array([[[1.0, -0.5]], [[0.5, 1.0]], [[-1.0, 0.5]]]),
        d=0.5 * ones,
        input_range=2.0,
        state_range=8.0 * ones,
        increment_range=8.0 * ones,
        output_range=10.0 * ones,
        norm_scale=ones,
        norm_shift=0.0 * ones,
        activation_range=8.0,
    )
    return KernelBundle(
        layers=(layer,),
        encoder_weight=np.array([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]]),
        encoder_bias=0.0 * ones,
        encoder_range=1.0,
        layer_ranges=(2.0,),
        head_weight=np.array([[1.0, 0.0, -1.0], [-1.0, 0.5, 1.0]]),
        head_bias=np.zeros(CLASSES),
        head_range=4.0,
        activation_bits=8,
        labels=("yes", "no"),
        task="<tiny>",
        precision="float",
        preprocessing="none",
        expected_accuracy=(1.0, 0.9, 1.0),
    )


def sequences() -> tuple[FloatArray, FloatArray, NDArray[np.intp]]:
    """Calibration inputs, test inputs, and labels that the exact network gives them."""
    rng = np.random.default_rng(0)
    calibration, test = (rng.uniform(-1.0, 1.0, (count, STEPS, INPUTS)) for count in (8, 40))
    return calibration, test, run_network(bundle(), test).argmax(axis=1)


def decided_sequences() -> tuple[FloatArray, FloatArray, NDArray[np.intp]]:
    """As `sequences`, of the test inputs the half that is decided most clearly: noise of an array flips none."""
    calibration, test, labels = sequences()
    values = np.sort(run_network(bundle(), test), axis=1)
    clear = np.sort(np.argsort(values[:, -1] - values[:, -2])[len(test) // 2 :])
    return calibration, test[clear], labels[clear]


def deployment() -> Deployment:
    """The bundle deployed on two ideal twins; ends as verified."""
    with DigitalTwin("ideal", (16, 16), seed=0) as array:
        return deploy(
            bundle(),
            [array, DigitalTwin("ideal", (16, 16), seed=1)],
            Sequences(*sequences(), {"null": 0.5}),
        )
