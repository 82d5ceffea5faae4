"""A run watched from a second process: what is shown, and the request to make the array safe."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from imssa_lab.contract.errors import LogError
from imssa_lab.log import open_run, record
from imssa_lab.log.file import writer_presence
from imssa_lab.log.file.writer_presence import Presence, ask_to_make_safe, presence, session_file
from imssa_lab.report.live import LiveView, view
from imssa_lab.report.measured import programmed
from tests import browser
from twin import DigitalTwin

SESSION = Path(__file__).with_name("slow_session.py")
IMSSA = "from imssa_lab.cli import main; main()"
ROOT = Path(__file__).parents[2]


def until(true, seconds=60.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = true()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {true}")


@pytest.fixture
def session(tmp_path):
    """A process that programs a chip, and its run file."""
    path = tmp_path / "run.h5"
    process = subprocess.Popen([sys.executable, SESSION, path], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    until(lambda: process.poll() is not None or presence(path) is Presence.THERE)
    try:
        yield process, path
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def monitor():
    """Starts `imssa monitor --web` of a run; gives its address and token."""
    running = []

    def start(path):
        command = [sys.executable, "-u", "-c", IMSSA, "monitor", "--web", "--within", "10", str(path)]
        running.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True))
        address, _, token = running[-1].stdout.readline().strip().partition("#")
        return address, token

    yield start
    for process in running:
        process.kill()
        process.communicate()


def asked(address, method="GET", headers=None):
    request = urllib.request.Request(address, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_request_stops_the_session_between_two_calls_and_makes_the_array_safe(session):
    process, path = session
    until(lambda: path.exists() and _records(path) > 20)
    ask_to_make_safe(path)
    ask_to_make_safe(path)  # changes nothing: a second Ctrl-C would have cut a pulse short
    _, said = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in said
    assert not session_file(path).exists()
    with open_run(path) as run:
        assert run.closed_cleanly
        kinds = [kind for kind, _ in run.events() if kind != "aim"]
        assert kinds == ["make_safe_asked", "make_safe", "close"]
        assert run.column("pulses", "done").all()
    with pytest.raises(LogError, match="no process can make the array safe"):
        ask_to_make_safe(path)


def test_the_session_file_has_a_heartbeat_that_ends_with_the_process(tmp_path, monkeypatch):
    monkeypatch.setattr(writer_presence, "HEARTBEAT", 0.3)
    with record(tmp_path / "run.h5", [DigitalTwin("ideal", (2, 2), seed=0)], {}):
        file = session_file(tmp_path / "run.h5")
        os.utime(file, (1.0, 1.0))
        until(lambda: time.time() - file.stat().st_mtime < 60)
        os.utime(file, (1.0, 1.0))
        until(lambda: time.time() - file.stat().st_mtime < 60)
    assert not file.exists()


def test_a_killed_session_is_known_to_be_gone(session):
    process, path = session
    assert presence(path) is Presence.THERE
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert session_file(path).exists()
    assert presence(path) is Presence.GONE
    with pytest.raises(LogError, match="switch the instrument off"):
        ask_to_make_safe(path)


def test_a_writer_that_is_missing_for_a_moment_is_looked_for(session, monkeypatch):
    """Page and notebook show the same state: a session is gone when its writer is missing for longer."""
    _, path = session
    with LiveView(path) as watched:
        monkeypatch.setattr(view, "presence", lambda path: Presence.GONE)
        state = watched.state()
        assert (state["state"], state["sure"]) == (view.LOOKING, False)
        monkeypatch.undo()
        assert (watched.state()["state"], watched.state()["sure"]) == ("running", True)
        monkeypatch.setattr(view, "presence", lambda path: Presence.GONE)
        assert watched.state()["state"] == view.LOOKING, "counted from the last time that it was there"
        monkeypatch.setattr(view, "_SURELY_GONE", 0.0)
        assert (watched.state()["state"], watched.state()["sure"]) == ("its session is gone", True)


def test_where_a_run_has_ended_all_of_it_was_seen(session, monkeypatch):
    """Also where the watcher has not looked since."""
    process, path = session
    monkeypatch.setattr(view, "_PERIOD", 60.0)
    with LiveView(path) as watched:
        assert watched.state()["state"] == "running"
        ask_to_make_safe(path)
        last = until(lambda: (state := watched.state())["state"] == "ended" and state)
        process.communicate(timeout=30)
        assert "make_safe" in [event["kind"] for event in last["events"]]
        assert not last["behind"]


def test_only_this_computer_and_only_the_token_make_safe(session, monitor):
    process, path = session
    address, token = monitor(path)
    assert address.startswith("http://127.0.0.1:")
    assert asked(f"{address}make-safe", "POST")[0] == 403
    assert asked(f"{address}make-safe", "POST", {"X-Token": token[:-1]})[0] == 403
    assert asked(f"{address}state", headers={"Host": "lab.example.org"})[0] == 400
    assert asked(f"{address}make-safe", "GET", {"X-Token": token})[0] == 405
    time.sleep(0.5)
    assert process.poll() is None  # none of these reached the session
    assert asked(f"{address}make-safe", "POST", {"X-Token": token}) == (200, {"asked": True})
    process.communicate(timeout=30)
    until(lambda: asked(f"{address}state")[1].get("state") == "ended")
    assert asked(f"{address}make-safe", "POST", {"X-Token": token})[0] == 409


def test_the_view_shows_what_the_cells_hold(night):
    with LiveView(night) as view, open_run(night) as run:
        data = programmed(run)
        until(lambda: view.state()["behind"] == 0 and any(v is not None for v in view.state(0)["now"]))
        for array in (0, 1):
            state = view.state(array)
            one = data.sel(array=array)
            np.testing.assert_allclose(state["now"], 1e6 * one["achieved"].values.ravel(), atol=0.0051)
            np.testing.assert_allclose(state["target"], 1e6 * one["target"].values.ravel(), atol=0.0071)
            inside = np.abs(one["achieved"] - one["target"]).values <= float(one["tolerance"])
            inside = inside[one["target"].values > run.infos[array].window.low + float(one["tolerance"])]
            assert state["curve"][-1] == (int(one["pulses"].sum()), 100 * inside.mean())
            assert state["within"] == pytest.approx(1e6 * float(one["tolerance"]))
        assert state["state"] == "ended"
        assert state["calls"]["program"]["records"] == 2
        assert state["progress"] == {
            "wanted": one["target"].count(),
            "read": one["target"].count(),
            "pulses": int(one["pulses"].sum()),
        }
        assert not [event for event in state["events"] if "{" in event["text"]]


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with browser.chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


def open_page(driver, address):
    """A page that owes nothing to the one before: what that complained of, as its server was gone, is forgotten."""
    driver.get("about:blank")
    browser.problems(driver)
    driver.get(address)


def text_of(driver, name):
    return driver.find_element("id", name).text


@pytest.mark.parametrize("width", [browser.PHONE, browser.DESK])
def test_the_page_fills_in_and_its_button_makes_safe(driver, session, monitor, width):
    process, path = session
    browser.set_width(driver, width)
    address, token = monitor(path)
    open_page(driver, f"{address}#{token}")
    until(lambda: text_of(driver, "state") == "running")
    until(lambda: text_of(driver, "yield").endswith("%") and "SET" in text_of(driver, "pulse"))
    until(lambda: len(driver.find_element("id", "line").get_attribute("points").split()) > 5)
    pixels = "const c = document.getElementById('now'); return [c.width, c.height, ...c.getContext('2d')"
    cols, rows, *colours = driver.execute_script(pixels + ".getImageData(0, 0, c.width, c.height).data]")
    assert (cols, rows) == (10, 12)
    assert colours[3::4] == [255] * 120
    assert len(set(zip(colours[0::4], colours[1::4], colours[2::4], strict=True))) > 10
    browser.photograph(driver, "live")
    assert browser.problems(driver) == []
    driver.find_element("id", "safe").click()
    process.communicate(timeout=30)
    until(lambda: text_of(driver, "answer") == "Made safe: the session has ended.")
    assert text_of(driver, "state") == "ended"
    assert not driver.find_element("id", "safe").is_enabled()
    assert browser.problems(driver) == []


def test_the_page_says_that_the_session_is_gone(driver, session, monitor):
    process, path = session
    browser.set_width(driver, browser.DESK)
    address, _ = monitor(path)
    open_page(driver, address)  # without the token: to look, not to touch
    until(lambda: text_of(driver, "state") == "running")
    assert not driver.find_element("id", "safe").is_enabled()
    process.kill()
    process.wait()
    until(lambda: text_of(driver, "state") == "its session is gone")
    assert text_of(driver, "answer").startswith("Nobody holds the array any more")
    browser.photograph(driver, "gone")


def test_extras_that_are_missing_are_named(night):
    code = f"import sys; sys.modules['uvicorn'] = None; {IMSSA}"
    command = [sys.executable, "-c", code, "monitor", "--web", str(night)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'pip install "imssa-lab[web,plot]"' in done.stderr


def _records(path):
    with open_run(path) as run:
        return run.records("pulses")
