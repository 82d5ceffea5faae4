"""Deployments on the board as measured, by pulses and with default bounds; and on twins as `imssa fit` makes them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from benchmarks.bars import Bars
from benchmarks.deploy.deployed_tasks import Bench
from benchmarks.deploy.trained_bundles import trained
from imssa_lab.cli.shared.virtual_instruments import virtual_arrays
from imssa_lab.contract.hal import CrossbarArray
from imssa_lab.mapping import arrays_needed
from imssa_lab.station.addresses import open_arrays
from protocols.deployment.choices import DeploymentChoices
from protocols.deployment.deployment import Deployment, deploy
from twin import DigitalTwin, TwinProfile
from twin.programming_law import ProgrammingError

BOARD = "supert-a0"
LOSS = {"fsdd-order": 1.0, "digits-first": 1.0, "fsdd-t10": 2.0}
"""Points of accuracy that may be lost against software."""
BEFORE = {"pulses": 250e3, "hours": 2.8}
"""Of the demo net on ten arrays before write-verify and mending knew the measured board, the best of three chips."""
_CALIBRATION, _TESTS = 64, 200


@dataclass(frozen=True)
class Timed:
    """A deployment, and the processor time that it took, s."""

    result: Deployment
    seconds: float

    @property
    def lost(self) -> float:
        """Points of accuracy against software."""
        return 100 * (self.result.software_accuracy - self.result.accuracy)


def _deployed(
    bench: Bench, task: str, seed: int, chip: int, profile: str | TwinProfile, *, mending: bool = True
) -> Timed:
    count = arrays_needed(trained(task, "ternary", seed, bench.folder)[0], (64, 64))
    arrays = [DigitalTwin(profile, seed=1000 * chip + index) for index in range(count)]
    return _deployed_on(arrays, bench, task, seed, mending=mending)


def _deployed_on(
    arrays: Sequence[CrossbarArray], bench: Bench, task: str, seed: int, *, mending: bool = True, tests: int = _TESTS
) -> Timed:
    bundle, sequences = trained(task, "ternary", seed, bench.folder)
    started = time.process_time()
    choices = DeploymentChoices(mending=mending)
    result = deploy(bundle, arrays, sequences.first(_CALIBRATION, tests), choices)
    return Timed(result, time.process_time() - started)


def board(bars: Bars, bench: Bench, task: str) -> None:
    """One task on the measured board: every chip with every model, naive programming of the first one beside it."""
    _deployed(Bench(1, 1, None), task, 0, 1, BOARD)  # loads what is compiled, which is no time of a deployment
    which = [(seed, chip) for seed in range(bench.seeds) for chip in range(1, bench.chips + 1)]
    found = [_deployed(bench, task, seed, chip, BOARD) for seed, chip in which]
    lost = [each.lost for each in found]
    naive = _deployed(bench, task, 0, 1, BOARD, mending=False)
    note = f"{_words(lost)}; naive, one chip: {naive.lost:.1f}"
    bars.check(f"{task}, ternary, {BOARD}: points lost", statistics.mean(lost), "<=", LOSS[task], note)
    good = [
        (place, each)
        for place, each in zip(which, found, strict=True)
        if each.lost <= 100 * each.result.bounds.task_loss
    ]
    share = statistics.mean(float(each.result.passed) for _, each in good) if good else 0.0
    failing = "; ".join(
        f"model {seed}, chip {chip}: {level}"
        for (seed, chip), each in good
        for level in each.result.levels
        if not level.passed
    )
    bars.check("verified where the loss is within its bound, share", share, "==", 1.0, failing or "no level failed")
    seconds = [each.seconds for each in found]
    bars.check("processor time of a deployment, s", max(seconds), "<=", 30.0, _words(seconds))
    pulses, hours = [each.result.pulses for each in found], [each.result.seconds / 3600 for each in found]
    if task == "digits-first":
        bars.check("pulses", max(pulses), "<=", BEFORE["pulses"] / 2, _words(pulses))
        bars.check("device time over all arrays, h", max(hours), "<=", BEFORE["hours"] / 2, _words(hours))
    else:
        print(f"     pulses {_words(pulses)}; device time over all arrays, h: {_words(hours)}", flush=True)
    steps = "/".join("{}-{}".format(*each.result.reads_a_step) for each in found)
    print(f"     products a time step, planned-mended: {steps}", flush=True)
    classes = [part for each in found if each.result.cell_shares for part in each.result.cell_shares.classes]
    for name in dict.fromkeys(part.name for part in classes):
        shares = [part.share for part in classes if part.name == name]
        null = [part.null_share for part in classes if part.name == name]
        print(f"     cells, {name}: worst {min(shares):.4f}, never programmed {max(null):.2f}", flush=True)


def through_the_driver(bars: Bars, bench: Bench, task: str) -> None:
    """One model on one board behind the driver of the superT A0, on a pseudo-terminal; its wall time too."""
    seed, chip = 0, 1
    count = arrays_needed(trained(task, "ternary", seed, bench.folder)[0], (64, 64))
    with virtual_arrays("supert-a0", 1000 * chip, count) as address, ExitStack() as stack:
        arrays = open_arrays(address, count)
        for array in arrays:
            stack.callback(array.close)
        began = time.monotonic()
        found = _deployed_on(arrays, bench, task, seed, tests=bars.size(_TESTS, smoke=4))
        took = time.monotonic() - began
    note = f"{found.result.pulses} pulses, {found.result.seconds / 3600:.2f} h of device time, {took:.0f} s of wall"
    bars.check(f"{task}, ternary, through the driver: points lost", found.lost, "<=", LOSS[task], note)
    failed = ", ".join(str(level) for level in found.result.levels if not level.passed) or "no level failed"
    bars.check("verified", float(found.result.passed), "==", 1.0, failed)


def fitted(bars: Bars, bench: Bench) -> None:
    """A twin with a `[programming]` law, which reports every cell as reached, and 5 % stuck cells."""
    easy = TwinProfile.load("supert-a0-easy")
    stuck = easy.stuck.model_copy(update={"on_fraction": 0.025, "off_fraction": 0.025, "on_conductance": 140e-6})
    law = ProgrammingError(law="normal", g_max=150e-6, sd=(2e-6, 2e-6))
    profile = easy.model_copy(update={"stuck": stuck, "programming": law})
    ours, naive = (
        [_deployed(bench, "fsdd-order", 0, chip, profile, mending=mending).lost for chip in range(bench.chips)]
        for mending in (True, False)
    )
    what = "fsdd-order on twins with [programming], 5 % stuck: points lost, worst chip"
    bars.check(what, max(ours), "<=", 2.0, f"{_words(ours)}; naive {_words(naive)}")


def write_verify(bars: Bars) -> None:
    """Full arrays of the measured board by its own recipe, in processor time."""
    DigitalTwin(BOARD, (8, 8)).read_conductances()  # loads what is compiled
    full = ((64, 0.5), (256, 5.0))
    for size, required in bars.size(full, smoke=((8, 0.5), (16, 5.0))):
        target = np.random.default_rng(0).uniform(2e-6, 100e-6, (size, size))
        twin = DigitalTwin(BOARD, (size, size), seed=0)
        started = time.process_time()
        report = twin.program_conductances(target)
        took = time.process_time() - started
        bars.check(f"write-verify {size}x{size}, {BOARD}, processor s", took, "<=", required, str(report))


def _words(values: list[float] | list[int]) -> str:
    return "/".join(f"{value:.3g}" for value in values)
