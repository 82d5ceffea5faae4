"""Station files: aliases that open, limits that hold, and mistakes that are named before anything is connected."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from imssa_lab.cli import app
from imssa_lab.contract.errors import ConfigError, ImssaError, LimitError, WrongInstrument
from imssa_lab.contract.hal import Pulses
from imssa_lab.station.addresses import open_array
from imssa_lab.station.station_file import Station

GOOD = """
operator = "A. Student"
log_folder = "."

[arrays.chip0]
address = "twin:supert-a0-easy?seed=1&shape=8x8"
chip = "seed 1"
[arrays.chip0.limits]
read_voltage = 0.15
set = { voltage_max = 2.0 }
"""
MISTAKES = [
    ('operator = "A. Student"', 'oprator = "A. Student"', "unknown key 'oprator'; did you mean 'operator'"),
    ("log_folder", "log_foldre", "did you mean 'log_folder'"),
    ("[arrays.chip0]\n", "[array.chip0]\n", "did you mean 'arrays'"),
    ("address =", "adress =", "did you mean 'address'"),
    ("address =", "adress =", "arrays.chip0.address: Field required"),
    ("chip =", "chop =", "did you mean 'chip'"),
    ("[arrays.chip0.limits]", "[arrays.chip0.limit]", "did you mean 'limits'"),
    ("read_voltage = 0.15", "v_read = 0.15", "'arrays.chip0.limits.v_read'; did you mean 'read_voltage'"),
    ("read_voltage = 0.15", "read_voltage = 200", "200 V asked, the array's own limit is 0.2 V.*200 mV is 0.2"),
    ("read_voltage = 0.15", "read_voltage = -0.1", "read_voltage: Input should be greater than 0"),
    ("read_voltage = 0.15", 'read_voltage = "low"', "read_voltage: 'low' is no number"),
    ("address =", "v_read = 200\naddress =", "'arrays.chip0.v_read'; did you mean 'limits.read_voltage'"),
    ("address =", "recipe = { tolerance_out = 8 }\naddress =", "tolerance_out: 8 S is wider .* 8 uS is 8e-6"),
    ("voltage_max = 2.0", "voltage_max = 4.0", r"limits.set.voltage_max: 4 V asked, the array's own limit is 3.5 V"),
    ("voltage_max", "voltage", "did you mean 'voltage_max'"),
    ("set = {", "sett = {", "did you mean 'set'"),
    ("set = {", "form = {", "this array has no FORM pulses"),
    ('chip = "seed 1"', 'chip = "seed 2"', "reports chip 'seed 1', the station file names 'seed 2'"),
    ("supert-a0-easy?", "supert-a1-easy?", "supert-a0-easy"),
    ("twin:", "twn:", "did you mean 'twin'"),
    ("seed=1&", "sede=1&", "unknown option"),
    ("shape=8x8", "shape=8", "shape"),
    ('"."', '".', "cannot be read as TOML"),
    ("[arrays.chip0]", "[arrays.chip0", "cannot be read as TOML"),
    ("twin:supert-a0-easy?seed=1&shape=8x8", "chip0", "chip0 -> chip0: an alias that names itself"),
    (
        "[arrays.chip0]\n",
        '[arrays.a]\naddress = "b"\n[arrays.b]\naddress = "a"\n[arrays.chip0]\n',
        "a -> b -> a: an alias that names itself",
    ),
]


@pytest.fixture
def station(tmp_path: Path, monkeypatch: Any) -> Path:
    """A good station file in the working folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "station.toml"
    path.write_text(GOOD)
    return path


def test_an_alias_opens_its_array_with_lower_limits(station: Path) -> None:
    with open_array("chip0") as array, open_array("twin:supert-a0-easy?seed=1&shape=8x8") as free:
        assert array.info.serial == "seed 1"
        mask = np.ones(array.info.shape, dtype=bool)
        pulses = Pulses.on(mask, "SET", 2.5, 1.0, 10e-6)
        before = array.read_conductances(averages=64)
        with pytest.raises(LimitError, match=r"2\.5 V asked, at most 2 V"):
            array.apply_pulses(pulses)
        with pytest.raises(LimitError, match=r"0\.2 V asked .*at most 0\.15 V"):
            array.read_mvm(np.full(8, 0.2))
        assert np.abs(array.read_conductances(averages=64) - before).max() < 2e-6
        free.apply_pulses(pulses)  # null control: without the station it goes through, and cells move
        assert free.read_conductances().mean() > 10 * before.mean()


def test_a_file_with_a_byte_order_mark_is_read(station: Path) -> None:
    """Editors of Windows write one."""
    station.write_text(GOOD, encoding="utf-8-sig")
    with open_array("chip0") as array:
        assert array.info.limits.read_voltage == 0.15
    assert CliRunner().invoke(app, ["station", "check"]).exit_code == 0


def test_a_check_loads_nothing_that_only_reads_and_pulses_need(tmp_path: Path) -> None:
    (tmp_path / "station.toml").write_text('[arrays.left]\naddress = "twin:supert-a0?seed=1"\n')
    heavy = ("numba", "scipy", "h5py", "torch", "matplotlib")
    code = (
        "import sys; from typer.testing import CliRunner; from imssa_lab.cli import app; "
        "assert CliRunner().invoke(app, ['station', 'check']).exit_code == 0; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_alias_may_stand_for_another(station: Path) -> None:
    """Limits add up, as the one is opened through the other."""
    station.write_text(GOOD + '[arrays.low]\naddress = "chip0"\n[arrays.low.limits]\nread_voltage = 0.1\n')
    with open_array("low") as array:
        assert (array.info.limits.read_voltage, array.info.limits.set.voltage_max) == (0.1, 2.0)


def test_check_shows_the_good_arrays_beside_one_that_is_gone(station: Path) -> None:
    pytest.importorskip("serial", reason="no serial ports on this system", exc_type=ImportError)
    station.write_text(GOOD + '[arrays.gone]\naddress = "serial+supert-a0:/dev/ttyNONE?array=0"\n')
    done = CliRunner().invoke(app, ["station", "check"])
    assert done.exit_code == 1
    for words in ("gone: serial", "cannot be used", "no such port", "chip0: twin", "seed 1", "2 to 150"):
        assert words in done.stdout
    told = json.loads(CliRunner().invoke(app, ["station", "check", "--json"]).stdout)
    assert (told["good"], told["arrays"]["gone"]["usable"], told["arrays"]["chip0"]["usable"]) == (False, False, True)
    assert "no such port" in told["arrays"]["gone"]["error"]


def test_the_environment_names_another_file(station: Path, monkeypatch: Any) -> None:
    other = station.rename(station.with_name("other.toml"))
    with pytest.raises(ConfigError, match="an alias needs a station file"):
        open_array("chip0")
    monkeypatch.setenv("IMSSA_STATION", str(other))
    with open_array("chip0") as array:
        assert array.info.limits.read_voltage == 0.15


def test_limits_are_never_raised(station: Path) -> None:
    with open_array("chip0") as array, open_array("twin:supert-a0-easy?seed=1&shape=8x8") as free:
        with pytest.raises(LimitError, match="lowered, not raised"):
            array.lower_limits(free.info.limits)


@pytest.mark.parametrize(("right", "wrong", "said"), MISTAKES)
def test_every_mistake_is_named(station: Path, right: str, wrong: str, said: str) -> None:
    assert right in GOOD
    station.write_text(GOOD.replace(right, wrong))
    with pytest.raises(ImssaError, match=said):
        open_array("chip0").close()
    done = CliRunner().invoke(app, ["station", "check"])
    assert done.exit_code == 1
    assert "Traceback" not in done.output
    assert "station.toml" in done.output


def test_an_unknown_alias_gets_the_nearest(station: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'chip0'"):
        open_array("chop0")


def test_a_wrong_chip_is_let_go_of(station: Path) -> None:
    station.write_text(GOOD.replace('"seed 1"', '"W3-D12"'))
    with pytest.raises(WrongInstrument):
        open_array("chip0")


def test_check_says_what_is_there(station: Path) -> None:
    done = CliRunner().invoke(app, ["station", "check"])
    assert done.exit_code == 0, done.output
    for text in ("A. Student", "GB free", "chip0", "seed 1", "0.15 V", "column calibration"):
        assert text in done.output


def test_init_asks_and_writes_what_check_reads(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    answers = ['A. "Bench" Student', "logs", "chip1", "twin:ideal?shape=4x4", "seed 0", "", "0.1", "y"]
    answers += [
        "chip1",
        "no good",
        "chip1-b",
        "twn:ideal",
        "twin:ideal?seed=2&shape=4x4",
        "",
        "c.json",
        "200 mV",
        "",
        "n",
    ]
    done = CliRunner().invoke(app, ["station", "init"], input="\n".join(answers) + "\n")
    assert done.exit_code == 0, done.output
    for words in ("did you mean 'twin'", "chip1 is in the file already", "an alias has letters", "200 mV is 0.2"):
        assert words in done.stderr
    assert "supert-a0:" in done.stderr  # what addresses can begin with
    bench = Station.load()
    assert bench.operator == 'A. "Bench" Student'
    one, two = bench.arrays["chip1"], bench.arrays["chip1-b"]
    assert (one.chip, one.limits.read_voltage, two.chip, two.limits.read_voltage) == ("seed 0", 0.1, None, None)
    assert (one.calibration, two.calibration) == (Path("chip1.json"), Path("c.json"))
    checked = CliRunner().invoke(app, ["station", "check"])
    assert checked.exit_code == 0, checked.output
    assert "imssa calibrate" in checked.output  # the next step
    again = CliRunner().invoke(app, ["station", "init"], input="\n")
    assert again.exit_code == 1
    assert "nothing was overwritten" in again.output


def test_the_comments_of_a_new_file_are_keys_that_it_can_have(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    answers = ["", "", "left", "twin:supert-a0-easy?seed=1&shape=4x4", "", "", "", "n"]
    assert CliRunner().invoke(app, ["station", "init"], input="\n".join(answers) + "\n").exit_code == 0
    text = Path("station.toml").read_text()
    Path("station.toml").write_text(re.sub("^# ", "", text, flags=re.MULTILINE).replace("A17", "seed 1"))
    with open_array("left") as array:
        assert array.info.limits.set is not None
        assert array.info.limits.set.voltage_max == 3.0
