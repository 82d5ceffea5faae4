"""Verdicts on deployments with planted faults: no bad one is verified, and good ones are not refused.

Faults are planted before a deployment, which then mends what it can, or after one, which a check without pulses then
judges. Whether a deployment is bad is decided by test sequences that took no part in its verdict.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.bars import Bars
from benchmarks.deploy.deployed_tasks import Bench
from benchmarks.deploy.measured_board import BOARD
from benchmarks.deploy.trained_bundles import trained, with_tolerated_errors
from imssa_lab.contract.array_types import BoolArray
from imssa_lab.mapping import Mapping, arrays_needed
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.inference import run_network
from protocols.corrections.deployed_network import DeployedNetwork
from protocols.deployment.choices import DeploymentChoices
from protocols.deployment.deployment import Deployment, deploy
from protocols.deployment.sequences import Sequences
from protocols.wrappers.budget import Budget
from twin import DigitalTwin

TASK, SHAPE = "fsdd-order", (64, 64)
REFUSED = 0.05
"""Largest share of healthy deployments that may be refused."""
_CALIBRATION, _JUDGED = 64, 100
_STUCK_HIGH, _LOW = 150e-6, 0.8e-6
_SURE = 1.6449
"""Normal quantile of the one-sided 95 % interval of a loss."""

Plant = Callable[[Sequence[DigitalTwin], np.random.Generator, Mapping | None], str]


@dataclass(frozen=True)
class Case:
    """One deployment: what was planted, what the verdict was, and what other test sequences say.

    Attributes:
        name: of the fault, in words; model, chip: numbers.
        passed: verified; failed: the levels that were not; spoken: accuracy lost on the sequences of the verdict.
        lost: accuracy lost on the others against software, fraction; surely: lower end of its interval, paired.
    """

    name: str
    model: int
    chip: int
    passed: bool
    failed: tuple[str, ...]
    spoken: float
    lost: float
    surely: float

    def __str__(self) -> str:
        verdict = "verified" if self.passed else f"refused by {', '.join(self.failed)}"
        return (
            f"model {self.model}, chip {self.chip}, {self.name}: {verdict}; lost {100 * self.spoken:.1f} points on "
            f"the sequences of the verdict, {100 * self.lost:.1f} on others (surely {100 * self.surely:.1f})"
        )


def stuck_cells(arrays: Sequence[DigitalTwin], rng: np.random.Generator, mapping: Mapping | None) -> str:
    """A share of all cells that stay at either end."""
    share = float(np.exp(rng.uniform(np.log(0.01), np.log(0.2))))
    for array in arrays:
        lot = rng.random(SHAPE)
        array.cells.stick(lot < share, np.where(rng.random(SHAPE) < 0.5, _STUCK_HIGH, _LOW))
    return f"{100 * share:.1f} % stuck"


def dead_lines(arrays: Sequence[DigitalTwin], rng: np.random.Generator, mapping: Mapping | None) -> str:
    """Word and bit lines whose cells have no conductance."""
    count = int(rng.integers(1, 9))
    for _ in range(count):
        mask: BoolArray = np.zeros(SHAPE, dtype=np.bool_)
        line = int(rng.integers(64))
        mask[(slice(None), line) if rng.random() < 0.5 else (line, slice(None))] = True
        arrays[int(rng.integers(len(arrays)))].cells.stick(mask, _LOW)
    return f"{count} dead lines"


def moved_cells(arrays: Sequence[DigitalTwin], rng: np.random.Generator, mapping: Mapping | None) -> str:
    """Every cell moves by a Gaussian error."""
    share = float(np.exp(rng.uniform(np.log(0.02), np.log(0.3))))
    for array in arrays:
        moved = array.cells.conductance + share * array.info.window.span * rng.standard_normal(SHAPE)
        array.cells.conductance = np.clip(moved, 1e-7, array.info.window.high)  # cells of a twin, not a value of ours
    return f"cells moved by {100 * share:.1f} % of the window"


def flipped_kernels(arrays: Sequence[DigitalTwin], rng: np.random.Generator, mapping: Mapping | None) -> str:
    """The pairs of some kernels the other way round."""
    assert mapping is not None
    count = int(rng.integers(1, 1 + len(mapping.kernels) // 2))
    for number in rng.choice(len(mapping.kernels), count, replace=False):
        kernel = mapping.kernels[number]
        cells = arrays[kernel.array].cells.conductance
        block = cells[kernel.cells].copy()
        cells[kernel.cells] = block[:, np.arange(block.shape[1]) ^ 1]
    return f"{count} kernels flipped"


def wiped_states(arrays: Sequence[DigitalTwin], rng: np.random.Generator, mapping: Mapping | None) -> str:
    """The cells of the states of some kernels at the bottom of the window."""
    assert mapping is not None
    count = int(rng.integers(1, 1 + len(mapping.kernels)))
    for number in rng.choice(len(mapping.kernels), count, replace=False):
        kernel = mapping.kernels[number]
        cells = arrays[kernel.array].cells.conductance
        cells[np.ix_(kernel.word_lines[1:], kernel.bit_lines)] = arrays[kernel.array].info.window.low
    return f"states of {count} kernels wiped"


BEFORE: tuple[Plant, ...] = (stuck_cells, dead_lines)
AFTER: tuple[Plant, ...] = (stuck_cells, dead_lines, moved_cells, flipped_kernels, wiped_states)
GROUP = len(BEFORE) + len(AFTER)
"""Planted deployments for every healthy one."""


class _Judge:
    """One model: its sequences for verdicts, and others that decide whether a deployment is bad."""

    def __init__(self, model: int, bundle: KernelBundle, sequences: Sequences) -> None:
        self.model, self.bundle = model, bundle
        total = len(sequences.test_labels)
        count = min(_JUDGED, total // 2)
        self.judged = sequences.first(min(_CALIBRATION, len(sequences.calibration_inputs)), count)
        self.inputs, self.labels = sequences.test_inputs[count:], sequences.test_labels[count:]
        self.software = run_network(bundle, self.inputs).argmax(axis=1) == self.labels

    def case(self, name: str, chip: int, arrays: Sequence[DigitalTwin], result: Deployment) -> Case:
        """The verdict of a deployment beside what the other sequences say."""
        with DeployedNetwork(self.bundle, arrays, result.mapping, result.corrections) as network:
            right = network(self.inputs).argmax(axis=1) == self.labels
        gone = self.software.astype(float) - right
        surely = float(gone.mean() - _SURE * gone.std() / len(gone) ** 0.5)
        failed = tuple(level.level for level in result.levels if not level.passed)
        spoken = result.software_accuracy - result.accuracy
        return Case(name, self.model, chip, result.passed, failed, spoken, float(gone.mean()), surely)

    def group(self, chip: int) -> Iterator[Case]:
        """A chip without planted faults, and one deployment for each kind of fault."""
        needed = arrays_needed(self.bundle, SHAPE)
        fresh = partial(_fresh, chip, needed)
        for number, plant in enumerate(BEFORE):
            arrays = fresh()
            words = plant(arrays, np.random.default_rng([self.model, chip, number]), None)
            yield self.case(f"{words} before", chip, arrays, deploy(self.bundle, arrays, self.judged))
        arrays = fresh()
        journal: list[str] = []
        healthy = deploy(self.bundle, arrays, self.judged, journal=journal.append)
        yield self.case("healthy", chip, arrays, healthy)
        good = [(array.cells.conductance.copy(), array.cells.stuck.copy()) for array in arrays]
        unpulsed = DeploymentChoices(budget=Budget(pulses=0))
        for number, plant in enumerate(AFTER):
            for array, (conductance, stuck) in zip(arrays, good, strict=True):
                array.cells.conductance, array.cells.stuck = conductance.copy(), stuck.copy()
            words = plant(arrays, np.random.default_rng([self.model, chip, 10 + number]), healthy.mapping)
            checked = deploy(self.bundle, arrays, self.judged, unpulsed, resume=journal)
            yield self.case(f"{words} after", chip, arrays, checked)


def _fresh(chip: int, count: int) -> list[DigitalTwin]:
    return [DigitalTwin(BOARD, SHAPE, 1000 * chip + index) for index in range(count)]


def planted(bars: Bars, bench: Bench, deployments: int) -> None:
    """As many planted deployments as asked for, in groups with a healthy one."""
    groups = max(1, round(deployments / GROUP))
    judges: dict[int, _Judge] = {}
    found: list[Case] = []
    started = time.monotonic()
    for number in range(groups):
        model, chip = number % bench.seeds, 100 + number
        if model not in judges:
            bundle, sequences = trained(TASK, "ternary", model, bench.folder)
            judges[model] = _Judge(model, with_tolerated_errors(bundle, TASK, model, bench.folder), sequences)
        for case in judges[model].group(chip):
            found.append(case)
            print(f"     {case}", flush=True)
    _verdicts(bars, found, judges[0].bundle)
    print(f"     {time.monotonic() - started:.0f} s of wall", flush=True)


def _verdicts(bars: Bars, found: Sequence[Case], bundle: KernelBundle) -> None:
    bound = DeploymentChoices().bounds.of(bundle).task_loss
    healthy = [case for case in found if case.name == "healthy"]
    sick = [case for case in found if case.name != "healthy"]
    bad = [case for case in sick if case.surely > bound]
    seeming = sum(case.passed and case.lost > bound for case in sick)
    note = (
        f"of {len(bad)} bad among {len(sick)} planted; {seeming} verified ones lost more than {100 * bound:g} points "
    )
    note += "on other sequences, surely or not"
    bars.check(f"{TASK}, {BOARD}: verified although they surely lost more", sum(c.passed for c in bad), "==", 0, note)
    bars.check("planted deployments that surely lost more, so that there is something to catch", len(bad), ">=", 1)
    good = [case for case in healthy if case.lost <= bound]
    refused = [case for case in good if not case.passed]
    levels = [level for case in refused for level in case.failed]
    note = f"{len(refused)} of {len(good)} within their bound; {len(healthy)} healthy in all; refused by level: "
    note += ", ".join(f"{name} {levels.count(name)}" for name in sorted(set(levels))) or "none"
    bars.check("healthy ones that were refused, share", len(refused) / max(1, len(good)), "<=", REFUSED, note)
    fine = [case for case in sick if case.lost <= bound]
    print(f"     planted ones within their bound: {sum(c.passed for c in fine)} of {len(fine)} verified", flush=True)
