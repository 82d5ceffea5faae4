"""The commands around run files: what they print, and their exit codes."""

import io
import time
from datetime import datetime
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from imssa_lab.cli import app
from imssa_lab.cli.runs.monitor import View
from imssa_lab.log import record
from imssa_lab.log.read.follower import Follower
from tests.log.conftest import Chip, session
from twin import DigitalTwin


def imssa(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    with record(tmp_path / "run.h5", [Chip()], {"command": "bench"}) as (array,), array:
        session(array)
    return tmp_path / "run.h5"


def test_verify_says_good_and_damaged_by_exit_code(run):
    good = imssa("log", "verify", run)
    assert good.exit_code == 0
    assert "good: 36 records" in good.stdout
    data = run.read_bytes()
    at = data.index(b"x" * 1000)
    run.write_bytes(data[:at] + b"y" + data[at + 1 :])
    bad = imssa("log", "verify", run)
    assert bad.exit_code == 1
    assert "DAMAGED" in bad.stdout


def test_repair_of_a_whole_file_does_nothing(run):
    before = run.read_bytes()
    assert "whole already" in imssa("log", "repair", run).stdout
    assert run.read_bytes() == before


def test_list_tail_stats_and_export(run, tmp_path):
    assert "bench" in imssa("log", "list", tmp_path, "--chip", "chip 1", "--since", "2020-01-01").stdout
    assert "bench" not in imssa("log", "list", tmp_path, "--since", "2999-01-01").stdout
    assert len(imssa("log", "tail", run, "-n", "3").stdout.splitlines()) == 3
    assert "in tolerance by the last reading, had to move" in imssa("log", "stats", run).stdout
    assert imssa("log", "export", run, "--out", tmp_path / "out", "--table", "waits").exit_code == 0
    assert "\nseq,array,device_time [s],wall_time [s],seconds [s]\n" in (tmp_path / "out" / "waits.csv").read_text()
    maps = imssa("log", "export", run, "--out", tmp_path / "maps", "--table", "waits", "--maps", "--separator", ";")
    assert maps.exit_code == 0
    assert list((tmp_path / "maps" / "maps").glob("*-read1-conductance_S.csv"))
    assert "write both" in imssa("log", "export", run, "--out", tmp_path / "none", "--call", 3).stderr
    assert (
        "nothing was overwritten" in imssa("log", "export", run, "--out", tmp_path / "out", "--table", "waits").stderr
    )


def test_without_a_folder_the_runs_of_this_one_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And who names a run that is not there reads how to find it."""
    monkeypatch.chdir(tmp_path)
    assert "began" in imssa("log", "list").stdout
    for words in (["log", "show"], ["report"], ["log", "replay"]):
        assert "night.h5: no such file; `imssa log list FOLDER`" in imssa(*words, "night.h5").stderr


def test_list_has_one_line_for_each_file_with_the_time_zone(tmp_path, monkeypatch):
    """Also in a narrow terminal, of a command with line feeds, and of a file that is no run."""
    monkeypatch.setenv("COLUMNS", "40")
    path = tmp_path / ("long" * 20) / "run.h5"
    path.parent.mkdir()
    with record(path, [Chip()], {"command": "imssa deploy\n" + "more " * 30}) as (array,):
        array.wait(1)
    (tmp_path / "words.h5").write_text("no HDF5")
    head, odd, line = imssa("log", "list", tmp_path).stdout.splitlines()
    assert head.split() == ["began", "records", "state", "chips", "file", "command"]
    assert str(tmp_path / "words.h5") in odd
    assert "UNREADABLE" in odd
    assert f" {path} " in line
    assert line.endswith("imssa deploy " + "more " * 29 + "more")
    assert datetime.fromisoformat(line[:25]).tzinfo is not None
    assert datetime.fromisoformat(imssa("log", "tail", path, "-n", "1").stdout[:29]).tzinfo is not None


def test_diff_has_an_exit_code(run, tmp_path):
    assert imssa("log", "diff", run, run).exit_code == 0
    with record(tmp_path / "other.h5", [Chip()], {}) as (array,):
        array.wait(1)
    differs = imssa("log", "diff", run, tmp_path / "other.h5")
    assert differs.exit_code == 1
    assert "waits" in differs.stdout


def shown(follower):
    """What a monitor shows at its first look."""
    view = View(follower)
    view.look()
    screen = Console(file=io.StringIO(), width=120)
    with screen.capture() as captured:
        screen.print(view.picture())
    return captured.get()


def test_monitor_shows_what_is_there(run):
    with Follower(run) as follower:
        text = shown(follower)
    assert "chip 1 (7)" in text
    assert "in tolerance by re-read" in text


def test_monitor_waits_for_a_run_that_has_not_begun(tmp_path, monkeypatch):
    path, waits = tmp_path / "later.h5", []

    def begun(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            with record(path, [Chip()], {}) as (array,):
                array.wait(1)

    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", begun)
        done = imssa("monitor", path)
    assert done.exit_code == 0, done.output
    assert len(waits) >= 3
    assert "later.h5 to be started" in " ".join(done.stderr.split())
    assert imssa("monitor", "--once", tmp_path / "never.h5").exit_code == 1


def test_monitor_tells_the_rate_of_all_records_and_names_few_chips(tmp_path):
    """More records than the first look takes in, all of them within a moment."""
    path = tmp_path / "fast.h5"
    chips = [DigitalTwin("ideal", (2, 2), seed=seed) for seed in range(5)]
    with record(path, chips, {}) as arrays:
        begun = time.monotonic()
        for _ in range(1500):
            arrays[0].read_mvm([0.1, 0.1])
        true = 1500 / (time.monotonic() - begun)
    with Follower(path, last=1000) as follower:
        text = shown(follower)
    assert "and 2 more" in text
    (line,) = (line for line in text.splitlines() if line.strip().startswith("read_mvm"))
    assert float(line.split()[-1]) == pytest.approx(true, rel=0.5)
