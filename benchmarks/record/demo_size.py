"""How large the log of `imssa demo` is, and that its replay gives the report again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.bars import Bars
from imssa_lab.cli.runs.log import replay_run
from imssa_lab.cli.shared.session import stages
from imssa_lab.log import open_run


def demo_size(bars: Bars, folder: Path) -> None:
    """The whole demo on twins in process, and its deployment again from the packed record."""
    if bars.smoke:
        bars.left_out("the whole demo")
        return
    out = folder / "demo"
    command = [sys.executable, "-c", "from imssa_lab.cli import main; main()"]
    subprocess.run([*command, "demo", "--out", str(out)], check=True, stdout=subprocess.DEVNULL)
    with open_run(out / "run.h5") as run, stages() as told:
        replay_run(run, told)  # ReplayMismatch where a byte or a number of the report differs
    bars.check("demo log, MB, same bits on replay", (out / "run.h5").stat().st_size / 1e6, "<=", 40)
