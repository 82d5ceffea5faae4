"""`Corrections`: the digital corrections of the outputs of a deployed net, which can be kept in a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping as Dictionary
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.errors import DeploymentError, LimitError
from imssa_lab.contract.hal import ColumnCalibration, CrossbarArray, FloatArray
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.output_correction import corrected_outputs
from protocols.dense_runner import DenseRunner
from protocols.recurrence import KernelRunner

FIRST = "deployment"
"""What made the corrections that a deployment, or a check of it, ends with."""
_FORMAT = "imssa_lab corrections"
_VERSION = 1


@dataclass(frozen=True)
class LayerCorrection(FrozenArrays):
    """Correction of the raw outputs of one layer; numbers of the net, without unit.

    Attributes:
        gain: (channels,) a factor for each output, or (channels read, channels) a map over all of them.
        offset: (channels,), added afterwards.

    Raises:
        DeploymentError: other shapes, or a value that is not finite.
    """

    gain: FloatArray
    offset: FloatArray

    def __post_init__(self) -> None:
        super().__post_init__()
        channels = self.offset.shape
        if len(channels) != 1 or self.gain.shape not in (channels, 2 * channels):
            raise DeploymentError(
                f"correction of a layer: offset (channels,) and gain (channels,) or (channels, channels), got "
                f"{channels} and {self.gain.shape}"
            )
        if not (np.isfinite(self.gain).all() and np.isfinite(self.offset).all()):
            raise DeploymentError("correction of a layer: a gain or an offset is not finite; measure it again")

    @property
    def multiplications(self) -> int:
        """Multiply-adds that it costs at every time step."""
        return int(self.gain.size)

    def apply(self, raw: FloatArray) -> FloatArray:
        """Corrected outputs for raw ones, both (..., channels)."""
        return corrected_outputs(raw, self.gain, self.offset)

    def followed_by(self, gain: FloatArray, offset: FloatArray) -> LayerCorrection:
        """This correction and then a gain and an offset of every output, (channels,), as one."""
        return LayerCorrection(self.gain * gain, self.offset * gain + offset)


@dataclass(frozen=True)
class Corrections(FrozenArrays):
    """All corrections of a deployed net, as they apply together.

    Attributes:
        layers: of the kernels' outputs, layer by layer.
        columns: per array, the column calibration that they were fitted with; None where it had none.
        plan: SHA-256 of the journal's plan, so of where the kernels stood.
        by: what made them, in words; date: ISO 8601, UTC, takes no part in comparisons.
        norm: scale and shift after the kernels of the last layer, each (channels,); None for the bundle's own.
        head: weight (classes, channels) and bias (classes,); None for the bundle's own.
        figures: what held-out sequences said before and after, by name.
        dense: of the products of dense layers that arrays compute, by layer; empty where they are digital.
    """

    layers: tuple[LayerCorrection, ...]
    columns: tuple[ColumnCalibration | None, ...]
    plan: str
    by: str
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"), compare=False)
    norm: tuple[FloatArray, FloatArray] | None = None
    head: tuple[FloatArray, FloatArray] | None = None
    figures: Dictionary[str, float] = field(default_factory=dict)
    dense: Dictionary[str, LayerCorrection] = field(default_factory=dict)

    @classmethod
    def of(
        cls, runner: KernelRunner, arrays: Sequence[CrossbarArray], plan: str, by: str, dense: DenseRunner
    ) -> Corrections:
        """Those that runners of kernels and dense layers and their arrays have now; `plan` is the journal's text."""
        layers = tuple(LayerCorrection(*pair) for pair in zip(runner.gain, runner.offset, strict=True))
        columns = tuple(array.calibration for array in arrays)
        of_dense = {name: LayerCorrection(dense.gain[name], dense.offset[name]) for name in dense.layers}
        return cls(layers, columns, plan_digest(plan), by, dense=of_dense)

    @property
    def multiplications(self) -> int:
        """Multiply-adds of the outputs' correction at every time step, all layers and dense layers."""
        return sum(layer.multiplications for layer in (*self.layers, *self.dense.values()))

    def changed(self, by: str, **changes: Any) -> Corrections:
        """The same with other parts, and with the present date."""
        return replace(self, by=by, date=datetime.now(UTC).isoformat(timespec="milliseconds"), **changes)

    def on(self, bundle: KernelBundle) -> KernelBundle:
        """The bundle with the norm and the head of these corrections instead of its own.

        Raises:
            BundleError: they do not fit it.
        """
        if self.norm is not None:
            scale, shift = self.norm
            last = replace(bundle.layers[-1], norm_scale=scale, norm_shift=shift)
            bundle = replace(bundle, layers=(*bundle.layers[:-1], last))
        if self.head is not None:
            weight, bias = self.head
            bundle = replace(bundle, head_weight=weight, head_bias=bias)
        return bundle

    def text(self) -> str:
        """The corrections as JSON; `read` gives the same numbers, bit for bit."""
        facts: dict[str, Any] = {
            "format": _FORMAT,
            "version": _VERSION,
            "date": self.date,
            "by": self.by,
            "plan_sha256": self.plan,
            "figures": dict(self.figures),
            "layers": [_layer_facts(layer) for layer in self.layers],
            "columns": [None if each is None else _column_facts(each) for each in self.columns],
            "norm": None if self.norm is None else [part.tolist() for part in self.norm],
            "head": None if self.head is None else [part.tolist() for part in self.head],
        }
        if self.dense:
            facts["dense"] = {name: _layer_facts(layer) for name, layer in self.dense.items()}
        return json.dumps(facts, allow_nan=False)

    @classmethod
    def read(cls, text: str) -> Corrections:
        """What `text` wrote.

        Raises:
            DeploymentError: it is no such text, or of another version.
        """
        try:
            facts: dict[str, Any] = json.loads(text)
            if (facts["format"], facts["version"]) != (_FORMAT, _VERSION):
                raise DeploymentError(
                    f"{facts['format']!r}, version {facts['version']}: not corrections of a version that can be read"
                )
            norm, head = (_pair(facts[name]) for name in ("norm", "head"))
            return cls(
                layers=tuple(_layer(one) for one in facts["layers"]),
                columns=tuple(None if one is None else _columns(one) for one in facts["columns"]),
                plan=facts["plan_sha256"],
                by=facts["by"],
                date=facts["date"],
                norm=norm,
                head=head,
                figures={name: float(value) for name, value in facts["figures"].items()},
                dense={name: _layer(one) for name, one in facts.get("dense", {}).items()},
            )
        except (ValueError, KeyError, TypeError, AttributeError, LimitError) as error:
            raise DeploymentError(f"damaged corrections ({type(error).__name__}: {error})") from error


def plan_digest(plan: str) -> str:
    """Digest of a plan of the journal, by which its corrections are recognised."""
    return hashlib.sha256(plan.encode()).hexdigest()


def _layer_facts(layer: LayerCorrection) -> dict[str, Any]:
    return {"gain": layer.gain.tolist(), "offset": layer.offset.tolist()}


def _layer(facts: dict[str, Any]) -> LayerCorrection:
    return LayerCorrection(_floats(facts["gain"]), _floats(facts["offset"]))


def _floats(values: Any) -> FloatArray:
    return np.array(values, dtype=np.float64)


def _pair(values: Any) -> tuple[FloatArray, FloatArray] | None:
    if values is None:
        return None
    first, second = values
    return _floats(first), _floats(second)


def _column_facts(columns: ColumnCalibration) -> dict[str, Any]:
    arrays = {name: getattr(columns, name).tolist() for name in ("gain", "offset", "residual")}
    return arrays | {"date": columns.date}


def _columns(facts: dict[str, Any]) -> ColumnCalibration:
    gain, offset, residual = (_floats(facts[name]) for name in ("gain", "offset", "residual"))
    return ColumnCalibration(gain, offset, residual, facts["date"])
