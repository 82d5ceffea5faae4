"""Recording, replaying and the demo where neither the installation nor the home can be written."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.bars import Bars

_ROOT = Path(__file__).parents[2]
_IMSSA = [sys.executable, "-c", "from imssa_lab.cli import main; main()"]
_SESSION = """
import numpy as np
from imssa_lab import open_array, open_run, record
with record("run.h5", [open_array("twin:supert-a0?seed=1&shape=16x16")], {}) as (chip,), chip:
    seen = [chip.read_conductances().tobytes(), chip.read_mvm(np.full(16, 0.1)).tobytes()]
with open_run("run.h5") as run:
    (again,) = run.arrays()
    assert [again.read_conductances().tobytes(), again.read_mvm(np.full(16, 0.1)).tobytes()] == seen
"""
_MOUNTED = "for place in {places}; do mount --bind $place $place && mount -o remount,ro,bind $place || exit 9; done; "


def read_only(bars: Bars, folder: Path) -> None:
    """In mounts that are read-only, also for root; where such cannot be made, with the writes refused."""
    home = folder / "home"
    home.mkdir()
    bare = {name: value for name, value in os.environ.items() if not name.endswith(("_CACHE_DIR", "_CACHE_HOME"))}
    around = bare | {"HOME": str(home), "PYTHONPATH": str(_ROOT)}
    around.pop("MPLCONFIGDIR", None)
    places = [str(place) for place in (_ROOT, Path(sys.prefix), home)]
    mounted = ["unshare", "--mount", "sh", "-c", _MOUNTED.format(places=shlex.join(places)) + '"$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*mounted, "true"], env=around, check=False).returncode:
        print("      no read-only mounts to be had: writes are refused instead")
        mounted = []
        around |= {"PYTHONPATH": f"{_ROOT / 'trials' / 'refusals'}{os.pathsep}{_ROOT}", "REFUSED": "home"}

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*mounted, *command], env=around, cwd=folder, text=True, capture_output=True, check=False
        )
        print("".join(f"     {line}\n" for line in done.stderr.splitlines()[-5:] if done.returncode), end="")
        return done

    done = run(sys.executable, "-c", _SESSION)
    bars.check("record and replay, same bits, read-only, exit code", done.returncode, "==", 0)
    said = done.stderr.splitlines()
    bars.check(
        "lines that say what it costs, with NUMBA_CACHE_DIR", sum("NUMBA_CACHE_DIR" in line for line in said), "==", 1
    )
    bars.check("lines in all", len(said), "==", 1)
    if bars.smoke:
        bars.left_out("the whole demo")
        return
    demo = run(*_IMSSA, "demo", "--out", "demo")
    bars.check("demo, read-only, exit code", demo.returncode, "==", 0)
    again = run(*_IMSSA, "log", "replay", "demo/run.h5")
    bars.check("its replay, read-only, exit code", again.returncode, "==", 0)
