"""Dense layers in a deployment: programmed, mended, judged, corrected and resumed as kernels are, and beside them."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from imssa_lab.contract.errors import DeploymentError
from imssa_lab.contract.hal import FloatArray
from imssa_lab.mapping import PlacedTile, arrays_needed
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.dense_layer import Layers
from imssa_lab.s4d.inference import dense_inputs, run_network
from imssa_lab.s4d.output_correction import dense_correction, dense_errors
from protocols.corrections.correction import Corrections
from protocols.corrections.deployed_network import DeployedNetwork
from protocols.corrections.finetuning import FittingSequences, finetune
from protocols.cost.inference_counts import inference_counts
from protocols.dense_runner import DenseRunner
from protocols.deployment.choices import DeploymentChoices
from protocols.deployment.dense_level import correct_dense, verify_dense
from protocols.deployment.deployment import Deployment, deploy
from protocols.deployment.journal import read_journal
from protocols.deployment.sequences import Sequences
from protocols.deployment.verification import Bounds
from twin import DigitalTwin

BOUNDS = Bounds(mvm=0.12, kernel=0.35, impulse=0.7)
Spoil = Callable[[list[DigitalTwin]], None]


def chips(bundle: KernelBundle) -> list[DigitalTwin]:
    return [DigitalTwin("supert-a0-easy", seed=20 + i) for i in range(arrays_needed(bundle, (64, 64), "all"))]


def deployed(
    bundle: KernelBundle,
    arrays: list[DigitalTwin],
    inputs: FloatArray,
    layers: Layers = "all",
    *,
    mending: bool = True,
    journal: list[str] | None = None,
    resume: list[str] | None = None,
) -> Deployment:
    labels = run_network(bundle, inputs).argmax(axis=1)
    choices = DeploymentChoices(bounds=BOUNDS, layers=layers, mending=mending)
    kept = [] if journal is None else journal
    sequences = Sequences(inputs[:32], inputs, labels)
    return deploy(bundle, arrays, sequences, choices, journal=kept.append, resume=resume)


@pytest.fixture(scope="module")
def good(bundle: KernelBundle, sequences: FloatArray) -> tuple[list[DigitalTwin], Deployment, list[str]]:
    arrays, journal = chips(bundle), []
    return arrays, deployed(bundle, arrays, sequences, journal=journal), journal


def test_kernels_get_the_pulses_that_they_get_without_dense_layers(
    bundle: KernelBundle, sequences: FloatArray, good: tuple[list[DigitalTwin], Deployment, list[str]]
) -> None:
    arrays, everything, journal = good
    alone, text = chips(bundle), []
    kernels = deployed(bundle, alone, sequences, "kernels", journal=text)
    assert DeploymentChoices().layers == "kernels"
    assert everything.mapping.arrays == kernels.mapping.arrays + 1
    for index in range(kernels.mapping.arrays):
        assert np.array_equal(arrays[index].cells.conductance, alone[index].cells.conductance)
    assert np.array_equal(everything.kernel_nrmse, kernels.kernel_nrmse)
    assert [level.level for level in kernels.levels] == ["cells", "mvm", "kernel", "task"]
    # nothing in what is kept says that there might be dense layers
    assert '"dense"' not in "".join(text) + kernels.corrections.text()
    assert '"dense"' in "".join(journal)
    assert '"dense"' in everything.corrections.text()


def test_a_healthy_chip_holds_the_dense_layers(good: tuple[list[DigitalTwin], Deployment, list[str]]) -> None:
    _, result, _ = good
    assert [level.level for level in result.levels] == ["cells", "mvm", "kernel", "dense", "task"]
    assert all(level.passed for level in result.levels[:4]), str(result)
    assert set(result.dense_nrmse) == {"encoder", "mixing of layer 0"}
    assert max(float(np.median(errors)) for errors in result.dense_nrmse.values()) <= 0.1


def test_permuted_rows_fail_the_level_whatever_is_corrected(
    bundle: KernelBundle, sequences: FloatArray, good: tuple[list[DigitalTwin], Deployment, list[str]]
) -> None:
    """Null control: gain and offset of every output can't make up for inputs on other lines."""
    arrays, result, _ = good
    rng = np.random.default_rng(3)
    turned = tuple(replace(tile, word_lines=rng.permutation(tile.word_lines)) for tile in result.mapping.tiles)
    inputs, bounds = dense_inputs(bundle, sequences), BOUNDS.of(bundle)
    for mapping, passes in ((result.mapping, True), (replace(result.mapping, tiles=turned), False)):
        runner = DenseRunner(arrays, mapping)
        correct_dense(bundle, runner, {name: x[:32] for name, x in inputs.items()})
        level, errors = verify_dense(bundle, runner, {name: x[32:] for name, x in inputs.items()}, bounds)
        assert level.passed is passes, str(level)
        assert set(errors) == set(runner.layers)
        if passes:  # the same figures by other bounds: the median output is judged too
            tight = bounds.model_copy(update={"dense": 10.0, "dense_median": 1e-3})
            assert not verify_dense(bundle, runner, {name: x[32:] for name, x in inputs.items()}, tight)[0].passed


def test_a_layer_is_judged_by_all_its_outputs_and_by_the_median_one() -> None:
    """By hand: errors of rms 0.1, 0.3 and 0 beside outputs of sd 1, 0.5 and 0."""
    exact = np.array([[1.0, 0.5, 3.0], [-1.0, -0.5, 3.0]])
    measured = exact + np.array([[0.1, 0.3, 0.0], [-0.1, -0.3, 0.0]])
    pooled, each = dense_errors(measured, exact)
    assert pooled == pytest.approx(np.sqrt((0.01 + 0.09) / (1 + 0.25)))
    assert each == pytest.approx([0.1, 0.6, np.nan], nan_ok=True)
    gain, offset = dense_correction(2 * exact + 1, exact)
    assert gain == pytest.approx([0.5, 0.5, 1.0])
    assert (gain * (2 * exact + 1) + offset) == pytest.approx(exact)


def test_rows_and_columns_go_around_dead_lines_and_stuck_cells(bundle: KernelBundle, sequences: FloatArray) -> None:
    def spoilt() -> list[DigitalTwin]:
        arrays = chips(bundle)
        mask, rng = np.zeros((64, 64), dtype=bool), np.random.default_rng(4)
        mask[1] = True  # a word line of the encoder, or of the mix
        arrays[-1].cells.stick(mask, 88e-6)
        arrays[-1].cells.stick(mask := np.arange(64)[None, :] * np.ones((64, 1)) == 4, 0.8e-6)  # a bit line, open
        arrays[-1].cells.stick((rng.random((64, 64)) < 0.02) & ~mask, 140e-6)
        return arrays

    ours, naive = (deployed(bundle, spoilt(), sequences, mending=mending) for mending in (True, False))
    level, bare = (next(each for each in result.levels if each.level == "dense") for result in (ours, naive))
    assert level.passed, str(ours)
    assert level.measured < 0.5 * bare.measured
    assert not bare.passed  # null control
    assert not any(1 in tile.word_lines for tile in ours.mapping.tiles)


def test_corrections_of_dense_layers_are_kept_and_fitted_again(
    bundle: KernelBundle, sequences: FloatArray, good: tuple[list[DigitalTwin], Deployment, list[str]]
) -> None:
    arrays, result, _ = good
    back = Corrections.read(result.corrections.text())
    assert back.text() == result.corrections.text()
    assert set(back.dense) == {"encoder", "mixing of layer 0"}
    with pytest.raises(DeploymentError, match="corrections of dense layers"):
        DeployedNetwork(bundle, arrays, result.mapping, replace(back, dense={}))
    exact = run_network(bundle, sequences)
    with DeployedNetwork(bundle, arrays, result.mapping, back) as network:
        assert np.mean(network(sequences).argmax(axis=1) == result.predictions) > 0.9
        held = arrays[-1].cells.conductance.copy()
        low = result.mapping.window.low
        arrays[-1].cells.conductance = low + 0.7 * (held - low)  # cells lose conductance: the products get smaller
        lost = np.abs(network(sequences) - exact).mean()
        told = network.recalibrate(sequences[:16])
        regained = np.abs(network(sequences) - exact).mean()
        arrays[-1].cells.conductance = held
    assert told.kept
    assert regained < 0.7 * lost
    assert network.corrections.dense["encoder"].gain.mean() > 1.2 * back.dense["encoder"].gain.mean()


def test_maps_and_heads_are_fitted_on_what_the_dense_layers_give(
    bundle: KernelBundle, sequences: FloatArray, good: tuple[list[DigitalTwin], Deployment, list[str]]
) -> None:
    arrays, result, _ = good
    labels = run_network(bundle, sequences).argmax(axis=1)
    fitting = FittingSequences(sequences[:32], sequences[32:48], labels[:32], labels[32:48])
    with DeployedNetwork(bundle, arrays, result.mapping, result.corrections) as network:
        read: list[int] = []
        raw = network.dense.raw

        def watched(layer: str, inputs: FloatArray) -> FloatArray:
            read.extend([len(inputs)] if layer == "encoder" else [])
            return raw(layer, inputs)

        network.dense.raw = watched  # type: ignore[method-assign]
        finetune(network, fitting, Sequences(sequences[:32], sequences, labels), null=False, tests=0)
    assert sorted(read) == [16, 32]  # each sequence once through the encoder, however often corrections change


def test_a_journal_brings_tiles_back_and_finished_cells_get_no_pulse(
    bundle: KernelBundle, sequences: FloatArray, good: tuple[list[DigitalTwin], Deployment, list[str]]
) -> None:
    _, result, journal = good
    standing = read_journal(journal, bundle, result.mapping.arrays)
    for told, tile in zip(standing.mapping.tiles, result.mapping.tiles, strict=True):
        assert _told(told) == _told(tile)
        assert np.array_equal(told.block.weights, tile.block.weights)
    programmed = [text for text in journal if json.loads(text)["kind"] != "done"]
    arrays = chips(bundle)
    first: list[str] = []
    deployed(bundle, arrays, sequences, journal=first)
    before = [array.cells.conductance.copy() for array in arrays]
    again = deployed(bundle, arrays, sequences, resume=[text for text in first if json.loads(text)["kind"] != "done"])
    assert again.pulses < 0.05 * result.pulses
    assert np.mean(arrays[-1].cells.conductance == before[-1]) > 0.95
    with pytest.raises(DeploymentError, match="plan is on 2 arrays, 1 given"):
        deployed(bundle, arrays[:1], sequences, resume=programmed)


def _told(tile: PlacedTile) -> list[object]:
    lines = (tile.inputs, tile.outputs, tile.word_lines, tile.pairs, tile.row_signs, tile.column_signs)
    return [tile.layer, tile.array, *(values.tolist() for values in lines)]


def test_counts_know_the_dense_layers(
    bundle: KernelBundle, good: tuple[list[DigitalTwin], Deployment, list[str]]
) -> None:
    arrays, result, _ = good
    dense = inference_counts(bundle, result.mapping, arrays[0].info, 12)
    kernels = inference_counts(bundle, replace(result.mapping, tiles=()), arrays[0].info, 12)
    assert dense.dense == 12 * (4 * 6 + 6 * 6) == dense.multiply_adds.encoder + dense.multiply_adds.mixing
    assert dense.digital_share == pytest.approx(
        1 - (dense.multiply_adds.kernels + dense.dense) / dense.multiply_adds.whole
    )
    assert sum(dense.products) == sum(kernels.products) + 2 * 12
    assert dense.conversions > kernels.conversions
    assert "dense_multiply_adds_on_arrays" not in kernels.facts()
