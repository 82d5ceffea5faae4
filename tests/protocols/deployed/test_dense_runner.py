"""Dense layers on arrays: an ideal twin computes what software does, and rows on wrong lines show."""

from dataclasses import replace

import numpy as np
import pytest

from imssa_lab.contract.errors import ConfigError, DeploymentError
from imssa_lab.contract.hal import FloatArray
from imssa_lab.mapping import Mapping, arrays_needed, map_bundle
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.inference import dense_inputs, run_network
from protocols.corrections.correction import Corrections
from protocols.corrections.deployed_network import DeployedNetwork
from protocols.dense_runner import DenseRunner
from protocols.recurrence import KernelRunner
from twin import DigitalTwin, TwinProfile


@pytest.fixture(scope="module")
def whole(bundle: KernelBundle) -> KernelBundle:
    """With its head on arrays too, and without quantisers, which would hide small errors."""
    return replace(bundle, digital=(), activation_bits=None)


def programmed(bundle: KernelBundle, profile: str | TwinProfile = "ideal") -> tuple[list[DigitalTwin], Mapping]:
    arrays = [DigitalTwin(profile, seed=seed) for seed in range(arrays_needed(bundle, (64, 64), "all"))]
    mapping = map_bundle(bundle, (64, 64), arrays[0].info.window, len(arrays), layers="all")
    for index, array in enumerate(arrays):
        array.program_conductances(*mapping.target(index))
    return arrays, mapping


def test_an_ideal_twin_is_software(whole: KernelBundle, sequences: FloatArray) -> None:
    arrays, mapping = programmed(whole)
    dense = DenseRunner(arrays, mapping)
    assert sorted(dense.layers) == ["encoder", "head", "mixing of layer 0"]
    beyond = 3 * sequences  # of the encoder's full scale, which is 1
    for given in (sequences, beyond):
        for name, inputs in dense_inputs(whole, given).items():
            weight = next(layer.weight for layer in whole.dense_layers() if layer.name == name)
            exact = inputs @ weight.T
            assert np.abs(dense(name, inputs) - exact).max() <= 1e-6 * np.abs(exact).max()
    kernels = KernelRunner(arrays, mapping)
    quantised = replace(whole, activation_bits=8)  # without quantisers kernels may saturate
    for bundle, runner in ((whole, None), (quantised, kernels)):
        exact = run_network(bundle, sequences)
        got = run_network(bundle, sequences, runner, dense.products)
        assert np.abs(got - exact).max() <= 1e-6 * np.abs(exact).max()


def test_lines_in_any_order_and_signs_of_any_row_and_column_give_the_same(
    whole: KernelBundle, sequences: FloatArray
) -> None:
    """As tiles stand once they have been placed around faults."""
    rng = np.random.default_rng(8)
    arrays, plain = programmed(whole)
    tiles = tuple(
        replace(
            tile,
            word_lines=rng.permutation(tile.word_lines),
            pairs=rng.choice(32, len(tile.pairs), replace=False),
            row_signs=rng.choice([-1.0, 1.0], len(tile.word_lines)),
            column_signs=rng.choice([-1.0, 1.0], len(tile.pairs)),
        )
        for tile in plain.tiles
    )
    mapping = replace(plain, tiles=tiles)
    arrays[-1].program_conductances(*mapping.target(len(arrays) - 1))
    dense = DenseRunner(arrays, mapping)
    for layer in whole.dense_layers():
        inputs = dense_inputs(whole, sequences)[layer.name]
        assert dense(layer.name, inputs) == pytest.approx(inputs @ layer.weight.T, rel=1e-9, abs=1e-9)


def test_rows_on_wrong_lines_show(whole: KernelBundle, sequences: FloatArray) -> None:
    """Null control of the test above."""
    arrays, mapping = programmed(whole)
    permuted = replace(
        mapping, tiles=tuple(replace(tile, word_lines=np.roll(tile.word_lines, 1)) for tile in mapping.tiles)
    )
    exact = run_network(whole, sequences)
    got = run_network(whole, sequences, None, DenseRunner(arrays, permuted).products)
    assert np.abs(got - exact).max() > 0.1 * np.abs(exact).max()


def test_reads_are_counted_and_come_in_batches(whole: KernelBundle, sequences: FloatArray) -> None:
    class Watched(DigitalTwin):
        sizes: list[int]

        def _read_mvm(self, voltages):  # type: ignore[no-untyped-def]
            self.sizes.append(len(voltages))
            return super()._read_mvm(voltages)

    arrays, mapping = programmed(whole)
    encoder = next(tile for tile in mapping.tiles if tile.layer == "encoder")
    watched = Watched("ideal", seed=0)
    watched.sizes = []
    watched.program_conductances(*mapping.target(encoder.array))
    arrays[encoder.array] = watched
    one, many = DenseRunner(arrays, mapping, vectors=100), DenseRunner(arrays, mapping, averages=3)
    got = one("encoder", sequences)
    assert max(watched.sizes) == 100
    assert sum(watched.sizes) == one.reads == sequences[..., 0].size
    assert many("encoder", sequences) == pytest.approx(got, rel=1e-9, abs=1e-12)
    assert many.reads == 3 * one.reads
    watched.sizes.clear()
    few = DenseRunner(arrays, mapping, vectors=3, averages=3)  # one product at a time
    assert few("encoder", sequences[:1]) == pytest.approx(got[:1], rel=1e-9, abs=1e-12)
    assert set(watched.sizes) == {3}
    many.gain["encoder"], many.offset["encoder"] = np.full(6, 2.0), np.full(6, 0.5)
    assert many("encoder", sequences) == pytest.approx(2 * got + 0.5, rel=1e-9, abs=1e-9)


def test_the_board_takes_whole_codes_and_both_signs(whole: KernelBundle, sequences: FloatArray) -> None:
    """Bit-serial inputs of 8 bits without a sign: two passes, errors of half a step of an input at most."""
    ideal = TwinProfile.load("ideal")
    profile = ideal.model_copy(update={"inputs": TwinProfile.load("supert-a0").inputs, "read_voltage": 0.2})
    limits = ideal.limits.model_copy(update={"read_voltage": 0.2})
    arrays, mapping = programmed(whole, profile.model_copy(update={"limits": limits}))
    assert not arrays[0].info.input_signed
    exact = sequences @ whole.encoder_weight.T
    most = 0.5 / 255 * np.abs(whole.encoder_weight).sum(axis=1)
    got = DenseRunner(arrays, mapping)("encoder", sequences)
    assert (np.abs(got - exact) <= 1.001 * most).all()


def test_a_head_fitted_by_labels_is_digital(whole: KernelBundle, sequences: FloatArray) -> None:
    """The array holds the weights that the head had before."""
    arrays, mapping = programmed(whole)
    dense = DenseRunner(arrays, mapping)
    made = Corrections.of(KernelRunner(arrays, mapping), arrays, "plan", "test", dense)
    weight, bias = np.random.default_rng(0).normal(size=whole.head_weight.shape), np.arange(3.0)
    fitted = made.changed("head", head=(weight, bias))
    with DeployedNetwork(whole, arrays, mapping, made) as network:
        assert set(network.products(made)) == set(dense.layers)
        assert set(network.products(fitted)) == set(dense.layers) - {"head"}
        network.adopt(fitted)
        exact = run_network(replace(whole, head_weight=weight, head_bias=bias), sequences, network.runner)
        assert network(sequences) == pytest.approx(exact, rel=1e-6, abs=1e-9)


def test_what_is_wrong_is_refused(whole: KernelBundle, sequences: FloatArray) -> None:
    arrays, mapping = programmed(whole)
    with pytest.raises(DeploymentError, match="uses 2 arrays, 1 given"):
        DenseRunner(arrays[:1], mapping)
    with pytest.raises(ConfigError, match="encoder must return finite products"):
        run_network(whole, sequences, None, {"encoder": lambda x: x})
    plain = map_bundle(whole, (64, 64), mapping.window, 2)
    assert DenseRunner(arrays, plain).products == {}
