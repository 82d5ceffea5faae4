"""Kernels packed for area: one in every tile, no cell twice, around faults; packed for time all is as it was."""

import hashlib

import numpy as np
import pytest

from imssa_lab.contract.errors import DeploymentError
from imssa_lab.contract.hal import Window
from imssa_lab.mapping import (
    Mapping,
    Reach,
    arrays_needed,
    fitting_packing,
    map_bundle,
    reads_a_step,
    reassign,
    separate,
)
from imssa_lab.mapping.placement import most_channels
from protocols.deployment.journal import plan_entry
from trials.untrained import untrained_bundle

WINDOW = Window(low=2e-6, high=150e-6)
PLANS = "b065c022202c9e0d65d08d5ba02e759f08a324dfdb22419f5085c9c7aee9dd3c"
"""SHA-256 of the three plans below, by the code from before there was a second packing."""


def packed(channels: int, shape: tuple[int, int] = (64, 64), arrays: int = 1, states: int = 4) -> Mapping:
    bundle = untrained_bundle(channels=channels, states=states, layers=1)
    return map_bundle(bundle, shape, WINDOW, arrays, packing="area")


def random_faults(arrays: int, share: float, seed: int, lines: int = 0) -> list[Reach]:
    """Stuck cells, and so many dead word lines and bit lines."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(arrays):
        stuck = rng.random((64, 64)) < share
        if lines:
            stuck[rng.choice(63, lines)] = True
            stuck[:, rng.choice(54, lines)] = True
        found.append(Reach.whole((64, 64), WINDOW).with_stuck(stuck, rng.choice([WINDOW.low, WINDOW.high], (64, 64))))
    return found


def dead(rows: tuple[int, ...] = (), pairs: tuple[int, ...] = (), down_to: int = 64) -> Reach:
    """Word lines, and pairs down to one, whose cells hold a difference of one that no other cell can undo."""
    stuck = np.zeros((64, 64), dtype=bool)
    stuck[list(rows)] = True
    for pair in pairs:
        stuck[:down_to, 2 * pair : 2 * pair + 2] = True
    standing = np.where(np.arange(64) % 2 == 0, WINDOW.high, WINDOW.low) + np.zeros((64, 64))
    return Reach.whole((64, 64), WINDOW).with_stuck(stuck, standing)


def uses(mapping: Mapping, array: int = 0) -> np.ndarray:
    """How many kernels use each cell of an array."""
    count = np.zeros(mapping.shape, dtype=int)
    for kernel in mapping.on(array):
        count[kernel.cells] += 1
    return count


def test_packed_for_time_every_plan_is_as_it_was() -> None:
    mapping = map_bundle(untrained_bundle(channels=16, states=4, layers=2), (64, 64), WINDOW, 8)
    arranged, _ = reassign(mapping, mapping.kernels[:20], [np.ones((9, 9))] * 20, random_faults(6, 0.06, 3))
    apart, _ = separate(arranged, lambda one, other: (one.channel + other.channel) % 5 == 0)
    text = "".join(plan_entry(each, "digest") for each in (mapping, arranged, apart))
    assert hashlib.sha256(text.encode()).hexdigest() == PLANS


@pytest.mark.parametrize("shape", [(64, 64), (20, 37), (9, 18), (30, 128), (9, 64)])
def test_every_tile_takes_a_kernel_and_each_is_read_by_itself(shape: tuple[int, int]) -> None:
    down, across = shape[0] // 9, shape[1] // 18
    mapping = packed(down * across + 1, shape, arrays=2)
    assert [len(mapping.on(array)) for array in (0, 1)] == [down * across, 1]
    assert mapping.free_places(2) == [(1, slot) for slot in range(1, down * across)]
    assert reads_a_step(mapping) == down * across + 1
    assert all(len(bank) == 1 for bank in mapping.banks(0))
    assert (uses(mapping)[: 9 * down, : 18 * across] == 1).all()
    target, mask = mapping.target(0)
    assert np.array_equal(mask, uses(mapping) == 1)  # nothing but kernels: no cell lies between them
    assert np.array_equal(mask, mapping.kernel_cells(0))
    for kernel in mapping.on(0):
        assert mapping.implemented(kernel, target) == pytest.approx(kernel.block.weights)
        beside = [other for other in mapping.on(0) if np.isin(other.word_lines, kernel.word_lines).any()]
        assert len(beside) == across  # with itself


def test_how_many_arrays_each_packing_takes() -> None:
    """The demo's 64 kernels of four states, 63 of them, and the 62 of two layers of 31."""
    demo, h31 = (untrained_bundle(channels=channels, states=4, layers=2) for channels in (32, 31))
    assert [arrays_needed(each, (64, 64), packing="time") for each in (demo, h31)] == [10, 9]
    assert [arrays_needed(each, (64, 64), packing="area") for each in (demo, h31)] == [4, 3]
    assert arrays_needed(untrained_bundle(channels=63, states=4, layers=1), (64, 64), packing="area") == 3
    assert reads_a_step(map_bundle(demo, (64, 64), WINDOW, 10)) == 29
    assert reads_a_step(map_bundle(demo, (64, 64), WINDOW, 4, packing="area")) == 64
    assert (most_channels(4, 2, 3, (64, 64)), most_channels(4, 2, 3, (64, 64), "area")) == (10, 31)
    assert [fitting_packing(h31, (64, 64), arrays) for arrays in (9, 8, 3, 2)] == ["time", "area", "area", "time"]
    with pytest.raises(DeploymentError, match=r"packed for time, need 9 .* pack kernels for area, which needs 3"):
        map_bundle(h31, (64, 64), WINDOW, 8)
    with pytest.raises(DeploymentError, match="62 kernels, packed for area, need 3 arrays of 64x64, 2 given; add"):
        map_bundle(h31, (64, 64), WINDOW, 2, packing="area")


def test_a_dead_word_line_hits_three_kernels_that_share_the_spare_one() -> None:
    mapping = packed(21)
    faults = [dead(rows=(22,))]
    hit = [kernel for kernel in mapping.kernels if 22 in kernel.word_lines]
    assert len(hit) == 3
    found, costs = reassign(mapping, hit, [np.ones((9, 9))] * 3, faults, move=False)
    assert costs == pytest.approx([0.0] * 3, abs=1e-9)
    assert [63 in kernel.word_lines for kernel in found.kernels] == [kernel in hit for kernel in mapping.kernels]
    assert uses(found).max() == 1
    for kernel in found.kernels:
        assert found.implemented(kernel, found.target(0)[0]) == pytest.approx(kernel.block.weights)


def test_a_spare_pair_serves_one_kernel_of_those_that_share_a_word_line() -> None:
    """Three kernels side by side, each with two dead pairs, find five spare ones; those below them find the same."""
    mapping = packed(21)
    pairs = (0, 1, 9, 10, 18, 19)
    hit = [kernel for kernel in mapping.kernels if kernel.word_lines[0] in (0, 9)]
    found, costs = reassign(mapping, hit, [np.ones((9, 9))] * 6, [dead(pairs=pairs, down_to=18)], move=False)
    assert uses(found).max() == 1
    for beside in (found.kernels[:3], found.kernels[3:6]):
        spare = [int(pair) for kernel in beside for pair in kernel.pairs if pair > 26]
        assert 4 <= len(spare) == len(set(spare)) <= 5
    assert sum(cost < 1e-9 for cost in costs) >= 4


@pytest.mark.parametrize("seed", range(2))
def test_whatever_the_faults_no_two_kernels_meet_in_a_cell(seed: int) -> None:
    mapping = packed(38, arrays=2)
    even = [np.ones((9, 9))] * 38
    found, _ = reassign(mapping, mapping.kernels, even, random_faults(2, 0.05, seed, lines=3))
    some = found.kernels[::3]
    again, _ = reassign(found, some, even[: len(some)], random_faults(2, 0.05, seed + 10, lines=3))
    for each in (found, again):
        assert {len(each.banks(array)) for array in (0, 1)} == {len(each.on(array)) for array in (0, 1)}
        for array in (0, 1):
            assert uses(each, array).max() == 1
            assert np.array_equal(each.target(array)[1], uses(each, array) == 1)
    assert sum(63 in k.word_lines for k in again.kernels) > 3  # the rules were put to the test
    assert sum(bool((k.pairs > 26).any()) for k in again.kernels) > 3
