"""make measure-loop: every bar of the whole loop, from start-up to a fresh clone (half an hour)."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.bars import Bars
from benchmarks.parts import Part, measure
from imssa_lab.contract.errors import ReplayMismatch
from imssa_lab.log import open_run
from imssa_lab.log.schema import requests
from imssa_lab.mapping import map_bundle
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.inference import run_network
from imssa_lab.s4d.model.layers import S4DLayer
from imssa_lab.s4d.model.poles import Poles
from imssa_lab.s4d.quantise.precision import Precision
from protocols.deployment.sequences import Sequences
from protocols.recurrence import KernelRunner
from trials import tiny
from twin import DigitalTwin

ROOT = Path(__file__).parents[1]
IMSSA = Path(sys.executable).parent / "imssa"
SEEDS: tuple[int, ...] = (0, 1, 2)
JUDGED = ("float", "quantised", "on_arrays", "null_control")
"""Of the accuracies of a result: those that are always there; a prediction, for one, may be missing."""


def loop(bars: Bars) -> None:
    """The demo and what is made from its runs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        accuracies(bars, folder)
        ideal_twin(bars, folder / "seed0")
        replay(bars, folder / "seed0")


def start_up(bars: Bars) -> None:
    """Import and help, as a user waits for them."""
    turns = bars.size(11, smoke=1)
    for what, command, required in (
        ("import imssa_lab, s", [sys.executable, "-c", "import imssa_lab"], 0.3),
        ("imssa --help, s", [str(IMSSA), "--help"], 0.5),
    ):
        bars.check(
            what, statistics.median(seconds(command) for _ in range(turns)), "<=", required, f"median of {turns}"
        )


def seconds(command: list[str], folder: Path = ROOT) -> float:
    """Wall time of a command that must succeed."""
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - started


def convolution(bars: Bars) -> None:
    """The two modes of the layer against each other."""
    worst = 0.0
    for precision in ("float", "4bit", "ternary"):
        for steps in (16, 200):
            rng = torch.Generator().manual_seed(0)
            layer = S4DLayer(Poles(32, 4, rng), rng).eval()
            layer.set_precision(Precision.parse(precision))
            u = torch.randn(8, steps, 32, generator=rng)
            with torch.no_grad():
                worst = max(worst, float((layer(u) - layer.recur(u)[0]).abs().max()))
    bars.check(
        "convolution against recurrence", worst, "<=", 1e-5, "largest difference, 3 precisions, 16 and 200 steps"
    )


def accuracies(bars: Bars, folder: Path) -> None:
    """The demo with three seeds, and one of them again."""
    results, ternary, walls = [], [], []
    for seed in bars.size(SEEDS, smoke=SEEDS[:1]):
        out = folder / f"seed{seed}"
        walls.append(made(bars, seed, out))
        results.append(json.loads((out / "result.json").read_text()))
        ternary.append(KernelBundle.load(out / "bundle.safetensors").expected_accuracy[0])
    figures = [result["accuracy"] for result in results]
    means = {name: 100 * statistics.mean(figure[name] for figure in figures) for name in JUDGED}
    each = {name: "/".join(f"{100 * figure[name]:.1f}" for figure in figures) for name in JUDGED}
    bars.check("float accuracy, %", means["float"], ">=", 95, each["float"])
    words = "/".join(f"{100 * t:.1f}" for t in ternary)
    bars.check("all-ternary accuracy, %", 100 * statistics.mean(ternary), ">=", 93, words)
    verified = [result["passed"] for result in results]
    bars.check("demos that end verified, share", statistics.mean(map(float, verified)), "==", 1, str(verified))
    if not bars.smoke:
        bars.check("arrays that the demo takes", max(result["arrays"] for result in results), "<=", 3)
    bars.check("null control, %", means["null_control"], "<=", 50, each["null_control"])
    loss = means["quantised"] - means["on_arrays"]
    bars.check(
        "lost on the twin, points", loss, "<=", 2, f"{each['on_arrays']} of {each['quantised']} on the same sequences"
    )
    bars.check("demo, s", max(walls), "<=", 180, "slowest of three")
    made(bars, 0, folder / "again")
    same = (folder / "again" / "result.json").read_bytes() == (folder / "seed0" / "result.json").read_bytes()
    bars.check("demo twice with one seed, identical numbers", float(same), "==", 1)


def made(bars: Bars, seed: int, out: Path) -> float:
    """A run folder of the demo; of a smoke run, that of the smallest deployment instead. Returns seconds."""
    return small_deployment(out) if bars.smoke else demo(seed, out)


def small_deployment(out: Path) -> float:
    """Three kernels of one state, deployed on an ideal twin by the command line, in the folder of a demo."""
    model = out.with_name(f"{out.name}-model")
    model.mkdir()
    tiny.bundle().save(model / "bundle.safetensors")
    Sequences(*tiny.sequences(), {"float": 0.9, "null": 0.5}).save(model / "sequences.npz")
    files = [str(model / "bundle.safetensors"), "--sequences", str(model / "sequences.npz")]
    array = ["--array", "twin:ideal?shape=16x16&seed={index}", "--out", str(out)]
    started = time.perf_counter()
    subprocess.run([IMSSA, "deploy", *files, *array], check=True, capture_output=True)
    for path in model.iterdir():
        shutil.copy(path, out)
    return time.perf_counter() - started


def demo(seed: int, out: Path) -> float:
    """Run the demo; a deployment that is not verified (exit 3) is the accuracy bars' to judge. Returns seconds."""
    started = time.perf_counter()
    done = subprocess.run(
        [IMSSA, "demo", "--seed", str(seed), "--out", out], capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 3):
        raise SystemExit(f"demo failed with {done.returncode}: {done.stderr}")
    return time.perf_counter() - started


def ideal_twin(bars: Bars, run: Path) -> None:
    """A perfect array must compute what software computes."""
    bundle = KernelBundle.load(run / "bundle.safetensors")
    inputs = np.load(run / "sequences.npz")["test_inputs"]
    arrays = [DigitalTwin("ideal", seed=index) for index in range(3)]
    mapping = map_bundle(bundle, arrays[0].info.shape, arrays[0].info.window, len(arrays))
    for index, array in enumerate(arrays):
        array.program_conductances(*mapping.target(index))
    exact = run_network(bundle, inputs)
    got = run_network(bundle, inputs, KernelRunner(arrays, mapping))
    bars.check(
        "ideal twin against software, relative", float(np.abs(got - exact).max() / np.abs(exact).max()), "<=", 1e-6
    )


def replay(bars: Bars, run: Path) -> None:
    """The demo's log, replayed as it is and with one request changed."""
    done = subprocess.run([IMSSA, "log", "replay", run / "run.h5"], capture_output=True, text=True, check=False)
    bars.check("the demo's log replays bit for bit", float(done.returncode == 0), "==", 1, done.stdout.strip())
    with open_run(run / "run.h5") as opened:
        array = opened.arrays()[0]
        try:
            array.read_mvm(np.zeros(array.info.rows))
            named = ""
        except ReplayMismatch as error:
            named = str(error)
        calls = [opened.column(table, "seq")[opened.column(table, "array") == 0] for table in requests()]
        first = min(int(numbers[0]) for numbers in calls if len(numbers))
    bars.check("a changed request names its call", float(f"call {first}:" in named), "==", 1, named)


def fresh_clone(bars: Bars) -> None:
    """The README's two commands, as a new user types them."""
    if bars.smoke:
        bars.left_out("demo and tests of a fresh clone")
        return
    with tempfile.TemporaryDirectory() as name:
        clone = Path(name) / "imssa_lab"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        inherited = ("PYTHON", "VIRTUAL", "MAKE", "MFLAGS")
        environment = {key: value for key, value in os.environ.items() if not key.startswith(inherited)}
        for target in ("demo", "test"):
            done = subprocess.run(
                ["make", target], cwd=clone, env=environment, capture_output=True, text=True, check=False
            )
            last = _last_line(done.stdout + done.stderr)
            bars.check(f"fresh clone: make {target}, exit code", done.returncode, "==", 0, last)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


_NONE = ("none", "none")
PARTS = {
    "start": Part(lambda bars, given: start_up(bars), *_NONE, "none: processes of their own", "none"),
    "convolution": Part(lambda bars, given: convolution(bars), *_NONE, "none: torch", "0"),
    "loop": Part(lambda bars, given: loop(bars), "supert-a0; ideal", "pulses; written", "in process", "0, 1, 2"),
    "clone": Part(lambda bars, given: fresh_clone(bars), "that of the demo", "pulses", "twin in process", "0"),
}

if __name__ == "__main__":
    sys.exit(measure(__doc__, PARTS))
