"""Figures of the mapping: where kernels, tiles and matrices go, around faults too, what their cells are to hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from imssa_lab.contract.hal import FloatArray, Window
from imssa_lab.mapping import Mapping as Placed
from imssa_lab.mapping import (
    Packing,
    Reach,
    arrange,
    arrays_needed,
    kernel_block,
    map_bundle,
    reads_a_step,
    reassign,
    separate,
    shortfall,
    split,
)
from imssa_lab.mapping.magnitudes import magnitudes, needs
from imssa_lab.mapping.matrix_lines import chosen_lines
from imssa_lab.mapping.pairs import compensate, from_pairs, to_pairs
from imssa_lab.mapping.placement import fitting_packing, kernels_per_array, most_channels
from imssa_lab.mapping.tile_assignment import rearranged, tile_harm
from imssa_lab.s4d.dense_layer import Layers
from tests.figures.contract_figures import said
from trials.untrained import untrained_bundle

WINDOW = Window(low=2e-6, high=150e-6)
SHAPE = (16, 24)
BUNDLE = untrained_bundle(channels=4, states=3, layers=2)


def damaged(shape: tuple[int, int], fraction: float, seed: int) -> Reach:
    rng = np.random.default_rng(seed)
    stuck = rng.random(shape) < fraction
    return Reach.whole(shape, WINDOW).with_stuck(stuck, rng.uniform(WINDOW.low, WINDOW.high, shape))


def plans() -> Iterator[tuple[str, object]]:
    choices: list[tuple[Packing, Layers]] = [("time", "kernels"), ("area", "kernels"), ("time", "all")]
    for packing, layers in choices:
        count = arrays_needed(BUNDLE, SHAPE, layers, packing)
        mapping = map_bundle(BUNDLE, SHAPE, WINDOW, count, layers=layers, packing=packing)
        name = f"{packing} {layers}"
        yield name, [count, reads_a_step(mapping), mapping.block_size, mapping.layout, len(mapping.kernels)]
        for one in mapping.kernels[::3]:
            yield f"{name}, {one.name}", [one.array, one.bank, one.slot, one.cells, one.weights]
        for tile in mapping.tiles:
            yield f"{name}, {tile.name}", [tile.array, tile.cells, tile.weights]
        yield f"{name} targets", [mapping.target(index) for index in range(mapping.arrays)]
        yield f"{name} cells", [mapping.kernel_cells(index) for index in range(mapping.arrays)]
        yield f"{name} free", mapping.free_places(count + 1)
    yield "needs", [needs(BUNDLE, SHAPE, packing) for packing in ("time", "area")]
    yield "magnitudes", magnitudes(kernel_block(BUNDLE.layers[0], channel) for channel in range(4))
    yield "packing", [fitting_packing(BUNDLE, SHAPE, count) for count in (2, 3, 8)]
    yield "sizes", [kernels_per_array(size, shape, "area") for size in (3, 5, 7) for shape in ((16, 24), (24, 16))]
    shapes = (SHAPE, (24, 16), (40, 12), (12, 80))
    yield "channels", [most_channels(states, 2, 2, shape) for states in (1, 2, 4) for shape in shapes]


def apart(mapping: Placed) -> object:
    """Kernels of one parity of channels in banks of their own."""
    found, moved = separate(mapping, lambda one, other: (one.channel + other.channel) % 2 == 0)
    return [moved, [(one.array, one.bank, one.slot) for one in found.kernels], reads_a_step(found)]


def faults() -> Iterator[tuple[str, object]]:
    for packing in ("time", "area"):
        count = arrays_needed(BUNDLE, SHAPE, "kernels", packing)
        mapping = map_bundle(BUNDLE, SHAPE, WINDOW, count, packing=packing)
        reaches = [damaged(SHAPE, 0.15, seed) for seed in range(count + 1)]
        harmed = mapping.kernels[::2]
        importance = [0.5 + np.abs(kernel.weights) for kernel in harmed]
        for move in (True, False):
            found, costs = reassign(mapping, harmed, importance, reaches, move=move)
            places = [(one.array, one.slot, *one.cells, one.row_signs, one.column_signs) for one in found.kernels]
            yield f"{packing} reassigned {move}", [costs, places, found.abandoned]
        held = np.random.default_rng(4).uniform(2e-6, 150e-6, SHAPE)
        yield f"{packing} implemented", [mapping.implemented(kernel, held) for kernel in mapping.kernels[:3]]
        yield f"{packing} apart", apart(mapping)
    for size, seed in ((3, 1), (5, 2), (7, 3)):
        weights = np.random.default_rng(seed).uniform(-1, 1, (size, size))
        low, high = damaged((size + 1, 2 * size + 4), 0.2, seed).weights(WINDOW)
        yield f"arranged {size}", arrange(weights, 0.2 + weights**2, low, high)
        yield f"shortfall {size}", shortfall(weights, low[:size, :size], high[:size, :size])
    mapping = map_bundle(BUNDLE, SHAPE, WINDOW, arrays_needed(BUNDLE, SHAPE))
    kernel = mapping.kernels[0]
    parts = [kernel_block(BUNDLE.layers[0], 0, states=states) for states in ([0], [1, 2])]
    broken = split(mapping, kernel, parts, [damaged(SHAPE, 0.2, seed) for seed in range(mapping.arrays + 1)])
    yield "split", None if broken is None else [(one.name, one.cells, one.weights) for one in broken.kernels[:3]]


def tiles() -> Iterator[tuple[str, object]]:
    count = arrays_needed(BUNDLE, SHAPE, "all")
    mapping = map_bundle(BUNDLE, SHAPE, WINDOW, count, layers="all")
    reach = damaged(SHAPE, 0.1, 6)
    for tile in mapping.tiles:
        importance = 0.5 + np.abs(tile.weights)
        yield tile.name, [tile_harm(mapping, tile, importance, reach), rearranged(mapping, tile, importance, reach)]


def lines() -> Iterator[tuple[str, object]]:
    bad = np.random.default_rng(7).random((12, 16)) < 0.12
    chosen = chosen_lines(bad, (8, 5))
    yield "chosen", [chosen, chosen.damaged(bad), chosen.bit_lines]
    weights: FloatArray = np.random.default_rng(8).uniform(-1, 1, (4, 3))
    target = to_pairs(weights, WINDOW)
    stuck = np.random.default_rng(9).random(target.shape) < 0.3
    yield "pairs", [target, from_pairs(target, WINDOW)]
    for name, edge in (("whole", 1.0), ("beyond", 1.0 + 1e-9), ("nan", np.nan), ("endless", np.inf)):
        yield f"pairs {name}", said(to_pairs, np.array([[edge, -0.5]]), WINDOW)
    yield "no pairs", said(to_pairs, np.zeros((0, 2)), WINDOW)
    yield "compensated", compensate(target, stuck, np.full(target.shape, 40e-6), WINDOW)


CASES: Mapping[str, Callable[[], object]] = {
    "plans": lambda: dict(plans()),
    "faults": lambda: dict(faults()),
    "tiles": lambda: dict(tiles()),
    "lines": lambda: dict(lines()),
}
