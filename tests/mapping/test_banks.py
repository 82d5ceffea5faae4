"""Kernels that must not be read together are parted at the least cost in reads."""

import numpy as np

from imssa_lab.contract.hal import Window
from imssa_lab.mapping import PlacedKernel, between, map_bundle, reads_a_step, separate
from trials.untrained import untrained_bundle

MAPPING = map_bundle(untrained_bundle(channels=6, layers=1), (64, 64), Window(low=2e-6, high=150e-6), 1)
"""Six kernels of five rows on one array, in one bank."""


def key(kernel: PlacedKernel) -> int:
    return kernel.channel


def test_nothing_moves_where_nobody_must_be_apart() -> None:
    new, moved = separate(MAPPING, lambda one, other: False)
    assert moved == 0
    assert reads_a_step(new) == reads_a_step(MAPPING) == 1


def test_one_kernel_that_spoils_all_others_costs_one_read() -> None:
    """It leaves; the five that it spoilt stay together, instead of leaving one by one."""
    new, moved = separate(MAPPING, lambda one, other: 2 in (key(one), key(other)))
    assert moved == 1
    assert reads_a_step(new) == 2


def test_kernels_that_left_share_a_bank_where_they_may() -> None:
    new, moved = separate(MAPPING, lambda one, other: {key(one), key(other)} in ({0, 1}, {2, 3}))
    assert moved == 2
    assert reads_a_step(new) == 2
    for bank in new.banks(0):
        pairs = np.concatenate([kernel.pairs for kernel in bank])
        assert len(np.unique(pairs)) == len(pairs)


def test_all_apart_is_a_read_each() -> None:
    assert reads_a_step(separate(MAPPING, lambda one, other: True)[0]) == 6


def test_what_lies_between_is_read_in_weights() -> None:
    one, other = MAPPING.kernels[:2]
    held = np.full((64, 64), 2e-6)
    held[one.word_lines[1], other.bit_lines[4]] = 150e-6
    weights = between(MAPPING, held, one, other)
    assert weights[1, 2] == 1.0
    assert np.count_nonzero(weights) == 1
    assert not between(MAPPING, held, other, one).any()
    assert not between(MAPPING, np.full((64, 64), np.nan), one, other).any()  # not known is none
