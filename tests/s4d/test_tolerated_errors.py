"""What errors a net tolerates: of the size they are said to have, found by what they cost, kept in the bundle."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from imssa_lab.contract.hal import FloatArray
from imssa_lab.mapping.blocks import kernel_block
from imssa_lab.s4d import tolerated_errors as module
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.inference import dense_inputs, run_network
from imssa_lab.s4d.layer_kernels import LayerKernels
from imssa_lab.s4d.output_correction import dense_errors
from imssa_lab.s4d.tolerated_errors import (
    DENSE_LOSS,
    LOSS,
    tolerated_dense_errors,
    tolerated_errors,
    with_errors,
)


def _columns(layer: LayerKernels) -> FloatArray:
    """Weights of all kernels as the mapping puts them on cells, (kernels, rows, columns), in units of full drive."""
    form = "direct" if layer.form == "direct" else "delta"
    blocks = [kernel_block(layer, channel, form) for channel in range(len(layer.d))]
    return np.array([block.weights * block.column_scale for block in blocks])


@pytest.mark.parametrize("form", ["delta", "direct"])
@pytest.mark.parametrize("common_scale", [False, True])
def test_products_have_the_error_that_was_asked_for(bundle: KernelBundle, form: str, common_scale: bool) -> None:
    layer = replace(bundle.layers[0], form=form, common_scale=common_scale)
    exact = _columns(layer)
    rng = np.random.default_rng(3)
    off = np.array([_columns(with_errors(layer, 0.2, rng)) - exact for _ in range(200)])
    # of inputs that are independent of each other, the rms of a product is the root of the sum of squared weights
    own = np.abs(off).max(axis=0) > 0  # each state's column has the cells of its own state and of the input
    relative = np.sqrt((off**2).sum(axis=-2).mean(axis=0) / (exact**2).sum(axis=-2))
    assert relative == pytest.approx(0.2, rel=0.25)
    assert np.sqrt((off**2).mean(axis=0))[own].min() > 0
    assert own[:, :, -1].all()
    assert (own[:, :, :-1].sum(axis=1) == 3).all()


def test_the_tolerated_error_costs_a_point_and_twice_as_much_costs_more(
    bundle: KernelBundle, sequences: FloatArray
) -> None:
    classes = run_network(bundle, sequences).argmax(axis=1)
    found = tolerated_errors(bundle, sequences, classes)
    assert found is not None
    products, on_input, on_impulse = found
    assert 0.02 <= products < 0.64
    assert 0 < on_input < 1
    assert on_impulse > 0

    def lost(error: float) -> float:
        wrong = []
        for draw in range(20):  # other draws than those that found it, and no correction of outputs
            rng = np.random.default_rng([99, draw])
            spoilt = replace(bundle, layers=tuple(with_errors(layer, error, rng) for layer in bundle.layers))
            wrong.append(np.mean(run_network(spoilt, sequences).argmax(axis=1) != classes))
        return float(np.mean(wrong))

    assert lost(2 * products) > LOSS
    assert lost(0.25 * products) < 2 * LOSS


def test_a_net_that_tolerates_nothing_says_so(
    bundle: KernelBundle, sequences: FloatArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOSS", -0.01)
    assert tolerated_errors(bundle, sequences, run_network(bundle, sequences).argmax(axis=1)) is None


def test_errors_of_dense_layers_cost_a_point_and_twice_as_much_costs_more(
    bundle: KernelBundle, sequences: FloatArray
) -> None:
    classes = run_network(bundle, sequences).argmax(axis=1)
    found = tolerated_dense_errors(bundle, sequences, classes)
    assert found is not None
    pooled, median = found

    def lost(error: float) -> float:
        """Noise on the products themselves, of that NRMSE, instead of errors of weights."""
        wrong = []
        for draw in range(20):
            rng = np.random.default_rng([99, draw])

            def noisy(x: FloatArray, weight: FloatArray, rng: np.random.Generator = rng) -> FloatArray:
                y = x @ weight.T
                return np.asarray(y + error * y.std() * rng.standard_normal(y.shape))

            dense = {layer.name: partial(noisy, weight=layer.weight) for layer in bundle.on_arrays("all")}
            wrong.append(np.mean(run_network(bundle, sequences, None, dense).argmax(axis=1) != classes))
        return float(np.mean(wrong))

    assert 0.005 < median < pooled < 0.5
    assert lost(6 * pooled) > DENSE_LOSS
    assert lost(0.25 * pooled) < 2 * DENSE_LOSS
    assert (
        tolerated_dense_errors(
            replace(bundle, digital=tuple(d.name for d in bundle.dense_layers())), sequences, classes
        )
        is None
    )


def test_dense_products_are_off_by_the_error_of_their_weights_and_the_worst_layer_is_named(
    bundle: KernelBundle, sequences: FloatArray
) -> None:
    seen, layers = dense_inputs(bundle, sequences), bundle.on_arrays("all")
    products, worst = module._with_dense_errors(layers, seen, 0.2, np.random.default_rng(0))
    found, rng = [], np.random.default_rng(0)
    for layer in layers:
        judging = seen[layer.name][len(sequences) // 2 :]
        pooled, each = dense_errors(products[layer.name](judging), judging @ layer.weight.T)
        assert 0.05 < pooled < 0.4
        rms = np.sqrt((layer.weight**2).mean(axis=1, keepdims=True))
        spoilt = layer.weight + 0.2 * rms * rng.standard_normal(layer.weight.shape)
        got, exact = judging @ spoilt.T, products[layer.name](judging)
        shape = [np.corrcoef(got[..., k].ravel(), exact[..., k].ravel())[0, 1] for k in range(len(spoilt))]
        assert shape == pytest.approx(np.ones(len(spoilt)))  # but for gain and offset
        found.append((pooled, float(np.nanmedian(each))))
    assert worst == pytest.approx(np.max(found, axis=0))


def test_dense_layers_of_a_net_that_tolerates_nothing_have_no_bound(
    bundle: KernelBundle, sequences: FloatArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DENSE_LOSS", -0.01)
    assert tolerated_dense_errors(bundle, sequences, run_network(bundle, sequences).argmax(axis=1)) is None


def test_the_bundle_keeps_them(bundle: KernelBundle, tmp_path: Path) -> None:
    told = replace(bundle, tolerated_errors=(0.1, 0.3, 0.5))
    told.save(tmp_path / "told.safetensors")
    assert KernelBundle.load(tmp_path / "told.safetensors").tolerated_errors == (0.1, 0.3, 0.5)
    bundle.save(tmp_path / "untold.safetensors")
    assert KernelBundle.load(tmp_path / "untold.safetensors").tolerated_errors is None
    assert told.digest() != bundle.digest()
    dense = replace(told, tolerated_dense_errors=(0.2, 0.1))
    dense.save(tmp_path / "dense.safetensors")
    assert KernelBundle.load(tmp_path / "dense.safetensors").tolerated_dense_errors == (0.2, 0.1)
    assert KernelBundle.load(tmp_path / "told.safetensors").tolerated_dense_errors is None  # as bundles of before
    assert len({dense.digest(), told.digest()}) == 2
