"""Mistakes on command lines and ports: each is named with a next step, and reaches no instrument."""

import pytest
from typer.testing import CliRunner

from imssa_lab.cli import app
from imssa_lab.contract.errors import LinkLost
from imssa_lab.station.addresses import open_array
from twin import DigitalTwin

GOOD = """
[arrays.left]
address = "twin:supert-a0-easy?seed=1&shape=4x4"
"""
ON_COMMAND_LINES = [
    (["station", "check", "--file", "nowhere.toml"], 1, ["nowhere.toml", "imssa station init"]),
    (["deploi", "x"], 2, ["deploi", "deploy"]),
    (["report", "nowhere.h5"], 1, ["nowhere.h5", "no such file"]),
    (["monitor", "--prt", "80", "x.h5"], 2, ["--prt", "--port"]),
    (["characterise", "--array", "lft", "--out", "chip"], 1, ["'lft'", "did you mean 'left'"]),
    (["train", "--file", "m.safetensors", "--precision", "1bit"], 1, ["1bit"]),
    (["train", "--file", "m.safetensors", "--task", "digit-first"], 1, ["digit-first", "digits-first"]),
    (["fit", "nowhere.csv", "--out", "x"], 1, ["nowhere.csv"]),
]


@pytest.fixture(autouse=True)
def instrument(monkeypatch):
    """Every call that reaches the half of the twin that a wire would carry."""
    reached = []
    for name in ("_read_mvm", "_read_conductances", "_apply_pulses", "_calibrate"):
        monkeypatch.setattr(DigitalTwin, name, lambda self, *given, _name=name: reached.append(_name))
    yield reached
    assert reached == []


def imssa(*words):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert "Traceback" not in done.output
    return done.exit_code, " ".join((done.stdout + done.stderr).split())


def test_a_port_that_is_not_there_is_named_with_those_that_are(monkeypatch):
    pytest.importorskip("serial", reason="no serial ports on this system", exc_type=ImportError)

    class Port:
        device = "/dev/ttyACM7"

    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: [Port()])
    with pytest.raises(LinkLost, match="no such port; there are: /dev/ttyACM7"):
        open_array("serial+supert-a0:/dev/ttyNONE?array=0")


def test_a_port_without_permission_is_named_with_the_command_that_gives_it(monkeypatch):
    serial = pytest.importorskip("serial", reason="no serial ports on this system", exc_type=ImportError)

    def refuse(*given, **options):
        raise serial.SerialException(13, "Permission denied: '/dev/ttyACM0'")

    monkeypatch.setattr(serial, "Serial", refuse)
    with pytest.raises(LinkLost, match="sudo usermod -a -G dialout"):
        open_array("serial+supert-a0:/dev/ttyACM0?array=0")


@pytest.mark.parametrize(("line", "code", "words"), ON_COMMAND_LINES)
def test_a_mistake_on_the_command_line_is_named(line, code, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "station.toml").write_text(GOOD)
    given, said = imssa(*line)
    assert given == code
    for word in words:
        assert word in said, said
