"""Arranging blocks around faults: exact assignment against brute force, and what it wins."""

import itertools

import numpy as np
import pytest

from imssa_lab.contract.hal import Window
from imssa_lab.mapping import Reach, arrange, kernel_block, map_bundle, reassign, separate, shortfall, split
from imssa_lab.s4d.bundle import KernelBundle

WINDOW = Window(low=2e-6, high=150e-6)


def damaged(shape: tuple[int, int], fraction: float, seed: int) -> Reach:
    rng = np.random.default_rng(seed)
    stuck = rng.random(shape) < fraction
    return Reach.whole(shape, WINDOW).with_stuck(stuck, rng.choice([WINDOW.low, WINDOW.high], shape))


def test_a_pair_with_one_stuck_cell_reaches_half_of_the_weights() -> None:
    stuck = np.array([[True, False, True, True]])
    reach = Reach.whole((1, 4), WINDOW).with_stuck(stuck, np.array([[WINDOW.high, np.nan, WINDOW.high, WINDOW.low]]))
    low, high = reach.weights(WINDOW)
    assert low == pytest.approx(np.array([[0.0, 1.0]]))
    assert high == pytest.approx(np.array([[1.0, 1.0]]))
    assert shortfall(np.array([[-0.5, 0.5]]), low, high) == pytest.approx(np.array([[0.5, 0.5]]))


def test_columns_for_given_rows_are_the_best_there_are() -> None:
    """Against all permutations and signs of a small block whose rows cannot be told apart."""
    rng = np.random.default_rng(0)
    for seed in range(20):
        weights = np.repeat(rng.uniform(-1, 1, (1, 4)), 4, axis=0)
        low, high = damaged((4, 8), 0.2, seed).weights(WINDOW)
        even = np.ones((4, 4))
        best = min(
            float((shortfall(signs * weights[:, list(order)], low, high) ** 2).sum())
            for order in itertools.permutations(range(4))
            for signs in itertools.product((-1.0, 1.0), repeat=4)
        )
        assert arrange(weights, even, low, high).cost <= best + 1e-9


def test_an_arrangement_costs_what_it_says_and_mends_most_of_five_per_cent(bundle: KernelBundle) -> None:
    plain, arranged = [], []
    for seed in range(10):
        weights = kernel_block(bundle.layers[0], seed % 6).weights
        low, high = damaged((5, 10), 0.05, seed).weights(WINDOW)
        even = np.ones(weights.shape)
        found = arrange(weights, even, low, high)
        held = found.row_signs[:, None] * weights * found.column_signs
        wrong = shortfall(held, low[np.ix_(found.rows, found.columns)], high[np.ix_(found.rows, found.columns)])
        assert (wrong**2).sum() == pytest.approx(found.cost, abs=1e-9)
        plain.append((shortfall(weights, low, high) ** 2).sum())
        arranged.append(found.cost)
    assert sum(arranged) < 0.1 * sum(plain)


def test_kernels_go_where_faults_harm_them_least(bundle: KernelBundle) -> None:
    mapping = map_bundle(bundle, (20, 20), WINDOW, 3)
    reaches = [damaged((20, 20), 0.3, seed) for seed in range(5)]
    even = [np.ones((5, 5)) for _ in mapping.kernels]
    within, here = reassign(mapping, mapping.kernels, even, reaches, move=False)
    moved, there = reassign(mapping, mapping.kernels, even, reaches)
    assert there.sum() < here.sum()
    for found in (within, moved):
        lines = [(kernel.array, line) for kernel in found.kernels for line in kernel.word_lines]
        assert len(set(lines)) == len(lines)
        for array in range(found.arrays):
            for bank in found.banks(array):
                pairs = np.concatenate([kernel.pairs for kernel in bank])
                assert len(np.unique(pairs)) == len(pairs)
        for kernel in found.kernels:
            assert found.implemented(kernel, found.target(kernel.array)[0]) == pytest.approx(kernel.block.weights)


def test_a_kernel_in_two_parts_is_the_whole(bundle: KernelBundle) -> None:
    mapping = map_bundle(bundle, (64, 64), WINDOW, 2)
    kernel = mapping.kernels[0]
    parts = [kernel_block(bundle.layers[0], 0, "delta", [state]) for state in range(2)]
    found = split(mapping, kernel, parts, [Reach.whole((64, 64), WINDOW)] * 2)
    assert found is not None
    assert len(found.kernels) == len(mapping.kernels) + 1
    assert (kernel.array, kernel.slot) in found.abandoned
    full = mapping.free_places(1)
    assert split(mapping, kernel, parts, [Reach.whole((64, 64), WINDOW)]) is None or len(full) >= 2


def test_a_bundle_too_large_for_an_array_comes_in_parts(bundle: KernelBundle) -> None:
    mapping = map_bundle(bundle, (4, 8), WINDOW, 24)
    assert len(mapping.kernels) == 24
    assert {kernel.block.states for kernel in mapping.kernels} == {(0,), (1,)}


def test_a_kernel_by_itself_has_no_cells_between(bundle: KernelBundle) -> None:
    mapping = map_bundle(bundle, (64, 64), WINDOW, 1)
    kernel = mapping.kernels[0]
    alone, moved = separate(mapping, lambda one, other: kernel in (one, other))
    assert moved == 1
    changed = next(k for k in alone.kernels if (k.layer, k.channel) == (kernel.layer, kernel.channel))
    assert [k for k in alone.on(0) if k.bank == changed.bank] == [changed]
    assert mapping.target(0)[1].sum() > alone.target(0)[1].sum()
