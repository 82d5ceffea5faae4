"""Rows and columns of a dense layer to lines of its array by predicted error, around cells known to be bad."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from imssa_lab.contract.hal import FloatArray
from imssa_lab.mapping.dense_tiles import PlacedTile
from imssa_lab.mapping.line_assignment import arrange
from imssa_lab.mapping.placement import Mapping
from imssa_lab.mapping.reach import Reach, shortfall


def tile_harm(mapping: Mapping, tile: PlacedTile, importance: FloatArray, reach: Reach) -> float:
    """Sum over the weights of a tile of importance, (inputs, outputs), times squared distance to what is in reach."""
    low, high = (limit[np.ix_(tile.word_lines, tile.pairs)] for limit in reach.weights(mapping.window))
    return float((importance * shortfall(tile.weights, low, high) ** 2).sum())


def rearranged(mapping: Mapping, tile: PlacedTile, importance: FloatArray, reach: Reach) -> tuple[PlacedTile, float]:
    """A tile on the lines of its array where known faults do least harm, and that harm.

    Any word line may be taken that no other tile of the array has, and any pair of bit lines; of equal ones those
    that it has now.

    Args:
        importance: (inputs, outputs) of the tile, what a unit error of each weight costs, squared.
        reach: what the cells of its array can take.
    """
    others = [line for other in mapping.tiles_on(tile.array) if other is not tile for line in other.word_lines]
    rows = np.setdiff1d(np.arange(mapping.shape[0]), [*others, *tile.word_lines])
    pairs = np.setdiff1d(np.arange(mapping.shape[1] // 2), tile.pairs)
    lines = np.concatenate([tile.word_lines, rows]), np.concatenate([tile.pairs, pairs])
    low, high = (limit[np.ix_(*lines)] for limit in reach.weights(mapping.window))
    found = arrange(tile.block.weights, importance, low, high)
    placed = replace(
        tile,
        word_lines=lines[0][found.rows],
        pairs=lines[1][found.columns],
        row_signs=found.row_signs,
        column_signs=found.column_signs,
    )
    return placed, found.cost
