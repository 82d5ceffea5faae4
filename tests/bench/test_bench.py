"""The bench scripts: on the twin as processes of their own, over serial and VISA in this one; their logs replay."""

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from imssa_lab import open_run
from protocols.deployment.sequences import Sequences
from trials import tiny

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "bench").glob("[0-9]*.py"))
BRIEF = '{"cycles": 1, "reads": 4, "reads_at_once": 2, "times": [1.0, 10.0], "sample": 64}'
"""Schedule of a characterisation with all its experiments."""
IMSSA = "from imssa_lab.cli import main; main()"


def run_alone(script, *arguments):
    """As a process of its own, in this folder; what it printed."""
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, script, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a script by its number in a folder, and gives what it printed.

    Each is tried alone on the twin; elsewhere in this process, which has imported what takes most of the time.
    """

    def run(script, *arguments, folder, alone=False):
        path = str(next(path for path in SCRIPTS if path.name.startswith(script)))
        monkeypatch.chdir(folder)
        if alone:
            return run_alone(path, *arguments)
        monkeypatch.setattr(sys, "argv", [path, *arguments])
        capsys.readouterr()
        runpy.run_path(path, run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.fixture(scope="module", params=["twin", "scpi", "supert-a0"])
def address(request):
    """Of an array of 16 x 16 in this process's children, or behind a wire."""
    if request.param == "twin":
        yield "twin:supert-a0?seed=1&shape=16x16"
        return
    more = ["--shape", "16x16"] if request.param == "scpi" else ["--profile", "supert-a0-easy"]
    command = [sys.executable, "-u", "-c", IMSSA, "serve", request.param, *more]
    board = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    found = board.stdout.readline().strip()
    yield found if request.param == "scpi" else f"{found.partition('?')[0]}?array=0&block=16x16"
    board.terminate()
    board.communicate()


def test_there_are_six_short_scripts():
    assert [path.name[:2] for path in SCRIPTS] == ["01", "02", "03", "04", "05", "06"]
    for path in SCRIPTS:
        assert len(path.read_text().splitlines()) <= 60
        assert "--array" in path.read_text()


def arguments(script, address):
    """What a script gets beside --array and --out, so that it ends soon also on a board that really waits."""
    # The log of a replay holds a programming as one call, without its pulses: how long cells relaxed since theirs is
    # not in it. So the twin that script 03 compares a board of real time with is of the board's own profile, which
    # does not relax.
    return {
        "03": ["--base", "supert-a0-easy"] if "supert-a0:" in address else [],
        "02": ["--schedule", BRIEF] if address.startswith("twin:") else ["--only", "iv,columns"],
        "04": ["--bundle", "../model/bundle.safetensors", "--sequences", "../model/sequences.npz", "--vectors", "16"],
        "05": ["--hours", "0.0003", "--readings", "3"],
    }.get(script, [])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    (folder / "model").mkdir()
    tiny.bundle().save(folder / "model" / "bundle.safetensors")
    calibration, test, labels = tiny.sequences()
    Sequences(calibration, test[:8], labels[:8], {"null": 0.5}).save(folder / "model" / "sequences.npz")
    return folder


@pytest.mark.parametrize("script", ["01", "02", "03", "04", "05"])
def test_a_script_runs_and_its_log_replays(script, address, run, model, tmp_path):
    shutil.copytree(model / "model", tmp_path / "model")
    folder = tmp_path / "night"
    folder.mkdir()
    options, alone = arguments(script, address), address.startswith("twin:")
    said = run(script, "--array", address, "--out", "one", *options, folder=folder, alone=alone)
    with open_run(folder / "one" / "run.h5") as log:
        assert log.closed_cleanly
        assert log.records("read_mvm") + log.records("read_conductances") > 0
    again = run(script, "--array", "replay:one/run.h5", "--out", "two", *options, folder=folder, alone=alone)
    assert again.replace("two/", "one/") == said


def test_a_session_is_compared_with_itself_with_the_chip_and_with_another(address, run, tmp_path):
    alone = address.startswith("twin:")
    run("01", "--array", address, "--out", "one", folder=tmp_path, alone=alone)
    same = run(
        "06", "--log", "one/run.h5", "--array", "replay:one/run.h5", "--out", "two", folder=tmp_path, alone=alone
    )
    assert same.count("the same bits") == 2
    chip = run("06", "--log", "one/run.h5", "--array", address, "--out", "three", folder=tmp_path, alone=alone)
    assert chip.count("record") == 2
    other = "twin:supert-a0?seed=9&shape=16x16"
    assert "differ" in run(
        "06", "--log", "one/run.h5", "--array", other, "--out", "four", folder=tmp_path, alone=alone
    )


def test_the_recipe_of_a_station_file_is_used_and_replays(run, tmp_path):
    station = '[arrays.chip0]\naddress = "twin:supert-a0?seed=1&shape=8x8"\nrecipe = { pulse_budget = 30 }\n'
    (tmp_path / "station.toml").write_text(station)
    said = run("02", "--array", "chip0", "--out", "one", "--only", "programming", folder=tmp_path)
    with open_run(tmp_path / "one" / "run.h5") as log:
        assert log.column("program", "pulses", 0).max() == 30
    again = run("02", "--array", "replay:one/run.h5", "--out", "two", "--only", "programming", folder=tmp_path)
    assert again.replace("two/", "one/") == said
