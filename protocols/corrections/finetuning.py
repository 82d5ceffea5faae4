"""Fine-tuning with the chip in the loop: corrections that need no pulse, the cheap ones first, each kept if it helps.

What is fitted, what judges and what verifies are different sequences. The same fit on the same chip with its states
set to zero before every step is the null control: what it reaches is not the chip's memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imssa_lab.contract.checks.frozen_arrays import FrozenArrays
from imssa_lab.contract.errors import ConfigError
from imssa_lab.contract.hal import FloatArray
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.cost import cost
from imssa_lab.s4d.inference import layer_inputs, run_network
from protocols.corrections.correction import Corrections
from protocols.corrections.deployed_network import DenseRaw, DeployedNetwork, Raw, Remembered
from protocols.corrections.head_fit import ends_in_norm_and_head, with_head
from protocols.corrections.judgement_held_out import Judged, closer, judged, more_right
from protocols.corrections.output_map import with_output_maps
from protocols.deployment.sequences import Sequences
from protocols.deployment.verification import Bounds, LevelResult, judge_task, verify_kernels

MAP, HEAD = "output map", "head"


@dataclass(frozen=True)
class FittingSequences(FrozenArrays):
    """Sequences that corrections are fitted to, and others that judge them.

    Attributes:
        inputs, held_out: (n, steps, inputs) and (m, steps, inputs).
        labels, held_out_labels: (n,) and (m,), class numbers; both None where there are none.
    """

    inputs: FloatArray
    held_out: FloatArray
    labels: NDArray[np.int64] | None = None
    held_out_labels: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, sequences: Sequences, count: int, held_out: int) -> FittingSequences:
        """The first `count` training sequences of a deployment's, and the next `held_out`.

        Where they hold none: of the half of the calibration sequences that outputs are corrected by, without labels.
        The other half verifies the kernels and the test sequences the task; neither is ever used here.

        Raises:
            ConfigError: there are fewer than that, or one of the numbers is below 1.
        """
        pool, labels = sequences.training_inputs, sequences.training_labels
        if pool is None:
            pool, labels = sequences.calibration_inputs[: len(sequences.calibration_inputs) // 2], None
        if min(count, held_out) < 1 or count + held_out > len(pool):
            raise ConfigError(
                f"{count} sequences to fit and {held_out} held out asked for; 1 or more of each, and the file has "
                f"{len(pool)} for both; take fewer, or write more with `imssa train`"
            )
        end = count + held_out
        if labels is None:
            return cls(pool[:count], pool[count:end])
        return cls(pool[:count], pool[count:end], labels[:count], labels[count:end])


@dataclass(frozen=True)
class Tried:
    """One correction that was tried.

    Attributes:
        by: "output map" or "head"; before, after: of the held-out sequences; kept: whether it applies now.
        null: the same fit on the same chip without state; None where it was left out.
        multiply_adds: of the outputs' correction at every time step, before and after.
    """

    by: str
    before: Judged
    after: Judged
    kept: bool
    null: Judged | None
    multiply_adds: tuple[int, int]


@dataclass(frozen=True)
class Finetuned:
    """What fine-tuning did.

    Attributes:
        tried: in order; kernel: the kernel level before and after.
        task: with the corrections that apply now; None where no test sequences were run.
        fitted, held_out: sequences; reads: products that the kernels read in all, in vectors; seconds: device time.
        kernel_multiply_adds, digital_multiply_adds: of the kernels, and of encoder, mixes and norms, a time step.
    """

    tried: tuple[Tried, ...]
    kernel: tuple[LevelResult, LevelResult]
    task: LevelResult | None
    fitted: int
    held_out: int
    reads: int
    seconds: float
    kernel_multiply_adds: int
    digital_multiply_adds: int


def without_state(raw: Raw) -> Raw:
    """The same kernels with their states set to zero before every step; as many products."""

    def run(layer: int, inputs: FloatArray) -> FloatArray:
        return raw(layer, inputs.reshape(-1, 1, inputs.shape[-1])).reshape(inputs.shape)

    return run


def finetune(
    network: DeployedNetwork,
    fitting: FittingSequences,
    sequences: Sequences,
    *,
    output_map: bool = True,
    head: bool = True,
    null: bool = True,
    tests: int | None = None,
    bounds: Bounds | None = None,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Finetuned:
    """Fit corrections on the chip, without a pulse, and keep those that held-out sequences find better.

    A correction that is kept is in its file before the next one begins, so what was reached when a run is cut off is
    not lost: run it again for what is missing.

    Args:
        fitting: to fit and to judge by.
        sequences: of the deployment: the second half of its calibration tells the kernel level, its test sequences
            the task level.
        output_map: a map over the channels of each layer, without labels; head: norm of the last layer and head, by
            labels. null: run the null controls, which read as much as the fits do.
        tests: so many test sequences; 0 for none, None for all.
        progress: called with (stage, done, total).

    Raises:
        ConfigError: as `check_asked`.
    """
    check_asked(network.bundle, fitting, output_map=output_map, head=head)
    bundle = network.bundle
    bounds = (bounds or Bounds()).of(bundle)
    half = len(sequences.calibration_inputs) // 2
    verifying = layer_inputs(bundle, sequences.calibration_inputs[half:])
    reads, begun = network.runner.reads, [array.time for array in network.arrays]

    def kernel_level() -> LevelResult:
        n, steps = verifying[0].shape[:2]
        with network.runner.watched("verify the kernels", n + 1, steps, progress):
            return verify_kernels(bundle, network.runner, verifying, bounds)[0]

    before = kernel_level()
    raw = Remembered(network.runner.raw)
    stateless = Remembered(without_state(network.runner.raw))
    dense = Remembered(network.dense.raw)
    software = run_network(bundle, fitting.held_out)
    tried: list[Tried] = []
    null_corrections = network.corrections
    for by in [name for name, asked in ((MAP, output_map), (HEAD, head)) if asked]:
        progress(f"fit the {by}", 0, 2 + null)
        present = network.corrections
        candidate = _fitted(by, network, present, raw, dense, fitting)
        progress(f"fit the {by}", 1, 2 + null)
        was, now = (
            judged(network.run_with(each, fitting.held_out, raw, dense), software, fitting.held_out_labels)
            for each in (present, candidate)
        )
        progress(f"fit the {by}", 2, 2 + null)
        control = None
        if null:
            null_corrections = _fitted(by, network, null_corrections, stateless, dense, fitting)
            logits = network.run_with(null_corrections, fitting.held_out, stateless, dense)
            control = judged(logits, software, fitting.held_out_labels)
            progress(f"fit the {by}", 3, 3)
        kept = closer(was, now) if by == MAP else more_right(was, now)
        if kept:
            network.adopt(candidate.changed(by, figures=was.figures("before") | now.figures("after")))
        macs = present.multiplications, candidate.multiplications
        tried.append(Tried(by, was, now, kept, control, macs))
    changed = any(one.kept for one in tried)
    after = kernel_level() if changed else before
    task = _task_level(network, sequences, tests, bounds, progress)
    counted = cost(bundle)
    return Finetuned(
        tried=tuple(tried),
        kernel=(before, after),
        task=task,
        fitted=len(fitting.inputs),
        held_out=len(fitting.held_out),
        reads=network.runner.reads - reads,
        seconds=sum(array.time - start for array, start in zip(network.arrays, begun, strict=True)),
        kernel_multiply_adds=counted.kernel_macs,
        digital_multiply_adds=counted.digital_macs,
    )


def check_asked(bundle: KernelBundle, fitting: FittingSequences, *, output_map: bool, head: bool) -> None:
    """Whether these corrections can be fitted, before any array is opened for them.

    Raises:
        ConfigError: nothing to do, a head without labels, one of a net whose last layer is of another kind, or a net
            that gives values.
    """
    if bundle.goal == "values":
        raise ConfigError(
            "what is fitted on a chip is judged by classes, and this bundle gives values: not decidable here; "
            "`imssa recheck` fits gain and offset of every kernel again"
        )
    if not (output_map or head):
        raise ConfigError("neither a map nor a head asked for; nothing to do")
    if head and fitting.labels is None:
        raise ConfigError(
            "a head is fitted to labels, and the sequences have none for training: `imssa train` writes some beside "
            "a bundle; or fit the map alone"
        )
    if head and not ends_in_norm_and_head(bundle):
        raise ConfigError(
            "a head is fitted where the last layer ends in batch norm and ReLU, in one direction and without a mix; "
            "fit the map alone"
        )


def _fitted(
    by: str, network: DeployedNetwork, present: Corrections, raw: Raw, dense: DenseRaw, fitting: FittingSequences
) -> Corrections:
    products = network.products(present, dense)
    if by == MAP:
        return with_output_maps(network.bundle, present, raw, fitting.inputs, products)
    assert fitting.labels is not None
    return with_head(network.bundle, present, raw, fitting.inputs, fitting.labels, dense=products)


def _task_level(
    network: DeployedNetwork,
    sequences: Sequences,
    tests: int | None,
    bounds: Bounds,
    progress: Callable[[str, int, int], None],
) -> LevelResult | None:
    inputs, labels = sequences.test_inputs[:tests], sequences.test_labels[:tests]
    if not len(inputs):
        return None
    units = None if sequences.test_units is None else sequences.test_units[:tests]
    n, steps, _ = inputs.shape
    with network.runner.watched("run the task", n, steps, progress):
        said = network(inputs).argmax(axis=1)
    in_software = run_network(network.bundle, inputs).argmax(axis=1)
    return judge_task(said, in_software, labels, bounds, sequences.reference.get("null"), units)
