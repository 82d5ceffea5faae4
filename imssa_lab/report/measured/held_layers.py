"""Which layer of the net each array holds, by the last plan in the journal of a deployment."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from imssa_lab.contract.array_types import FloatArray
from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.log.run import Run
from imssa_lab.s4d.dense_layer import ENCODER, HEAD
from protocols.deployment.journal import JOURNAL


@dataclass(frozen=True)
class HeldLayers(FrozenArrays):
    """Layers on arrays.

    Attributes:
        names: of the layers that arrays hold, in the order of the net.
        maps: per array, (rows, cols), index into names of the layer that a cell belongs to, NaN for none.
        record: number of the event with the plan.
    """

    names: list[str]
    maps: list[FloatArray]
    record: int

    def on(self, array: int) -> list[str]:
        """Names of the layers that one array holds; empty for one that is not in the plan."""
        if array >= len(self.maps):
            return []
        found = self.maps[array]
        return [self.names[int(place)] for place in np.unique(found[np.isfinite(found)])]


def held_layers(run: Run) -> HeldLayers | None:
    """What the last plan of a run says; None for a run without a deployment.

    Raises:
        LogError: damaged records.
    """
    texts = [(seq, text) for seq, kind, text in run.numbered_events() if kind == JOURNAL]
    plans = [(seq, plan) for seq, plan in ((seq, json.loads(text)) for seq, text in texts) if plan["kind"] == "plan"]
    if not plans:
        return None
    record, plan = plans[-1]
    parts = [(f"kernels of layer {one['at'][0]}", one["at"][2], one) for one in plan["kernels"]]
    parts += [(one["layer"], one["array"], one) for one in plan.get("dense", [])]
    names = sorted({name for name, _, _ in parts}, key=_place)
    maps = [np.full(tuple(plan["shape"]), np.nan) for _ in range(1 + max(array for _, array, _ in parts))]
    for name, array, one in parts:
        pairs = np.array(one["pairs"])
        maps[array][np.ix_(one["word_lines"], np.stack([2 * pairs, 2 * pairs + 1], axis=1).ravel())] = names.index(
            name
        )
    return HeldLayers(names, maps, record)


def _place(name: str) -> tuple[int, int, str]:
    """Where a layer comes in the net: encoder, then kernels and mix of each layer, then the head."""
    if name in (ENCODER, HEAD):
        return (0, 0, name) if name == ENCODER else (2, 0, name)
    return 1, int(name.rsplit(" ", 1)[1]), name
