"""Studies: what a second worker brings, what a kill costs, how long a thousand chips take.

The ORDER model is trained on first use, within a minute, and kept; chips are a sample.
"""

from __future__ import annotations

import io
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from benchmarks.bars import Bars
from benchmarks.deploy.trained_bundles import BUNDLES, place_of
from benchmarks.timing import exponent
from imssa_lab.contract.errors import DataError
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.inference import run_network
from imssa_lab.studies.study_model import StudyModel
from imssa_lab.studies.trials import StudyTrial
from imssa_lab.studies.workers import workers
from imssa_lab.studies.written_chips import study_trial
from protocols.deployment.sequences import Sequences
from trials.untrained import untrained_bundle, varied_sequences

TRIALS = 8
"""Of the study that is killed."""
IMSSA = Path(sys.executable).parent / "imssa"


def measure(bars: Bars) -> None:
    """Throughput of one and two workers on a sample of chips; a study killed and resumed."""
    with tempfile.TemporaryDirectory() as name:
        try:
            folder = untrained(Path(name)) if bars.smoke else place_of("fsdd-order", "4bit", 0, BUNDLES)
        except DataError as error:
            print(f"left out, the ORDER model cannot be trained without its data: {error}")
            return
        in_folder(bars, folder)


def in_folder(bars: Bars, folder: Path) -> None:
    """Every bar, with the model of this folder."""
    counts = bars.size([2, 4, 8, 16], smoke=[1, 2])
    tests, sample, rounds = bars.size((100, 32, 3), smoke=(4, 2, 1))
    model = StudyModel(
        KernelBundle.load(folder / "bundle.safetensors"), Sequences.load(folder / "sequences.npz"), tests=tests
    )
    took, spent = one_and_two(model, sample, rounds)
    beside = two_that_count(bars.size(50_000_000, smoke=1000))
    note = f"best of {rounds} in turns, {sample} chips each; two processes that only count: {beside:.2f} times"
    bars.check("two workers, times one", took[1] / took[2], ">=", 1.8, note)
    note = f"{spent[2]:.3f} s / {spent[1]:.3f} s; what a busy machine leaves to be seen of the bar before"
    bars.check("processor a chip in a worker, times without Dask", spent[2] / spent[1], "<=", 1.1, note)
    bars.check("exponent of the chips, 2 to 16", of_the_chips(model, counts), "<=", 1.1)
    minutes = took[2] / sample * 1000 / 60
    bars.check("1000 chips x ORDER (100 sequences), minutes", minutes, "<=", 10, f"from {sample} chips, two workers")
    if bars.smoke:
        bars.left_out("a study that is killed, which has to last for some seconds")
        return
    bars.check("killed and resumed, same content", float(killed_is_whole(folder)), "==", 1)


def one_and_two(model: StudyModel, sample: int, rounds: int) -> tuple[dict[int, float], dict[int, float]]:
    """Seconds of the sample with one worker and with two, and seconds of processor a job, the least of all rounds."""
    jobs = [(i, StudyTrial(0.01, 1e-6, "ours", i)) for i in range(sample)]
    took, spent = {1: math.inf, 2: math.inf}, {1: math.inf, 2: math.inf}
    with workers(1) as one, workers(2) as two:
        for pool in (one, two):
            list(pool.run(processor_seconds, model, [(-1 - i, jobs[0][1]) for i in range(2)]))  # started, imported
        for _ in range(rounds):
            for count, pool in ((1, one), (2, two)):
                started = time.perf_counter()
                seconds = [each for _, each in pool.run(processor_seconds, model, jobs)]
                took[count] = min(took[count], time.perf_counter() - started)
                spent[count] = min(spent[count], sum(seconds) / sample)
    return took, spent


def of_the_chips(model: StudyModel, counts: Sequence[int]) -> float:
    """How the processor time of a study in one process grows with its chips."""
    spent = []
    for count in counts:
        jobs = [(i, StudyTrial(0.01, 1e-6, "ours", i)) for i in range(count)]
        with workers(1) as pool:
            spent.append(sum(each for _, each in pool.run(processor_seconds, model, jobs)))
    return exponent(counts, spent)


def untrained(folder: Path) -> Path:
    """A folder with the small untrained bundle and inputs for it."""
    bundle, inputs = untrained_bundle(), varied_sequences(1)
    labels = run_network(bundle, inputs).argmax(axis=1)
    bundle.save(folder / "bundle.safetensors")
    Sequences(inputs, inputs, labels, {"null": 0.5}).save(folder / "sequences.npz")
    return folder


def processor_seconds(model: StudyModel, trial: StudyTrial) -> float:
    """What one trial costs the process it runs in, all its threads."""
    started = time.process_time()
    study_trial(model, trial)
    return time.process_time() - started


def two_that_count(numbers: int) -> float:
    """What two bare processes get done beside one: what this machine has left for more workers."""
    return 2 * counting(1, numbers) / counting(2, numbers)


def counting(processes: int, numbers: int) -> float:
    """Seconds that so many bare processes take side by side."""
    started = time.perf_counter()
    running = [subprocess.Popen([sys.executable, "-c", f"for _ in range({numbers}): pass"]) for _ in range(processes)]
    for process in running:
        process.wait()
    return time.perf_counter() - started


def killed_is_whole(folder: Path) -> bool:
    """Whether a study that is killed after its first result and resumed by two workers ends with the same bytes."""
    with tempfile.TemporaryDirectory() as name:
        whole, part = Path(name) / "whole", Path(name) / "part"
        options = ["--bundle", str(folder / "bundle.safetensors"), "--fraction", "0.01", "--sigma", "1"]
        command = [str(IMSSA), "study", "stuck", *options, "--chips", str(TRIALS // 2), "--tests", "10", "--out"]
        subprocess.run([*command, str(whole)], check=True, capture_output=True)
        with subprocess.Popen([*command, str(part)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
            while not (part / "study.h5").exists() or done(part / "study.h5") == 0:
                time.sleep(0.05)
            run.kill()
        if done(part / "study.h5") == TRIALS:
            raise RuntimeError("the study was over before it was killed; this machine needs more chips here")
        subprocess.run([*command, str(part), "--resume", "--workers", "2"], check=True, capture_output=True)
        return (part / "study.h5").read_bytes() == (whole / "study.h5").read_bytes()


def done(study: Path) -> int:
    """Results in a study's file while another process writes it."""
    with h5py.File(io.BytesIO(study.read_bytes())) as file:
        return int(np.isfinite(file["results"][:, 1]).sum())
