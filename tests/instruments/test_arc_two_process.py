"""ArC TWO's library in a process of its own: deadlines that hold while it holds Python's lock, and kills."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from drivers import arc_two_process
from drivers.arc_two import open_arc_two
from imssa_lab.contract.errors import LinkError, LinkLost, LinkTimeout

SCRIPT = """
import sys
import time
import numpy as np
from drivers import arc_two_process
from drivers.arc_two import open_arc_two
arc_two_process.LIBRARY = "tests.instruments.hanging_pyarc2"
array = open_arc_two("0", {"firmware": sys.argv[1], "block": "4x4"})
array.read_mvm(np.full(4, 0.1))
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arc_two_process, "LIBRARY", "tests.instruments.hanging_pyarc2")


@pytest.fixture
def firmware(tmp_path: Path) -> Path:
    path = tmp_path / "arc2fw.bin"
    path.write_text("nothing hangs")
    return path


def options(firmware: Path) -> dict[str, str]:
    return {"firmware": str(firmware), "block": "4x4"}


def journal(firmware: Path) -> list[str]:
    return firmware.with_suffix(".journal").read_text().split()


def test_it_reads_and_lets_go(firmware: Path) -> None:
    with open_arc_two("0", options(firmware)) as array:
        assert array.read_mvm(np.full(4, 0.1)) == pytest.approx(np.array([15, 32, 14, 33]) * 1e-6)
        process = array._instrument._process
    assert journal(firmware)[-2:] == ["ground", "closed"]
    assert process.poll() == 0


def test_a_read_that_hangs_ends_at_its_deadline_and_says_what_is_not_known(
    firmware: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    firmware.write_text("read")
    array = open_arc_two("0", options(firmware))
    monkeypatch.setattr(arc_two_process, "_CALL", 0.2)
    process = array._instrument._process
    with pytest.raises(LinkTimeout, match=r"no answer within 0\.2 s; what its electrodes see is not known"):
        array.read_mvm(np.full(4, 0.1))
    assert process.returncode is not None  # it has ended by the time that the script is told
    for call in (array.make_safe, array.read_conductances):
        with pytest.raises(LinkLost, match="switch it off and on"):
            call()
    with pytest.raises(LinkLost):
        array.close()


def test_a_search_for_boards_that_hangs_ends_at_its_deadline(firmware: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARC_TWO_HANGS", "find_ids")
    monkeypatch.setattr(arc_two_process, "_OPENING", 1.0)
    with pytest.raises(LinkTimeout, match="find_ids had no answer"):
        open_arc_two("0", options(firmware))


def test_a_panic_is_an_error_of_ours(firmware: Path) -> None:
    firmware.write_text("panic")
    array = open_arc_two("0", options(firmware))
    with pytest.raises(LinkLost, match=r"gave up \(PanicException: unwrap\)"):
        array.read_mvm(np.full(4, 0.1))
    array.close()
    assert journal(firmware)[-2:] == ["ground", "closed"]


def test_a_killed_script_grounds_the_electrodes(firmware: Path) -> None:
    """The process of the library finds nobody on its line."""
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(firmware)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
    ) as script:
        assert script.stdout is not None
        assert script.stdout.readline() == b"ready\n"
        os.kill(script.pid, signal.SIGKILL)
    for _ in range(200):
        if journal(firmware)[-1] == "closed":
            break
        time.sleep(0.05)
    after = journal(firmware)[journal(firmware).index("read") + 1 :]
    assert after == ["ground", "ground", "closed"], "the operation's own, and those after the kill"


def test_a_board_that_the_library_does_not_open(firmware: Path) -> None:
    firmware.write_text("refused")
    with pytest.raises(LinkError, match=r"cannot be opened \(no such device"):
        open_arc_two("0", options(firmware))


def test_a_library_whose_process_ends_is_noticed(firmware: Path) -> None:
    array = open_arc_two("0", options(firmware))
    array._instrument._process.kill()
    with pytest.raises(LinkLost, match="process of its library has ended"):
        array.read_mvm(np.full(4, 0.1))
    with pytest.raises(LinkLost):
        array.close()
