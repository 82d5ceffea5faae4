"""Ctrl-C on the command line: one exit code, and words on what is there and how to go on."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from imssa_lab import open_run
from imssa_lab.cli import app
from imssa_lab.contract.errors import LinkLost
from protocols.deployment.sequences import Sequences
from trials import tiny
from twin import DigitalTwin

TWINS = "twin:supert-a0-easy?seed={index}&shape=16x16&state=chip{index}.h5"


def imssa(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: Any) -> Path:
    monkeypatch.chdir(tmp_path)
    tiny.bundle().save(tmp_path / "bundle.safetensors")
    Sequences(*tiny.sequences(), {"null": 0.5}).save(tmp_path / "sequences.npz")
    return tmp_path


def stop_at(monkeypatch: Any, method: str, count: int, error: type[BaseException] = KeyboardInterrupt) -> None:
    """That call of a twin ends so; the first one has the number 1."""
    whole, seen = getattr(DigitalTwin, method), []

    def call(self: DigitalTwin, *given: Any) -> Any:
        seen.append(method)
        if len(seen) == count:
            raise error("pressed")
        return whole(self, *given)

    monkeypatch.setattr(DigitalTwin, method, call)


def deploy(*more: object) -> Result:
    arguments = ["bundle.safetensors", "--sequences", "sequences.npz", "--array", TWINS, "--out", "night"]
    return imssa("deploy", *arguments, *more)


def test_a_deployment_says_how_far_it_came_and_goes_on(here: Path, monkeypatch: Any) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, "_apply_pulses", 20)  # past the look at the arrays, so that there is a plan
        done = deploy()
    assert done.exit_code == 130
    for words in ("stopped by Ctrl-C", "report so far: night/report.html", "to continue: imssa recheck night"):
        assert words in done.stderr
    assert (here / "night" / "report.html").is_file()
    assert imssa("recheck", "night").exit_code in (0, 3)  # what such a small model reaches is no matter


def test_an_error_half_way_says_so_too(here: Path, monkeypatch: Any) -> None:
    stop_at(monkeypatch, "_apply_pulses", 3, LinkLost)
    done = deploy()
    assert done.exit_code == 1
    assert "imssa: pressed" in done.stderr
    assert "report so far: night/report.html" in done.stderr


def test_a_second_press_does_not_wait_for_the_report(here: Path, monkeypatch: Any) -> None:
    def pressed(*given: Any) -> None:
        raise KeyboardInterrupt

    stop_at(monkeypatch, "_apply_pulses", 3)
    monkeypatch.setattr("imssa_lab.cli.shared.last_report.leave_report", pressed)
    done = deploy()
    assert done.exit_code == 130
    assert "to make it: imssa report night/run.h5" in done.stderr
    assert not (here / "night" / "report.html").exists()


def test_a_characterisation_keeps_its_log_and_goes_on(here: Path, monkeypatch: Any) -> None:
    words = ["characterise", "--array", TWINS.replace("{index}", "1"), "--out", "chip", "--only", "noise,columns"]
    with monkeypatch.context() as patch:
        stop_at(patch, "_read_conductances", 2)
        done = imssa(*words)
    assert done.exit_code == 130
    assert "report so far: chip/report.html" in done.stderr
    assert "to continue: the same command" in done.stderr
    assert imssa(*words).exit_code == 0
    for name in ("run.h5", "run-1.h5"):
        with open_run(here / "chip" / name) as log:
            assert log.records("read_conductances") > 0


def test_a_calibration_leaves_its_file_alone(here: Path, monkeypatch: Any) -> None:
    stop_at(monkeypatch, "_read_mvm", 1)
    done = imssa("calibrate", "--array", TWINS.replace("{index}", "1"), "--file", "c.json")
    assert done.exit_code == 130
    assert "nothing was written to c.json" in done.stderr
    assert not (here / "c.json").exists()
    (log,) = here.glob("calibrate-*.h5")
    assert str(log.name) in done.stderr


def test_a_study_draws_what_is_done(here: Path, monkeypatch: Any) -> None:
    import imssa_lab.studies.written_chips as statistical

    whole, seen = statistical.study_trial, []

    def trial(*given: Any) -> Any:
        seen.append(1)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return whole(*given)

    words = ["study", "stuck", "--bundle", "bundle.safetensors", "--out", "study", "--chips", 1, "--fraction", 0]
    words.append("--healthy-gaussian")
    with monkeypatch.context() as patch:
        patch.setattr(statistical, "study_trial", trial)
        done = imssa(*words, "--sigma", 1, "--sigma", 3)
    assert done.exit_code == 130, done.output
    assert "to continue: the same command with --resume" in done.stderr
    assert (here / "study" / "stuck.csv").is_file()
    assert (here / "study" / "stuck.svg").is_file()
    assert imssa(*words, "--sigma", 1, "--sigma", 3, "--resume").exit_code == 0
