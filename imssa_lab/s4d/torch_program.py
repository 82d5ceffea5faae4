"""A bundle's net for other programs: a torch module by convolution, exported as a torch program or as ONNX."""

from __future__ import annotations

import warnings
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.errors import ConfigError
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.inference import run_kernels
from imssa_lab.s4d.layer_kernels import LayerKernels
from imssa_lab.s4d.model.pooling import levelled, pooled

KINDS = (".pt2", ".onnx")
"""Suffixes of files: a program of torch.export, or ONNX."""
_BATCH = 2


class BundleModule(nn.Module):
    """The net of a bundle in float64, for sequences of one length: (n, steps, inputs) -> (n, classes or values).

    Kernels are products with the matrices of their impulse responses, so that the program keeps no state.

    Raises:
        ConfigError: `steps` below one, or a recurrence with converters, which no convolution has.
    """

    def __init__(self, bundle: KernelBundle, steps: int) -> None:
        super().__init__()
        if steps < 1:
            raise ConfigError(f"a program for sequences of {steps} steps; one or more")
        if any(layer.state_bits is not None or layer.increment_bits is not None for layer in bundle.layers):
            raise ConfigError(
                f"this net ({bundle.precision}) rounds states or increments at every step, and a program computes by "
                "convolution; export a net without `state` and `increment` in its precision"
            )
        bits = bundle.activation_bits
        self._levelling, self._pooling = bundle.levelling, bundle.pooling
        self.before_encoder, self.before_head = (
            _Rounding(bundle.encoder_range, bits),
            _Rounding(bundle.head_range, bits),
        )
        self.encoder, self.head = (
            _linear(bundle.encoder_weight, bundle.encoder_bias),
            _linear(bundle.head_weight, bundle.head_bias),
        )
        self.layers = nn.Sequential(
            *(
                _Layer(layer, steps, scale, bits)
                for layer, scale in zip(bundle.layers, bundle.layer_ranges, strict=True)
            )
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits or values (n, outputs) of sequences (n, steps, inputs), float64."""
        features = self.layers(self.encoder(self.before_encoder(levelled(inputs, self._levelling))))
        outputs: Tensor = self.head(self.before_head(pooled(features, self._pooling)))
        return outputs


class _Rounding(nn.Module):
    """As `imssa_lab.s4d.inference.quantise`; its step is a tensor, as ONNX would keep a number in float32."""

    def __init__(self, full_scale: float | FloatArray, bits: int | None) -> None:
        super().__init__()
        self._top = None if bits is None else 2 ** (bits - 1) - 1
        self.register_buffer("step", torch.tensor(np.asarray(full_scale) / (self._top or 1)))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        if self._top is None:
            return x
        step = self.get_buffer("step")
        return step * torch.round(x / step).clamp(-self._top, self._top)


class _Layer(nn.Module):
    """One layer, features (n, steps, H) -> the same: kernels and what is around them.

    Args:
        full_scale, bits: of the converter before the kernels; bits also of that after the activation.
    """

    def __init__(self, layer: LayerKernels, steps: int, full_scale: float, bits: int | None) -> None:
        super().__init__()
        self._both, self._place, self._gelu = layer.bidirectional, layer.layer_norm, layer.activation == "gelu"
        self._gated = layer.gate == "glu"
        impulse = np.zeros((1, steps, len(layer.d)))
        impulse[:, 0] = 1.0
        response = torch.tensor(run_kernels(replace(layer, output_bits=None), impulse)[0].T)  # (K, steps)
        lag = torch.arange(steps)[:, None] - torch.arange(steps)
        matrix = torch.where(lag >= 0, response[:, lag.clamp_min(0)], 0.0)
        self.register_buffer("matrix", matrix.contiguous())
        self.register_buffer("scale", torch.tensor(layer.norm_scale))
        self.register_buffer("shift", torch.tensor(layer.norm_shift))
        self.before_kernels = _Rounding(full_scale, bits)
        self.after_activation = _Rounding(layer.activation_range, bits)
        self.after_kernels = _Rounding(layer.output_range, layer.output_bits)
        self.mix = None if layer.mix_weight is None else _linear(layer.mix_weight, layer.mix_bias)
        self.norm: nn.Module = nn.Identity()
        if layer.layer_norm != "none":
            self.norm = nn.LayerNorm(layer.features, layer.layer_norm_eps, dtype=torch.float64)
            self.norm.load_state_dict(
                {"weight": torch.tensor(layer.layer_norm_scale), "bias": torch.tensor(layer.layer_norm_shift)}
            )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        u = self.before_kernels(self.norm(x) if self._place == "before" else x)
        given = torch.cat([u, u.flip(1)], -1) if self._both else u
        y = self.after_kernels(torch.matmul(self.get_buffer("matrix"), given.permute(2, 1, 0)).permute(2, 1, 0))
        if self._both:
            ahead, back = y.chunk(2, -1)
            y = ahead + back.flip(1)
        z = self.get_buffer("scale") * y + self.get_buffer("shift")
        z = self.after_activation(functional.gelu(z) if self._gelu else functional.relu(z))
        if self.mix is not None:
            mixed = self.mix(z)
            z = (functional.glu(mixed, -1) if self._gated else mixed) + (x if self._place == "before" else u)
        features: Tensor = self.norm(z) if self._place == "after" else z
        return features


def _linear(weight: FloatArray, bias: FloatArray | None) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
    made.load_state_dict({"weight": torch.tensor(weight), "bias": torch.tensor(bias)})
    return made


def write_program(bundle: KernelBundle, steps: int, path: str | Path) -> None:
    """Write the net as a program for sequences (n, steps, inputs) of any number n, float64, to a new file.

    Args:
        path: ends in .pt2, for `torch.export.load`, or in .onnx, which needs the extra `onnx`.

    Raises:
        ConfigError: another suffix, the file exists or cannot be written, ONNX is not installed, or as for
            `BundleModule`.
    """
    goal = Path(path)
    if goal.suffix not in KINDS:
        raise ConfigError(f"{goal}: programs are written as {' or '.join(KINDS)}")
    if goal.exists():
        raise ConfigError(f"{goal} exists and was not overwritten; choose another name")
    if goal.suffix == ".onnx" and not (find_spec("onnx") and find_spec("onnxscript")):
        raise ConfigError('writing ONNX needs onnx and onnxscript: pip install "imssa-lab[onnx]"')
    module = BundleModule(bundle, steps).eval().requires_grad_(False)
    example = torch.zeros(_BATCH, steps, bundle.inputs, dtype=torch.float64)
    program = torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("n")},))
    try:
        if goal.suffix == ".pt2":
            torch.export.save(program, goal)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of calls within the exporter
                torch.onnx.export(program, f=str(goal), dynamo=True, external_data=False, verbose=False)
    except OSError as error:
        raise ConfigError(f"{goal} cannot be written ({error}); choose a folder that exists") from error


def program_outputs(path: str | Path, inputs: FloatArray) -> FloatArray | None:
    """What a program that `write_program` wrote gives for sequences (n, steps, inputs): (n, outputs).

    None of an ONNX file where onnxruntime is not installed.
    """
    if Path(path).suffix == ".pt2":
        with torch.no_grad():
            given: Tensor = torch.export.load(path).module()(torch.tensor(inputs, dtype=torch.float64))
        return np.asarray(given.numpy())
    if not find_spec("onnxruntime"):
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    name = session.get_inputs()[0].name
    return np.asarray(session.run(None, {name: np.asarray(inputs, dtype=np.float64)})[0])
