import base64
import json
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from imssa_lab.cli import app
from imssa_lab.log import open_run
from protocols.deployment.sequences import Sequences
from trials import tiny

TWIN = "twin:ideal?shape=16x16&seed={index}"


def imssa(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def model(tmp_path):
    """A folder with a bundle and its sequences; called with the accuracy that the null control is said to have."""

    def write(null=0.5):
        tiny.bundle().save(tmp_path / "bundle.safetensors")
        Sequences(*tiny.sequences(), {"float": 0.9, "null": null}).save(tmp_path / "sequences.npz")
        return tmp_path

    return write


def deploy(folder, out="run", array=TWIN):
    sequences = folder / "sequences.npz"
    return imssa(
        "deploy", folder / "bundle.safetensors", "--sequences", sequences, "--array", array, "--out", folder / out
    )


@pytest.mark.parametrize(
    "command", [[], ["demo"], ["train"], ["deploy"], ["log"], ["log", "show"], ["log", "replay"]]
)
def test_every_command_has_help(command):
    result = imssa(*command, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_help_loads_nothing_heavy():
    code = (
        "import sys, imssa_lab.cli; print([m for m in ('torch', 'h5py', 'matplotlib', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_usage_errors_exit_with_2():
    assert imssa("deploy").exit_code == 2
    assert imssa("fly").exit_code == 2


def test_errors_are_one_message_on_stderr_and_exit_code_1(tmp_path):
    result = deploy(tmp_path)
    assert result.exit_code == 1
    assert result.stderr.startswith("imssa: ")
    assert "no such file" in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert imssa("log", "show", tmp_path / "no.h5").exit_code == 1


@pytest.mark.pictures
def test_deploy_leaves_log_result_and_report_and_replays(model):
    folder = model()
    result = deploy(folder)
    assert result.exit_code == 0, result.output
    assert "deployment verified" in result.stdout
    left = sorted(path.name for path in (folder / "run").iterdir())
    assert left == ["corrections", "report.html", "result.json", "run.h5"]
    drawn = re.findall(r"data:image/svg\+xml;base64,([^\"]+)", (folder / "run" / "report.html").read_text())
    assert len(drawn) > 10
    assert all(b"<path" in base64.b64decode(picture) for picture in drawn)
    facts = json.loads((folder / "run" / "result.json").read_text())
    assert facts["passed"] is True
    assert facts["accuracy"]["null_control"] == 0.5
    with open_run(folder / "run" / "run.h5") as run:
        assert run.events("result")[0][1] == (folder / "run" / "result.json").read_text()
        assert run.provenance["bundle"] == "../bundle.safetensors"
        assert [text.split(":")[0] for _, text in run.events("level")] == ["cells", "mvm", "kernel", "task"]
    replayed = imssa("log", "replay", folder / "run" / "run.h5")
    assert replayed.exit_code == 0, replayed.output
    assert replayed.stdout.startswith("replays bit for bit: ")
    shown = imssa("log", "show", folder / "run" / "run.h5")
    assert shown.exit_code == 0
    assert "twin:ideal" in shown.stdout


def test_the_same_chips_give_the_same_result(model):
    folder = model()
    deploy(folder, "one")
    deploy(folder, "two")
    assert (folder / "one" / "result.json").read_bytes() == (folder / "two" / "result.json").read_bytes()


def test_a_level_that_cannot_be_decided_exits_with_3_and_is_reported(model):
    folder = model(null=1.0)  # nothing is better than this control, so the task decides nothing
    result = deploy(folder)
    assert result.exit_code == 3
    assert "NOT verified" in result.stdout
    assert "not decidable: this task needs no memory" in " ".join(result.stdout.replace("│", " ").split())
    assert "levels not decidable: task" in (folder / "run" / "report.html").read_text()


def test_a_folder_in_use_is_refused_and_left_alone(model):
    folder = model()
    (folder / "run").mkdir()
    (folder / "run" / "notes.txt").write_text("mine")
    result = deploy(folder)
    assert result.exit_code == 1
    assert "nothing was overwritten" in result.stderr
    assert [path.name for path in (folder / "run").iterdir()] == ["notes.txt"]


def test_train_and_demo_overwrite_nothing(model):
    folder = model()
    assert "nothing was overwritten" in imssa("train", "--file", folder / "bundle.safetensors").stderr
    assert "nothing was overwritten" in imssa("train", "--file", folder / "other.safetensors").stderr  # sequences.npz
    assert "nothing was overwritten" in imssa("demo", "--out", folder).stderr


def test_an_array_template_that_is_wrong_makes_no_folder(model):
    folder = model()
    result = deploy(folder, array="twinn:ideal")
    assert result.exit_code == 1
    assert "did you mean 'twin'" in result.stderr
    assert not (folder / "run").exists()


def test_replay_refuses_other_sequences_than_the_recorded(model):
    folder = model()
    deploy(folder)
    calibration, test, labels = tiny.sequences()
    (folder / "sequences.npz").unlink()
    Sequences(calibration, test, labels[::-1].copy(), {"null": 0.5}).save(folder / "sequences.npz")
    result = imssa("log", "replay", folder / "run" / "run.h5")
    assert result.exit_code == 1
    assert "not the file that the run used" in result.stderr


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 cut"])
def test_a_file_that_holds_no_sequences_is_named(model, content):
    folder = model()
    (folder / "sequences.npz").write_bytes(content)
    result = deploy(folder)
    assert result.exit_code == 1
    assert "sequences.npz" in result.stderr
