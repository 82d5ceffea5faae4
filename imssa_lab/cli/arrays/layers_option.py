"""`--layers`: what arrays compute."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

import typer


class OnArrays(StrEnum):
    """What `--layers` takes, see `imssa_lab.s4d.dense_layer.Layers`."""

    KERNELS = "kernels"
    ALL = "all"


LayersOption = Annotated[
    OnArrays,
    typer.Option(
        help="What arrays compute: the kernels, or dense layers too (encoder and mixing), on arrays of their own."
    ),
]


LAYERS = "layers"
"""Under this name the provenance of a log says what arrays compute."""


def kept_layers(provenance: Mapping[str, str]) -> OnArrays:
    """What arrays compute in a deployment, from the provenance of its log; where it is silent, the kernels."""
    return OnArrays(provenance.get(LAYERS, OnArrays.KERNELS))
