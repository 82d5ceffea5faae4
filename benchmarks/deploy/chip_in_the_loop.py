"""What corrections fitted with the chip in the loop bring back on naive chips, and that they spoil no mended one."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from benchmarks.bars import Bars
from benchmarks.deploy.deployed_tasks import Bench
from benchmarks.deploy.measured_board import BOARD
from benchmarks.deploy.trained_bundles import trained, with_labels
from imssa_lab.mapping import arrays_needed
from protocols.corrections.deployed_network import DeployedNetwork
from protocols.corrections.finetuning import Finetuned, FittingSequences, finetune, without_state
from protocols.corrections.output_map import with_output_maps
from protocols.deployment.choices import DeploymentChoices
from protocols.deployment.deployment import Deployment, deploy
from protocols.deployment.sequences import Sequences
from twin import DigitalTwin, TwinProfile
from twin.programming_law import ProgrammingError

LOST = 5.0
"""Points that naive ORDER chips may lose with a map fitted to `FEW` sequences."""
NULL = 60.0
"""Accuracy, %, that the same fit without state may reach there."""
DEMO = 84.0
"""Accuracy, %, of naive demo chips with a map and labels of `MANY` sequences."""
WORSE = 0.5
"""Points that mended chips may lose by corrections."""
BACK = 0.5
"""Share of what mending leaves at 10 % stuck cells and errors of 5 uS that comes back."""
FEW, MANY, _HELD_OUT, _CALIBRATION, _TESTS = 32, 300, 32, 64, 200
_ALL_TESTS = 400


@dataclass(frozen=True)
class _Chip:
    """A deployment that can be corrected, and the sequences of its net."""

    network: DeployedNetwork
    result: Deployment
    sequences: Sequences

    def tuned(self, fitted: int, *, output_map: bool, head: bool, null: bool) -> Finetuned:
        """As `imssa finetune` does it."""
        fitting = FittingSequences.of(self.sequences, fitted, _HELD_OUT)
        judged = self.sequences.first(_CALIBRATION, len(self.result.predictions))
        return finetune(self.network, fitting, judged, output_map=output_map, head=head, null=null)

    def null_accuracy(self, fitted: int) -> float:
        """Accuracy on the test sequences, %, of a map fitted to the chip without state."""
        fitting, judged = FittingSequences.of(self.sequences, fitted, _HELD_OUT), self.sequences.first(1, _TESTS)
        raw = without_state(self.network.runner.raw)
        found = with_output_maps(self.network.bundle, self.result.corrections, raw, fitting.inputs)
        logits = self.network.run_with(found, judged.test_inputs, raw)
        return 100 * float(np.mean(logits.argmax(axis=1) == judged.test_labels))


def _chip(
    bench: Bench, task: str, chip: int, *, mending: bool, profile: str | TwinProfile = BOARD, tests: int = _TESTS
) -> _Chip:
    bundle, kept = trained(task, "ternary", 0, bench.folder)
    sequences = with_labels(task, 0, kept, bench.folder)
    arrays = [DigitalTwin(profile, seed=1000 * chip + index) for index in range(arrays_needed(bundle, (64, 64)))]
    choices = DeploymentChoices(mending=mending)
    result = deploy(bundle, arrays, sequences.first(_CALIBRATION, tests), choices)
    return _Chip(DeployedNetwork(bundle, arrays, result.mapping, result.corrections), result, sequences)


def corrections(bars: Bars, bench: Bench, task: str) -> None:
    """Chips of one task: naive with a map, then labels as well; and mended with both."""
    order = task == "fsdd-order"
    fitted = bars.size(FEW if order else MANY, smoke=16)
    maps, heads, nulls, worse = [], [], [], []
    for chip in range(1, bench.chips + 1):
        started = time.process_time()
        naive = _chip(bench, task, chip, mending=False)
        mapped = naive.tuned(fitted, output_map=True, head=False, null=False)
        labelled = naive.tuned(fitted, output_map=False, head=True, null=False)
        nulls.append(naive.null_accuracy(fitted))
        software = 100 * naive.result.software_accuracy
        maps.append(_accuracy(mapped))
        heads.append(_accuracy(labelled))
        print(
            f"     {task}, chip {chip}, naive: software {software:.1f} %, gain and offset "
            f"{100 * naive.result.accuracy:.1f}, map of {fitted} sequences {maps[-1]:.1f}, labels too "
            f"{heads[-1]:.1f}, without state {nulls[-1]:.1f}; kernel level {mapped.kernel[0].measured:.3f} -> "
            f"{mapped.kernel[1].measured:.3f}; multiply-adds a step of the outputs' correction "
            f"{mapped.tried[0].multiply_adds[0]} -> {mapped.tried[0].multiply_adds[1]}, of the kernels "
            f"{mapped.kernel_multiply_adds}",
            flush=True,
        )
        mended = _chip(bench, task, chip, mending=True)
        after = mended.tuned(min(fitted, FEW), output_map=True, head=True, null=False)
        kept = ", ".join(one.by for one in after.tried if one.kept)
        # where nothing is kept, a second run of the tests differs by the noise of reads alone
        worse.append(100 * mended.result.accuracy - _accuracy(after) if kept else 0.0)
        print(
            f"     {task}, chip {chip}, mended: {100 * mended.result.accuracy:.1f} % -> {_accuracy(after):.1f}, "
            f"kept: {kept or 'nothing'}; processor time of both {time.process_time() - started:.0f} s",
            flush=True,
        )
    software = 100 * naive.result.software_accuracy
    if order:
        lost = max(software - each for each in maps)
        bars.check(
            f"{task}, naive, map of {fitted} sequences: points lost, worst chip", lost, "<=", LOST, _words(maps)
        )
        bars.check(
            f"{task}, the same fit without state: accuracy, %, best chip", max(nulls), "<=", NULL, _words(nulls)
        )
    else:
        what = f"{task}, naive, map and labels of {fitted} sequences: accuracy, %, worst chip"
        bars.check(what, min(heads), ">=", DEMO, _words(heads))
    bars.check(f"{task}, mended: points lost by corrections, worst chip", max(worse), "<=", WORSE, _words(worse))


def stuck(bars: Bars, bench: Bench) -> None:
    """Mended demo chips with 10 % stuck cells and errors of 5 uS: what a map and labels bring back of the rest."""
    easy = TwinProfile.load("supert-a0-easy")
    cells = easy.stuck.model_copy(update={"on_fraction": 0.05, "off_fraction": 0.05, "on_conductance": 220e-6})
    law = ProgrammingError(law="normal", g_max=150e-6, sd=(5e-6, 5e-6))
    profile = easy.model_copy(update={"stuck": cells, "programming": law})
    left, after = [], []
    for chip in range(1, bench.chips + 1):
        found = _chip(bench, "digits-first", chip, mending=True, profile=profile, tests=_ALL_TESTS)
        software = 100 * found.result.software_accuracy
        done = found.tuned(bars.size(MANY, smoke=16), output_map=True, head=True, null=False)
        left.append(software - 100 * found.result.accuracy)
        after.append(software - _accuracy(done))
        kept = ", ".join(one.by for one in done.tried if one.kept) or "nothing"
        print(
            f"     chip {chip}: software {software:.1f} %, lost {left[-1]:.2f} -> {after[-1]:.2f}, {kept}", flush=True
        )
    back = 1 - sum(after) / sum(left) if sum(left) > 0 else None
    what = "digits-first, mended, 10 % stuck, 5 uS: share of the loss that comes back"
    bars.check(what, back, ">=", BACK, f"points lost {_words(left)} -> {_words(after)}")


def _accuracy(done: Finetuned) -> float:
    assert done.task is not None
    return 100 * done.task.figures["on_array"]


def _words(values: list[float]) -> str:
    return "/".join(f"{value:.1f}" for value in values)
