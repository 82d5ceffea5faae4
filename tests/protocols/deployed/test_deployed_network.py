"""A deployed net with its corrections: new sequences, corrections that are kept or not, and their file."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from imssa_lab.contract.errors import ConfigError, DeploymentError
from imssa_lab.contract.hal import ColumnCalibration
from imssa_lab.s4d.inference import layer_inputs, run_network
from protocols.corrections.correction import Corrections, LayerCorrection
from protocols.corrections.deployed_network import DeployedNetwork
from protocols.corrections.judgement_held_out import Gain, Judged, closer, judged, more_right
from protocols.deployment.deployment import Deployment, deploy
from protocols.deployment.sequences import Sequences
from trials import tiny
from twin import DigitalTwin

Put = tuple[list[DigitalTwin], Deployment]


@pytest.fixture(scope="module")
def ideal() -> Put:
    arrays = [DigitalTwin("ideal", (16, 16), seed=seed) for seed in (0, 1)]
    return arrays, deploy(tiny.bundle(), arrays, Sequences(*tiny.sequences(), {"null": 0.5}))


@pytest.fixture
def kept() -> list[Corrections]:
    return []


@pytest.fixture
def deployed(ideal: Put, kept: list[Corrections]) -> Iterator[DeployedNetwork]:
    arrays, result = ideal
    with DeployedNetwork(tiny.bundle(), arrays, result.mapping, result.corrections, keep=kept.append) as network:
        yield network
    assert arrays[0].read_mvm(np.zeros(16)).shape == (16,)  # the caller's arrays stay open


def test_arrays_carry_the_columns_that_the_corrections_were_fitted_with(ideal: Put) -> None:
    arrays, result = ideal
    (columns,) = result.corrections.columns
    assert columns is not None
    arrays[0].set_calibration(None)  # as in a new session
    DeployedNetwork(tiny.bundle(), arrays, result.mapping, result.corrections)
    assert arrays[0].calibration == columns


def spoilt(corrections: Corrections, *factors: float) -> Corrections:
    """The same with gains that are wrong by a factor, one for all channels or one for each, and offsets."""
    wrong = tuple(LayerCorrection(np.array(factors) * layer.gain, layer.offset + 0.3) for layer in corrections.layers)
    return corrections.changed("a test", layers=wrong)


def further(count: int = 32) -> np.ndarray:
    """Sequences that nothing else uses."""
    return np.random.default_rng(9).uniform(-1.0, 1.0, (count, tiny.STEPS, tiny.INPUTS))


def test_new_sequences_get_the_classes_that_the_deployment_was_verified_with(
    deployed: DeployedNetwork, ideal: Put
) -> None:
    _, test, _ = tiny.sequences()
    assert np.array_equal(deployed(test).argmax(axis=1), ideal[1].predictions)
    new = np.random.default_rng(5).uniform(-1, 1, (3, 9, tiny.INPUTS))  # other numbers of sequences and steps
    assert deployed(new) == pytest.approx(run_network(tiny.bundle(), new), abs=0.05)
    with pytest.raises(ConfigError, match="inputs must have shape"):
        deployed(test[0])


def test_a_recalibration_brings_outputs_back_and_is_kept_beside_the_first(
    deployed: DeployedNetwork, kept: list[Corrections]
) -> None:
    _, test, _ = tiny.sequences()
    first, before = deployed.corrections, deployed(test)
    deployed.adopt(spoilt(first, 1.0, 1.0, -0.8))
    assert np.abs(deployed(test) - before).max() > 0.3
    done = deployed.recalibrate(further())
    assert done.kept, str(done)
    assert done.after.error < 0.1 * done.before.error
    assert 0 < done.gain.low < done.gain.mean
    assert deployed(test) == pytest.approx(before, abs=0.05)
    assert [each.by for each in kept] == ["a test", "recalibration"]
    assert deployed.corrections is kept[-1]
    assert kept[-1].figures["error_before"] > 10 * kept[-1].figures["error_after"]
    assert first.by == "deployment"
    with pytest.raises(DeploymentError, match="4 or more"):
        deployed.recalibrate(further(3))


def test_a_recalibration_that_comes_closer_but_betters_no_decision_is_not_kept(
    deployed: DeployedNetwork, kept: list[Corrections]
) -> None:
    """Outputs that are too large make decisions surer: closer to software is then no better for any class."""
    deployed.adopt(spoilt(deployed.corrections, 1.3))
    done = deployed.recalibrate(further())
    assert done.after.error < 0.1 * done.before.error
    assert done.after.agreement >= done.before.agreement
    assert done.gain.low < 0
    assert not done.kept
    assert [each.by for each in kept] == ["a test"]
    assert "not kept, it does not surely help" in str(done)


@pytest.mark.parametrize("count", [2, 24])
def test_what_decisions_gain_is_paired_and_sure_by_student_s_t(count: int) -> None:
    rng = np.random.default_rng(0)
    software, before, after = rng.normal(size=(3, count, 4))
    chosen = software.argmax(axis=1)
    by_hand = [
        [-values[i, c] + np.log(sum(np.exp(values[i]))) for i, c in enumerate(chosen)] for values in (before, after)
    ]
    gone = np.array(by_hand[0]) - np.array(by_hand[1])
    found = Gain.of(before, after, software)
    quantile = {2: 6.313752, 24: 1.713872}[count]  # of t at .95, from a table
    assert found.mean == pytest.approx(gone.mean())
    assert found.low == pytest.approx(gone.mean() - quantile * gone.std(ddof=1) / count**0.5, rel=1e-6)
    assert Gain.of(before, before, software) == Gain(0.0, 0.0)  # null control: nothing gained is not above zero
    assert Gain.of(before[:1], after[:1], software[:1]).low == -np.inf


def test_a_single_lucky_sequence_is_no_reason_to_keep_a_recalibration() -> None:
    software = np.tile([3.0, 0.0], (16, 1))
    before, after = software.copy(), software.copy()
    before[0] = 0.0, 3.0
    found = Gain.of(before, after, software)
    assert found.mean > 0.1
    assert found.low < 0


def test_a_recalibration_that_does_not_help_is_not_kept(
    deployed: DeployedNetwork, kept: list[Corrections], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something disturbs the reads of the sequences that it is fitted to, and of no others."""
    calibration, _, _ = tiny.sequences()
    raw, present = deployed.runner.raw, deployed.corrections
    fitted = layer_inputs(tiny.bundle(), calibration[: len(calibration) // 4])[0]

    def disturbed(layer: int, inputs: np.ndarray) -> np.ndarray:
        outputs = raw(layer, inputs)
        noise = np.random.default_rng(3).normal(0, outputs.std(), outputs.shape)
        return outputs + noise if np.array_equal(inputs, fitted) else outputs

    monkeypatch.setattr(deployed.runner, "raw", disturbed)
    done = deployed.recalibrate(calibration)
    assert not done.kept
    assert done.after.error > 2 * done.before.error
    assert kept == []
    assert deployed.corrections is present


def test_a_map_and_a_gain_after_it_are_one_map() -> None:
    rng = np.random.default_rng(0)
    raw, gain, offset = rng.normal(size=(5, 7, 3)), rng.normal(size=3), rng.normal(size=3)
    for matrix in (rng.normal(size=3), rng.normal(size=(3, 3))):
        one = LayerCorrection(matrix, rng.normal(size=3))
        assert one.followed_by(gain, offset).apply(raw) == pytest.approx(gain * one.apply(raw) + offset)
        assert one.multiplications == matrix.size
    column = np.arange(9.0).reshape(3, 3)  # the first index is what is read
    assert LayerCorrection(column, np.zeros(3)).apply(np.array([1.0, 0, 0])) == pytest.approx([0.0, 1.0, 2.0])


@pytest.mark.parametrize(
    ("gain", "offset"),
    [(np.ones(2), np.ones(3)), (np.ones((3, 2)), np.ones(3)), (np.array([1.0, np.nan]), np.ones(2))],
)
def test_a_correction_of_another_shape_or_without_numbers_is_refused(gain: np.ndarray, offset: np.ndarray) -> None:
    with pytest.raises(DeploymentError, match="correction of a layer"):
        LayerCorrection(gain, offset)


def whole() -> Corrections:
    rng = np.random.default_rng(1)
    layers = LayerCorrection(rng.normal(size=3), rng.normal(size=3)), LayerCorrection(np.eye(3) / 3, np.zeros(3))
    columns = ColumnCalibration(rng.uniform(0.5, 2, 4), 1e-7 * rng.normal(size=4), np.zeros(4), "2026-01-01"), None
    norm, head = (rng.normal(size=3), rng.normal(size=3)), (rng.normal(size=(2, 3)), rng.normal(size=2))
    return Corrections(layers, columns, "ab12", "map", norm=norm, head=head, figures={"error_before": 1 / 3})


def test_corrections_come_back_from_their_text_bit_for_bit() -> None:
    for one in (whole(), replace(whole(), norm=None, head=None)):
        back = Corrections.read(one.text())
        assert back.text() == one.text()
        assert back.date == one.date
        assert [layer.gain.tobytes() for layer in back.layers] == [layer.gain.tobytes() for layer in one.layers]


def test_text_that_is_damaged_or_of_another_version_is_refused() -> None:
    text = whole().text()
    for wrong in (
        text[:-5],
        text.replace('"version": 1', '"version": 2'),
        text.replace('"plan_sha256"', '"plan"'),
        "[]",
    ):
        with pytest.raises(DeploymentError):
            Corrections.read(wrong)


def test_norm_and_head_take_the_bundles_place() -> None:
    bundle = tiny.bundle()
    assert Corrections((), (), "", "none").on(bundle) is bundle
    norm = np.full(3, 2.0), np.full(3, -1.0)
    changed = Corrections((), (), "", "head", norm=norm, head=(np.ones((2, 3)), np.ones(2))).on(bundle)
    assert changed.layers[-1].norm_scale.tolist() == [2.0] * 3
    assert changed.layers[-1].norm_shift.tolist() == [-1.0] * 3
    assert changed.head_weight.tolist() == np.ones((2, 3)).tolist()
    assert changed.head_bias.tolist() == [1.0, 1.0]


def test_corrections_of_another_net_are_refused(ideal: Put) -> None:
    arrays, result = ideal
    wrong = replace(result.corrections, layers=2 * result.corrections.layers)
    with pytest.raises(DeploymentError, match="do not fit"):
        DeployedNetwork(tiny.bundle(), arrays, result.mapping, wrong)


def test_the_judge_counts_classes_and_error_and_labels() -> None:
    exact = np.array([[1.0, -1.0], [-1.0, 1.0], [2.0, -2.0], [0.5, -0.5]])
    same = judged(exact + 5.0, exact, np.array([0, 1, 0, 1]))  # what both logits have in common decides nothing
    assert (same.error, same.agreement, same.accuracy) == (pytest.approx(0, abs=1e-12), 1.0, 0.75)
    off = judged(-exact, exact)
    assert (off.error, off.agreement, off.accuracy) == (pytest.approx(2.0), 0.0, None)


def test_only_what_comes_closer_and_loses_no_class_is_better() -> None:
    was = Judged(0.5, 0.9, 0.8)
    assert closer(was, Judged(0.4, 0.9, 0.8))
    assert not closer(was, Judged(0.5, 0.95, 0.9))
    assert not closer(was, Judged(0.4, 0.85, 0.8))
    assert closer(was, Judged(0.4, 0.85, 0.85))  # other classes than software's, but right ones
    assert more_right(was, Judged(0.9, 0.5, 0.85))
    assert not more_right(was, Judged(0.1, 1.0, 0.8))
    assert not more_right(Judged(0.5, 0.9), Judged(0.1, 1.0))
