"""Arrays that are not square nor filled exactly: where kernels stand, in how many parts, on which spare lines."""

from dataclasses import replace

import numpy as np
import pytest

from imssa_lab.contract.hal import Window
from imssa_lab.mapping import (
    Mapping,
    Reach,
    arrange,
    kernel_block,
    kernels_per_array,
    map_bundle,
    reassign,
    separate,
    split,
)
from imssa_lab.mapping.placement import arrays_needed, blocks_of
from imssa_lab.s4d.bundle import STATE_HEADROOM
from trials.untrained import untrained_bundle

WINDOW = Window(low=3e-6, high=120e-6)
SHAPES = [(17, 46), (33, 24), (10, 10), (11, 21), (5, 100), (100, 12)]


@pytest.mark.parametrize("form", ["delta", "direct"])
@pytest.mark.parametrize("states", [None, [0], [2], [1, 2]])
def test_a_block_holds_what_the_head_of_its_file_says(form: str, states: list[int] | None) -> None:
    """W[u, x] = b U / X, W[x, x] = M or M - 1, W[x, y] = c X, W[u, y] = D U with state 0; over the peak."""
    layer = replace(untrained_bundle(channels=2, states=3, layers=1).layers[0], input_range=1.7)
    chosen = states or [0, 1, 2]
    block = kernel_block(layer, 1, form, states)  # type: ignore[arg-type]
    u, x = 1.7, STATE_HEADROOM * float(layer.state_range[1])
    size = 2 * len(chosen) + 1
    wanted = np.zeros((size, size))
    for place, state in enumerate(chosen):
        mine = slice(1 + 2 * place, 3 + 2 * place)
        out = slice(2 * place, 2 * place + 2)
        wanted[0, out] = layer.b[1, state] * u / x
        wanted[mine, out] = (layer.transition[1, state] - (np.eye(2) if form == "delta" else 0.0)).T
        wanted[mine, -1] = layer.c[1, state] * x
    wanted[0, -1] = layer.d[1] * u if 0 in chosen else 0.0
    assert block.weights * block.column_scale == pytest.approx(wanted)
    peaks = np.abs(block.weights).max(axis=0)
    assert ((peaks == 1.0) | ((peaks == 0.0) & (block.column_scale == 1.0))).all()
    assert (block.size, block.form, block.states) == (size, form, tuple(chosen))
    assert (block.input_scale, block.state_scale) == (u, x)


def test_a_column_of_zeros_keeps_the_scale_of_one() -> None:
    layer = untrained_bundle(channels=2, states=1, layers=1).layers[0]
    silent = replace(layer, c=np.zeros_like(layer.c), d=np.zeros_like(layer.d))
    block = kernel_block(silent, 0)
    assert block.column_scale[-1] == 1.0
    assert not block.weights[:, -1].any()


@pytest.mark.parametrize("shape", SHAPES)
def test_places_follow_one_another_down_the_word_lines_and_bank_by_bank(shape: tuple[int, int]) -> None:
    bundle = untrained_bundle(channels=5, states=2, layers=2)
    mapping = map_bundle(bundle, shape, WINDOW, 10)
    size, each, beside = 5, shape[0] // 5, shape[1] // 10
    assert kernels_per_array(size, shape) == each
    assert mapping.arrays == arrays_needed(bundle, shape) == -(-10 // each)
    for number, kernel in enumerate(mapping.kernels):
        assert (kernel.layer, kernel.channel) == divmod(number, 5)
        assert (kernel.array, kernel.slot) == divmod(number, each)
        assert (kernel.bank, kernel.pairs[0] // size) == divmod(kernel.slot, beside)
        assert kernel.word_lines.tolist() == [kernel.slot * size + line for line in range(size)]
        assert kernel.pairs.tolist() == [kernel.pairs[0] + line for line in range(size)]
        assert kernel.bit_lines.tolist() == [2 * p + side for p in kernel.pairs for side in (0, 1)]
    for array in range(mapping.arrays):
        target, mask = mapping.target(array)
        expected = np.zeros(shape, dtype=bool)
        for bank in mapping.banks(array):
            for rows in bank:
                for columns in bank:
                    expected[np.ix_(rows.word_lines, columns.bit_lines)] = True
                    if rows is not columns:
                        assert (target[np.ix_(rows.word_lines, columns.bit_lines)] == WINDOW.low).all()
        assert np.array_equal(mask, expected)
        assert np.array_equal(np.isfinite(target), expected)
    free = {(a, s) for a in range(10) for s in range(each)} - {(k.array, k.slot) for k in mapping.kernels}
    assert set(mapping.free_places(10)) == free


@pytest.mark.parametrize(
    ("shape", "parts"), [((6, 100), 3), ((100, 13), 3), ((4, 8), 5), ((7, 14), 2), ((11, 22), 1)]
)
def test_a_kernel_comes_in_as_few_parts_as_word_lines_and_pairs_allow(shape: tuple[int, int], parts: int) -> None:
    """Five states of two lines each, and one for input or output, on 6, 13 // 2 = 6, 4, 7 and 11 lines."""
    found = blocks_of(untrained_bundle(channels=1, states=5, layers=1), shape)
    assert len(found) == parts
    assert sorted(state for _, _, block in found for state in block.states) == list(range(5))
    sizes = [block.size for _, _, block in found]
    assert max(sizes) - min(sizes) <= 2
    assert max(sizes) <= min(shape[0], shape[1] // 2)


def test_the_form_may_be_chosen_for_each_channel() -> None:
    bundle = untrained_bundle(channels=2, states=1, layers=2)
    forms = [["delta", "direct"], ["direct", "delta"]]
    mapping = map_bundle(bundle, (20, 20), WINDOW, 1, forms)  # type: ignore[arg-type]
    assert [kernel.block.form for kernel in mapping.kernels] == ["delta", "direct", "direct", "delta"]


def test_a_pair_reaches_from_its_lowest_plus_less_its_highest_minus() -> None:
    low, high = np.array([[1.0, 2.0, 3.0, 4.0]]) * 1e-5, np.array([[5.0, 7.0, 8.0, 10.0]]) * 1e-5
    down, up = Reach(low, high).weights(WINDOW)
    assert down == pytest.approx(np.array([[-6e-5, -7e-5]]) / WINDOW.span)
    assert up == pytest.approx(np.array([[3e-5, 4e-5]]) / WINDOW.span)


# ---- spare lines, moves and parts


def one(shape: tuple[int, int], channels: int = 1) -> Mapping:
    return map_bundle(untrained_bundle(channels=channels, states=2, layers=1, seed=3), shape, WINDOW, 1)


def dead(shape: tuple[int, int], rows: tuple[int, ...] = (), pairs: tuple[int, ...] = ()) -> Reach:
    """Lines whose pairs hold a difference of one: no kernel finds all of its weights there."""
    stuck = np.zeros(shape, dtype=bool)
    stuck[list(rows)] = True
    for pair in pairs:
        stuck[:, 2 * pair : 2 * pair + 2] = True
    standing = np.where(np.arange(shape[1]) % 2 == 0, WINDOW.high, WINDOW.low) + np.zeros(shape)
    return Reach.whole(shape, WINDOW).with_stuck(stuck, standing)


@pytest.mark.parametrize(("rows", "pairs"), [((2,), ()), ((), (3,)), ((0, 4), ()), ((), (0, 1)), ((1,), (2,))])
def test_unused_lines_beyond_the_places_take_over_from_dead_ones(
    rows: tuple[int, ...], pairs: tuple[int, ...]
) -> None:
    """Seven word lines and seven pairs, of which a kernel of five uses five."""
    mapping = one((7, 14))
    (kernel,) = mapping.kernels
    found, costs = reassign(mapping, [kernel], [np.ones((5, 5))], [dead((7, 14), rows, pairs)], move=False)
    (moved,) = found.kernels
    assert costs == pytest.approx([0.0], abs=1e-9)
    assert not set(moved.word_lines) & set(rows)
    assert not set(moved.pairs) & set(pairs)
    assert len(set(moved.word_lines)) == len(set(moved.pairs)) == 5
    assert found.implemented(moved, found.target(0)[0]) == pytest.approx(moved.block.weights)
    assert found.abandoned == ()


def test_without_spare_lines_a_dead_line_costs_what_it_costs() -> None:
    mapping = one((5, 10))
    _, costs = reassign(mapping, list(mapping.kernels), [np.ones((5, 5))], [dead((5, 10), rows=(2,))], move=False)
    assert costs[0] > 0.1


def test_spare_word_lines_serve_one_kernel_and_spare_pairs_one_of_a_bank() -> None:
    """Two kernels one below the other, in banks of their own; one spare word line, one spare pair."""
    mapping = one((11, 12), channels=2)
    assert [kernel.bank for kernel in mapping.kernels] == [0, 1]
    even = [np.ones((5, 5))] * 2
    found, costs = reassign(mapping, list(mapping.kernels), even, [dead((11, 12), pairs=(2,))], move=False)
    assert costs == pytest.approx([0.0, 0.0], abs=1e-9)
    assert all(5 in kernel.pairs and 2 not in kernel.pairs for kernel in found.kernels)
    found, costs = reassign(mapping, list(mapping.kernels), even, [dead((11, 12), rows=(1, 7))], move=False)
    assert sorted(10 in kernel.word_lines for kernel in found.kernels) == [False, True]
    assert sorted(cost < 1e-9 for cost in costs) == [False, True]
    assert len({line for kernel in found.kernels for line in kernel.word_lines}) == 10


def test_a_kernel_leaves_a_dead_place_for_a_free_one_and_stays_where_nothing_is_gained() -> None:
    mapping = map_bundle(untrained_bundle(channels=2, states=2, layers=1), (15, 10), WINDOW, 1)
    first, second = mapping.kernels
    even = [np.ones((5, 5))] * 2
    found, costs = reassign(mapping, [first, second], even, [dead((15, 10), rows=tuple(range(5)))])
    assert [kernel.slot for kernel in found.kernels] == [2, 1]
    assert found.abandoned == ((0, 0),)
    assert found.free_places(1) == []
    assert costs == pytest.approx([0.0, 0.0], abs=1e-9)
    stays, _ = reassign(mapping, [first, second], even, [Reach.whole((15, 10), WINDOW)])
    assert [kernel.slot for kernel in stays.kernels] == [0, 1]
    within, harmed = reassign(mapping, [first, second], even, [dead((15, 10), rows=tuple(range(5)))], move=False)
    assert [kernel.slot for kernel in within.kernels] == [0, 1]
    assert harmed[0] > 0.1


def test_parts_go_to_the_free_places_that_suit_them() -> None:
    bundle = untrained_bundle(channels=2, states=2, layers=1)
    mapping = map_bundle(bundle, (25, 10), WINDOW, 1)
    parts = [kernel_block(bundle.layers[0], 0, "delta", [state]) for state in (0, 1)]
    bad = dead((25, 10), rows=tuple(range(10, 15)))
    found = split(mapping, mapping.kernels[0], parts, [bad])
    assert found is not None
    assert sorted(kernel.slot for kernel in found.kernels) == [1, 3, 4]
    assert [kernel.block.states for kernel in found.kernels] == [(0,), (1,), (0, 1)]
    assert found.abandoned == ((0, 0),)
    assert found.free_places(1) == [(0, 2)]
    assert split(map_bundle(bundle, (15, 10), WINDOW, 1), mapping.kernels[0], parts, [dead((15, 10))]) is None


def test_kernels_read_by_themselves_get_the_next_banks_of_their_array() -> None:
    mapping = map_bundle(untrained_bundle(channels=6, states=2, layers=1), (15, 30), WINDOW, 2)
    first = [kernel for kernel in mapping.kernels if (kernel.array, kernel.slot) in ((0, 0), (0, 2), (1, 1))]
    alone = {kernel.channel for kernel in first}
    found, moved = separate(mapping, lambda one, other: bool({one.channel, other.channel} & alone))
    assert moved == 3
    assert found.abandoned == ()
    assert sorted(len(bank) for bank in found.banks(0)) == [1, 1, 1]
    assert [[kernel.slot for kernel in bank] for bank in found.banks(1)] == [[0, 2], [1]]
    assert [bank[0].bank for bank in found.banks(0)] == [0, 1, 2]


def test_a_block_that_fits_stays_as_it_is_and_costs_what_is_left() -> None:
    weights = np.array([[0.5, -0.5], [0.25, 0.0]])
    found = arrange(weights, np.ones((2, 2)), np.full((3, 4), -0.5), np.full((3, 4), 0.5))
    assert (found.rows.tolist(), found.columns.tolist(), found.cost) == ([0, 1], [0, 1], 0.0)
    assert (found.row_signs == 1).all()
    assert (found.column_signs == 1).all()
