"""What a station file says of calibration and recipe holds wherever a command or a script names none."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from imssa_lab.cli import app
from imssa_lab.contract.errors import CalibrationError, ConfigError, ImssaError
from imssa_lab.log import open_run, record
from imssa_lab.station.addresses import open_array
from protocols.deployment.sequences import Sequences
from protocols.programmers import GateStart, WriteVerify, recipe_of
from trials import tiny

GOOD = """
operator = "A. Student"
log_folder = "logs"

[arrays.chip0]
address = "twin:supert-a0-easy?seed=1&shape=8x8"
calibration = "chip0.json"
programmer = "gate-start"
[arrays.chip0.recipe]
tolerance_out = 9e-6
pulse_budget = 30
"""
PLAIN = "twin:supert-a0-easy?seed=1&shape=8x8"
MISTAKES = [
    ("programmer", "programer", "unknown key 'arrays.chip0.programer'; did you mean 'programmer'"),
    ("gate-start", "gate-strat", "did you mean 'gate-start'"),
    ("tolerance_out", "tolerance", "recipe: unknown key 'tolerance'"),
    ("9e-6", '"narrow"', "recipe: tolerance_out: .narrow. is no number"),
    ("9e-6", "1e-6", "tolerance_out must not be below tolerance_in"),
    ("pulse_budget = 30", "set_voltage = [1.0, 5.0, 1.0]", r"recipe.set_voltage: goes up to 5 V, .* allows 3.5 V"),
    ("calibration =", "calibration_days = 0\ncalibration =", "calibration_days: Input should be greater than 0"),
    ("twin:supert-a0-easy?seed=1&shape=8x8", "replay:run.h5", "a recording brings its calibration and its recipe"),
    ("twin:supert-a0-easy", "twin:wan-2022", "no write-verify recipe of its own"),
]


def imssa(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def shown(done: Result) -> str:
    """What a table says, without its frame."""
    return " ".join(done.stdout.replace("│", " ").split())


@pytest.fixture
def station(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A station file that is not in the working folder, and a calibration measured for it."""
    (tmp_path / "bench").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    path = tmp_path / "bench" / "station.toml"
    path.write_text(GOOD)
    monkeypatch.setenv("IMSSA_STATION", str(path))
    done = imssa("calibrate", "--array", "chip0")
    assert done.exit_code == 0, done.output
    return path


def test_an_array_comes_with_calibration_and_recipe(station: Path) -> None:
    with open_array("chip0") as array, open_array(PLAIN) as plain:
        assert array.calibration is not None
        assert plain.calibration is None  # null control
        gains = json.loads((station.parent / "chip0.json").read_text())["gain"]
        np.testing.assert_array_equal(array.calibration.gain, gains)
        assert recipe_of(array) == recipe_of(plain).model_copy(update={"tolerance_out": 9e-6, "pulse_budget": 30})
        assert isinstance(array._default_programmer(), GateStart)
        assert isinstance(plain._default_programmer(), WriteVerify)


def test_a_new_calibration_takes_the_place_of_the_old_one_and_the_logs_stay(station: Path) -> None:
    assert imssa("calibrate", "--array", "chip0").exit_code == 0
    logs = sorted((station.parents[1] / "work" / "logs").glob("calibrate-*.h5"))
    assert len(logs) == 2
    assert json.loads((station.parent / "chip0.json").read_text())["log"] == logs[-1].name
    with open_run(logs[0]) as run:
        assert run.provenance["operator"] == "A. Student"


def test_program_uses_the_recipe_and_the_log_says_so_and_replays(station: Path) -> None:
    target = np.random.default_rng(0).uniform(5e-6, 140e-6, (8, 8))
    np.save("t.npy", target)
    assert imssa("program", "t.npy", "--array", "chip0", "--out", "night").exit_code in (0, 3)
    with open_run(Path("night") / "run.h5") as run:
        assert float(run.column("program", "tolerance", 0)) == 9e-6
        assert run.column("program", "pulses", 0).max() <= 30
        assert run.infos[0].provenance["programmer"] == "gate-start"
        assert run.calibration(0) is not None
        achieved = run.column("program", "achieved", 0)
    with open_array("replay:night/run.h5") as replayed:
        np.testing.assert_array_equal(replayed.program_conductances(target).achieved, achieved)
        assert recipe_of(replayed).pulse_budget == 30


def test_options_go_before_the_station_and_the_rest_of_its_recipe_stays(station: Path) -> None:
    np.save("t.npy", np.full((8, 8), 50e-6))
    more = ["--programmer", "hysteretic", "--recipe", "tolerance_out=8e-6"]
    assert imssa("program", "t.npy", "--array", "chip0", "--out", "night", *more).exit_code in (0, 3)
    with open_run(Path("night") / "run.h5") as run:
        assert float(run.column("program", "tolerance", 0)) == 8e-6
        assert run.infos[0].provenance["programmer"] == "hysteretic"
        assert recipe_of(run.arrays()[0]).pulse_budget == 30


def test_a_deployment_uses_the_recipe_and_replays(station: Path) -> None:
    station.write_text(GOOD.replace("8x8", "16x16&state=chip0.h5").replace('calibration = "chip0.json"', ""))
    tiny.bundle().save(Path("bundle.safetensors"))
    Sequences(*tiny.sequences(), {"null": 0.5}).save(Path("sequences.npz"))
    words = ["bundle.safetensors", "--sequences", "sequences.npz", "--array", "chip0", "--out", "night"]
    done = imssa("deploy", *words, "--recipe", "max_steps=50")
    assert done.exit_code in (0, 3), done.output
    with open_run(Path("night") / "run.h5") as run:
        assert float(run.column("program", "tolerance", 0)) == 9e-6
        assert recipe_of(run.arrays()[0]).max_steps == 50
    replayed = imssa("log", "replay", "night/run.h5")
    assert replayed.exit_code == 0, replayed.output
    assert imssa("recheck", "night").exit_code in (0, 3)
    with open_run(Path("night") / "run-1.h5") as run:
        assert recipe_of(run.arrays()[0]).max_steps == 50  # that of the deployment


def test_a_script_without_an_alias_keeps_the_chips_own(station: Path) -> None:
    with record("run.h5", [open_array(PLAIN)], {}) as (array,), array:
        assert array.program_conductances(np.full((8, 8), 50e-6)).tolerance == 10e-6


@pytest.mark.parametrize(("right", "wrong", "said"), MISTAKES)
def test_every_mistake_is_named(station: Path, right: str, wrong: str, said: str) -> None:
    assert right in GOOD
    station.write_text(GOOD.replace(right, wrong))
    with pytest.raises(ImssaError, match=said):
        open_array("chip0")
    checked = imssa("station", "check")
    assert checked.exit_code == 1


def test_a_calibration_of_another_chip_is_never_used(station: Path) -> None:
    station.write_text(GOOD.replace("seed=1", "seed=2"))
    with pytest.raises(CalibrationError, match=r"of chip 'twin:supert-a0-easy seed 1', connected is .*seed 2"):
        open_array("chip0")
    np.save("t.npy", np.full((8, 8), 50e-6))
    done = imssa("program", "t.npy", "--array", "chip0", "--out", "night")
    assert done.exit_code == 1
    assert "it was not used" in done.stderr
    assert not Path("night").exists()
    checked = imssa("station", "check")
    assert checked.exit_code == 1
    assert "calibration of chip 'twin:supert-a0-easy seed 1'" in shown(checked)


def test_check_tells_date_and_age_and_what_is_stale(station: Path) -> None:
    path = station.parent / "chip0.json"
    fresh = imssa("station", "check")
    assert fresh.exit_code == 0
    assert "0.0 hours old" in shown(fresh)
    assert "STALE" not in shown(fresh)
    assert "gate-start, recipe of the chip with tolerance_out = 9e-06, pulse_budget = 30" in shown(fresh)
    path.write_text(json.dumps({**json.loads(path.read_text()), "date": "2025-01-01T00:00:00+00:00"}))
    stale = imssa("station", "check")
    assert stale.exit_code == 0
    assert "STALE, older than 30 days" in shown(stale)
    path.unlink()
    missing = imssa("station", "check")
    assert missing.exit_code == 0
    assert "not there yet" in shown(missing)
    path.write_text("{}")
    damaged = imssa("station", "check")
    assert damaged.exit_code == 1
    assert "Field required" in shown(damaged)


def test_what_was_never_measured_is_warned_of_and_nothing_is_carried(
    station: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (station.parent / "chip0.json").unlink()
    with open_array("chip0") as array:
        assert array.calibration is None
    assert "not there yet" in caplog.text


def test_an_alias_without_a_file_for_it_is_told_to_name_one(station: Path) -> None:
    station.write_text(GOOD.replace('calibration = "chip0.json"\n', ""))
    done = imssa("calibrate", "--array", "chip0")
    assert done.exit_code == 1
    assert 'calibration = "FILE"' in done.stderr
    with pytest.raises(ConfigError, match="did you mean 'chip0'"):
        open_array("chop0")
