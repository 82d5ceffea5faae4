"""`imssa serve` as a process of its own: its address, its journal, its end."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from drivers.openmena import open_openmena
from drivers.scpi import open_scpi
from drivers.supert_a0 import open_supert
from imssa_lab.cli.shared.virtual_instruments import virtual_arrays
from imssa_lab.cli.twins.serve import serve
from imssa_lab.contract.array_types import Pulses
from imssa_lab.contract.errors import ConfigError, InstrumentError
from imssa_lab.contract.operating_system import NO_PSEUDO_TERMINALS, PSEUDO_TERMINALS
from imssa_lab.station.addresses import addresses, open_array, open_arrays
from imssa_lab.virtual.virtual_smu_matrix import meter_profile
from imssa_lab.virtual.virtual_supert_a0 import board_profile
from twin import DigitalTwin

Start = Callable[..., tuple[subprocess.Popen[str], str]]
WITH_TERMINALS = pytest.mark.skipif(not PSEUDO_TERMINALS, reason=NO_PSEUDO_TERMINALS)
_CODE = "import typer; from imssa_lab.cli.twins.serve import serve; typer.run(serve)"


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-c", _CODE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        running.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def test_an_instrument_by_its_address_until_ctrl_c(start: Start, tmp_path: Path) -> None:
    journal = tmp_path / "journal.txt"
    process, address = start("scpi", "--shape", "4x3", "--seed", "2", "--journal", str(journal))
    scheme, _, resource = address.partition(":")
    assert scheme == "visa+scpi"
    with open_scpi(resource, {}) as array:
        assert array.info.shape == (4, 3)
        assert np.median(array.read_conductances()) > 0
        os.kill(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=20)
        assert process.returncode == 0
        assert "outputs are grounded" in told
        lines = journal.read_text().splitlines()
        assert [line.split()[2] for line in lines] == ["on", "cells", "zero", "ground"]
        array.link.close()


def test_a_served_chip_is_kept_from_one_process_to_the_next(start: Start, tmp_path: Path) -> None:
    kept = []
    for _ in range(2):
        process, address = start("scpi", "--shape", "4x3", "--seed", "2", "--state", str(tmp_path / "chip.h5"))
        with open_scpi(address.partition(":")[2], {}) as array:
            kept.append(array.read_conductances(averages=50))
            array.program_conductances(np.full((4, 3), 60e-6))
            kept.append(array.read_conductances(averages=50))
            array.link.close()
        os.kill(process.pid, signal.SIGINT)
        process.communicate(timeout=20)
        assert process.returncode == 0
    fresh, programmed, again, _ = kept
    assert np.abs(again - programmed).max() < 3e-6
    assert np.abs(fresh - programmed).max() > 30e-6
    with pytest.raises(ConfigError, match="index"):
        serve("scpi", count=2, state="chip.h5")


def test_a_board_on_a_pseudo_terminal(start: Start) -> None:
    _, address = start("supert-a0", "--seed", "2")
    scheme, _, port = address.partition(":")
    assert scheme == "serial+supert-a0"
    with open_supert(port, {"array": "1", "block": "4x3"}) as array:
        assert array.read_conductances().shape == (4, 3)


def test_boards_on_tcp_ports(start: Start) -> None:
    """As on a system without pseudo-terminals; five arrays on two boards, by one template."""
    _, address = start("supert-a0", "--seed", "7", "--count", "2", "--port", "0")
    arrays = open_arrays(address, 5)
    for index in (1, 4):
        expected = DigitalTwin(board_profile("supert-a0"), (64, 64), 7 + index).read_conductances()
        assert np.array_equal(arrays[index].read_conductances(), expected)
    for array in arrays:
        array.close()


def test_openmena_shields_are_chips_of_consecutive_seeds(start: Start) -> None:
    _, template = start("openmena", "--seed", "7", "--count", "2")
    for index, address in enumerate(addresses(template, 2)):
        scheme, _, place = address.partition(":")
        port, _, query = place.partition("?")
        assert scheme == "serial+openmena"
        with open_openmena(port, dict(parse_qsl(query))) as array:
            array.apply_pulses(Pulses.on(np.ones((8, 8), bool), "SET", 0.9, 1.0, 1e-3))
            twin = DigitalTwin(meter_profile("supert-a0"), (8, 8), 7 + index)
            twin.apply_pulses(Pulses.on(np.ones((8, 8), bool), "SET", 0.9, 2.0, 1e-3))  # gates differ, thresholds not
            pairs = array.read_conductances(averages=4).ravel(), twin.cells.conductance.ravel()
            assert np.corrcoef(*pairs)[0, 1] > 0.8


@pytest.mark.parametrize("kind", ["supert-a0", "scpi"])
def test_several_arrays_by_one_template(kind: str) -> None:
    with virtual_arrays(kind, 7, 5) as template:
        arrays = open_arrays(template, 5)
        readings = [array.read_conductances() for array in arrays]
        for array in arrays:
            array.close()
    profile = board_profile("supert-a0") if kind == "supert-a0" else "supert-a0"
    for index, reading in enumerate(readings):
        assert np.array_equal(reading, DigitalTwin(profile, (64, 64), 7 + index).read_conductances())


@pytest.mark.parametrize("kinds", [(), ("--meter", "2450", "--matrix", "707b"), ("--matrix", "7001")])
def test_three_instruments_around_one_array(start: Start, kinds: tuple[str, ...]) -> None:
    _, address = start("smu-matrix", "--shape", "4x3", "--seed", "2", *kinds)
    with open_array(address) as array:
        assert array.info.shape == (4, 3)
        assert np.median(array.read_conductances()) > 0


@WITH_TERMINALS
def test_names_of_boards_go_with_them(start: Start, tmp_path: Path) -> None:
    process, address = start("supert-a0", "--link", str(tmp_path / "board"))
    assert address == f"serial+supert-a0:{tmp_path / 'board'}"
    open_array(f"{address}?array=1&block=2x2").close()
    os.kill(process.pid, signal.SIGHUP)  # its terminal is closed
    process.communicate(timeout=20)
    assert process.returncode == 0
    assert not list(tmp_path.iterdir())


def test_faults_by_name(start: Start) -> None:
    _, address = start("scpi", "--shape", "4x3", "--fault", "error@1")
    with pytest.raises(InstrumentError, match="-240"):
        open_scpi(address.partition(":")[2], {})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["toaster"], "there is no 'toaster'"),
        (["supert-a0", "--port", "5025", "--link", "there"], "leave one out"),
        (["supert-a0", "--profile", "ideal"], "has an ADC"),
        pytest.param(["supert-a0", "--count", "2"], "by --link", marks=WITH_TERMINALS),
        (["scpi", "--link", "there"], "write --port"),
        (["smu-matrix", "--count", "2"], "three instruments already"),
        (["smu-matrix", "--meter", "2600"], "meters are 2400, 2450"),
        (["smu-matrix", "--matrix", "7002"], "matrices 7001, 707a, 707b"),
        (["scpi", "--port", "65535", "--count", "2"], "65535 to 65536 cannot be opened"),
        (["scpi", "--shape", "64"], "shape '64'"),
        (["scpi", "--shape", "0x4"], "at least 1x1"),
        (["scpi", "--fault", "gremlins"], "gremlins"),
        (["scpi", "--fault", "late@lots"], "late@lots"),
        (["scpi", "--profile", "nowhere"], "no such preset"),
    ],
)
def test_what_cannot_be_served(arguments: list[str], words: str) -> None:
    assert words in str(refusal(*arguments))


def refusal(*arguments: str) -> ConfigError:
    app = typer.Typer()
    app.command()(serve)
    error = CliRunner().invoke(app, arguments).exception
    assert isinstance(error, ConfigError)
    return error


def test_a_journal_that_exists_is_left_alone(tmp_path: Path) -> None:
    journal = tmp_path / "journal.txt"
    journal.write_text("of yesterday")
    assert "new file" in str(refusal("scpi", "--journal", str(journal)))
    assert journal.read_text() == "of yesterday"


@pytest.mark.parametrize("wrong", [("--shape", "axb"), ("--port", "65535", "--count", "2"), ("--profile", "nowhere")])
def test_a_start_that_is_refused_leaves_no_journal(tmp_path: Path, wrong: tuple[str, ...]) -> None:
    refusal("scpi", "--journal", str(tmp_path / "journal.txt"), *wrong)
    assert list(tmp_path.iterdir()) == []
