"""Nets that give values on arrays: judged by explained variance, and not where nothing can be said."""

from dataclasses import replace

import numpy as np
import pytest

from imssa_lab.contract.errors import ConfigError, DeploymentError
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.inference import run_network
from imssa_lab.s4d.scores import nrmse_of
from imssa_lab.studies.study_model import StudyModel
from protocols.corrections.finetuning import FittingSequences, check_asked
from protocols.deployment.deployment import Deployment, deploy
from protocols.deployment.sequences import Sequences
from protocols.deployment.verification import Bounds, judge_task
from trials import tiny
from twin import DigitalTwin

BUNDLE = replace(
    tiny.bundle(), goal="values", labels=("force", "strain"), head_bias=np.array([3.0, -2.0]), pooling="last"
)


def judged(reference: dict[str, float], units: np.ndarray | None = None, bundle: KernelBundle = BUNDLE) -> Sequences:
    calibration, test, _ = tiny.sequences()
    noise = 0.3 * np.random.default_rng(1).normal(size=(len(test), 2))
    return Sequences(calibration, test, run_network(bundle, test) + noise, reference, units)


def deployed(sequences: Sequences, bundle: KernelBundle = BUNDLE) -> Deployment:
    return deploy(bundle, [DigitalTwin("ideal", (16, 16), seed=seed) for seed in (0, 1)], sequences)


def test_values_are_verified_against_software_and_the_null_control() -> None:
    done = deployed(judged({"null": 0.5}))
    assert done.passed
    task = done.levels[-1]
    assert done.goal == "values"
    assert done.predictions.shape == (40, 2)
    assert task.figures["on_array_nrmse"] == pytest.approx(nrmse_of(done.accuracy))
    assert abs(done.accuracy - done.software_accuracy) < 0.02
    assert "share of the variance explained lost against software" in task.requirement
    assert f"{nrmse_of(done.accuracy):.4f}" in done._repr_html_()
    nothing = deployed(judged({"null": done.accuracy - 0.01}))
    assert not nothing.passed
    assert "this task needs no memory: it decides nothing (software explains at least" in str(nothing)


def test_kernels_that_lost_their_state_fail() -> None:
    sequences = judged({"null": 0.1})
    layer = BUNDLE.layers[0]
    broken = replace(BUNDLE, layers=(replace(layer, c=0.01 * layer.c),))
    said = run_network(broken, sequences.test_inputs)
    software = run_network(BUNDLE, sequences.test_inputs)
    assert not judge_task(said, software, sequences.test_labels, Bounds(), 0.1).passed
    assert judge_task(software, software, sequences.test_labels, Bounds(), 0.1).passed


def test_a_single_recording_is_not_decidable() -> None:
    task = deployed(judged({"null": 0.5}, np.zeros((40, 1), dtype=int))).levels[-1]
    assert not task.passed
    assert str(task).startswith("task: not decidable, all test sequences come from one independent recording")
    assert all(np.isfinite(value) for value in task.figures.values())


def test_files_keep_values_and_their_reference(tmp_path) -> None:
    whole = judged({"float": 0.98, "null": -0.1}, np.arange(40)[:, None])
    whole.save(tmp_path / "sequences.npz")
    with np.load(tmp_path / "sequences.npz") as file:
        assert {"test_values", "float_explained", "null_explained"} <= set(file.files)
        assert "test_labels" not in file.files
    found = Sequences.load(tmp_path / "sequences.npz")
    assert (found.goal, found.reference) == ("values", {"float": 0.98, "null": -0.1})
    assert np.array_equal(found.test_labels, whole.test_labels)
    assert found.first(2, 3).test_labels.shape == (3, 2)


def test_what_does_not_belong_together_is_refused() -> None:
    calibration, test, labels = tiny.sequences()
    with pytest.raises(DeploymentError, match="the bundle gives values, the test sequences have classes"):
        deployed(Sequences(calibration, test, labels))
    with pytest.raises(DeploymentError, match="the bundle gives classes, the test sequences have values"):
        deployed(judged({}), tiny.bundle())
    with pytest.raises(DeploymentError, match="gives 2 values, the sequences have 1"):
        deployed(Sequences(calibration, test, np.arange(40.0)[:, None]))
    with pytest.raises(ConfigError, match="never change"):
        Sequences(calibration, test, np.ones((40, 2)))
    with pytest.raises(ConfigError, match="studies compare accuracies"):
        StudyModel(BUNDLE, judged({}), 40)
    with pytest.raises(ConfigError, match="judged by classes"):
        check_asked(BUNDLE, FittingSequences(calibration, calibration), output_map=True, head=False)
