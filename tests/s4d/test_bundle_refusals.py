"""A bundle that makes no sense is refused when it is made, by the name of what is wrong."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from imssa_lab.contract.errors import BundleError
from trials.tiny import bundle as tiny

LAYER_NONSENSE: list[tuple[str, Any]] = [
    ("input_range", 0.0),
    ("input_range", -1.0),
    ("input_range", float("nan")),
    ("state_range", np.array([1.0, 0.0, 1.0])),
    ("increment_range", np.array([1.0, -1.0, 1.0])),
    ("output_range", np.array([1.0, np.inf, 1.0])),
    ("activation_range", 0.0),
    ("form", "quatsch"),
    ("state_bits", 1),
    ("output_bits", 17),
    ("state_bits", 7.5),
    ("activation", "tanh"),
    ("gate", "glu"),
    ("gate", "swiglu"),
    ("layer_norm", "after"),
    ("layer_norm", "between"),
    ("layer_norm_shift", np.zeros(3)),
    ("layer_norm_eps", 0.0),
    ("bidirectional", True),
]
BUNDLE_NONSENSE: list[tuple[str, Any]] = [
    ("encoder_range", 0.0),
    ("head_range", float("inf")),
    ("layer_ranges", (float("nan"),)),
    ("activation_bits", 0),
    ("labels", ("yes", "yes")),
    ("expected_accuracy", (0.5, 0.6, 0.9)),
    ("expected_accuracy", (float("nan"), 0.0, 1.0)),
    ("tolerated_errors", (0.1, 0.2)),
    ("tolerated_errors", (0.1, 0.0, 0.2)),
    ("tolerated_dense_errors", (0.1,)),
    ("tolerated_dense_errors", (0.1, float("inf"))),
]


@pytest.mark.parametrize(("name", "value"), LAYER_NONSENSE)
def test_a_layer_of_nonsense_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(BundleError, match=name):
        replace(tiny().layers[0], **{name: value})


@pytest.mark.parametrize(("name", "value"), BUNDLE_NONSENSE)
def test_a_bundle_of_nonsense_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(BundleError, match=name):
        replace(tiny(), **{name: value})


def test_kernels_without_states_are_refused() -> None:
    layer = tiny().layers[0]
    with pytest.raises(BundleError, match="0 states"):
        replace(layer, b=layer.b[:, :0], c=layer.c[:, :0], transition=layer.transition[:, :0])


def test_a_gate_needs_a_mix_of_twice_as_many_outputs() -> None:
    mixed = {"gate": "glu", "mix_weight": np.ones((3, 3)), "mix_bias": np.zeros(3)}
    with pytest.raises(BundleError, match=r"mix_weight .* shape \(6, 3\)"):
        replace(tiny().layers[0], **mixed)
