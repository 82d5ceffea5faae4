"""Run files as other programs see them: rules of NeXus, `punx validate`, and silx and nexusformat where they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np

from benchmarks.bars import Bars
from benchmarks.record.instrument import Instrument, step
from imssa_lab import open_array
from imssa_lab.log import record
from imssa_lab.log.care.publish import publish
from imssa_lab.log.care.repair import repair
from imssa_lab.log.care.snapshot import pack, snapshot
from imssa_lab.log.write import run_log
from trials.record.nexus_rules import nexus_faults, plotted_by, punx, punx_errors, python_of_punx

_VIEWERS = ("nexusformat", "silx")


def nexus_view(bars: Bars, folder: Path) -> None:
    """Files of both writers, their copies, and the whole demo's; each against the rules, `punx` and the viewers."""
    files = [_run(folder / "run.h5")]
    with mock.patch.object(run_log, "POSITIONED", False):
        files.append(_run(folder / "plain writer.h5"))
    cut = folder / "cut.h5"
    with record(folder / "whole.h5", [open_array("twin:supert-a0?seed=1&shape=16x16")], {}) as (array,), array:
        array.read_conductances(averages=2)
        cut.write_bytes((folder / "whole.h5").read_bytes())
    repair(cut)
    for name, packed in (("copy.h5", False), ("packed copy.h5", True)):
        snapshot(files[0], folder / name, packed=packed)
        files.append(folder / name)
    publish(files[0], folder / "published.h5")
    pack(folder / "whole.h5")
    files += [folder / "published.h5", cut, folder / "whole.h5"]
    if bars.smoke:
        bars.left_out("the whole demo")
    else:
        imssa = [sys.executable, "-c", "from imssa_lab.cli import main; main()"]
        subprocess.run([*imssa, "demo", "--out", str(folder / "demo")], check=True, stdout=subprocess.DEVNULL)
        files.append(folder / "demo" / "run.h5")
    faults = [f"{file.name}: {fault}" for file in files for fault in nexus_faults(file)]
    print("".join(f"     {fault}\n" for fault in faults), end="")
    bars.check(f"breaches of the rules of NeXus in {len(files)} files", len(faults), "==", 0)
    if punx() is None:
        print("      not run: punx not installed (IMSSA_PUNX names its command)")
        return
    errors = [f"{file.name}: {error}" for file in files for error in punx_errors(file)]
    print("".join(f"     {error}\n" for error in errors), end="")
    bars.check(f"errors of punx validate in {len(files)} files", len(errors), "==", 0)
    for viewer in _VIEWERS:
        shown = [plotted_by(viewer, file) for file in files]
        if None in shown:
            print(f"      not run: {viewer} not installed beside punx ({python_of_punx()})")
        else:
            bars.check(f"files whose default plot {viewer} finds", sum(map(bool, shown)), "==", len(files))


def _run(path: Path) -> Path:
    with record(path, [Instrument((16, 16))], {"operator": os.environ.get("USER", "nobody")}) as (array,), array:
        for number in range(25):
            step(array, number)
        array.read_mvm(np.full((3, 16), 0.1))
    return path
