"""Bars of what an inference costs: counts against an array that counts, V^2 G against the records of a log."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.bars import Bars
from benchmarks.deploy.deployed_tasks import Bench
from benchmarks.deploy.trained_bundles import trained
from imssa_lab.contract.hal import FloatArray
from imssa_lab.log import open_run, record
from imssa_lab.mapping import Mapping, arrays_needed, map_bundle
from imssa_lab.report.measured import reads_made
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.inference import run_network
from protocols.cost.energy_figures import EnergyTable
from protocols.cost.inference_counts import InferenceCounts, inference_counts
from protocols.cost.predicted_cost import predicted_cost
from protocols.deployment.choices import DeploymentChoices
from protocols.deployment.deployment import deploy
from protocols.deployment.sequences import Sequences
from protocols.recurrence import KernelRunner
from trials import tiny
from trials.counting_twin import CountingTwin, power_by_records
from twin import DigitalTwin, TwinProfile

BOARD = "supert-a0"
SUM_ERROR = 1e-9
_READ = 1e-6
"""s for which the read voltage is taken to be applied, where energies are printed."""


def costs(bars: Bars, bench: Bench) -> None:
    """Counts of trained nets, a recorded deployment, and the table of figures; energies are printed beside them."""
    for task in ("digits-first", "fsdd-order"):
        _counts(bars, bench, task)
    _records(bars)
    table = EnergyTable.load()
    figures = [figure for kind in EnergyTable.model_fields for figure in getattr(table, kind)]
    cited = sum(bool(figure.source and figure.seen) for figure in figures)
    bars.check("figures of the table that cite their source", cited, "==", len(figures))


def counts_compared(
    bundle: KernelBundle, mapping: Mapping, counters: Sequence[CountingTwin], inputs: FloatArray
) -> tuple[InferenceCounts, list[int], int]:
    """Counts of an inference as they are told, what arrays that count were asked for, and how many differ."""
    run_network(bundle, inputs, KernelRunner(counters, mapping))
    told = inference_counts(bundle, mapping, counters[0].info, inputs.shape[1])
    seen = [sum(column) for column in zip(*(each.seen for each in counters), strict=True)]
    wrong = sum(
        got != counted for got, counted in zip((sum(told.vectors), told.one_bit, told.every_line), seen, strict=False)
    )
    return told, seen, wrong


def _counts(bars: Bars, bench: Bench, task: str) -> None:
    bundle, sequences = trained(task, "ternary", 0, bench.folder)
    counters = [CountingTwin(BOARD, seed=seed) for seed in range(arrays_needed(bundle, (64, 64)))]
    mapping = map_bundle(bundle, (64, 64), counters[0].info.window, len(counters))
    told, seen, wrong = counts_compared(bundle, mapping, counters, sequences.test_inputs[:1])
    bars.check(f"{task}, {BOARD}: counts that differ from those of an array that counts", wrong, "==", 0)
    bars.check(f"{task}: line drives counted, over the most that there can be", seen[3] / told.lines, "<=", 1.0)
    kind = TwinProfile.load(BOARD)
    timed = kind.model_copy(update={"timing": kind.timing.model_copy(update={"applied": _READ})})
    found = predicted_cost(bundle, DigitalTwin(timed), sequences.test_inputs[:16])
    spent = found.energy(EnergyTable.load())
    parts = told.multiply_adds
    print(
        f"     {task}: {sum(told.products)} products, {told.one_bit} of one bit, {told.conversions} conversions, "
        f"{told.macs_a_converted_product:.2f} multiply-adds each if analog, {told.macs_a_conversion:.3f} here; "
        f"{100 * parts.digital_share:.1f} % of {parts.whole} multiply-adds digital\n"
        f"     read for {_READ:g} s: arrays {spent.reads.whole.low:.3g} to {spent.reads.whole.high:.3g} J, in 8-bit "
        f"integers {spent.digital.low:.3g} to {spent.digital.high:.3g} J: {spent.ratio.low:.3g} to "
        f"{spent.ratio.high:.3g} times less",
        flush=True,
    )


def _records(bars: Bars) -> None:
    """A deployment of the smallest net on the measured board, recorded whole."""
    arrays = [DigitalTwin(BOARD, (16, 16), seed=seed) for seed in (1, 2)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.h5"
        with record(path, arrays, {}) as recorded:
            deploy(tiny.bundle(), recorded, Sequences(*tiny.sequences()).first(4, 4), DeploymentChoices())
        with open_run(path) as run:
            worst = 0.0
            for index, counts in enumerate(reads_made(run)):
                power, one_bit, unknown = power_by_records(run, index)
                if (counts.one_bit, counts.unknown) != (one_bit, unknown):
                    worst = np.inf
                if power:
                    worst = max(worst, abs(counts.square_volts_siemens / power - 1))
    bars.check("V^2 G of a recorded deployment against a sum over its records, relative", worst, "<=", SUM_ERROR)
