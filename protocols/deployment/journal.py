"""What a deployment has done so far, as short JSON texts: enough to continue after a kill, or to check it next month.

A "plan" holds the places of kernels, an "array" which cells of an array are finished and which are stuck; the last
of each counts. "done" follows when all levels have been judged.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from imssa_lab.contract.errors import DeploymentError
from imssa_lab.contract.hal import BoolArray, FloatArray, Window
from imssa_lab.mapping import (
    Mapping,
    Packing,
    PlacedKernel,
    PlacedTile,
    compensate,
    dense_block,
    kernel_block,
)
from imssa_lab.s4d.bundle import KernelBundle

JOURNAL = "journal"
"""Kind of the events of a log that hold these texts."""
_UNNAMED: Packing = "time"
"""The packing of a plan that names none, as those of earlier versions do."""


@dataclass
class ArrayState:
    """What is known of the cells of one array, maps (rows, cols).

    Attributes:
        finished: programmed and found inside the tolerance by a re-read; stuck: they do not move.
        standing: S, where the stuck ones stand, NaN else.
    """

    finished: BoolArray
    stuck: BoolArray
    standing: FloatArray

    @classmethod
    def fresh(cls, shape: tuple[int, int]) -> ArrayState:
        """Nothing known."""
        return cls(np.zeros(shape, np.bool_), np.zeros(shape, np.bool_), np.full(shape, np.nan))

    @classmethod
    def of_stuck(cls, stuck: BoolArray) -> ArrayState:
        """Nothing known but which cells are stuck, (rows, cols)."""
        return cls(np.zeros(stuck.shape, np.bool_), stuck.copy(), np.full(stuck.shape, np.nan))


@dataclass
class Standing:
    """A deployment as its journal tells it: the mapping, the state of every array, pulses sent, whether it ended."""

    mapping: Mapping
    arrays: list[ArrayState] = field(default_factory=list)
    pulses: int = 0
    done: bool = False


def plan_entry(mapping: Mapping, bundle_digest: str) -> str:
    """The journal's text for a mapping."""
    kernels = [
        {
            "at": [k.layer, k.channel, k.array, k.bank, k.slot],
            "form": k.block.form,
            "states": list(k.block.states),
            "word_lines": k.word_lines.tolist(),
            "pairs": k.pairs.tolist(),
            "row_signs": k.row_signs.astype(int).tolist(),
            "column_signs": k.column_signs.astype(int).tolist(),
        }
        for k in mapping.kernels
    ]
    window = [mapping.window.low, mapping.window.high]
    facts = {"shape": mapping.shape, "window": window, "abandoned": mapping.abandoned, "bundle": bundle_digest}
    if mapping.packing != _UNNAMED:
        facts["packing"] = mapping.packing
    if mapping.tiles:
        facts["dense"] = [
            {
                "layer": tile.layer,
                "array": tile.array,
                **{name: getattr(tile, name).tolist() for name in ("inputs", "outputs", "word_lines", "pairs")},
                "row_signs": tile.row_signs.astype(int).tolist(),
                "column_signs": tile.column_signs.astype(int).tolist(),
            }
            for tile in mapping.tiles
        ]
    return json.dumps({"kind": "plan", **facts, "kernels": kernels})


def array_entry(index: int, state: ArrayState, pulses: int) -> str:
    """The journal's text for one array, after it was programmed; `pulses` sent so far in all."""
    stuck = np.argwhere(state.stuck)
    facts = {
        "kind": "array",
        "array": index,
        "finished": base64.b64encode(np.packbits(state.finished).tobytes()).decode(),
        "stuck": [[int(row), int(col), _or_null(float(state.standing[row, col]))] for row, col in stuck],
        "pulses": pulses,
    }
    return json.dumps(facts, allow_nan=False)


def _or_null(value: float) -> float | None:
    """JSON has no NaN: a stuck cell that was not read is null."""
    return None if math.isnan(value) else value


def done_entry(passed: bool) -> str:
    """The journal's text for the end: all levels have been judged."""
    return json.dumps({"kind": "done", "passed": passed})


def planned_packing(entries: Iterable[str]) -> Packing | None:
    """The packing of a deployment, from the entries of its journal; None without a plan among them."""
    found: Packing | None = None
    for text in entries:
        entry: dict[str, Any] = json.loads(text)
        if entry["kind"] == "plan":
            found = entry.get("packing", _UNNAMED)
    return found


def read_journal(entries: Iterable[str], bundle: KernelBundle, arrays: int) -> Standing:
    """The state of a deployment of `bundle`, from the entries of its journal.

    Raises:
        DeploymentError: no plan among them, or one of another bundle or of more arrays.
    """
    found: Standing | None = None
    known: dict[int, tuple[ArrayState, FloatArray]] = {}
    pulses = 0
    for text in entries:
        entry: dict[str, Any] = json.loads(text)
        if entry["kind"] == "plan":
            found = Standing(_mapping(entry, bundle))
        elif entry["kind"] == "done" and found is not None:
            found.done = True
        elif found is not None:
            state = _state(entry, found.mapping.shape)
            known[entry["array"]] = state, _targets(found.mapping, entry["array"], state)
            pulses = entry["pulses"]
    if found is None:
        raise DeploymentError("the journal holds no plan: nothing was pulsed; start the deployment again")
    if found.mapping.arrays > arrays:
        raise DeploymentError(
            f"the journal's plan is on {found.mapping.arrays} arrays, {arrays} given; give those that the deployment "
            "began with, and the same layers"
        )
    found.arrays = [ArrayState.fresh(found.mapping.shape) for _ in range(arrays)]
    for index, (state, finished_at) in known.items():
        # a later plan may want something else of a cell that was finished under an earlier one
        state.finished &= _targets(found.mapping, index, state) == finished_at
        found.arrays[index] = state
    found.pulses = pulses
    return found


def read_states(entries: Iterable[str], shape: tuple[int, int]) -> list[ArrayState]:
    """The states of entries that `array_entry` wrote, in their order."""
    return [_state(json.loads(text), shape) for text in entries]


def finished_cells(entry: dict[str, Any], cells: int | None = None) -> BoolArray:
    """The finished cells of an entry of `array_entry`, row by row, (cells,); None: with up to 7 False at the end."""
    bits = np.frombuffer(base64.b64decode(entry["finished"]), dtype=np.uint8)
    return np.unpackbits(bits, count=cells).astype(np.bool_)


def _state(entry: dict[str, Any], shape: tuple[int, int]) -> ArrayState:
    state = ArrayState.fresh(shape)
    state.finished = finished_cells(entry, shape[0] * shape[1]).reshape(shape)
    for row, col, value in entry["stuck"]:
        state.stuck[row, col], state.standing[row, col] = True, math.nan if value is None else value
    return state


def _targets(mapping: Mapping, index: int, state: ArrayState) -> FloatArray:
    return compensate(mapping.target(index)[0], state.stuck, state.standing, mapping.window)


def _mapping(entry: dict[str, Any], bundle: KernelBundle) -> Mapping:
    if entry["bundle"] != bundle.digest():
        raise DeploymentError(
            f"the journal is that of another bundle ({entry['bundle'][:12]}..., given {bundle.digest()[:12]}...); "
            "give the bundle that the deployment began with"
        )
    low, high = entry["window"]
    kernels = []
    for told in entry["kernels"]:
        layer, channel, array, bank, slot = told["at"]
        block = kernel_block(bundle.layers[layer], channel, told["form"], told["states"])
        word_lines, pairs = (np.array(told[name], dtype=np.intp) for name in ("word_lines", "pairs"))
        rows, columns = (np.array(told[name], dtype=np.float64) for name in ("row_signs", "column_signs"))
        kernels.append(PlacedKernel(layer, channel, array, bank, slot, word_lines, pairs, rows, columns, block))
    return Mapping(
        tuple(kernels),
        tuple(entry["shape"]),
        Window(low=low, high=high),
        tuple((array, slot) for array, slot in entry["abandoned"]),
        tuple(_tile(told, bundle) for told in entry.get("dense", [])),
        packing=entry.get("packing", _UNNAMED),
    )


def _tile(told: dict[str, Any], bundle: KernelBundle) -> PlacedTile:
    layer = next(each for each in bundle.dense_layers() if each.name == told["layer"])
    inputs, outputs, word_lines, pairs = (
        np.array(told[name], dtype=np.intp) for name in ("inputs", "outputs", "word_lines", "pairs")
    )
    rows, columns = (np.array(told[name], dtype=np.float64) for name in ("row_signs", "column_signs"))
    block = dense_block(layer, inputs, outputs)
    return PlacedTile(layer.name, inputs, outputs, told["array"], word_lines, pairs, rows, columns, block)
