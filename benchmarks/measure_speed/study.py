"""Studies: what a second worker brings, what a kill costs, how long a thousand chips take.

A bundle of ORDER, as `imssa train fsdd-order` writes it, is named by IMSSA_ORDER (a folder); chips are a sample.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.bars import Bars
from imssa_lab.cli.session import Sequences
from imssa_lab.cli.statistical import StudyModel, study_trial
from imssa_lab.s4d.bundle import KernelBundle
from protocols.study import StudyTrial
from protocols.workers import workers

SAMPLE = 16
IMSSA = Path(sys.executable).parent / "imssa"


def measure(bars: Bars) -> None:
    """Throughput of one and two workers on a sample of chips; a study killed and resumed."""
    folder = Path(os.environ.get("IMSSA_ORDER", ""))
    if not (folder / "bundle.safetensors").exists():
        raise SystemExit("name the folder of a trained ORDER bundle: IMSSA_ORDER=... make measure-speed ARGS=study")
    model = StudyModel(
        KernelBundle.load(folder / "bundle.safetensors"), Sequences.load(folder / "sequences.npz"), tests=100
    )
    jobs = [(i, StudyTrial(0.01, 1e-6, True, i)) for i in range(SAMPLE)]
    took = {}
    for count in (1, 2):
        with workers(count) as pool:
            list(pool.run(study_trial, model, [(-1 - i, jobs[0][1]) for i in range(count)]))  # started, imported
            started = time.perf_counter()
            list(pool.run(study_trial, model, jobs))
            took[count] = time.perf_counter() - started
    bars.check("two workers, times one", took[1] / took[2], ">=", 1.8, f"{SAMPLE} chips")
    minutes = took[2] / SAMPLE * 1000 / 60
    bars.check("1000 chips x ORDER (100 sequences), minutes", minutes, "<=", 10, f"from {SAMPLE} chips, two workers")
    bars.check("killed and resumed, same content", float(killed_is_whole(folder)), "==", 1)


def killed_is_whole(folder: Path) -> bool:
    """Whether a study that is killed in the middle and resumed with two workers ends with the bytes of another."""
    with tempfile.TemporaryDirectory() as name:
        options = ["--bundle", str(folder / "bundle.safetensors"), "--fraction", "0.01", "--sigma", "1"]
        command = [str(IMSSA), "study", "stuck", *options, "--chips", "3", "--tests", "10", "--out"]
        subprocess.run([*command, f"{name}/whole"], check=True, capture_output=True)
        with subprocess.Popen(
            [*command, f"{name}/part"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as run:
            while not (Path(name) / "part" / "study.h5").exists():
                time.sleep(0.05)
            time.sleep(2.0)
            run.send_signal(signal.SIGKILL)
        subprocess.run([*command, f"{name}/part", "--resume", "--workers", "2"], check=True, capture_output=True)
        return (Path(name) / "part/study.h5").read_bytes() == (Path(name) / "whole/study.h5").read_bytes()
