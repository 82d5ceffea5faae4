"""Kernels packed for area on the measured board: a net whose 62 kernels fill three arrays."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import get_args

import numpy as np

from benchmarks.bars import Bars
from benchmarks.deploy.deployed_tasks import Bench
from benchmarks.deploy.inference_costs import counts_compared
from benchmarks.deploy.trained_bundles import trained
from imssa_lab.mapping import Packing, arrays_needed, map_bundle, reads_a_step
from imssa_lab.s4d.inference import run_network
from protocols.cost.energy_figures import EnergyTable
from protocols.cost.predicted_cost import InferenceCost, predicted_cost
from protocols.deployment.choices import DeploymentChoices
from protocols.deployment.deployment import Deployment, deploy
from trials.counting_twin import CountingTwin
from twin import DigitalTwin, TwinProfile

BOARD, TASK = "supert-a0", "digits-first"
CHANNELS = 31
"""In each of two layers, of four states: 62 kernels."""
ARRAYS, FLOOR, LOSS, PLANNING = 3, 97.5, 1.0, 60.0
_CALIBRATION, _TESTS = 64, 200
_READ = 1e-6
"""s for which the read voltage is taken to be applied, where energies are printed."""


@dataclass(frozen=True)
class Packed:
    """A deployment on one board; processor s until its first pulse of programming, and in all."""

    result: Deployment
    planned: float
    seconds: float

    @property
    def lost(self) -> float:
        """Points of accuracy against software."""
        return 100 * (self.result.software_accuracy - self.result.accuracy)


def packings(bars: Bars, bench: Bench, models: int) -> None:
    """What both packings take, accuracy in software of all models, and what boards lose of the first ones."""
    nets = [trained(TASK, "ternary", seed, bench.folder, CHANNELS) for seed in range(models)]
    shape = bars.size((64, 64), smoke=(21, 32))
    bundle, sequences = nets[0]
    arrays = arrays_needed(bundle, shape, packing="area")
    kernels = sum(len(layer.d) for layer in bundle.layers)
    said = f"{kernels} kernels on {shape[0]}x{shape[1]}"
    bars.check("arrays, packed for area", arrays, "==", bars.size(ARRAYS, smoke=1), said)
    _costs(bars, bench, shape)
    _counts(bars, bench, shape)
    right = [
        100 * float(np.mean(run_network(net, told.test_inputs).argmax(axis=1) == told.test_labels))
        for net, told in nets
    ]
    tests = len(sequences.test_labels)
    note = f"{_words(right)}, {tests} tests each"
    what = f"{TASK}, H{CHANNELS}, ternary in software, {models} seeds, %"
    bars.check(what, statistics.mean(right), ">=", FLOOR, note)
    found = []
    for seed in range(bench.seeds):
        for chip in range(1, bench.chips + 1):
            found.append(_deployed(bench, seed, chip, arrays, shape))
            print(f"     model {seed}, board {chip}: {_told(found[-1])}", flush=True)
    on = f"{len(found)} deployments: models 0 to {bench.seeds - 1}, boards 1 to {bench.chips}"
    lost = [each.lost for each in found]
    what = f"{BOARD}, packed for area: points lost, mean"
    bars.check(what, statistics.mean(lost), "<=", LOSS, f"{_words(lost)}; {on}")
    verified = statistics.mean(float(each.result.passed) for each in found)
    failed = [level.level for each in found for level in each.result.levels if not level.passed]
    bars.check("verified, share", verified, "==", 1.0, f"levels that failed: {', '.join(failed) or 'none'}")
    planned = [each.planned for each in found]
    bars.check("planning, processor s, longest", max(planned), "<=", PLANNING, _words(planned))
    naive = _deployed(bench, 0, 1, arrays, shape, mending=False)
    print(f"     null, model 0 on board 1 without mending: {_told(naive)}", flush=True)


def _costs(bars: Bars, bench: Bench, shape: tuple[int, int]) -> None:
    """Reads, time and energy of an inference by both packings."""
    bundle, sequences = trained(TASK, "ternary", 0, bench.folder, CHANNELS)
    kind = TwinProfile.load(BOARD)
    timed = kind.model_copy(update={"timing": kind.timing.model_copy(update={"applied": _READ})})
    inputs, table = sequences.test_inputs[: bars.size(16, smoke=2)], EnergyTable.load()
    found = [predicted_cost(bundle, DigitalTwin(timed, shape), inputs, packing=each) for each in get_args(Packing)]
    for each in found:
        print(f"     packed for {each.mapping.packing}: {_priced(each, table)}", flush=True)
    time_, area = found
    fewer = time_.cells / area.cells
    bars.check("cells to program packed for time, over those packed for area", fewer, ">=", 1.0)


def _priced(each: InferenceCost, table: EnergyTable) -> str:
    counts, whole = each.counts, each.energy(table).reads.whole
    slowest, one_by_one = counts.latency or (np.nan, np.nan)
    return (
        f"{each.mapping.arrays} arrays, {each.cells} cells, {reads_a_step(each.mapping)} products a step, "
        f"{sum(counts.products)} an inference; {slowest:.3g} s by the slowest array, {one_by_one:.3g} s one after "
        f"another; {counts.conversions} conversions of bit lines in use, {counts.every_line} of all; read for "
        f"{_READ:g} s {whole.low:.3g} to {whole.high:.3g} J"
    )


def _counts(bars: Bars, bench: Bench, shape: tuple[int, int]) -> None:
    """Counts packed for area against arrays that count what they are asked for."""
    bundle, sequences = trained(TASK, "ternary", 0, bench.folder, CHANNELS)
    count = arrays_needed(bundle, shape, packing="area")
    counters = [CountingTwin(BOARD, shape, seed) for seed in range(count)]
    mapping = map_bundle(bundle, shape, counters[0].info.window, count, packing="area")
    _, _, wrong = counts_compared(bundle, mapping, counters, sequences.test_inputs[:1])
    bars.check("packed for area: counts that differ from those of an array that counts", wrong, "==", 0)


def _deployed(
    bench: Bench, seed: int, chip: int, count: int, shape: tuple[int, int], *, mending: bool = True
) -> Packed:
    bundle, sequences = trained(TASK, "ternary", seed, bench.folder, CHANNELS)
    boards = [DigitalTwin(BOARD, shape, seed=1000 * chip + index) for index in range(count)]
    started, begun = time.process_time(), [0.0]

    def told(stage: str, done: int, total: int) -> None:
        if stage == "program the arrays" and not begun[0]:
            begun[0] = time.process_time()

    few = sequences.first(_CALIBRATION, _TESTS)
    result = deploy(bundle, boards, few, DeploymentChoices(packing="area", mending=mending), progress=told)
    return Packed(result, begun[0] - started, time.process_time() - started)


def _told(each: Packed) -> str:
    result = each.result
    levels = "; ".join(
        f"{level.level} {level.measured:.3g}{'' if level.passed else ' FAILED'}" for level in result.levels
    )
    return (
        f"lost {each.lost:.1f} of {100 * result.software_accuracy:.1f} %; {levels}; {result.pulses} pulses, "
        f"{result.seconds:.0f} s of device, {result.reads_a_step[1]} products a step, {result.mended} changes; "
        f"processor s {each.planned:.1f} of planning, {each.seconds:.1f} in all"
    )


def _words(values: list[float]) -> str:
    return "/".join(f"{value:.3g}" for value in values)
