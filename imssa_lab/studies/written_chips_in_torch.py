"""Corrected naive deployments of many chips at once, by torch: a study's Monte Carlo, on a graphics card or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from imssa_lab.contract.hal import FloatArray
from imssa_lab.mapping import Mapping
from imssa_lab.s4d.inference import layer_inputs, run_kernels, run_network
from imssa_lab.s4d.output_correction import output_correction
from imssa_lab.studies.study_model import CALIBRATED, StudyModel
from imssa_lab.studies.trials import StudyTrial
from imssa_lab.studies.written_chips import (
    WIDE,
    Gaussian,
    chips,
    deploy_statistical,
    healthy_profile,
    stated,
)
from protocols.characterisation.column_calibration import calibrate_columns
from protocols.deployment.survey import in_place
from protocols.recurrence import banks_by_layer, spreads_of
from twin import DigitalTwin
from twin.fast.many_chips import TwinsTogether

_AT_ONCE = 64
"""Chips: what they hold and read at once stays within some hundred megabytes."""


class KernelsTogether:
    """The kernels of one mapping on many chips; `kernels(layer, u)` is what `run_network` takes as `kernels`.

    Sequences are ordered chip after chip: (chips * n, steps, channels).

    Args:
        deployed: the arrays of each chip, programmed and calibrated.
        device: of torch; seed: of the noise of reads.
    """

    def __init__(self, deployed: Sequence[Sequence[DigitalTwin]], mapping: Mapping, device: str, seed: int) -> None:
        rng = torch.Generator(device).manual_seed(seed)
        self._chips, self._device = len(deployed), device
        self._first = list(deployed[0])
        self._arrays = [TwinsTogether([chip[i] for chip in deployed], rng) for i in range(mapping.arrays)]
        self._layers = banks_by_layer(self._first, mapping)
        self._corrections: dict[int, tuple[FloatArray, FloatArray]] = {}

    def __call__(self, layer: int, inputs: FloatArray) -> FloatArray:
        """Outputs of one layer's kernels, corrected, for inputs of the same shape."""
        gain, offset = self._corrections[layer]
        by_chip = self.raw(layer, inputs).reshape(self._chips, -1, *inputs.shape[1:])
        return (gain * by_chip + offset).reshape(inputs.shape)

    def raw(self, layer: int, inputs: FloatArray) -> FloatArray:
        """Outputs as the chips give them."""
        given = torch.tensor(inputs, dtype=torch.float32, device=self._device)
        given = given.reshape(self._chips, -1, *inputs.shape[1:])
        outputs = torch.zeros_like(given)
        for bank in self._layers[layer]:
            number = next(i for i, array in enumerate(self._first) if array is bank.array)
            spreads = spreads_of(bank.array.info.input_bits, 1)
            made = self._arrays[number].run(bank.lines, spreads, given[..., bank.channels.tolist()])
            for kernel, channel in enumerate(bank.channels):
                outputs[..., channel] += made[..., kernel]  # the parts of a kernel add up
        return outputs.reshape(inputs.shape).double().cpu().numpy()

    def recalibrate(self, layer: int, inputs: FloatArray, ideal: FloatArray) -> None:
        """Correct the outputs of every chip by what it makes of inputs (n, steps, channels)."""
        measured = self.raw(layer, np.tile(inputs, (self._chips, 1, 1))).reshape(self._chips, *inputs.shape)
        pairs = [output_correction(layer, each, ideal) for each in measured]
        gain, offset = (np.stack(part)[:, None, None] for part in zip(*pairs, strict=True))
        self._corrections[layer] = gain, offset


def study_together(
    model: StudyModel, jobs: Sequence[tuple[int, StudyTrial]], device: str
) -> Iterator[tuple[int, tuple[float, float]]]:
    """Numbered "corrected" trials with what `naive_together` gives, some chips at a time."""
    for start in range(0, len(jobs), _AT_ONCE):
        some = jobs[start : start + _AT_ONCE]
        found = naive_together(model, [trial for _, trial in some], device)
        yield from zip((index for index, _ in some), found, strict=True)


def naive_together(model: StudyModel, trials: Sequence[StudyTrial], device: str) -> list[tuple[float, float]]:
    """What `study_trial` gives for "corrected" trials, by statistics: accuracy in software and on each chip.

    The first chip is deployed alone: places and target conductances of the kernels are the same for all.
    """
    sequences, first = model.sequences, trials[0]
    stuck, sigma = stated(first)
    pattern = deploy_statistical(
        model.bundle,
        sequences,
        chip=first.chip,
        stuck=stuck,
        sigma=sigma,
        mending=False,
        tests=model.tests,
    )
    profile = healthy_profile()
    deployed = [
        _programmed(trial, pattern.targets, chips(len(pattern.targets), trial.chip, stated(trial)[0], profile))
        for trial in trials
    ]
    kernels = KernelsTogether(deployed, pattern.mapping, device, first.chip)
    calibration = sequences.calibration_inputs[:CALIBRATED]
    for layer, inputs in enumerate(layer_inputs(model.bundle, calibration)):
        fit = inputs[: len(calibration) // 2]
        kernels.recalibrate(layer, fit, run_kernels(model.bundle.layers[layer], fit))
    tests, labels = sequences.test_inputs[: model.tests], sequences.test_labels[: model.tests]
    logits = run_network(model.bundle, np.tile(tests, (len(trials), 1, 1)), kernels)
    right = logits.argmax(axis=1).reshape(len(trials), -1) == labels
    return [(pattern.software_accuracy, float(accuracy)) for accuracy in right.mean(axis=1)]


def _programmed(
    trial: StudyTrial, targets: Sequence[FloatArray], arrays: Sequence[DigitalTwin]
) -> Sequence[DigitalTwin]:
    """A chip's arrays with its programming errors, their columns calibrated."""
    programmer = Gaussian(stated(trial)[1], np.random.default_rng([trial.chip, 0]))
    for array, target in zip(arrays, targets, strict=True):
        wanted = np.isfinite(target)
        idle, _ = in_place(array, target, wanted, WIDE.tolerance_in(array.info.window))
        array.program_conductances(target, wanted & ~idle, programmer)
        calibrate_columns(array)
    return arrays
