"""SIGHUP as when a terminal is closed, and forked children, whose end is none of the array's business."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from twin import DigitalTwin

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="neither forks nor SIGHUP there")

HEAD = """
import os, signal, sys
import numpy as np
from twin import DigitalTwin

class Noted(DigitalTwin):
    def _make_safe(self):
        os.write(1, b"safe\\n")

array = Noted(shape=(2, 2))
"""


def ran(body: str, **options: object) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", HEAD + body], capture_output=True, text=True, cwd=Path(__file__).parents[2], **options
    )  # type: ignore[call-overload]
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout.split()


def test_sighup_makes_safe_and_ends_with_129_however_often_it_comes() -> None:
    """The kernel and the shell each send one; the second must not break off what the first has begun."""
    body = """
class Twice(Noted):
    def _read_mvm(self, voltages):
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)
        os.write(1, b"read\\n")
        return super()._read_mvm(voltages)

    def _make_safe(self):
        os.kill(os.getpid(), signal.SIGHUP)
        super()._make_safe()

with Twice(shape=(2, 2)) as array:
    array.read_mvm(np.zeros(2))
    os.write(1, b"never\\n")
"""
    assert ran(body) == (129, ["read", "safe"])


def test_sighup_that_is_ignored_stays_ignored() -> None:
    """As under nohup."""
    body = """
with array:
    os.kill(os.getpid(), signal.SIGHUP)
    os.write(1, b"on\\n")
assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
"""
    given = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    assert ran(body, **given) == (0, ["on", "safe"])


def test_a_forked_child_that_ends_in_the_block_makes_nothing_safe() -> None:
    """By whatever way: it unwinds through the parent's block, collects garbage and runs what stands at exit."""
    body = """
def leave(how):
    if how == "close":
        array.close()
    elif how == "error":
        raise SystemExit(7)
    sys.exit(7)

with array:
    for how in ("exit", "error", "close"):
        child = os.fork()
        if not child:
            leave(how)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        array.read_mvm(np.zeros(2))
    os.write(1, b"parent\\n")
"""
    assert ran(body) == (0, ["parent", "safe"])


def test_a_signal_to_a_forked_child_is_as_if_there_were_no_array() -> None:
    """A pool ends its workers by SIGTERM; the parent's own handlers are untouched."""
    body = """
with array:
    for signum in (signal.SIGTERM, signal.SIGHUP):
        source, ready = os.pipe()
        child = os.fork()
        if not child:
            os.write(ready, b".")
            signal.pause()
        os.read(source, 1)
        os.kill(child, signum)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signum
        assert signal.getsignal(signum) is not signal.SIG_DFL
    os.write(1, b"parent\\n")
"""
    assert ran(body) == (0, ["parent", "safe"])


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_opens_an_array_of_its_own() -> None:
    """With signals and threads as usual there."""
    with DigitalTwin(shape=(2, 2)):
        child = os.fork()
        if not child:
            try:
                with DigitalTwin(shape=(2, 2)) as own:
                    own.read_conductances()
                    os.kill(os.getpid(), signal.SIGTERM)
            except SystemExit as stop:
                os._exit(int(str(stop.code)) - 100)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 128 + signal.SIGTERM - 100


def test_a_forked_child_leaves_the_log_of_its_parent_alone(tmp_path: Path) -> None:
    """It unwinds through the block of the log too, and must not say that its writer is gone."""
    body = f"""
from imssa_lab import open_run, record
path = {str(tmp_path / "run.h5")!r}
with record(path, [array], {{}}) as (recorded,), recorded:
    recorded.read_conductances()
    child = os.fork()
    if not child:
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert os.path.exists(path + ".session")
    recorded.read_conductances()
with open_run(path) as run:
    os.write(1, b"%d\\n" % run.records("read_conductances"))
"""
    assert ran(body) == (0, ["safe", "safe", "2"])
