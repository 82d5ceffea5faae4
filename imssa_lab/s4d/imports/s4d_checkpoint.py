"""A checkpoint of the minimal S4D of state-spaces, read without running any code of the file."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imssa_lab.contract.errors import BundleError
from imssa_lab.s4d.bundle import Pooling
from imssa_lab.s4d.imports.s4d_arrays import S4DArrays, S4DLayerArrays

_WHOLE = {
    "encoder.weight": "encoder_weight",
    "encoder.bias": "encoder_bias",
    "decoder.weight": "decoder_weight",
    "decoder.bias": "decoder_bias",
}
_LAYER = {
    "s4_layers.{}.kernel.log_dt": "log_dt",
    "s4_layers.{}.kernel.log_A_real": "log_a_real",
    "s4_layers.{}.kernel.A_imag": "a_imag",
    "s4_layers.{}.kernel.C": "c",
    "s4_layers.{}.D": "d",
    "s4_layers.{}.output_linear.0.weight": "output_weight",
    "s4_layers.{}.output_linear.0.bias": "output_bias",
    "norms.{}.weight": "norm_weight",
    "norms.{}.bias": "norm_bias",
}
_WRAPPERS = ("model", "state_dict", "model_state_dict", "net")
"""Under which a training program may keep the parameters beside its epoch and accuracy."""
_PREFIXES = ("module.", "model.")
"""What wrappers for several processors, or programs for training, put before every key."""
_OTHERS = {
    "B": "an input matrix of its own",
    "P": "the low-rank part of S4, which is not diagonal",
    "inv_dt": "the step of a later layout",
    "A_real": "the poles of a later layout",
    "inv_A_real": "the poles of a later layout",
    "running_mean": "a batch norm instead of a layer norm",
}
"""Last parts of keys that other models of the family have, and what they hold."""
_SHOWN = 6


def read_s4d_checkpoint(
    path: str | Path, *, norm: Literal["before", "after"] = "after", pooling: Pooling = "mean"
) -> S4DArrays:
    """The arrays of a checkpoint of the minimal S4D of state-spaces: a state_dict, alone or in a dictionary.

    Dropout has no parameters and does nothing after training. C of shape (2, H, N, 2) is both directions.

    Args:
        norm: where the layer norms stand, which no checkpoint says: "after" the residual, as published, or "before"
            the kernels (prenorm).
        pooling: what the decoder sees of the steps, which no checkpoint says either: their mean, as published, their
            largest values, or the last one.

    Raises:
        BundleError: no such file, one that cannot be read without running code, keys that are missing, or keys of
            another or newer model; the message names them.
    """
    state = _plain(Path(path))
    layers = 1 + max((int(found[1]) for key in state if (found := re.match(r"s4_layers\.(\d+)\.", key))), default=-1)
    wanted = dict(_WHOLE) | {key.format(n): key for n in range(layers) for key in _LAYER}
    if unknown := sorted(set(state) - set(wanted)):
        raise BundleError(
            f"{path}: {_some(unknown)}: no such keys in the minimal S4D of state-spaces{_explained(unknown)}; bring "
            "the model's numbers as plain arrays (S4DArrays), or use the imssa_lab that knows it"
        )
    if not layers:
        raise BundleError(f"{path} holds no s4_layers.0.kernel.log_dt; it is no checkpoint of an S4D classifier")
    if missing := sorted(set(wanted) - set(state)):
        raise BundleError(
            f"{path}: keys {_some(missing)} are missing; save the whole model's state_dict, encoder and decoder too"
        )
    return S4DArrays(
        layers=tuple(
            S4DLayerArrays(**{name: _array(path, key.format(n), state, name) for key, name in _LAYER.items()})  # type: ignore[arg-type]
            for n in range(layers)
        ),
        norm=norm,
        pooling=pooling,
        **{name: _array(path, key, state, name) for key, name in _WHOLE.items()},  # type: ignore[arg-type]
    )


def _plain(path: Path) -> dict[str, Tensor]:
    """The parameters by their keys, without wrappers and prefixes."""
    if not path.is_file():
        raise BundleError(f"{path}: no such file; give a checkpoint that torch.save wrote")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a pickle of another protocol: what it holds is checked below
            content = torch.load(path, weights_only=True, map_location="cpu")
    except (
        OSError,
        RuntimeError,
        EOFError,
        KeyError,
        TypeError,
        ValueError,
        UserWarning,
        pickle.UnpicklingError,
    ) as error:
        raise BundleError(
            f"{path} is no checkpoint that can be read without running code of its own: save the state_dict "
            f"(torch.save(model.state_dict(), ...)), or copy the file again ({str(error).splitlines()[0]})"
        ) from error
    for name in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise BundleError(
            f"{path} holds no state_dict: a dictionary of tensors, alone or under {', '.join(_WRAPPERS)}"
        )
    state = {str(key): value for key, value in content.items()}
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _array(path: str | Path, key: str, state: Mapping[str, Tensor], name: str) -> NDArray[np.float64 | np.complex128]:
    values = state[key].detach()
    if values.is_complex():
        values = torch.view_as_real(values)
    array = values.to(torch.float64).numpy()
    if name == "output_weight" and array.ndim == 3 and array.shape[2] == 1:
        return np.array(array[..., 0])  # a convolution over one step
    if name == "c":
        if array.shape[-1:] != (2,):
            raise BundleError(f"{path}: {key} has shape {tuple(array.shape)}; real and imaginary parts come last")
        return np.array(array[..., 0] + 1j * array[..., 1])
    return np.array(array)


def _some(keys: list[str]) -> str:
    more = "" if len(keys) <= _SHOWN else f" and {len(keys) - _SHOWN} more"
    return ", ".join(keys[:_SHOWN]) + more


def _explained(keys: list[str]) -> str:
    parts = [f"{last} is {what}" for last, what in _OTHERS.items() if any(key.split(".")[-1] == last for key in keys)]
    return f" ({'; '.join(parts)})" if parts else ""
