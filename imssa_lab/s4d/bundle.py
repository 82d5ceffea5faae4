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
from imssa_lab.s4d.quantise.precision import Form

FORMAT = "imssa_lab kernel bundle"
FORMAT_VERSION = 2
Pooling = Literal["mean", "max"]
"""What the head sees of all steps: their mean, or the largest value of each feature."""

Levelling = Literal["none", "sequence", "running"]
"""How each input of each sequence is brought to mean 0 and deviation 1 before the encoder: not at all, by the whole
sequence, or by its steps so far, as a stream can: mean S / (t + w) and mean square (w + Q) / (t + w) after t steps of
sum S and sum of squares Q, with w = PRIOR_STEPS steps of mean 0 and deviation 1 before the first."""

PRIOR_STEPS = 10
SMALLEST_SD = 1e-3
"""A sequence whose input hardly changes is divided by no less than this."""

STATE_HEADROOM = 1.1
"""Full scale of the state's converter, as a multiple of the largest state on training data."""


@dataclass(frozen=True, eq=False)
class LayerKernels(FrozenArrays):
    """The kernels of one layer, and the digital operations that follow them.

    x[k+1] = M x[k] + b u[k], y[k] = c . x[k] + d u[k] for each of H channels with N states of two real parts.
    Numbers are those of the trained net, without unit.

    Attributes:
        transition: M, (H, N, 2, 2); b, c: (H, N, 2); d: (H,).
        input_range: largest |u| on training data; state_range, increment_range, output_range: (H,), largest |x| over
            all states of a kernel, largest |x[k+1] - x[k]|, largest |y|.
        norm_scale, norm_shift: (H,), the batch norm after the kernels, folded.
        activation_range: full scale of the quantiser after ReLU.
        mix_weight, mix_bias: (H, H) and (H,) of the 1x1 mix with residual before the next layer; None in the last.
        state_bits, output_bits: converters that the model was trained for, of the fed-back state (full scale
            STATE_HEADROOM state_range) and of the output (full scale output_range); None for none.
        common_scale: inputs and states have one full scale at the array's inputs, so that a column of cells has one
            magnitude where the model was trained for three levels.
        form: "delta", where the array gives the increment and the state keeps all its digits, "direct" or "state".

    Raises:
        BundleError: an array has the wrong shape, a value is not finite, a range not above zero, a width or a form
            unknown, or there is no state.
    """

    transition: FloatArray
    b: FloatArray
    c: FloatArray
    d: FloatArray
    input_range: float
    state_range: FloatArray
    increment_range: FloatArray
    output_range: FloatArray
    norm_scale: FloatArray
    norm_shift: FloatArray
    activation_range: float
    mix_weight: FloatArray | None = None
    mix_bias: FloatArray | None = None
    state_bits: int | None = None
    output_bits: int | None = None
    form: str = "delta"
    common_scale: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.b.ndim != 3:
            raise BundleError(f"layer: b must have shape (channels, states, 2), got {self.b.shape}")
        channels, states = self.b.shape[:2]
        if not channels or not states:
            raise BundleError(f"layer: {channels} channels of {states} states; one or more of each")
        _check("transition", self.transition, (channels, states, 2, 2))
        _check("b", self.b, (channels, states, 2))
        _check("c", self.c, (channels, states, 2))
        for name in ("d", "state_range", "increment_range", "output_range", "norm_scale", "norm_shift"):
            _check(name, getattr(self, name), (channels,))
        for name in ("input_range", "state_range", "increment_range", "output_range", "activation_range"):
            _check_range(f"layer: {name}", getattr(self, name))
        for name in ("state_bits", "output_bits"):
            _check_bits(f"layer: {name}", getattr(self, name))
        if self.form not in get_args(Form):
            raise BundleError(f"layer: form {self.form!r}; it is one of {', '.join(get_args(Form))}")
        if (self.mix_weight is None) != (self.mix_bias is None):
            raise BundleError("layer: mix_weight and mix_bias come together or not at all")
        if self.mix_weight is not None and self.mix_bias is not None:
            _check("mix_weight", self.mix_weight, (channels, channels))
            _check("mix_bias", self.mix_bias, (channels,))


@dataclass(frozen=True, eq=False)
class KernelBundle(FrozenArrays):
    """A trained, quantised S4D classifier; two bundles are the same when their digests are.

    Attributes:
        layers: the recurrent kernels, in order.
        encoder_weight, encoder_bias: (H, inputs), (H,); head_weight, head_bias: (classes, H), (classes,).
        encoder_range, layer_ranges, head_range: full scales of the activation quantisers before encoder, each
            layer and head; activation_bits: their width, None for a float model without them.
        pooling, levelling: what the head sees of the steps, and how inputs are levelled first.
        labels: names of the classes; task, precision, preprocessing: words for people and records.
        expected_accuracy: test accuracy in software and its 95 % interval: (accuracy, low, high), fractions.
        provenance: seed, versions, training settings.

    Raises:
        BundleError: parts that do not fit together, a range not above zero, a width that no converter has, a label
            that comes twice.
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

    def __post_init__(self) -> None:
        super().__post_init__()
        channels, classes = len(self.encoder_weight), len(self.labels)
        if not self.layers or any(len(layer.d) != channels for layer in self.layers):
            raise BundleError(f"bundle: one layer or more, each with the encoder's {channels} channels")
        if len(self.layer_ranges) != len(self.layers) or len(self.expected_accuracy) != 3:
            raise BundleError("bundle: one layer_ranges entry per layer, three of expected_accuracy")
        for name, ranges in (
            ("encoder_range", self.encoder_range),
            ("layer_ranges", self.layer_ranges),
            ("head_range", self.head_range),
        ):
            _check_range(f"bundle: {name}", ranges)
        _check_bits("bundle: activation_bits", self.activation_bits)
        for name, kinds in (("pooling", Pooling), ("levelling", Levelling)):
            if getattr(self, name) not in get_args(kinds):
                raise BundleError(
                    f"bundle: {name} {getattr(self, name)!r}; it is one of {', '.join(get_args(kinds))}"
                )
        if len(set(self.labels)) != classes or classes < 2:
            raise BundleError(f"bundle: labels {', '.join(map(repr, self.labels))}; two or more different ones")
        accuracy, low, high = self.expected_accuracy
        if not 0.0 <= low <= accuracy <= high <= 1.0:
            raise BundleError(
                f"bundle: expected_accuracy {self.expected_accuracy}; accuracy, low and high are fractions, and "
                "low <= accuracy <= high"
            )
        if any(layer.mix_weight is None for layer in self.layers[:-1]) or self.layers[-1].mix_weight is not None:
            raise BundleError("bundle: a mix connects two layers, so every layer but the last has one")
        _check("encoder_weight", self.encoder_weight, (channels, self.inputs))
        _check("encoder_bias", self.encoder_bias, (channels,))
        _check("head_weight", self.head_weight, (classes, channels))
        _check("head_bias", self.head_bias, (classes,))

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
            if found != FORMAT_VERSION:
                raise BundleError(
                    f"{path} has bundle format version {found}, this imssa_lab reads version {FORMAT_VERSION}; "
                    "use the imssa_lab that wrote it, or train again"
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
        return cls(layers=tuple(_layer(arrays, scalars, f"layers.{index}.") for index, scalars in layers), **parts)

    def _bytes(self) -> bytes:
        tensors = {name: getattr(self, name) for name in _ARRAYS}
        facts: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        facts |= {name: list(getattr(self, name)) for name in _TUPLES}
        facts |= {name: getattr(self, name) for name, usual in _OTHERWISE.items() if getattr(self, name) != usual}
        facts |= {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "provenance": dict(self.provenance),
            "layers": [],
        }
        for index, layer in enumerate(self.layers):
            scalars: dict[str, Any] = {}
            for entry in fields(layer):
                value = getattr(layer, entry.name)
                if isinstance(value, np.ndarray):
                    tensors[f"layers.{index}.{entry.name}"] = value
                elif value is not None and value is not False:  # what a kernel does not have is not stored
                    scalars[entry.name] = value
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


_OTHERWISE = {"pooling": "mean", "levelling": "none"}
"""Stored only where they differ from these."""


def _layer(arrays: Mapping[str, FloatArray], scalars: Mapping[str, Any], prefix: str) -> LayerKernels:
    parts: dict[str, Any] = dict(scalars)
    parts |= {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}
    return LayerKernels(**parts)


def _check(name: str, values: FloatArray, shape: tuple[int, ...]) -> None:
    if values.shape != shape or not np.isfinite(values).all():
        raise BundleError(
            f"bundle: {name} must be finite and of shape {shape}, got shape {values.shape}; train again"
        )


def _check_range(name: str, values: float | FloatArray | tuple[float, ...]) -> None:
    numbers = np.asarray(values, dtype=np.float64)
    if not (np.isfinite(numbers) & (numbers > 0)).all():
        raise BundleError(f"{name} is {values}; a range is the largest value on training data, finite and above zero")


def _check_bits(name: str, bits: int | None) -> None:
    if bits is not None and (isinstance(bits, bool) or bits not in range(2, 17)):
        raise BundleError(f"{name} is {bits!r}; converters have 2 to 16 bits, or None where there is none")


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
