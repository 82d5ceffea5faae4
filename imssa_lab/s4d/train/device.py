"""Where torch trains: the processor, or an NVIDIA card that torch can use."""

from __future__ import annotations

from typing import Literal

import torch

from imssa_lab.contract.errors import ConfigError

Device = Literal["cpu", "cuda"]
DEVICES = ("auto", "cpu", "cuda")


def chosen_device(name: str) -> Device:
    """The device for one of `DEVICES`; "auto" is a CUDA card where torch sees one.

    Raises:
        ConfigError: no such name, or CUDA asked for where torch sees no card.
    """
    if name not in DEVICES:
        raise ConfigError(f"--device {name!r}: choose one of {', '.join(DEVICES)}")
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if not torch.cuda.is_available():
        raise ConfigError(
            f"--device cuda: torch {torch.__version__} sees no CUDA card; look at nvidia-smi, install a torch built "
            "for CUDA (pytorch.org), or leave --device out"
        )
    return "cuda"
