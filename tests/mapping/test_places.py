"""Places of kernels: how many arrays they take, what a kernel is called, bundles of a single kernel."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from imssa_lab.contract.hal import Window
from imssa_lab.mapping import compensate, from_pairs, map_bundle, to_pairs
from imssa_lab.mapping.placement import arrays_needed
from imssa_lab.s4d.bundle import KernelBundle
from tests.conftest import untrained_bundle

WINDOW = Window(low=2e-6, high=150e-6)


def test_a_mapping_takes_as_many_arrays_as_were_announced(bundle: KernelBundle) -> None:
    mapping = map_bundle(bundle, (10, 10), WINDOW, 9)
    assert mapping.arrays == arrays_needed(bundle, (10, 10)) == 6
    assert [len(mapping.on(array)) for array in range(6)] == [2] * 6


def test_a_part_of_a_kernel_is_named_by_its_states(bundle: KernelBundle) -> None:
    """An array of 6x6 holds one state of a kernel that has two."""
    whole = map_bundle(bundle, (10, 10), WINDOW, 6).kernels[0]
    parts = map_bundle(bundle, (6, 6), WINDOW, 24).kernels[:2]
    assert whole.name == "layer 0, channel 0, states 0-1"
    assert [part.name for part in parts] == [f"layer 0, channel 0, states {state}-{state}" for state in (0, 1)]


def test_a_bundle_of_one_kernel_is_placed() -> None:
    mapping = map_bundle(untrained_bundle(channels=1, layers=1), (10, 10), WINDOW, 1)
    (kernel,) = mapping.kernels
    assert (kernel.layer, kernel.channel, kernel.block.states) == (0, 0, (0, 1))


def test_a_mapping_is_a_value(bundle: KernelBundle) -> None:
    mapping = map_bundle(bundle, (64, 64), WINDOW, 1)
    with pytest.raises(FrozenInstanceError):
        mapping.shape = (1, 1)  # type: ignore[misc]


@pytest.mark.parametrize("stuck_column", [0, 1, 2, 3])
def test_either_cell_of_a_pair_makes_up_for_the_other(stuck_column: int) -> None:
    weights = np.array([[0.3, -0.4]])
    stuck = np.zeros((1, 4), dtype=bool)
    stuck[0, stuck_column] = True
    measured = to_pairs(weights, WINDOW)
    measured[0, stuck_column] = 70e-6
    mended = compensate(to_pairs(weights, WINDOW), stuck, measured, WINDOW)
    achieved = np.where(stuck, measured, mended)
    assert from_pairs(achieved, WINDOW) == pytest.approx(weights, abs=1e-12)
