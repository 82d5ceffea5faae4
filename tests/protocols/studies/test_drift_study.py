"""A chip that ages: what a study sees of it, and which times it refuses."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from imssa_lab.cli import app
from imssa_lab.contract.errors import ConfigError
from imssa_lab.studies import aged_chips
from imssa_lab.studies.aged_chips import (
    MOVED,
    OF_LEVEL,
    QUANTILES,
    ROWS,
    TIMES,
    DriftModel,
    aged_trial,
    in_words,
    seconds,
    times_within,
)
from imssa_lab.studies.drift_summary import drift_study
from imssa_lab.studies.study_model import StudyModel
from imssa_lab.studies.trials import StudyTrial
from protocols.deployment.deployment import Deployment
from protocols.deployment.sequences import Sequences
from tests.cli.one_value import one_value
from trials import tiny
from twin import TwinProfile
from twin.relaxation import LogTimeRelaxation, PowerLawDrift

CHIP = StudyTrial(None, None, "ours", 0)


def aging(spread: float, shift: float = 0.0) -> TwinProfile:
    """Cells that wander by a sd of so much, S, from a second to a day."""
    law = LogTimeRelaxation(
        kind="log-time",
        t0=0.01,
        levels=(50e-6,),
        times=(1.0, 86400.0),
        shift=((0.0,), (shift,)),
        core=((0.0,), (spread,)),
    )
    return TwinProfile.load("ideal").model_copy(update={"relaxation": law, "name": "aging"})


def model(profile: TwinProfile, *times: float) -> DriftModel:
    sequences = Sequences(*tiny.sequences(), {"null": 0.5})
    return DriftModel(StudyModel(tiny.bundle(), sequences, 40, profile), times)


@pytest.mark.parametrize(
    ("text", "value"), [("90s", 90.0), ("1min", 60.0), ("1.5h", 5400.0), ("1d", 86400.0), ("2month", 5184000.0)]
)
def test_times_in_words(text: str, value: float) -> None:
    assert seconds(text) == value
    assert seconds(in_words(value).replace(" ", "")) == value


@pytest.mark.parametrize("text", ["", "1", "h", "0s", "-1h", "1w", "1 h 2 min", "nans", "1.2.3h", "inf"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="with its unit: s, min, h, d, month, y"):
        seconds(text)


def test_times_beyond_what_the_law_is_known_for_are_refused_by_name() -> None:
    wan = TwinProfile.load("wan-2022")
    assert times_within(wan, None) == ([1.0, 60.0, 3600.0, 86400.0], ["1month"])
    assert times_within(wan, ["2d", "1s"]) == ([1.0, 172800.0], [])
    with pytest.raises(ConfigError, match=r"wan-2022: .* until 2 d after the last pulse; 3d, 1month asked"):
        times_within(wan, ["1h", "3d", "1month"])
    assert times_within(TwinProfile.load("hfox-cmo"), None)[0] == [seconds(text) for text in TIMES]
    with pytest.raises(ConfigError, match=r"until 10 y .* 11y asked"):
        times_within(TwinProfile.load("hfox-cmo"), ["11y"])
    assert times_within(TwinProfile.load("pcm-joshi"), None)[1] == ["1month"]
    with pytest.raises(ConfigError, match=r"supert-a0: .* nothing drifts"):
        times_within(TwinProfile.load("supert-a0"), None)
    silent = PowerLawDrift(kind="power-law", t0=1.0, levels=(1e-5,), exponent_mean=(0.1,), exponent_sd=(0.0,))
    ideal = TwinProfile.load("ideal")
    with pytest.raises(ConfigError, match="add `until`"):
        times_within(ideal.model_copy(update={"relaxation": silent}), ["1s"])
    short = silent.model_copy(update={"until": 0.5})
    with pytest.raises(ConfigError, match=r"until 0.5 s; name times with --at"):
        times_within(ideal.model_copy(update={"relaxation": short}), None)


def test_a_study_sees_what_drifts_and_nothing_where_nothing_does() -> None:
    """Null control: the same law with a spread of zero."""
    shared = model(aging(0.0), 1.0, 3600.0, 86400.0)
    still, moved = (aged_trial(model(aging(spread), 1.0, 3600.0, 86400.0), CHIP) for spread in (0.0, 8e-6))
    for result in (still, moved):
        assert {name: len(values) for name, values in result.rows.items()} == shared.lengths()
        assert (result.rows["age"] >= [1.0, 3600.0, 86400.0]).all()
        assert (result.rows["age"] < [2.0, 3700.0, 86500.0]).all()
    assert (still.rows["nrmse"] < 1e-9).all()
    assert still.rows["cells"].tolist() == [1.0] * 3
    assert (np.diff(moved.rows["nrmse"]) > 0).all()
    assert moved.rows["nrmse"][-1] > 3 * moved.rows["nrmse"][0]
    assert moved.rows["cells"][-1] < 0.95
    assert moved.figures[5] >= moved.rows["deployed"][-1] - 0.05  # re-programmed
    shape = (3, len(shared.levels), len(QUANTILES))
    drifted = moved.rows[MOVED].reshape(shape)
    assert (np.abs(still.rows[MOVED].reshape(shape)[:, still.rows[OF_LEVEL] > 0]) < 1e-12).all()
    spread = drifted[..., -1] - drifted[..., 0]  # of a Gaussian 3.3 sd, and less of a few cells
    assert (np.diff(spread[:, 1:], axis=0) > 0).all()
    assert 8e-6 < spread[-1, -1] < 3.3 * 8e-6  # the sd is 8 uS after a day, a part of it before the first read
    assert (drifted[:, 0] == 0).all(), "cells that got no pulse do not relax"
    assert np.nanmax(np.abs(drifted[0])) < 0.5e-6, "moved since the last read of the deployment, not from the target"
    again = aged_trial(model(aging(8e-6), 1.0, 3600.0, 86400.0), CHIP)
    for name in ROWS:
        np.testing.assert_array_equal(again.rows[name], moved.rows[name])


def test_a_recalibration_that_helps_is_what_the_second_accuracy_is_of() -> None:
    result = aged_trial(model(aging(2e-6, shift=-10e-6), 86400.0), CHIP)
    kept, deployed, recalibrated = (float(result.rows[name][0]) for name in ("kept", "deployed", "recalibrated"))
    assert kept == 1.0
    assert recalibrated >= max(deployed, 0.9)
    assert result.figures[4] == 8 * tiny.STEPS  # eight sequences of one bank


def test_dense_layers_age_with_the_kernels() -> None:
    """A recalibration reads their products too, and the kernels twice, as their inputs change with the encoder."""
    shared = model(aging(2e-6, shift=-10e-6), 86400.0)
    whole = replace(shared, model=replace(shared.model, layers="all"))
    alone, both = (aged_trial(each, CHIP) for each in (shared, whole))
    fitted, judged = 2 * tiny.STEPS, 6 * tiny.STEPS
    assert alone.figures[4] == fitted + judged
    assert both.figures[4] == (fitted + 2 * judged) + (fitted + judged)
    rows = {name: values[None] for name, values in both.rows.items()}
    assert drift_study(whole, both.figures[None], rows).name.endswith("with dense layers on arrays")


def test_one_that_does_not_help_leaves_the_accuracy_as_deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocols.corrections.deployed_network.closer", lambda before, after: False)
    result = aged_trial(model(aging(2e-6, shift=-10e-6), 86400.0), CHIP)
    assert result.rows["kept"].tolist() == [0.0]
    assert result.rows["recalibrated"].tolist() == result.rows["deployed"].tolist()


def test_what_is_re_programmed_goes_on_from_the_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second deployment resumes the first by its whole journal: cells that are in place get no pulse."""
    asked, whole = [], aged_chips.deploy

    def deploy(*given: Any, **options: Any) -> Deployment:
        asked.append(list(options.get("resume") or []))
        return whole(*given, **options)

    monkeypatch.setattr(aged_chips, "deploy", deploy)
    aged_trial(model(aging(0.0), 1.0), CHIP)
    first, second = asked
    assert first == []
    assert len(second) > 1


def test_a_chip_that_does_not_hold_its_cells_at_all_is_counted() -> None:
    shared = model(aging(0.0), 1.0)
    figures = np.array([[1.0, 0.9, 0.94, 0, 48, 0.9, 0], [1.0, 0.9, 0.96, 1, 48, 0.9, 0], [np.nan] * 7])
    rows = {name: np.array([[0.5], [0.7], [np.nan]]) for name in ROWS}
    rows |= {name: np.full((3, length), 1.0) for name, length in shared.lengths().items() if name not in ROWS}
    study = drift_study(shared, figures, rows)
    assert (study.failed_cells, len(study.at_once), study.until, study.null) == (1, 2, 86400.0, 0.5)
    assert study.rows["deployed"].tolist() == [[0.5], [0.7]]


def imssa(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_from_the_command_line_resumed_and_refused(tmp_path: Path) -> None:
    tiny.bundle().save(tmp_path / "bundle.safetensors")
    Sequences(*tiny.sequences(), {"null": 0.5}).save(tmp_path / "sequences.npz")
    words = ["study", "drift", "--bundle", tmp_path / "bundle.safetensors", "--profile", "wan-2022", "--tests", 20]
    words += ["--out", tmp_path / "study", "--chips", 2]
    refused = imssa(*words, "--at", "1month")
    assert refused.exit_code == 1
    assert "wan-2022: its relaxation is valid until 2 d" in refused.output
    assert not (tmp_path / "study").exists()
    done = imssa(*words, "--at", "1s", "--at", "1d", "--json")
    assert done.exit_code == 0, done.output
    facts = one_value(done.stdout)
    assert facts["times"] == [1.0, 86400.0]
    assert np.shape(facts["rows"]["deployed"]) == (2, 2)
    assert facts["null"] == 0.5
    assert facts["left_out"] == []
    table = (tmp_path / "study/drift.csv").read_text().splitlines()
    assert len(table) == 1 + 2 * 2
    assert table[0].startswith("chip,time_s,age_s,deployed,recalibrated,kept")
    assert "<svg" in (tmp_path / "study/drift.svg").read_text()
    assert "wan-2022" in (tmp_path / "study/report.html").read_text()
    before = (tmp_path / "study/study.h5").read_bytes()
    again = imssa(*words, "--at", "1s", "--at", "1d", "--json", "--resume")
    assert one_value(again.stdout) == facts
    assert (tmp_path / "study/study.h5").read_bytes() == before
    other = imssa(*words, "--at", "1s", "--at", "1h", "--resume")
    assert other.exit_code == 1
    assert "another model" in other.output
