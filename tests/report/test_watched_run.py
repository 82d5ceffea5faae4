"""`watch_run`: what it says of a run that another process writes, to its end and beyond."""

import io
import os
import re
import signal
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from imssa_lab import open_run, record, watch_run
from imssa_lab.contract.errors import LogError
from imssa_lab.log.file.writer_presence import Presence, presence
from imssa_lab.report.live import LiveView, watched_run
from imssa_lab.report.live.watched_run import in_a_line, picture
from imssa_lab.report.measured import programmed
from tests.report.test_live import until
from twin import DigitalTwin

WRITER = """
import os, sys, time, numpy as np
from imssa_lab.log import record
from twin import DigitalTwin
with record(sys.argv[1], [DigitalTwin("supert-a0-easy", (6, 5), seed=1)], {}) as (chip,), chip:
    for _ in range(int(sys.argv[2])):
        if os.path.exists(sys.argv[1] + ".enough"):
            break
        chip.program_conductances(np.full((6, 5), 60e-6))
        time.sleep(0.2)
"""


@pytest.fixture
def writer(tmp_path):
    """Starts a process that programs a chip so many times; gives it and its run file."""
    started = []

    def start(times):
        path = tmp_path / "run.h5"
        started.append(subprocess.Popen([sys.executable, "-c", WRITER, path, str(times)]))
        return started[-1], path

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_without_a_notebook_it_prints_lines_until_the_run_has_ended(writer, capsys, monkeypatch):
    monkeypatch.setattr(watched_run, "_LINES_APART", 0.0)
    process, path = writer(10_000)
    shown, real = set(), watched_run._Lines.show

    def show(self, state, line, *, over):
        real(self, state, line, over=over)
        shown.add(line)
        if len(shown) == 3:  # however long a busy machine takes for them
            Path(f"{path}.enough").touch()

    monkeypatch.setattr(watched_run._Lines, "show", show)
    watch_run(path, period=0.1)
    assert process.wait(timeout=20) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(set(lines)) == len(lines) > 2
    assert any(line.startswith("running; array 0, twin:supert-a0-easy (seed 1)") for line in lines)
    assert not [line for line in lines[:-1] if "gone" in line or "ended" in line]
    with open_run(path) as run:
        pulses = int(run.column("pulses", "count").sum())
        data = programmed(run)
        good = np.abs(data["achieved"] - data["target"]).values <= float(data["tolerance"][0])
    share = 100 * good.mean()
    assert lines[-1].startswith("ended; ")
    assert f"30 of 30 cells with a target were read; {pulses} pulses; {share:.1f} % of those that had to" in lines[-1]


def test_a_killed_writer_is_not_called_running(writer, capsys):
    process, path = writer(10_000)
    until(lambda: presence(path) is Presence.THERE)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    watch_run(path, period=0.1)
    assert capsys.readouterr().out.splitlines()[-1].startswith("its session is gone, and the file was not closed")


def test_a_run_of_this_process_is_refused_and_nobody_waits_forever(tmp_path):
    with record(tmp_path / "own.h5", [DigitalTwin("ideal", (2, 2), seed=0)], {}):
        with pytest.raises(LogError, match="written by this process"):
            watch_run(tmp_path / "own.h5")
    with pytest.raises(LogError, match=r"no run was started within 0\.2 s"):
        watch_run(tmp_path / "none.h5", patience=0.2)


def test_the_picture_shows_what_the_view_knows(night):
    with LiveView(night) as view:
        until(lambda: view.state()["behind"] == 0 and view.state(1)["curve"])
        state = view.state(1)
    axes = picture(state).axes
    held = np.asarray(state["now"], dtype=float).reshape(12, 10)
    np.testing.assert_array_equal(axes[0].images[0].get_array().filled(np.nan), held)
    drawn = axes[1].lines[0].get_xydata()
    np.testing.assert_array_equal(drawn, np.asarray(state["curve"], dtype=float))
    share = re.search(r"([\d.]+) % of those", in_a_line(state))[1]
    assert float(share) == pytest.approx(drawn[-1][1], abs=0.05)


def test_a_view_that_opens_the_file_again_reads_the_new_one(night, monkeypatch):
    """Its state is taken from the file that `ended` opened, not from the one that it closed."""
    with LiveView(night) as view:
        until(lambda: view.state()["state"] == "ended")
        follower = view._follower

        def ended(_):
            follower._reopen()
            return True

        monkeypatch.setattr(type(follower), "ended", property(ended))
        assert view.state()["state"] == "ended"


def test_in_a_notebook_the_widget_is_replaced_and_the_last_picture_kept(writer, monkeypatch, capsys):
    """Against stand-ins of ipywidgets and IPython; the notebook of the documentation runs with the real ones."""
    shown, pictures = [], []

    class Image:
        def __init__(self, **_):
            self.layout = types.SimpleNamespace(display="")

        def __setattr__(self, name, value):
            if name == "value":
                pictures.append(value)
            object.__setattr__(self, name, value)

    widgets = types.ModuleType("ipywidgets")
    widgets.Image = Image
    widgets.Label = lambda: types.SimpleNamespace(value="", layout=types.SimpleNamespace(display=""))
    widgets.VBox = lambda children: children
    display = types.ModuleType("IPython.display")
    display.display, display.Image = shown.append, io.BytesIO
    ipython = types.ModuleType("IPython")
    ipython.version_info = (9, 0)  # matplotlib asks
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    for name, module in {"ipywidgets": widgets, "IPython": ipython, "IPython.display": display}.items():
        monkeypatch.setitem(sys.modules, name, module)
    process, path = writer(3)
    watch_run(path, period=0.1)
    process.wait(timeout=20)
    assert len(pictures) > 1
    assert all(each.startswith(b"\x89PNG") for each in pictures)
    assert shown[0][0].layout.display == "none"
    assert shown[-1].getvalue() == pictures[-1]
    assert capsys.readouterr().out.startswith("ended; ")
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    watch_run(Path(path), period=0.1)
    assert len(shown) == 2  # plain lines where the widgets are not installed
