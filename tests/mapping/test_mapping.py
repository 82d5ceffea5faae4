"""From kernels to conductances and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from imssa_lab.contract.errors import DeploymentError, LimitError
from imssa_lab.contract.hal import Window
from imssa_lab.mapping import compensate, from_pairs, kernel_block, kernels_per_array, map_bundle, to_pairs
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.inference import run_kernels

WINDOW = Window(low=2e-6, high=150e-6)


@given(arrays(np.float64, (5, 3), elements=st.floats(-1, 1)))
def test_pairs_round_trip_inside_the_window(weights: np.ndarray) -> None:
    target = to_pairs(weights, WINDOW)
    assert target.min() >= WINDOW.low
    assert target.max() <= WINDOW.high * (1 + 1e-15)
    assert from_pairs(target, WINDOW) == pytest.approx(weights, abs=1e-12)


@pytest.mark.parametrize("bad", [1.001, np.nan])
def test_weights_that_do_not_fit_are_refused(bad: float) -> None:
    with pytest.raises(LimitError, match="within"):
        to_pairs(np.array([[bad]]), WINDOW)


@pytest.mark.parametrize("form", ["delta", "direct"])
def test_a_block_computes_its_kernel(bundle: KernelBundle, form: str) -> None:
    """One product with [u, x] per step gives next state and output; against the exact recurrence."""
    layer, channel = bundle.layers[0], 3
    block = kernel_block(layer, channel, form)  # type: ignore[arg-type]
    inputs = np.random.default_rng(0).uniform(-1, 1, (1, 30, len(layer.d)))
    exact = run_kernels(layer, inputs)[0, :, channel]
    state = np.zeros(block.size - 1)
    for step, u in enumerate(inputs[0, :, channel]):
        out = block.column_scale * (np.concatenate([[u / block.input_scale], state]) @ block.weights)
        assert out[-1] == pytest.approx(exact[step], abs=1e-12)
        state = out[:-1] + state if form == "delta" else out[:-1]


def test_every_weight_fits_a_cell(bundle: KernelBundle) -> None:
    for layer in bundle.layers:
        for channel in range(len(layer.d)):
            weights = kernel_block(layer, channel).weights
            assert np.abs(weights).max() == 1.0
            assert np.abs(weights).max(axis=0).min() in (0.0, 1.0)


def test_kernels_have_word_lines_of_their_own_and_banks_share_none_of_their_bit_lines(bundle: KernelBundle) -> None:
    mapping = map_bundle(bundle, (64, 64), WINDOW, 4)
    assert len(mapping.kernels) == 12
    for array in range(mapping.arrays):
        rows = np.concatenate([kernel.word_lines for kernel in mapping.on(array)])
        assert len(np.unique(rows)) == len(rows)
        for bank in {kernel.bank for kernel in mapping.on(array)}:
            cols = [kernel.bit_lines for kernel in mapping.on(array) if kernel.bank == bank]
            assert len(np.unique(np.concatenate(cols))) == sum(map(len, cols))


def test_the_target_implements_the_weights_and_nothing_between_kernels(bundle: KernelBundle) -> None:
    mapping = map_bundle(bundle, (64, 64), WINDOW, 4)
    target, mask = mapping.target(0)
    assert np.array_equal(np.isfinite(target), mask)
    for kernel in mapping.on(0):
        assert mapping.implemented(kernel, target) == pytest.approx(kernel.block.weights, abs=1e-12)
    first, second = mapping.on(0)[:2]
    assert first.bank == second.bank
    assert (target[np.ix_(first.word_lines, second.bit_lines)] == WINDOW.low).all()


def test_capacity() -> None:
    assert kernels_per_array(9, (64, 64)) == 7
    assert kernels_per_array(31, (64, 64)) == 2
    assert kernels_per_array(33, (64, 64)) == 0


def test_too_few_arrays_and_too_small_arrays_say_what_is_needed(bundle: KernelBundle) -> None:
    with pytest.raises(DeploymentError, match="12 kernels, packed for time, need 6 arrays of 10x10, 5 given; add"):
        map_bundle(bundle, (10, 10), WINDOW, 5)
    with pytest.raises(DeploymentError, match="needs 3 word lines and 6 bit lines"):
        map_bundle(bundle, (64, 5), WINDOW, 5)


class TestCompensation:
    def stuck(self, row: int, col: int) -> np.ndarray:
        mask = np.zeros((2, 4), dtype=bool)
        mask[row, col] = True
        return mask

    def test_the_partner_restores_the_weight(self) -> None:
        weights = np.array([[0.3, -0.5], [0.0, 0.8]])
        target = to_pairs(weights, WINDOW)
        measured = target.copy()
        measured[0, 0] = 90e-6
        mended = compensate(target, self.stuck(0, 0), measured, WINDOW)
        measured[0, 1] = mended[0, 1]
        assert from_pairs(measured, WINDOW) == pytest.approx(weights, abs=1e-12)

    def test_out_of_reach_goes_to_the_nearer_end(self) -> None:
        target = to_pairs(np.array([[1.0, 0.0], [0.0, 0.0]]), WINDOW)
        mended = compensate(target, self.stuck(0, 0), np.full((2, 4), 20e-6), WINDOW)
        assert mended[0, 1] == WINDOW.low

    def test_both_stuck_changes_nothing(self) -> None:
        target = to_pairs(np.zeros((2, 2)), WINDOW)
        both = self.stuck(0, 0) | self.stuck(0, 1)
        assert np.array_equal(compensate(target, both, np.full((2, 4), 90e-6), WINDOW), target)
