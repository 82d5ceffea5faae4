"""Dense layers as tiles of pairs: exact products from target conductances, and lines around planted faults."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imssa_lab.contract.errors import BundleError, DeploymentError
from imssa_lab.contract.hal import FloatArray, Window
from imssa_lab.mapping import Mapping, PlacedTile, Reach, arrays_needed, map_bundle, reads_a_step
from imssa_lab.mapping.dense_tiles import tiles_of
from imssa_lab.mapping.tile_assignment import rearranged, tile_harm
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.dense_layer import DenseLayer

WINDOW = Window(low=2e-6, high=150e-6)
SHAPE = (64, 64)


def mapped(layer: DenseLayer, bundle: KernelBundle) -> Mapping:
    """A mapping with the tiles of one layer."""
    return replace(map_bundle(bundle, SHAPE, WINDOW, 4), tiles=tiles_of([layer], SHAPE, 2))


def product(mapping: Mapping, x: FloatArray, maps: dict[int, FloatArray], outputs: int) -> FloatArray:
    """Products from conductances (S, by array) alone: currents of driven lines, bit line by bit line."""
    made = np.zeros((len(x), outputs))
    for tile in mapping.tiles:
        volts = np.zeros((len(x), SHAPE[0]))
        volts[:, tile.word_lines] = tile.row_signs * x[:, tile.inputs] / tile.block.input_scale
        current = volts @ maps[tile.array]
        for column, (pair, output) in enumerate(zip(tile.pairs, tile.outputs, strict=True)):
            difference = (current[:, 2 * pair] - current[:, 2 * pair + 1]) / (WINDOW.high - WINDOW.low)
            factor = tile.block.column_scale[column] * tile.column_signs[column] * tile.block.input_scale
            made[:, output] += difference * factor
    return made


def layer_of(outputs: int, inputs: int, seed: int = 0) -> DenseLayer:
    """Three levels in each output, as the encoder and the mixes of a ternary net have them."""
    rng = np.random.default_rng(seed)
    weight = rng.integers(-1, 2, (outputs, inputs)) * rng.uniform(0.1, 2.0, (outputs, 1))
    return DenseLayer("encoder", weight, 3.0)


def filled(mapping: Mapping) -> dict[int, FloatArray]:
    """Targets by array; cells without one hold something that no product may see."""
    rng = np.random.default_rng(1)
    arrays = {tile.array for tile in mapping.tiles}
    targets = {array: mapping.target(array)[0] for array in arrays}
    return {
        array: np.where(np.isfinite(target), target, rng.uniform(0.0, 3e-4, SHAPE))
        for array, target in targets.items()
    }


@pytest.mark.parametrize(("outputs", "inputs"), [(32, 8), (32, 32), (16, 16), (70, 130), (1, 1)])
def test_target_conductances_give_the_products_of_the_layer(bundle: KernelBundle, outputs: int, inputs: int) -> None:
    layer = layer_of(outputs, inputs)
    mapping = mapped(layer, bundle)
    x = np.random.default_rng(2).uniform(-3, 3, (20, inputs))
    exact = x @ layer.weight.T
    assert product(mapping, x, filled(mapping), outputs) == pytest.approx(exact, abs=1e-9 * np.abs(exact).max())
    lines = [(tile.array, line) for tile in mapping.tiles for line in tile.word_lines]
    assert len(set(lines)) == len(lines)
    for array in {tile.array for tile in mapping.tiles}:
        assert sum(len(tile.word_lines) for tile in mapping.tiles_on(array)) <= 48  # a quarter stays free
        assert max(len(tile.pairs) for tile in mapping.tiles_on(array)) <= 24


def with_rows_permuted(mapping: Mapping) -> Mapping:
    """Inputs that drive other word lines than those that hold their weights."""
    turned = tuple(replace(tile, word_lines=np.roll(tile.word_lines, 1)) for tile in mapping.tiles)
    return replace(mapping, tiles=turned)


def test_permuted_rows_give_other_products(bundle: KernelBundle) -> None:
    """Null control of the test above: it sees inputs on wrong lines."""
    layer = layer_of(32, 32)
    mapping = mapped(layer, bundle)
    x = np.random.default_rng(2).uniform(-3, 3, (50, 32))
    exact = x @ layer.weight.T
    error = product(with_rows_permuted(mapping), x, filled(mapping), 32) - exact
    assert np.sqrt((error**2).mean() / (exact**2).mean()) > 0.5


def broken_array(seed: int) -> Reach:
    """A dead word line, an open bit line, and one cell in a hundred stuck high, as on the measured board."""
    rng = np.random.default_rng(seed)
    stuck, standing = rng.random(SHAPE) < 0.01, np.full(SHAPE, 220e-6)
    word, bit = rng.integers(0, 16), rng.integers(0, 32)
    stuck[word], standing[word] = True, 88e-6
    stuck[:, bit], standing[:, bit] = True, 0.8e-6
    return Reach.whole(SHAPE, WINDOW).with_stuck(stuck, standing)


def held(tile: PlacedTile, mapping: Mapping, reach: Reach) -> FloatArray:
    """Conductances of its array where every pair comes as near to its weight as its cells let it, S."""
    low, high = reach.weights(WINDOW)
    made = np.full(SHAPE, np.nan)
    for row, line in enumerate(tile.word_lines):
        for column, pair in enumerate(tile.pairs):
            weight = np.clip(tile.weights[row, column], low[line, pair], high[line, pair]) * WINDOW.span
            plus = np.clip(
                reach.low[line, 2 * pair + 1] + weight, reach.low[line, 2 * pair], reach.high[line, 2 * pair]
            )
            made[line, 2 * pair], made[line, 2 * pair + 1] = plus, plus - weight
    return made


@pytest.mark.parametrize("seed", range(4))
def test_rows_and_columns_leave_faults_that_spoil_the_products(bundle: KernelBundle, seed: int) -> None:
    layer, reach = layer_of(16, 32, seed), broken_array(seed)
    plain = mapped(layer, bundle)
    (tile,) = plain.tiles
    even = np.ones(tile.block.weights.shape)
    before = tile_harm(plain, tile, even, reach)
    better, cost = rearranged(plain, tile, even, reach)
    after = replace(plain, tiles=(better,))
    assert cost == pytest.approx(tile_harm(after, better, even, reach), abs=1e-9)
    x = np.random.default_rng(5).uniform(-3, 3, (200, 32))
    exact = x @ layer.weight.T

    def error(mapping: Mapping) -> float:
        (placed,) = mapping.tiles
        maps = {placed.array: np.nan_to_num(held(placed, mapping, reach))}
        return float(np.sqrt(((product(mapping, x, maps, 16) - exact) ** 2).mean() / (exact**2).mean()))

    assert before > 1.0
    assert error(plain) > 0.15  # null control: without it the faults show
    assert error(after) < 0.05
    assert cost < 0.05 * before


def test_a_tile_on_good_lines_stays_and_takes_no_line_of_another(bundle: KernelBundle) -> None:
    layers = [layer_of(16, 24), replace(layer_of(16, 20, 1), name="mixing of layer 0")]
    mapping = replace(map_bundle(bundle, SHAPE, WINDOW, 4), tiles=tiles_of(layers, SHAPE, 2))
    assert {tile.array for tile in mapping.tiles} == {2}
    first, second = mapping.tiles
    even = np.ones(first.block.weights.shape)
    stays, _ = rearranged(mapping, first, even, Reach.whole(SHAPE, WINDOW))
    assert np.array_equal(stays.word_lines, first.word_lines)
    assert np.array_equal(stays.pairs, first.pairs)
    stuck = np.zeros(SHAPE, dtype=np.bool_)
    stuck[first.word_lines] = True
    lost = Reach.whole(SHAPE, WINDOW).with_stuck(stuck, np.full(SHAPE, 88e-6))
    moved, _ = rearranged(mapping, first, even, lost)
    assert not np.isin(moved.word_lines, second.word_lines).any()


def test_dense_layers_come_after_the_kernels_which_stay_as_they_are(bundle: KernelBundle) -> None:
    kernels, everything = (map_bundle(bundle, SHAPE, WINDOW, 4, layers=layers) for layers in ("kernels", "all"))
    assert not kernels.tiles
    assert arrays_needed(bundle, SHAPE) == kernels.arrays
    assert arrays_needed(bundle, SHAPE, "all") == everything.arrays == kernels.arrays + 1
    assert {tile.layer for tile in everything.tiles} == {"encoder", "mixing of layer 0"}  # the head stays digital
    for array in range(kernels.arrays):
        assert np.array_equal(kernels.target(array)[0], everything.target(array)[0], equal_nan=True)
    assert reads_a_step(everything) == reads_a_step(kernels) + 2
    tile_arrays = {tile.array for tile in everything.tiles}
    assert not tile_arrays & {array for array, _ in everything.free_places(6)}  # no kernel moves in between
    with pytest.raises(DeploymentError, match="and dense layers 1, 1 given"):
        map_bundle(bundle, SHAPE, WINDOW, 1, layers="all")


def test_a_bundle_says_which_layers_stay_digital(bundle: KernelBundle, tmp_path: Path) -> None:
    assert [layer.name for layer in bundle.on_arrays("all")] == ["encoder", "mixing of layer 0"]
    assert bundle.on_arrays("kernels") == []
    whole = replace(bundle, digital=())
    bundle.save(tmp_path / "bundle.safetensors")
    whole.save(tmp_path / "whole.safetensors")
    assert KernelBundle.load(tmp_path / "whole.safetensors").digital == ()
    assert b"digital" not in (tmp_path / "bundle.safetensors").read_bytes()  # as in files of earlier versions
    assert KernelBundle.load(tmp_path / "bundle.safetensors").digital == ("head",)
    assert [layer.name for layer in whole.on_arrays("all")] == ["encoder", "mixing of layer 0", "head"]
    assert reads_a_step(map_bundle(whole, SHAPE, WINDOW, 4, layers="all")) == reads_a_step(
        map_bundle(bundle, SHAPE, WINDOW, 4, layers="all")
    )  # the head works once a sequence
    with pytest.raises(BundleError, match="dense layers are encoder, mixing of layer 0, head"):
        replace(bundle, digital=("mix",))
