"""What a deployment reports, shows and tells while it runs, on exact cells where every figure is known."""

import json
from pathlib import Path

import numpy as np
import pytest

from imssa_lab.contract.errors import ConfigError
from imssa_lab.contract.hal import CellOutcome
from imssa_lab.s4d.inference import layer_inputs, run_kernels
from protocols.deployment.deployment import Deployment, deploy
from protocols.deployment.journal import read_journal
from protocols.deployment.outcomes import KernelEnd
from protocols.deployment.sequences import Sequences
from trials import tiny
from twin import DigitalTwin


@pytest.fixture(scope="module")
def told() -> list[tuple[str, int, int]]:
    return []


@pytest.fixture(scope="module")
def noted() -> list[str]:
    return []


@pytest.fixture(scope="module")
def deployed(told: list[tuple[str, int, int]], noted: list[str]) -> Deployment:
    arrays = [DigitalTwin("ideal", (16, 16), seed=seed) for seed in (0, 1)]
    return deploy(
        tiny.bundle(),
        arrays,
        Sequences(*tiny.sequences(), {"null": 0.5}),
        journal=noted.append,
        progress=lambda *one: told.append(one),
    )


def test_every_stage_of_the_progress_rises_from_none_to_all_and_follows_the_one_before(
    deployed: Deployment, told: list[tuple[str, int, int]]
) -> None:
    assert deployed.passed
    stages: dict[str, list[tuple[int, int]]] = {}
    for stage, done, total in told:
        stages.setdefault(stage, []).append((done, total))
    assert list(stages) == [
        "look at the arrays",
        "program the arrays",
        "calibrate the columns",
        "verify cells and products",
        "correct the outputs",
        "verify the kernels",
        "run the task",
    ]
    for stage, steps in stages.items():
        (total,) = {total for _, total in steps}
        counts = [done for done, _ in steps]
        assert (counts[0], counts[-1]) == (0, total), stage
        assert counts == sorted(set(counts)), stage
    assert stages["program the arrays"][-1] == (deployed.mapping.arrays, deployed.mapping.arrays)
    assert [done for done, _ in stages["verify cells and products"]] == [0, 1, 2]


def test_figures_of_an_exact_array_are_those_of_software(deployed: Deployment) -> None:
    bundle, (calibration, test, _labels) = tiny.bundle(), tiny.sequences()
    assert (deployed.accuracy, deployed.software_accuracy, deployed.null_accuracy) == (1.0, 1.0, 0.5)
    assert deployed.predictions.shape == (len(test),)
    assert (deployed.spent, deployed.mended, deployed.clock_leaps, deployed.remedies) == (False, 0, 0, [])
    assert deployed.predicted_accuracy is None  # nothing was known of the cells
    assert set(deployed.kernel_ends.values()) == {KernelEnd.GOOD}
    assert len(deployed.kernel_ends) == tiny.CHANNELS
    ((on_array, exact),) = deployed.impulses
    assert on_array.shape == exact.shape == (calibration.shape[1], tiny.CHANNELS)
    impulse = np.zeros((1, calibration.shape[1], tiny.CHANNELS))
    impulse[:, 0] = bundle.layers[0].input_range
    assert exact == pytest.approx(run_kernels(bundle.layers[0], impulse)[0])
    assert on_array == pytest.approx(exact, abs=0.02 * np.abs(exact).max())
    assert (deployed.kernel_nrmse < 0.02).all()
    assert deployed.pulses == sum(int(report.pulses.sum()) for report in deployed.reports)
    for target, achieved, ends in zip(deployed.targets, deployed.achieved, deployed.cell_ends, strict=True):
        chosen = np.isfinite(target)
        assert achieved[chosen] == pytest.approx(target[chosen], abs=1e-8)
        assert np.isnan(achieved[~chosen]).all()
        assert (ends == np.where(chosen, CellOutcome.REACHED, CellOutcome.NOT_SELECTED)).all()
    # one bank of kernels: impulse and half of the calibration, then outputs to correct on the other half, then tests
    steps, banks = calibration.shape[1], sum(len(deployed.mapping.banks(i)) for i in range(deployed.mapping.arrays))
    vectors = (len(calibration) + 1 + len(test)) * steps * banks
    assert deployed.product_reads == vectors + steps * banks  # the impulse once more, for the report
    assert layer_inputs(bundle, calibration)[0].shape[1] == steps


def test_a_notebook_shows_the_verdict_of_each_level_and_what_it_took(deployed: Deployment) -> None:
    page = deployed._repr_html_()
    for words in (
        "deployment verified",
        *(f"level {level.level}" for level in deployed.levels),
        "100.0 %",
        f"{tiny.CHANNELS} on {deployed.mapping.arrays}",
        f"{deployed.pulses}, {deployed.seconds:.1f} s",
    ):
        assert words in page, words
    assert "NOT" not in page
    assert page.count("passed") == len(deployed.levels)


def test_the_journal_of_a_whole_deployment_says_that_it_ended(deployed: Deployment, noted: list[str]) -> None:
    standing = read_journal(noted, tiny.bundle(), 2)
    assert standing.done
    assert standing.pulses == deployed.pulses
    assert np.array_equal(standing.arrays[0].finished, np.isfinite(deployed.targets[0]))
    assert not read_journal(noted[:-1], tiny.bundle(), 2).done
    assert json.loads(noted[-1]) == {"kind": "done", "passed": True}


def test_sequences_that_are_not_there_are_named_with_where_they_come_from(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.npz: no such file; `imssa train` writes it"):
        Sequences.load(tmp_path / "none.npz")
    with pytest.raises(ConfigError, match=r"not a readable \.npz file"):
        Sequences.load(tmp_path)
