"""kill -9 in the middle of a run: every acknowledged call is in the file."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from imssa_lab.contract.errors import ReplayMismatch
from imssa_lab.contract.hal import Pulses
from imssa_lab.log import open_run

from .conftest import Chip

ROOT = Path(__file__).parents[2]
# Prints the number of a step once all its calls have returned.
SCRIPT = """
import importlib.util, sys
import numpy as np
spec = importlib.util.spec_from_file_location("chip", {conftest!r})
chip = importlib.util.module_from_spec(spec)
spec.loader.exec_module(chip)
from imssa_lab.log import record
with record({path!r}, [chip.Chip()], {{}}) as (array,):
    step = 0
    while True:
        array.read_mvm(np.full((1 + step % 3, 5), 1e-4 * (step % 1000)))
        array.read_conductances(averages=2)
        array.apply_pulses(chip.Pulses.on(np.eye(5, 4, dtype=bool), "SET", 1.0, 1.5, 1e-7))
        print(step, flush=True)
        step += 1
"""


@pytest.mark.parametrize("after", [1, 40, 101])
def test_nothing_acknowledged_is_lost(tmp_path: Path, after: int) -> None:
    path = tmp_path / "run.h5"
    code = SCRIPT.format(conftest=str(Path(__file__).with_name("conftest.py")), path=str(path))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        acknowledged = 0
        for line in process.stdout:
            acknowledged = int(line) + 1
            if acknowledged == after:
                time.sleep(0.0007 * after % 0.003)  # anywhere within a record
                process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert acknowledged >= after
    chip = Chip()  # the same seed gives the same bits: what the killed process saw
    with open_run(path) as run:
        assert not run.closed_cleanly
        for table in ("read_mvm", "read_conductances", "pulses"):
            assert acknowledged <= run.records(table) <= acknowledged + 60
        assert run.column("pulses", "done")[:acknowledged].all()
        (replay,) = run.arrays()
        for step in range(acknowledged):
            voltages = np.full((1 + step % 3, 5), 1e-4 * (step % 1000))
            assert replay.read_mvm(voltages).tobytes() == chip.read_mvm(voltages).tobytes()
            assert replay.read_conductances(averages=2).tobytes() == chip.read_conductances(averages=2).tobytes()
            pulses = _pulses()
            replay.apply_pulses(pulses)
            chip.apply_pulses(pulses)
            assert replay.time == chip.time
        while replay.calls_left:  # what was in flight: whole, or not there at all
            step += 1
            voltages = np.full((1 + step % 3, 5), 1e-4 * (step % 1000))
            try:
                assert replay.read_mvm(voltages).tobytes() == chip.read_mvm(voltages).tobytes()
                assert replay.read_conductances(averages=2).tobytes() == chip.read_conductances(averages=2).tobytes()
                chip.apply_pulses(_pulses())
                replay.apply_pulses(_pulses())
            except ReplayMismatch:
                assert replay.calls_left == 0


def _pulses() -> Pulses:
    return Pulses.on(np.eye(5, 4, dtype=bool), "SET", 1.0, 1.5, 1e-7)
