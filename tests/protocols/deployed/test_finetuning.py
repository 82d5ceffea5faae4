"""Corrections fitted on the chip: what they mend, what they must not hide, and on which sequences."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imssa_lab.contract.errors import ConfigError, DeploymentError
from imssa_lab.contract.hal import FloatArray
from imssa_lab.mapping import reads_a_step
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.inference import run_kernels, run_network
from protocols.corrections.correction import Corrections, LayerCorrection
from protocols.corrections.deployed_network import DeployedNetwork, Raw, Remembered
from protocols.corrections.finetuning import FittingSequences, check_asked, finetune, without_state
from protocols.corrections.head_fit import Objective, with_head
from protocols.corrections.judgement_held_out import judged
from protocols.corrections.output_map import ridge, with_output_maps
from protocols.deployment.deployment import deploy
from protocols.deployment.sequences import Sequences
from trials import tiny
from twin import DigitalTwin


def mixed(bundle: KernelBundle) -> Raw:
    """Exact kernels whose outputs leak into each other and are shifted: what a map can undo and a gain can't."""
    rng = np.random.default_rng(4)
    turns = [np.linalg.qr(rng.normal(size=(len(layer.d),) * 2))[0] for layer in bundle.layers]
    shifts = [rng.normal(size=len(layer.d)) for layer in bundle.layers]
    return lambda layer, u: run_kernels(bundle.layers[layer], u) @ turns[layer] + shifts[layer]


def identity(bundle: KernelBundle) -> Corrections:
    layers = tuple(LayerCorrection(np.ones_like(layer.d), np.zeros_like(layer.d)) for layer in bundle.layers)
    return Corrections(layers, (), "", "none")


def logits(bundle: KernelBundle, corrections: Corrections, raw: Raw, inputs: FloatArray) -> FloatArray:
    return run_network(
        corrections.on(bundle), inputs, lambda layer, u: corrections.layers[layer].apply(raw(layer, u))
    )


def test_the_ridge_is_least_squares_with_the_penalty_as_further_rows() -> None:
    rng = np.random.default_rng(0)
    x, y, share = rng.normal(size=(4, 6, 3)), rng.normal(size=(4, 6, 2)) + 5, 0.2
    rows, wanted = x.reshape(-1, 3), y.reshape(-1, 2)
    centred = rows - rows.mean(axis=0)
    weight = np.sqrt(share * np.mean((centred**2).sum(axis=0)))
    over = np.concatenate([centred, weight * np.eye(3)])
    expected = np.linalg.lstsq(over, np.concatenate([wanted - wanted.mean(axis=0), np.zeros((3, 2))]))[0]
    measured = np.concatenate([x, x[..., :0]], axis=-1)
    with pytest.raises(DeploymentError):  # a map has as many outputs as it reads
        ridge(measured, y, share)
    three = np.concatenate([y, np.zeros((4, 6, 1))], axis=-1)
    found = ridge(measured, three, share)
    assert found.gain[:, :2] == pytest.approx(expected)
    assert found.apply(x)[..., :2].mean(axis=(0, 1)) == pytest.approx(y.mean(axis=(0, 1)))  # the offset is free
    with pytest.raises(DeploymentError, match="no output of this layer varies"):
        ridge(np.ones((2, 3, 3)), np.ones((2, 3, 3)))


def test_maps_undo_what_leaks_in_every_layer_and_without_state_they_cannot(
    bundle: KernelBundle, sequences: FloatArray
) -> None:
    raw, start = mixed(bundle), identity(bundle)
    exact = run_network(bundle, sequences[32:])
    before = judged(logits(bundle, start, raw, sequences[32:]), exact)
    seen: list[FloatArray] = []

    def watched(layer: int, u: FloatArray) -> FloatArray:
        seen.append(u)
        return raw(layer, u)

    found = with_output_maps(bundle, start, watched, sequences[:32])
    after = judged(logits(bundle, found, raw, sequences[32:]), exact)
    assert before.error > 0.5
    assert after.error < 0.05
    # the second layer was fitted on what the first one gives with its map, not on what it gave before
    assert len(seen) == len(bundle.layers)
    again: list[FloatArray] = []
    logits(bundle, found, lambda layer, u: (again.append(u), raw(layer, u))[1], sequences[:32])
    assert np.array_equal(seen[1], again[1])
    blind = without_state(raw)
    null = with_output_maps(bundle, start, blind, sequences[:32])
    assert judged(logits(bundle, null, blind, sequences[32:]), exact).error > 5 * after.error
    assert found.multiplications == sum(len(layer.d) ** 2 for layer in bundle.layers)


@pytest.mark.parametrize("pooling", ["mean", "max", "last"])
@pytest.mark.parametrize("bits", [8, None])
def test_labels_bring_back_what_the_last_layers_outputs_lost(
    bundle: KernelBundle, sequences: FloatArray, pooling: str, bits: int | None
) -> None:
    net = replace(bundle, pooling=pooling, activation_bits=bits)
    exact = run_network(net, sequences)
    labels, last = exact.argmax(axis=1), len(net.layers) - 1
    start, factors = identity(net), np.array([0.2, 3.0, 1.0, -0.5, 0.5, 2.0])

    def off(layer: int, u: FloatArray) -> FloatArray:
        return run_kernels(net.layers[layer], u) * (factors if layer == last else 1.0)

    found = with_head(net, start, off, sequences, labels, pull=0.01)
    assert found.layers == start.layers
    before, after = (judged(logits(net, each, off, sequences), exact, labels) for each in (start, found))
    assert before.accuracy is not None
    assert after.accuracy is not None
    assert after.accuracy >= before.accuracy + 0.1


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_the_gradient_of_a_heads_fit_is_that_of_its_value(
    bundle: KernelBundle, sequences: FloatArray, pooling: str
) -> None:
    """Without quantisers, whose steps have no slope; parameters away from the trained ones, so that the pull acts."""
    net = replace(bundle, pooling=pooling, activation_bits=None)
    outputs = np.random.default_rng(2).normal(size=(8, 12, 6))
    objective = Objective(net, outputs, np.arange(8) % 3, pull=3.0)
    at = objective.trained.flat() + np.random.default_rng(3).normal(0, 0.3, objective.units.shape)
    _, gradient = objective(at)
    for number in range(0, len(at), 3):
        step = np.zeros_like(at)
        step[number] = 1e-6
        rise = (objective(at + step)[0] - objective(at - step)[0]) / 2e-6
        assert gradient[number] == pytest.approx(rise, rel=1e-4, abs=1e-7)


def given() -> Sequences:
    training = np.random.default_rng(9).uniform(-1, 1, (48, tiny.STEPS, tiny.INPUTS))
    labels = run_network(tiny.bundle(), training).argmax(axis=1)
    return Sequences(*tiny.sequences(), {"null": 0.5}, None, training, labels)


@pytest.fixture
def network() -> DeployedNetwork:
    arrays = [DigitalTwin("ideal", (16, 16), seed=seed) for seed in (0, 1)]
    result = deploy(tiny.bundle(), arrays, given())
    return DeployedNetwork(tiny.bundle(), arrays, result.mapping, result.corrections)


def test_a_spoilt_net_is_mended_told_before_and_after_counted_and_set_beside_the_null(
    network: DeployedNetwork,
) -> None:
    turn = np.array([[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])
    (layer,) = network.corrections.layers
    network.adopt(network.corrections.changed("a test", layers=(LayerCorrection(layer.gain * turn, layer.offset),)))
    fitting = FittingSequences.of(given(), 16, 24)
    reads, cells = network.runner.reads, [array.cells.conductance.copy() for array in network.arrays]  # type: ignore[attr-defined]
    done = finetune(network, fitting, given(), head=False)
    (tried,) = done.tried
    assert tried.kept
    assert network.corrections.by == "output map"
    assert tried.after.error < 0.1 * tried.before.error
    assert tried.null is not None
    assert tried.null.error > 3 * tried.after.error
    assert tried.multiply_adds == (9, 9)
    before, after = done.kernel
    assert (before.passed, after.passed) == (False, True)
    assert done.task is not None
    assert done.task.passed
    # the impulse and four sequences twice, 16 and 24 with and without state, 40 tests
    vectors = tiny.STEPS * reads_a_step(network.mapping)
    assert done.reads == network.runner.reads - reads == vectors * (2 * (1 + 4) + 2 * (16 + 24) + 40)
    assert (done.fitted, done.held_out, done.kernel_multiply_adds) == (16, 24, tiny.CHANNELS * 9)
    for array, was in zip(network.arrays, cells, strict=True):
        assert np.array_equal(array.cells.conductance, was)  # type: ignore[attr-defined]  # no pulse


def test_what_does_not_help_held_out_sequences_is_not_kept(network: DeployedNetwork) -> None:
    """Fitted to one short sequence and judged on others; a head that has all labels right already gains nothing."""
    present = network.corrections
    fitting = FittingSequences.of(given(), 16, 24)
    poor = replace(fitting, inputs=fitting.inputs[:1, :2], labels=fitting.labels[:1])  # type: ignore[index]
    done = finetune(network, poor, given(), null=False, tests=5)
    assert [one.kept for one in done.tried] == [False, False]
    assert [one.null for one in done.tried] == [None, None]
    assert network.corrections is present
    assert done.kernel[0] is done.kernel[1]  # not read twice
    assert done.task is not None
    assert done.task.figures["on_array"] == 1.0
    assert finetune(network, poor, given(), head=False, null=False, tests=0).task is None


def test_no_sequence_that_verifies_is_ever_fitted_to_or_judged_by() -> None:
    whole = given()
    found = FittingSequences.of(whole, 20, 28)
    assert whole.training_inputs is not None
    assert np.array_equal(np.concatenate([found.inputs, found.held_out]), whole.training_inputs)
    assert found.labels is not None
    assert found.held_out_labels is not None
    assert np.array_equal(np.concatenate([found.labels, found.held_out_labels]), whole.training_labels)
    old = replace(whole, training_inputs=None, training_labels=None)
    unlabelled = FittingSequences.of(old, 1, 3)
    assert np.array_equal(np.concatenate([unlabelled.inputs, unlabelled.held_out]), old.calibration_inputs[:4])
    assert (unlabelled.labels, unlabelled.held_out_labels) == (None, None)
    for sequences, count, held_out in ((whole, 20, 29), (old, 2, 3), (whole, 0, 5)):
        with pytest.raises(ConfigError, match="take fewer"):
            FittingSequences.of(sequences, count, held_out)


def test_a_head_without_labels_and_nothing_to_do_are_refused(network: DeployedNetwork) -> None:
    unlabelled = replace(FittingSequences.of(given(), 4, 4), labels=None, held_out_labels=None)
    with pytest.raises(ConfigError, match="fit the map alone"):
        finetune(network, unlabelled, given())
    other = replace(tiny.bundle(), layers=(replace(tiny.bundle().layers[0], activation="gelu"),))
    check_asked(other, unlabelled, output_map=True, head=False)
    with pytest.raises(ConfigError, match="ends in batch norm and ReLU"):
        check_asked(other, FittingSequences.of(given(), 4, 4), output_map=True, head=True)
    with pytest.raises(ConfigError, match="nothing to do"):
        finetune(network, unlabelled, given(), output_map=False, head=False)


def test_training_sequences_are_kept_in_the_file_and_belong_together(tmp_path: Path) -> None:
    whole, path = given(), tmp_path / "sequences.npz"
    whole.save(path)
    back = Sequences.load(path)
    assert whole.training_inputs is not None
    assert np.array_equal(back.training_inputs, whole.training_inputs)  # type: ignore[arg-type]
    assert np.array_equal(back.training_labels, whole.training_labels)  # type: ignore[arg-type]
    assert np.array_equal(whole.first(2, 3).training_labels, whole.training_labels)  # type: ignore[arg-type]
    replace(whole, training_inputs=None, training_labels=None).save(tmp_path / "old.npz")
    assert Sequences.load(tmp_path / "old.npz").training_inputs is None
    for change in (
        {"training_labels": None},
        {"training_inputs": None},
        {"training_inputs": whole.training_inputs[1:]},
    ):
        with pytest.raises(ConfigError, match="training_inputs"):
            replace(whole, **change)
    with pytest.raises(ConfigError, match="whole numbers"):
        replace(whole, training_labels=np.zeros(48))


def test_the_same_inputs_are_read_once() -> None:
    read: list[int] = []
    raw = Remembered(lambda layer, u: (read.append(layer), u + layer)[1])
    one = np.ones((2, 3, 4))
    for _ in range(2):
        assert raw(1, one).tolist() == (one + 1).tolist()
    raw(0, one)
    raw(1, 2 * one)
    assert read == [1, 0, 1]
