"""What is taken out of a run file, against what was measured when the file was written."""

import hashlib
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from imssa_lab.contract.array_types import Window
from imssa_lab.contract.errors import ConfigError, LogError
from imssa_lab.contract.hal import Pulses
from imssa_lab.log import RunLog, open_run, record
from imssa_lab.mapping import map_bundle
from imssa_lab.report import measured
from imssa_lab.report.measured import held_layers
from imssa_lab.report.measured.deployment_result import OUTCOME, RESULT_EVENT, outcome_of, outcome_text
from imssa_lab.report.plots import layers_on_arrays
from imssa_lab.report.run_report import report_page
from protocols.deployment.journal import JOURNAL, ArrayState, array_entry, plan_entry, read_states
from protocols.deployment.verification import Bounds
from twin import DigitalTwin


@pytest.fixture
def session(tmp_path):
    """An ideal chip whose every number is known: what was read is kept beside the file."""
    path, told = tmp_path / "run.h5", {}
    with record(path, [DigitalTwin("ideal", (6, 5), seed=3)], {}) as (chip,), chip:
        target = np.full((6, 5), 50e-6)
        told["report"] = chip.program_conductances(target)
        told["first"] = chip.read_conductances()
        voltages = np.random.default_rng(0).uniform(0, 0.1, (7, 6))
        told["current"] = chip.read_mvm(voltages)
        mask = np.zeros((6, 5), np.bool_)
        mask[2, 3] = True
        chip.apply_pulses(Pulses.on(mask, "SET", 2.0, 1.6, 1e-6))
        told["unknown"] = chip.read_mvm(voltages)
        told["last"] = chip.read_conductances(mask)
        told["again"] = chip.read_mvm(voltages)
    with open_run(path) as run:
        yield run, told


def test_maps_are_those_of_the_deployment_to_the_last_bit(deployed_run):
    data, outcome = measured.programmed(deployed_run), measured.outcome_of(deployed_run)
    digest = hashlib.sha256()
    for one in data["achieved"].values:
        digest.update(np.ascontiguousarray(one).tobytes())
    assert digest.hexdigest() == outcome.result["achieved_sha256"]
    assert {response.rank for response in outcome.responses} == {"best", "median", "90th percentile", "worst"}


def test_achieved_is_the_last_reading_and_not_the_loop_s(session):
    run, told = session
    one = measured.programmed(run).isel(array=0)
    expected = told["first"].copy()
    expected[2, 3] = told["last"][2, 3]
    np.testing.assert_array_equal(one["achieved"].values, expected)
    np.testing.assert_array_equal(one["pulses"].values, told["report"].pulses)
    assert float(one["tolerance"]) == told["report"].tolerance


def test_products_are_compared_with_the_cells_as_they_were_read(session):
    run, told = session
    data = measured.products(run)
    assert data.sizes["vector"] == 21
    measured_, expected = data["measured"].values, data["expected"].values
    np.testing.assert_array_equal(measured_[:7], told["current"])
    np.testing.assert_allclose(expected[:7], measured_[:7], rtol=1e-6)
    # between the pulse and the next reading of that cell nothing is known of its column, and only of that
    assert np.isnan(expected[7:14, 3]).all()
    assert np.isfinite(np.delete(expected[7:14], 3, axis=1)).all()
    np.testing.assert_allclose(expected[14:], told["again"], rtol=1e-6)
    assert abs(expected[14, 3] / expected[0, 3] - 1) > 0.01  # the pulse was no small one


def test_the_trajectory_of_a_cell_holds_its_reads_and_its_pulses(session):
    run, told = session
    data = measured.trajectory(run, 0, 2, 3)
    assert data["kind"].values[-2:].tolist() == ["SET", "read"]
    assert data["conductance"].values[-1] == told["last"][2, 3]
    assert data["voltage"].values[-2] == 2.0
    assert np.count_nonzero(data["kind"] != "read") == told["report"].pulses[2, 3] + 1
    other = measured.trajectory(run, 0, 0, 0)
    assert other["conductance"].values[-1] == told["first"][0, 0]
    assert np.count_nonzero(other["kind"] != "read") == told["report"].pulses[0, 0]
    with pytest.raises(LogError, match="no cell array=0, row=6"):
        measured.trajectory(run, 0, 6, 0)


def test_repeats_are_the_longest_time_without_a_pulse(night_run):
    data = measured.repeats(night_run)
    assert data.sizes["cell"] == 120
    assert data.sizes["read"] >= 24 + 3 * 4
    assert (np.diff(data["device_time"].values) > 0).all()
    assert data["device_time"].values[-1] - data["device_time"].values[0] > 1110
    last = np.full((12, 10), np.nan)
    last[data["row"], data["col"]] = data["conductance"].values[-4:].mean(axis=0)
    achieved = measured.programmed(night_run).isel(array=0)["achieved"].values
    np.testing.assert_allclose(last, achieved, rtol=1e-12)


def test_calibrations_are_the_newest_of_every_array(night_run):
    data = measured.calibrated(night_run)
    assert data["array"].values.tolist() == [0, 1]
    assert data["gain"].shape == (2, 10)
    assert np.ptp(data["gain"].values) > 0
    assert (data["record"].values > 0).all()


def strictly(text):
    """The value of JSON as others read it: NaN is no number there."""

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_what_is_not_finite_is_null_in_events_and_nan_to_us(tmp_path):
    response = np.array([[1.0], [np.nan], [np.inf]])
    deployment = SimpleNamespace(
        mapping=SimpleNamespace(shape=(1, 1), window=Window(low=0.0, high=1e-4)),
        targets=[np.array([[np.nan]])],
        bounds=Bounds(tolerance=0.1, kernel=0.1),
        cell_maps=[],
        predictions=np.zeros(2),
        impulses=[(response, response[:, ::-1])],
        kernel_nrmse=np.array([np.nan]),
    )
    text = outcome_text(deployment)
    assert strictly(text)["responses"][0] == {
        "rank": "best",
        "name": "layer 0, channel 0",
        "nrmse": None,
        "measured": [1.0, None, None],
        "exact": [1.0, None, None],
    }
    with pytest.raises(AssertionError, match="NaN is no JSON"):  # null control
        strictly(json.dumps([np.nan]))
    path = tmp_path / "run.h5"
    result = {"levels": [], "kernel_nrmse": [None], "kernel_nrmse_median": None}
    with RunLog.create(path, [DigitalTwin("ideal", (1, 1))], {}) as log:
        log.event(RESULT_EVENT, json.dumps(result))
        log.event(OUTCOME, text)
    with open_run(path) as run:
        found = outcome_of(run)
    assert np.isnan(found.responses[0].nrmse)
    np.testing.assert_array_equal(found.responses[0].measured, [1.0, np.nan, np.nan])


def test_a_stuck_cell_that_was_not_read_is_null_in_the_journal():
    state = ArrayState.fresh((2, 2))
    state.stuck[:] = [[True, False], [False, True]]
    state.standing[1, 1] = 3e-6
    text = array_entry(0, state, 5)
    assert strictly(text)["stuck"] == [[0, 0, None], [1, 1, 3e-6]]
    (found,) = read_states([text], (2, 2))
    np.testing.assert_array_equal(found.standing, [[np.nan, np.nan], [np.nan, 3e-6]])


def test_maps_keep_rows_and_columns_apart(tmp_path):
    """A square array whose every cell differs: what is achieved is the map of the chip, not its transpose."""
    target = 1e-6 * (5.0 + np.arange(64.0).reshape(8, 8))
    chip = DigitalTwin("ideal", (8, 8), seed=3)
    with record(tmp_path / "run.h5", [chip], {}) as (array,), array:
        report = array.program_conductances(target)
        true = chip.cells.conductance.copy()
        mvm = array.read_mvm(0.1 * np.eye(8)) / 0.1
    assert report.achieved == pytest.approx(true, rel=1e-6)
    assert mvm == pytest.approx(true, rel=1e-6)
    with open_run(tmp_path / "run.h5") as run:
        one = measured.programmed(run).isel(array=0)
        assert one["target"].values == pytest.approx(target)
        assert one["achieved"].values == pytest.approx(true, rel=1e-6)


def test_the_last_plan_says_where_every_layer_is(bundle, tmp_path):
    whole = replace(bundle, digital=())
    arrays = [DigitalTwin("ideal", (64, 64), seed=seed) for seed in range(3)]
    first = map_bundle(whole, (64, 64), arrays[0].info.window, 1)
    last = map_bundle(whole, (64, 64), arrays[0].info.window, 2, layers="all")
    with RunLog.create(tmp_path / "run.h5", arrays, {}) as log:
        for plan in (first, last):
            log.event(JOURNAL, plan_entry(plan, whole.digest()))
    with open_run(tmp_path / "run.h5") as run:
        held = held_layers(run)
    assert held is not None
    assert held.names == ["encoder", "kernels of layer 0", "mixing of layer 0", "kernels of layer 1", "head"]
    assert [held.on(array) for array in range(3)] == [
        ["kernels of layer 0", "kernels of layer 1"],
        ["encoder", "mixing of layer 0", "head"],
        [],
    ]
    for array, found in enumerate(held.maps):
        assert np.array_equal(np.isfinite(found), last.kernel_cells(array))
    (encoder,) = (tile for tile in last.tiles if tile.layer == "encoder")
    assert (held.maps[1][encoder.cells] == 0).all()
    assert np.count_nonzero(held.maps[1] == 0) == 2 * whole.encoder_weight.size
    assert [words.get_text() for words in layers_on_arrays(held).legends[0].get_texts()] == held.names


def test_the_report_of_a_deployment_draws_its_arrays(deployed_run, night_run):
    page = report_page(deployed_run)
    assert "Which array holds which layer of the net" in page
    assert "<th>holds</th>" in page
    assert isinstance(layers_on_arrays(deployed_run, narrow=True), Figure)
    assert held_layers(night_run) is None  # null control: a run without a deployment
    with pytest.raises(ConfigError, match="no plan of a deployment"):
        layers_on_arrays(night_run)
