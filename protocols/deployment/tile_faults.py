"""Dense layers around faults: which tiles known faults harm, and where their rows and columns go instead."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from imssa_lab.contract.hal import FloatArray
from imssa_lab.mapping import Mapping, PlacedTile, Reach
from imssa_lab.mapping.tile_assignment import rearranged, tile_harm

_log = logging.getLogger(__name__)


def arranged_tiles(
    mapping: Mapping,
    reaches: Sequence[Reach],
    importance: Callable[[PlacedTile], FloatArray],
    *,
    least: float,
    worth: float,
) -> tuple[Mapping, int]:
    """The mapping with tiles on lines where faults harm them less, and how many tiles changed.

    Args:
        reaches: what the cells of each array can take.
        importance: of a tile, (inputs, outputs), what a unit error of each weight adds to the sum of squared NRMSE
            of its outputs.
        least: harm that is left alone; worth: share of the harm that an arrangement may leave to be worth its pulses.
    """
    changed = 0
    for tile in mapping.tiles:
        weights, reach = importance(tile), reaches[tile.array]
        before = tile_harm(mapping, tile, weights, reach)
        if before <= least:
            continue
        new, after = rearranged(mapping, tile, weights, reach)
        if after < worth * before:
            _log.info("%s: rearranged, predicted harm %.3g -> %.3g", tile.name, before, after)
            mapping = replace(mapping, tiles=tuple(new if each is tile else each for each in mapping.tiles))
            changed += 1
    return mapping, changed
