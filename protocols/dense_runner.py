"""Dense layers on arrays: batches of products, one read of every tile, outputs corrected digitally."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from imssa_lab.contract.closed_loop import VECTORS_AT_ONCE
from imssa_lab.contract.hal import CrossbarArray, FloatArray
from imssa_lab.mapping import Mapping, PlacedTile
from imssa_lab.s4d.inference import Product
from imssa_lab.s4d.output_correction import corrected_outputs
from protocols.recurrence import check_arrays, check_reads, read_signed


class DenseRunner:
    """Runs the dense layers of a mapping on its arrays; `products` is what `run_network` takes as `dense`.

    A vector with an input beyond the full scale of its layer, which only nets without quantisers have, is scaled so
    that its largest input takes the full scale; nothing saturates.

    Args:
        arrays: as many as the mapping uses, programmed.
        mapping: the places of the tiles; one without tiles leaves all dense layers to software.
        vectors: most vectors a read, where an instrument takes no more; None: many at once.
        averages: reads of which every product takes the mean.

    Attributes:
        gain, offset: by layer, digital correction of every output, (outputs,); identity until they are set.
        reads: products asked for so far, in vectors: `averages` a tile and vector of inputs.

    Raises:
        DeploymentError: fewer arrays than the mapping uses. ConfigError: more averages than vectors.
    """

    def __init__(
        self, arrays: Sequence[CrossbarArray], mapping: Mapping, vectors: int | None = None, averages: int = 1
    ) -> None:
        check_arrays(arrays, mapping)
        check_reads(vectors, averages)
        self._arrays, self._window = arrays, mapping.window
        self._at_once = max(1, (VECTORS_AT_ONCE if vectors is None else vectors) // averages)
        self._averages = averages
        self._tiles: dict[str, list[PlacedTile]] = {}
        for tile in mapping.tiles:
            self._tiles.setdefault(tile.layer, []).append(tile)
        widths = {name: 1 + max(int(tile.outputs.max()) for tile in tiles) for name, tiles in self._tiles.items()}
        self.gain = {name: np.ones(width) for name, width in widths.items()}
        self.offset = {name: np.zeros(width) for name, width in widths.items()}
        self.reads = 0

    @property
    def layers(self) -> list[str]:
        """Names of the dense layers that are on arrays."""
        return list(self._tiles)

    @property
    def products(self) -> dict[str, Product]:
        """By layer its corrected products."""
        return {name: partial(self, name) for name in self._tiles}

    def __call__(self, layer: str, inputs: FloatArray) -> FloatArray:
        """Products (..., outputs) of one layer for inputs (..., inputs), corrected, without the bias."""
        return corrected_outputs(self.raw(layer, inputs), self.gain[layer], self.offset[layer])

    def raw(self, layer: str, inputs: FloatArray) -> FloatArray:
        """The same as the arrays give them."""
        vectors = inputs.reshape(-1, inputs.shape[-1])
        made = np.zeros((len(vectors), len(self.gain[layer])))
        for start in range(0, len(vectors), self._at_once):
            part = slice(start, start + self._at_once)
            for tile in self._tiles[layer]:
                made[part, tile.outputs] += self._product(tile, vectors[part][:, tile.inputs])
        return made.reshape(*inputs.shape[:-1], -1)

    def _product(self, tile: PlacedTile, inputs: FloatArray) -> FloatArray:
        array = self._arrays[tile.array]
        limit, step = array.info.limits.read_voltage, array.info.whole_step
        full = np.maximum(np.abs(inputs).max(axis=1, keepdims=True), tile.block.input_scale)
        volts = limit * tile.row_signs * (inputs / full)
        if step is not None:
            volts = np.rint(volts / step) * step + 0.0  # zero has one sign, as a code has
        driven = np.zeros((len(inputs), array.info.rows))
        driven[:, tile.word_lines] = volts
        current = read_signed(array, np.tile(driven, (self._averages, 1))).reshape(self._averages, len(inputs), -1)
        self.reads += self._averages * len(inputs)
        mean = current.mean(axis=0)
        difference = mean[:, 2 * tile.pairs] - mean[:, 2 * tile.pairs + 1]
        scale = tile.block.column_scale * tile.column_signs / (limit * self._window.span)
        return np.asarray(difference * scale * full)
