"""`KernelBundle`: all that deployment needs of a trained model, in one file; loads without torch.

The file is safetensors with a JSON header, so reading one runs no code. Weights are the effective ones, already
quantised, in float64.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.errors import BundleError, ConfigError
from imssa_lab.s4d.dense_layer import ENCODER, HEAD, DenseLayer, Layers, mixing
from imssa_lab.s4d.layer_kernels import LayerKernels, check_bits, check_kind, check_range, check_shape
from imssa_lab.s4d.scores import Goal

FORMAT = "imssa_lab kernel bundle"
FORMAT_VERSION = 4
_READ = (2, 3, FORMAT_VERSION)
"""Version 2 has blocks of batch norm, ReLU and mix in one direction alone, 3 others too, 4 values, pooling by the
last step, converters of increments and ranges of single states; a bundle is written as the first version that has
what it needs."""

Pooling = Literal["mean", "max", "last"]
"""What the head sees of all steps: their mean, the largest value of each feature, or the last step."""

Levelling = Literal["none", "sequence", "running"]
"""How each input of each sequence is brought to mean 0 and deviation 1 before the encoder: not at all, by the whole
sequence, or by its steps so far, as a stream can: mean S / (t + w) and mean square (w + Q) / (t + w) after t steps of
sum S and sum of squares Q, with w = PRIOR_STEPS steps of mean 0 and deviation 1 before the first."""

PRIOR_STEPS = 10
SMALLEST_SD = 1e-3
"""A sequence whose input hardly changes is divided by no less than this."""

INCREMENT_HEADROOM = 1.3
"""Full scale of an increment's converter, as a multiple of the largest of its column on training data."""

STATE_HEADROOM = 1.1
"""Full scale of the state's converter, as a multiple of the largest state on training data."""


@dataclass(frozen=True, eq=False)
class KernelBundle(FrozenArrays):
    """A trained, quantised S4D net; two bundles are the same when their digests are.

    Attributes:
        layers: the recurrent kernels, in order.
        encoder_weight, encoder_bias: (H, inputs), (H,); head_weight, head_bias: (classes, H), (classes,).
        encoder_range, layer_ranges, head_range: full scales of the activation quantisers before encoder, each
            layer and head; activation_bits: their width, None for a float model without them.
        pooling, levelling: what the head sees of the steps, and how inputs are levelled first.
        labels: names of the classes, or of the values; task, precision, preprocessing: words for people and records.
        expected_accuracy: test accuracy in software and its 95 % interval: (accuracy, low, high), fractions; of
            values the share of their variance that is explained, see `imssa_lab.s4d.scores`.
        provenance: seed, versions, training settings.
        tolerated_errors: relative rms error of products, NRMSE of a kernel on real input and on an impulse that cost
            two points of that at most, see `imssa_lab.s4d.tolerated_errors`; None where nobody has tried, or the
            smallest tried costs more.
        tolerated_dense_errors: NRMSE of the worst dense layer over all its outputs, and of its median output, that
            cost one point at most; None as above, and in bundles of earlier versions.
        digital: names of dense layers that stay digital where all layers are asked for on arrays.
        goal: whether the head gives a logit for each class, or values in the unit of the task.

    Raises:
        BundleError: parts that do not fit together, a range not above zero, a width that no converter has, a label
            that comes twice, a dense layer that there is not.
    """

    layers: tuple[LayerKernels, ...]
    encoder_weight: FloatArray
    encoder_bias: FloatArray
    encoder_range: float
    layer_ranges: tuple[float, ...]
    head_weight: FloatArray
    head_bias: FloatArray
    head_range: float
    activation_bits: int | None
    labels: tuple[str, ...]
    task: str
    precision: str
    preprocessing: str
    expected_accuracy: tuple[float, float, float]
    provenance: Mapping[str, str] = field(default_factory=dict)
    pooling: Pooling = "mean"
    levelling: Levelling = "none"
    tolerated_errors: tuple[float, float, float] | None = None
    tolerated_dense_errors: tuple[float, float] | None = None
    digital: tuple[str, ...] = (HEAD,)
    goal: Goal = "classes"

    def __post_init__(self) -> None:
        super().__post_init__()
        channels, classes = len(self.encoder_weight), len(self.labels)
        if not self.layers or any(layer.features != channels for layer in self.layers):
            raise BundleError(f"bundle: one layer or more, each with the encoder's {channels} features")
        if len(self.layer_ranges) != len(self.layers) or len(self.expected_accuracy) != 3:
            raise BundleError("bundle: one layer_ranges entry per layer, three of expected_accuracy")
        for name, ranges in (
            ("encoder_range", self.encoder_range),
            ("layer_ranges", self.layer_ranges),
            ("head_range", self.head_range),
        ):
            check_range(f"bundle: {name}", ranges)
        check_bits("bundle: activation_bits", self.activation_bits)
        for name, kinds in (("pooling", Pooling), ("levelling", Levelling), ("goal", Goal)):
            check_kind(f"bundle: {name}", getattr(self, name), get_args(kinds))
        fewest, least = (2, 0.0) if self.goal == "classes" else (1, -np.inf)
        if len(set(self.labels)) != classes or classes < fewest:
            asked = "two or more" if fewest > 1 else "one or more"
            raise BundleError(f"bundle: labels {', '.join(map(repr, self.labels))}; {asked} different ones")
        accuracy, low, high = self.expected_accuracy
        if not least <= low <= accuracy <= high <= 1.0:
            raise BundleError(
                f"bundle: expected_accuracy {self.expected_accuracy}; accuracy, low and high are fractions, and "
                "low <= accuracy <= high"
            )
        errors = self.tolerated_errors
        if errors is not None and not (len(errors) == 3 and all(0 < error < np.inf for error in errors)):
            raise BundleError(
                f"bundle: tolerated_errors {errors}; give three finite numbers above zero: of products, and of "
                "kernels on real input and on an impulse"
            )
        of_dense = self.tolerated_dense_errors
        if of_dense is not None and not (len(of_dense) == 2 and all(0 < error < np.inf for error in of_dense)):
            raise BundleError(
                f"bundle: tolerated_dense_errors {of_dense}; give two finite numbers above zero: of all "
                "outputs of a layer, and of its median output"
            )
        if any(layer.mix_weight is None for layer in self.layers[:-1]):
            raise BundleError("bundle: a mix connects two layers, so every layer but the last has one")
        check_shape("encoder_weight", self.encoder_weight, (channels, self.inputs))
        check_shape("encoder_bias", self.encoder_bias, (channels,))
        check_shape("head_weight", self.head_weight, (classes, channels))
        check_shape("head_bias", self.head_bias, (classes,))
        names = [layer.name for layer in self.dense_layers()]
        if unknown := [name for name in self.digital if name not in names]:
            raise BundleError(
                f"bundle: digital names {', '.join(map(repr, unknown))}; dense layers are {', '.join(names)}"
            )

    def dense_layers(self) -> list[DenseLayer]:
        """Encoder, mixes and head, in the order in which they run."""
        mixes = [
            DenseLayer(mixing(index), layer.mix_weight, layer.activation_range)
            for index, layer in enumerate(self.layers)
            if layer.mix_weight is not None
        ]
        encoder = DenseLayer(ENCODER, self.encoder_weight, self.encoder_range)
        return [encoder, *mixes, DenseLayer(HEAD, self.head_weight, self.head_range)]

    def on_arrays(self, layers: Layers) -> list[DenseLayer]:
        """The dense layers that arrays compute; all others, biases and norms are digital."""
        return [] if layers == "kernels" else [each for each in self.dense_layers() if each.name not in self.digital]

    @property
    def inputs(self) -> int:
        """Numbers per step of an input sequence."""
        return int(self.encoder_weight.shape[-1])

    def digest(self) -> str:
        """SHA-256 in hex of the bundle as it is stored, so that of its file."""
        return hashlib.sha256(self._bytes()).hexdigest()

    def save(self, path: str | Path) -> None:
        """Write the bundle to a new file.

        Raises:
            ConfigError: the file exists, or cannot be written; nothing is overwritten.
        """
        content = self._bytes()
        try:
            with Path(path).open("xb") as file:
                file.write(content)
        except FileExistsError as error:
            raise ConfigError(f"{path} exists and was not overwritten; choose another name") from error
        except OSError as error:
            raise ConfigError(f"{path} cannot be written ({error}); choose a folder that exists") from error

    @classmethod
    def load(cls, path: str | Path) -> KernelBundle:
        """Read a bundle.

        Raises:
            BundleError: no such file, not a bundle, truncated, damaged, or of another format version.
        """
        if not Path(path).is_file():
            raise BundleError(f"{path}: no such file; make a bundle with `imssa train`")
        try:
            with safe_open(str(path), framework="np") as file:
                header = (file.metadata() or {}).get("imssa_lab")
                arrays = {name: file.get_tensor(name) for name in file.keys()}
        except (SafetensorError, OSError) as error:
            raise BundleError(
                f"{path} is no readable {FORMAT} (a complete safetensors file): {error}; it may be truncated, "
                "copy it again or train again"
            ) from error
        if header is None:
            raise BundleError(f"{path} is a safetensors file but no {FORMAT}; make one with `imssa train`")
        try:
            facts = json.loads(header)
            found = facts["version"]
            if found not in _READ:
                raise BundleError(
                    f"{path} has bundle format version {found}, this imssa_lab reads versions "
                    f"{', '.join(map(str, _READ))}; use the imssa_lab that wrote it, or train again"
                )
            return cls._assemble(facts, arrays)
        except (ValueError, KeyError, TypeError) as error:
            raise BundleError(f"{path}: the header of this {FORMAT} is damaged ({error!r}); copy it again") from error

    @classmethod
    def _assemble(cls, facts: Mapping[str, Any], arrays: Mapping[str, FloatArray]) -> KernelBundle:
        layers = enumerate(facts["layers"])
        parts: dict[str, Any] = {name: arrays[name] for name in _ARRAYS}
        parts |= {name: tuple(facts[name]) for name in _TUPLES}
        parts |= {name: facts[name] for name in _PLAIN}
        parts |= {name: facts[name] for name in _OTHERWISE if name in facts}
        for name in ("tolerated_errors", "tolerated_dense_errors"):
            if name in facts:
                parts[name] = tuple(facts[name])
        parts["digital"] = tuple(facts.get("digital", _OTHERWISE["digital"]))
        return cls(layers=tuple(_layer(arrays, scalars, f"layers.{index}.") for index, scalars in layers), **parts)

    def _since_4(self) -> bool:
        """Whether anything in it needs format version 4."""
        converted = any(
            layer.increment_bits is not None or layer.each_state_range is not None for layer in self.layers
        )
        return self.pooling == "last" or self.goal != "classes" or converted

    def _bytes(self) -> bytes:
        tensors = {name: getattr(self, name) for name in _ARRAYS}
        facts: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        facts |= {name: list(getattr(self, name)) for name in _TUPLES}
        facts |= {name: getattr(self, name) for name, usual in _OTHERWISE.items() if getattr(self, name) != usual}
        facts |= {
            "format": FORMAT,
            "version": FORMAT_VERSION if self._since_4() else min(_READ),
            "provenance": dict(self.provenance),
            "layers": [],
        }
        last = len(self.layers) - 1
        for index, layer in enumerate(self.layers):
            scalars: dict[str, Any] = {}
            for entry in fields(layer):
                value = getattr(layer, entry.name)
                if isinstance(value, np.ndarray):
                    tensors[f"layers.{index}.{entry.name}"] = value
                elif value is not None and value is not False:  # what a kernel does not have is not stored
                    if entry.name not in _SINCE_3 or value != entry.default:
                        scalars[entry.name] = value
            if any(name in scalars for name in _SINCE_3) or (index == last and layer.mix_weight is not None):
                facts["version"] = max(3, facts["version"])
            facts["layers"].append(scalars)
        contiguous = {name: np.ascontiguousarray(value, dtype=np.float64) for name, value in tensors.items()}
        # One metadata key only: safetensors writes several in no fixed order, and the digest must not vary.
        return save(contiguous, metadata={"imssa_lab": json.dumps(facts, sort_keys=True)})


_ARRAYS = ("encoder_weight", "encoder_bias", "head_weight", "head_bias")
_TUPLES = ("layer_ranges", "labels", "expected_accuracy")
_PLAIN = (
    "encoder_range",
    "head_range",
    "activation_bits",
    "task",
    "precision",
    "preprocessing",
    "provenance",
)


_OTHERWISE = {
    "pooling": "mean",
    "levelling": "none",
    "tolerated_errors": None,
    "tolerated_dense_errors": None,
    "digital": (HEAD,),
    "goal": "classes",
}
"""Stored only where they differ from these."""

_SINCE_3 = ("bidirectional", "activation", "gate", "layer_norm", "layer_norm_eps")
"""Of a layer: stored only where they differ from the usual, by format version 3."""


def _layer(arrays: Mapping[str, FloatArray], scalars: Mapping[str, Any], prefix: str) -> LayerKernels:
    parts: dict[str, Any] = dict(scalars)
    parts |= {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}
    return LayerKernels(**parts)


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """95 % confidence interval (low, high) of a proportion (Wilson, J. Am. Stat. Assoc. 22:209, 1927).

    Raises:
        ConfigError: not 0 <= correct <= total, or nothing was counted.
    """
    if not 0 <= correct <= total or total == 0:
        raise ConfigError(f"wilson_interval: {correct} of {total} is no proportion; count at least one trial")
    z, p = 1.959964, correct / total
    centre = (p + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * float(np.sqrt(p * (1 - p) / total + z**2 / (4 * total**2)))
    return max(0.0, centre - half), min(1.0, centre + half)
