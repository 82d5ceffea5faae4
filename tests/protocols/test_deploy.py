"""The whole loop on small bundles, and for each level of verification a fault that it must catch."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from imssa_lab.contract.cell_classes import CellMap
from imssa_lab.contract.errors import DeploymentError
from imssa_lab.contract.hal import CrossbarArray, FloatArray, Pulses
from imssa_lab.log import open_run, record
from imssa_lab.mapping import Mapping, map_bundle
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.inference import layer_inputs, run_kernels, run_network
from protocols.characterisation.column_calibration import calibrate_columns
from protocols.deployment.choices import DeploymentChoices
from protocols.deployment.deployment import Deployment, deploy
from protocols.deployment.sequences import Sequences
from protocols.deployment.verification import (
    Bounds,
    LevelResult,
    reread,
    verify_cells,
    verify_kernels,
    verify_mvm,
    verify_task,
)
from protocols.recurrence import KernelRunner
from twin import DigitalTwin, TwinProfile

BOUNDS = Bounds(mvm=0.12, kernel=0.35, impulse=0.7)


def chips(profile: str = "supert-a0-easy", count: int = 1) -> list[DigitalTwin]:
    return [DigitalTwin(profile, seed=20 + index) for index in range(count)]


def deployed(bundle: KernelBundle, arrays: list[CrossbarArray], inputs: FloatArray) -> Deployment:
    labels = run_network(bundle, inputs).argmax(axis=1)  # software is right by definition here
    return deploy(bundle, arrays, Sequences(inputs[:32], inputs, labels), DeploymentChoices(bounds=BOUNDS))


def test_ideal_twin_is_software(bundle: KernelBundle, sequences: FloatArray) -> None:
    array = DigitalTwin("ideal", seed=0)
    mapping = map_bundle(bundle, array.info.shape, array.info.window, 1)
    array.program_conductances(*mapping.target(0))
    runner = KernelRunner([array], mapping)
    for layer, inputs in enumerate(layer_inputs(bundle, sequences)):
        exact = run_kernels(bundle.layers[layer], inputs)
        assert np.abs(runner(layer, inputs) - exact).max() <= 1e-6 * np.abs(exact).max()
    assert run_network(bundle, sequences, runner) == pytest.approx(run_network(bundle, sequences), rel=1e-6)


def test_a_healthy_chip_passes_all_levels(bundle: KernelBundle, sequences: FloatArray) -> None:
    result = deployed(bundle, chips(count=2), sequences)
    assert [level.level for level in result.levels] == ["cells", "mvm", "kernel", "task"]
    assert all(level.passed for level in result.levels[:3]), str(result)
    assert result.accuracy > 0.85
    assert "cells: passed" in str(result)


def test_the_same_seed_gives_the_same_numbers(bundle: KernelBundle, sequences: FloatArray) -> None:
    one, two = (deployed(bundle, chips(count=2), sequences) for _ in range(2))
    assert [level.measured for level in one.levels] == [level.measured for level in two.levels]
    assert np.array_equal(one.predictions, two.predictions)
    assert one.seconds == two.seconds


def test_partners_of_stuck_cells_are_moved_and_it_helps(bundle: KernelBundle, sequences: FloatArray) -> None:
    mapping = map_bundle(bundle, (64, 64), chips()[0].info.window, 2)
    mask = np.zeros((64, 64), dtype=bool)
    for kernel in mapping.on(0):  # G- of the first weight of each kernel sticks in the middle of the window
        mask[kernel.word_lines[1], kernel.bit_lines[1]] = True
    broken, naive = chips()[0], chips()[0]
    broken.cells.stick(mask, 76e-6)
    naive.cells.stick(mask, 76e-6)
    others = chips(count=2)[1:]
    result = deployed(bundle, [broken, *others], sequences)
    assert len(result.reports) > mapping.arrays
    naive.program_conductances(*mapping.target(0))
    calibrate_columns(naive)
    mended = verify_mvm([broken, *others], result.mapping, BOUNDS).measured
    assert mended < 0.5 * verify_mvm([naive], mapping, BOUNDS).measured


def test_cells_that_stand_at_the_bottom_get_no_pulse(bundle: KernelBundle, sequences: FloatArray) -> None:
    (chip,) = chips()
    stands = np.abs(chip.read_conductances(averages=64) - chip.info.window.low) < 1e-6
    result = deployed(bundle, [chip, *chips(count=2)[1:]], sequences)
    bottom = result.targets[0] == chip.info.window.low
    assert not result.reports[0].pulses[bottom & stands].any()
    assert (
        result.surveyed or result.reports[0].pulses[bottom & ~stands].any()
    )  # null control: others are brought there


def test_a_kernel_beyond_mending_moves_to_a_free_place(bundle: KernelBundle, sequences: FloatArray) -> None:
    chip = chips()[0]
    mapping = map_bundle(bundle, (64, 64), chip.info.window, 1)
    first = mapping.on(0)[0]
    mask = np.zeros((64, 64), dtype=bool)
    mask[first.cells] = True  # both partners: nothing can compensate
    chip.cells.stick(mask, 76e-6)
    result = deployed(bundle, [chip, *chips(count=2)[1:]], sequences)
    assert result.mended
    assert result.levels[2].passed, str(result)
    now = next(k for k in result.mapping.kernels if (k.layer, k.channel) == (first.layer, first.channel))
    assert now.array != first.array or mask[now.cells].mean() < 0.25
    lines = [(k.array, line) for k in result.mapping.kernels for line in k.word_lines]
    assert len(set(lines)) == len(lines)


def test_faults_that_only_products_show_are_arranged_around(bundle: KernelBundle, sequences: FloatArray) -> None:
    """Dead lines and stuck cells as measured on the superT A0 board, on weights that hardly reach the outputs."""
    board = TwinProfile.load("supert-a0")
    faulty = TwinProfile.load("supert-a0-easy").model_copy(update={"stuck": board.stuck, "lines": board.lines})
    labels = run_network(bundle, sequences).argmax(axis=1)
    ours, naive = (
        deploy(
            bundle,
            [DigitalTwin(faulty, seed=seed) for seed in (5, 6)],
            Sequences(sequences[:32], sequences, labels),
            DeploymentChoices(bounds=BOUNDS, mending=mending),
        )
        for mending in (True, False)
    )
    mended, bare = (next(level for level in result.levels if level.level == "mvm") for result in (ours, naive))
    assert mended.passed
    assert ours.mended
    assert bare.measured > BOUNDS.mvm  # null control: without arranging the level fails
    assert mended.measured < 0.6 * bare.measured


def test_a_deployment_replays_without_random_numbers(
    bundle: KernelBundle, sequences: FloatArray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with record(tmp_path / "run.h5", chips(count=2), {}) as arrays:
        recorded = deployed(bundle, list(arrays), sequences)

    def no_generator(*args: object) -> None:
        raise AssertionError("a replay drew random numbers")

    monkeypatch.setattr(np.random, "default_rng", no_generator)
    monkeypatch.setattr(np.random, "SeedSequence", no_generator)
    with open_run(tmp_path / "run.h5") as run:
        replayed_arrays = run.arrays()
        replayed = deployed(bundle, list(replayed_arrays), sequences)
    assert all(array.calls_left == 0 for array in replayed_arrays)
    assert np.array_equal(np.stack(replayed.achieved), np.stack(recorded.achieved), equal_nan=True)
    assert [level.measured for level in replayed.levels] == [level.measured for level in recorded.levels]
    assert np.array_equal(replayed.kernel_nrmse, recorded.kernel_nrmse)
    assert replayed.seconds == recorded.seconds


def test_unusable_requests_pulse_nothing(bundle: KernelBundle, sequences: FloatArray) -> None:
    labels = np.zeros(len(sequences), dtype=np.int64)
    small = DigitalTwin("supert-a0-easy", (16, 16), seed=0)
    for arrays, inputs, words in (
        ([], sequences, "no array"),
        ([small], sequences, "arrays of 16x16"),
        ([small, chips()[0]], sequences, "another shape"),
        (chips(count=2), sequences[:, :, 0], "shape"),
        (chips(count=2), np.full_like(sequences, np.nan), "finite"),
    ):
        with pytest.raises(DeploymentError, match=words):
            deploy(bundle, arrays, Sequences(inputs, inputs, labels[: len(inputs)]))
    assert small.time == 0.0


# ---- null controls: each level must fail when what it watches is broken


class Chip:
    """A programmed, calibrated chip without stuck cells, with the mapping that was put on it."""

    def __init__(self, bundle: KernelBundle, sequences: FloatArray) -> None:
        self.bundle = bundle
        profile = TwinProfile.load("supert-a0-easy")
        healthy = profile.stuck.model_copy(update={"on_fraction": 0.0, "off_fraction": 0.0})
        self.arrays: list[CrossbarArray] = [DigitalTwin(profile.model_copy(update={"stuck": healthy}), seed=20)]
        self.mapping: Mapping = map_bundle(bundle, (64, 64), self.arrays[0].info.window, 1)
        self.targets = []
        for index, array in enumerate(self.arrays):
            target, mask = self.mapping.target(index)
            array.program_conductances(target, mask)
            calibrate_columns(array)
            self.targets.append(target)
        self.inputs = layer_inputs(bundle, sequences)
        self.runner = KernelRunner(self.arrays, self.mapping)
        self.recalibrate()

    def recalibrate(self) -> None:
        for layer, values in enumerate(self.inputs):
            exact = run_kernels(self.bundle.layers[layer], values)
            self.runner.recalibrate(layer, self.runner.raw(layer, values), exact)

    def cells_level(self) -> LevelResult:
        maps = [
            CellMap(target, read, self.mapping.kernel_cells(index))
            for index, (target, read) in enumerate(zip(self.targets, reread(self.arrays, self.targets), strict=True))
        ]
        return verify_cells(maps, self.mapping.window, BOUNDS)[0]

    def twin(self) -> DigitalTwin:
        array = self.arrays[0]
        assert isinstance(array, DigitalTwin)
        return array


@pytest.fixture
def chip(bundle: KernelBundle, sequences: FloatArray) -> Chip:
    return Chip(bundle, sequences)


def swap_columns(chip: Chip) -> None:
    kernel = chip.mapping.on(0)[0]
    one, other = kernel.bit_lines[0], kernel.bit_lines[-2]
    conductance = chip.twin().cells.conductance
    conductance[:, [one, other]] = conductance[:, [other, one]]


def stick_five_per_cent(chip: Chip) -> None:
    mask = np.random.default_rng(0).random((64, 64)) < 0.05
    chip.twin().cells.stick(mask, 150e-6)


def flip_signs(chip: Chip) -> None:
    kernel = chip.mapping.on(0)[0]
    conductance = chip.twin().cells.conductance
    block = conductance[kernel.cells].copy()
    conductance[kernel.cells] = block[:, np.arange(block.shape[1]) ^ 1]


def shift_columns(chip: Chip) -> None:
    chip.twin().cells.conductance = np.roll(chip.twin().cells.conductance, 1, axis=1)


@pytest.mark.parametrize("fault", [shift_columns, stick_five_per_cent])
def test_cells_level_catches(chip: Chip, fault: Callable[[Chip], None]) -> None:
    assert chip.cells_level().passed
    fault(chip)
    assert not chip.cells_level().passed


@pytest.mark.parametrize("fault", [swap_columns, stick_five_per_cent, flip_signs])
def test_mvm_level_catches(chip: Chip, fault: Callable[[Chip], None]) -> None:
    assert verify_mvm(chip.arrays, chip.mapping, BOUNDS).passed
    fault(chip)
    assert not verify_mvm(chip.arrays, chip.mapping, BOUNDS).passed


def test_kernel_level_catches_a_zeroed_state(chip: Chip, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even after the outputs were corrected again: gain and offset cannot stand in for memory."""
    assert verify_kernels(chip.bundle, chip.runner, chip.inputs, BOUNDS)[0].passed
    array = chip.twin()
    read = array.read_mvm
    states = np.concatenate([kernel.word_lines[1:] for kernel in chip.mapping.on(0)])

    def without_state(voltages: FloatArray, *, raw: bool = False) -> FloatArray:
        driven = np.array(voltages)
        driven[..., states] = 0.0
        return read(driven, raw=raw)

    monkeypatch.setattr(array, "read_mvm", without_state)
    monkeypatch.setattr(array, "read_loop", lambda *_: None)  # step by step, so through what was patched
    chip.recalibrate()
    assert not verify_kernels(chip.bundle, chip.runner, chip.inputs, BOUNDS)[0].passed


def test_kernel_level_catches_stuck_cells(chip: Chip) -> None:
    stick_five_per_cent(chip)
    chip.recalibrate()
    assert not verify_kernels(chip.bundle, chip.runner, chip.inputs, BOUNDS)[0].passed


def test_task_level_catches_a_wiped_chip(chip: Chip, sequences: FloatArray) -> None:
    labels = run_network(chip.bundle, sequences).argmax(axis=1)

    def accuracy() -> float:
        return float(np.mean(run_network(chip.bundle, sequences, chip.runner).argmax(axis=1) == labels))

    bounds = Bounds(task_loss=0.15)
    assert verify_task(accuracy(), 1.0, bounds).passed
    everything = np.ones((64, 64), dtype=bool)
    chip.twin().apply_pulses(Pulses.on(everything, "RESET", 2.5, 5.0, 1e-3))
    assert not verify_task(accuracy(), 1.0, bounds).passed


def test_task_level_needs_more_than_the_null_control() -> None:
    assert verify_task(0.9, 0.9, Bounds(), null_control=0.5).passed
    assert not verify_task(0.9, 0.9, Bounds(), null_control=0.9).passed
    assert not verify_task(0.87, 0.9, Bounds(), null_control=0.5).passed
