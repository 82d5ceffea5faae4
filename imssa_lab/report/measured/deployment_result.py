"""The result of a deployment in its log: written once, read by every report."""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imssa_lab.contract.array_types import BoolArray, FloatArray
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.log.run import Run

if TYPE_CHECKING:
    from protocols.deployment.deployment import Deployment

RESULT_EVENT, OUTCOME = "result", "outcome"
"""Kinds of the events of a deployment: its deterministic result as JSON, and the maps and curves behind it."""
_RANKS = {"best": 0.0, "median": 0.5, "90th percentile": 0.9, "worst": 1.0}


@dataclass(frozen=True)
class Response(FrozenArrays):
    """The impulse response of one kernel.

    Attributes:
        rank: its place among all, such as "worst"; name: "layer 0, channel 3".
        nrmse: on real input; measured, exact: (steps,), on the arrays and in exact arithmetic.
    """

    rank: str
    name: str
    nrmse: float
    measured: FloatArray
    exact: FloatArray


@dataclass(frozen=True)
class Outcome(FrozenArrays):
    """What the log says that a deployment came to.

    Attributes:
        result: the object of the event `result`, as in result.json; record: the number of that event.
        targets: per array, S, (rows, cols), NaN where nothing belongs; tolerance: S.
        kernels, made_up: per array, see `CellMap`; empty in files of earlier versions.
        task_tests: test sequences; chance: accuracy of a guess among the classes, None in files of earlier versions.
        kernel_bound: of the NRMSE of one kernel on real input.
        responses: of the best, the median, the 90th percentile and the worst kernel.
    """

    result: dict[str, Any]
    record: int
    targets: list[FloatArray]
    tolerance: float
    kernels: list[BoolArray]
    made_up: list[BoolArray]
    task_tests: int
    chance: float | None
    kernel_bound: float
    responses: list[Response]


def outcome_text(deployment: Deployment, classes: int | None = None) -> str:
    """The event `outcome`: JSON, maps packed (float64, zlib, base64), figures that are not finite as null.

    Args:
        classes: how many the task has, where that is known.
    """
    return json.dumps(
        {
            "shape": deployment.mapping.shape,
            "targets": [_packed(target) for target in deployment.targets],
            "tolerance": deployment.bounds.tolerance_in(deployment.mapping.window),
            "kernels": [_packed(cells.kernels) for cells in deployment.cell_maps if cells.kernels is not None],
            "made_up": [_packed(cells.made_up) for cells in deployment.cell_maps if cells.made_up is not None],
            "task_tests": len(deployment.predictions),
            "classes": classes,
            "kernel_bound": deployment.bounds.number("kernel"),
            "responses": [
                {
                    "rank": response.rank,
                    "name": response.name,
                    "nrmse": _or_null(response.nrmse),
                    "measured": [_or_null(value) for value in response.measured.tolist()],
                    "exact": [_or_null(value) for value in response.exact.tolist()],
                }
                for response in ranked(deployment)
            ],
        },
        allow_nan=False,
    )


def outcome_of(run: Run) -> Outcome | None:
    """What a deployment concluded; None for a run that held none, or that did not come to its end.

    Raises:
        LogError: damaged records.
    """
    events = {kind: (seq, text) for seq, kind, text in run.numbered_events() if kind in (RESULT_EVENT, OUTCOME)}
    if RESULT_EVENT not in events or OUTCOME not in events:
        return None
    record, text = events[RESULT_EVENT]
    stored = json.loads(events[OUTCOME][1])
    return Outcome(
        result=_figures(json.loads(text)),
        record=record,
        targets=[_unpacked(packed, stored["shape"]) for packed in stored["targets"]],
        tolerance=float(stored["tolerance"]),
        kernels=[_unpacked(packed, stored["shape"]) != 0 for packed in stored.get("kernels", [])],
        made_up=[_unpacked(packed, stored["shape"]) != 0 for packed in stored.get("made_up", [])],
        task_tests=int(stored["task_tests"]),
        chance=1.0 / stored["classes"] if stored.get("classes") else None,
        kernel_bound=float(stored["kernel_bound"]),
        responses=[
            Response(
                one["rank"],
                one["name"],
                _number(one["nrmse"]),
                np.array([_number(value) for value in one["measured"]]),
                np.array([_number(value) for value in one["exact"]]),
            )
            for one in stored["responses"]
        ],
    )


def _figures(result: dict[str, Any]) -> dict[str, Any]:
    """The result with NaN for the figures that are null, which is how JSON has to say it."""
    for level in result["levels"]:
        level["measured"] = _number(level["measured"])
        level["figures"] = {name: _number(value) for name, value in level["figures"].items()}
    result["kernel_nrmse"] = [_number(value) for value in result["kernel_nrmse"]]
    result["kernel_nrmse_median"] = _number(result["kernel_nrmse_median"])
    return result


def _or_null(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def ranked(deployment: Deployment) -> list[Response]:
    """Impulse responses of the best, the median, the 90th percentile and the worst kernel, by NRMSE on real input."""
    pairs = deployment.impulses
    owner = [(layer, channel) for layer, pair in enumerate(pairs) for channel in range(pair[0].shape[1])]
    order = np.argsort(deployment.kernel_nrmse, kind="stable")
    found = []
    for rank, share in _RANKS.items():
        kernel = int(order[round(share * (len(order) - 1))])
        layer, channel = owner[kernel]
        measured, exact = (np.asarray(values[:, channel], dtype=np.float64) for values in pairs[layer])
        name = f"layer {layer}, channel {channel}"
        found.append(Response(rank, name, float(deployment.kernel_nrmse[kernel]), measured, exact))
    return found


def _packed(values: FloatArray | BoolArray) -> str:
    return base64.b64encode(zlib.compress(np.ascontiguousarray(values, dtype="<f8").tobytes())).decode()


def _unpacked(text: str, shape: list[int]) -> FloatArray:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype="<f8").reshape(shape).copy()


def verdict_of(level: Mapping[str, Any]) -> str:
    """The verdict of a level in words; older runs noted only whether it passed."""
    return str(level.get("verdict", "passed" if level["passed"] else "FAILED"))
