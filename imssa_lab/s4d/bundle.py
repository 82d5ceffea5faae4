"""`KernelBundle`: all that deployment needs of a trained model, in one file; loads without torch.

The file is safetensors with a JSON header. Weights are the effective ones, already quantised.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from imssa_lab.array_types import FloatArray
from imssa_lab.errors import BundleError, ConfigError

FORMAT = "imssa_lab kernel bundle"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class LayerKernels:
    """The kernels of one layer, and the digital operations that follow them.

    x[k+1] = M x[k] + b u[k], y[k] = c . x[k] + d u[k] for each of H channels with N states of two real parts.

    Attributes:
        transition: M, (H, N, 2, 2); b, c: (H, N, 2); d: (H,).
        input_range: largest |u| on training data; state_range, increment_range, output_range: (H,), largest |x|,
            |x[k+1] - x[k]| and |y|.
        norm_scale, norm_shift: (H,), the batch norm after the kernels, folded.
        activation_range: full scale of the quantiser after ReLU.
        mix_weight, mix_bias: (H, H) and (H,) of the 1x1 mix with residual before the next layer; None in the last.
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

    def __post_init__(self) -> None:
        channels, states = self.b.shape[:2]
        expected = {
            "transition": (channels, states, 2, 2),
            "c": (channels, states, 2),
            "d": (channels,),
            "state_range": (channels,),
            "norm_scale": (channels,),
            "norm_shift": (channels,),
        }
        for name, shape in expected.items():
            values = getattr(self, name)
            if values.shape != shape or not np.isfinite(values).all():
                raise BundleError(f"layer: {name} must be finite and of shape {shape}, got {values.shape}")


@dataclass(frozen=True)
class KernelBundle:
    """A trained, quantised S4D classifier.

    Attributes:
        layers: the recurrent kernels, in order.
        encoder_weight, encoder_bias: (H, inputs), (H,); head_weight, head_bias: (classes, H), (classes,).
        encoder_range, layer_ranges, head_range: full scales of the activation quantisers before encoder, each
            layer and head; activation_bits their width.
        labels: names of the classes; task, precision, preprocessing: words for people and records.
        expected_accuracy: test accuracy in software with its 95 % interval (low, high), fractions.
        provenance: seed, versions, training settings.
    """

    layers: tuple[LayerKernels, ...]
    encoder_weight: FloatArray
    encoder_bias: FloatArray
    encoder_range: float
    layer_ranges: tuple[float, ...]
    head_weight: FloatArray
    head_bias: FloatArray
    head_range: float
    activation_bits: int
    labels: tuple[str, ...]
    task: str
    precision: str
    preprocessing: str
    expected_accuracy: tuple[float, float, float]
    provenance: Mapping[str, str] = field(default_factory=dict)

    def digest(self) -> str:
        """SHA-256 of the bundle as it is stored, hex."""
        return hashlib.sha256(self._bytes()).hexdigest()

    def save(self, path: str | Path) -> None:
        """Write the bundle to a new file.

        Raises:
            ConfigError: the file exists; nothing is overwritten.
        """
        try:
            with Path(path).open("xb") as file:
                file.write(self._bytes())
        except FileExistsError as error:
            raise ConfigError(f"{path} exists; choose another name, nothing was overwritten") from error

    @classmethod
    def load(cls, path: str | Path) -> KernelBundle:
        """Read a bundle.

        Raises:
            BundleError: no such file, not a bundle, truncated, or of another format version.
        """
        if not Path(path).is_file():
            raise BundleError(f"{path}: no such file; make a bundle with `imssa train`")
        try:
            with safe_open(str(path), framework="np") as file:
                header = (file.metadata() or {}).get("imssa_lab")
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        except SafetensorError as error:
            raise BundleError(f"{path} is not a readable bundle ({error}); it may be truncated: copy it again") from error
        if header is None:
            raise BundleError(f"{path} is a safetensors file, but not an {FORMAT}; make one with `imssa train`")
        facts = json.loads(header)
        if facts["version"] != FORMAT_VERSION:
            raise BundleError(
                f"{path} has bundle format version {facts['version']}, this imssa_lab reads {FORMAT_VERSION}; "
                "install the version that wrote it, or train again"
            )
        return cls(
            layers=tuple(_layer(arrays, facts["layers"][i], f"layers.{i}.") for i in range(len(facts["layers"]))),
            **{name: arrays[name] for name in ("encoder_weight", "encoder_bias", "head_weight", "head_bias")},
            **{name: tuple(facts[name]) for name in ("layer_ranges", "labels", "expected_accuracy")},
            **{name: facts[name] for name in _PLAIN},
        )

    def _bytes(self) -> bytes:
        tensors = {
            name: getattr(self, name) for name in ("encoder_weight", "encoder_bias", "head_weight", "head_bias")
        }
        facts: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        facts |= {name: list(getattr(self, name)) for name in ("layer_ranges", "labels", "expected_accuracy")}
        facts |= {"version": FORMAT_VERSION, "provenance": dict(self.provenance), "layers": []}
        for index, layer in enumerate(self.layers):
            scalars = {}
            for entry in fields(layer):
                value = getattr(layer, entry.name)
                if isinstance(value, np.ndarray):
                    tensors[f"layers.{index}.{entry.name}"] = value
                elif value is not None:
                    scalars[entry.name] = value
            facts["layers"].append(scalars)
        contiguous = {name: np.ascontiguousarray(value, dtype=np.float64) for name, value in tensors.items()}
        return save(contiguous, metadata={"imssa_lab": json.dumps(facts, sort_keys=True), "format": FORMAT})


_PLAIN = (
    "encoder_range",
    "head_range",
    "activation_bits",
    "task",
    "precision",
    "preprocessing",
    "provenance",
)


def _layer(arrays: Mapping[str, FloatArray], scalars: Mapping[str, float], prefix: str) -> LayerKernels:
    own = {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}
    return LayerKernels(**own, **scalars)  # type: ignore[arg-type]  # names come from the fields when saving


def wilson_interval(correct: int, total: int) -> tuple[float, float]:
    """95 % confidence interval of a proportion (Wilson, J. Am. Stat. Assoc. 22:209, 1927)."""
    z, p = 1.959964, correct / total
    centre = (p + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * float(np.sqrt(p * (1 - p) / total + z**2 / (4 * total**2)))
    return centre - half, centre + half
