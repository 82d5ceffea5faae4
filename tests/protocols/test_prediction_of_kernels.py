"""The prediction of a kernel on cells, against the exact recurrence and against finite differences."""

import numpy as np
import pytest

from imssa_lab.contract.hal import Window
from imssa_lab.mapping import kernel_block, map_bundle
from imssa_lab.s4d.inference import run_kernels
from protocols.characterisation.experiments import dead_lines
from protocols.deployment.predict import Predictor, corrected_nrmse, run_blocks
from tests.conftest import untrained_bundle
from twin import DigitalTwin

WINDOW = Window(low=2e-6, high=150e-6)


@pytest.mark.parametrize("form", ["delta", "direct"])
@pytest.mark.parametrize("states", [1, 2, 4])
def test_exact_weights_give_the_exact_kernel(form: str, states: int) -> None:
    """Inputs of both signs, so that states take both."""
    layer = untrained_bundle(channels=3, states=states, layers=1).layers[0]
    inputs = np.random.default_rng(2).uniform(-1, 1, (4, 25, 3))
    blocks = [kernel_block(layer, channel, form) for channel in range(3)]  # type: ignore[arg-type]
    got = run_blocks(blocks, np.array([block.weights for block in blocks]), inputs)
    assert got == pytest.approx(run_kernels(layer, inputs), abs=1e-9)


def test_the_importance_of_a_weight_is_the_squared_error_of_a_small_change_of_it() -> None:
    bundle = untrained_bundle(channels=2, states=2, layers=1)
    inputs = np.random.default_rng(3).uniform(-1, 1, (4, 25, 2))
    kernels = map_bundle(bundle, (64, 64), WINDOW, 1).kernels
    array = DigitalTwin("ideal", shape=(64, 64))
    found = Predictor(bundle, array.info, [inputs]).importance(kernels)
    small = 1e-3
    for kernel, importance in zip(kernels, found, strict=True):
        u = inputs[..., [kernel.channel]]
        exact = run_blocks([kernel.block], kernel.block.weights[None], u)
        for row, column in np.ndindex(importance.shape):
            changed = kernel.block.weights.copy()
            changed[row, column] += small
            error = float(corrected_nrmse(run_blocks([kernel.block], changed[None], u), exact)[0]) / small
            assert importance[row, column] == pytest.approx(error**2, rel=0.5, abs=1e-3)


def test_where_all_word_lines_are_dead_each_bit_line_is_judged_by_all_cells() -> None:
    """One bit line of twenty still moves in half of its cells, which leaves every word line dead."""
    still = np.ones((20, 20), dtype=bool)
    still[::2, 3] = False
    words, bits = dead_lines(still)
    assert words.all()
    assert np.flatnonzero(~bits).tolist() == [3]
