"""Kernels packed for area on chips: software on an ideal twin, one read each, and around a bad word line."""

from dataclasses import replace

import numpy as np
import pytest

from imssa_lab.contract.errors import DeploymentError
from imssa_lab.contract.hal import FloatArray, Readout
from imssa_lab.contract.wrapper import Wrapper
from imssa_lab.mapping import map_bundle
from imssa_lab.s4d.bundle import KernelBundle
from imssa_lab.s4d.inference import layer_inputs, run_kernels, run_network
from protocols.deployment.choices import DeploymentChoices
from protocols.deployment.deployment import Deployment, deploy
from protocols.deployment.fault_errors import reaches_of, silent_lines, worth_arranging
from protocols.deployment.journal import ArrayState, plan_entry, planned_packing, read_journal
from protocols.deployment.sequences import Sequences
from protocols.deployment.verification import Bounds
from protocols.recurrence import KernelRunner
from trials.untrained import untrained_bundle
from twin import DigitalTwin, TwinProfile

SHAPE = (21, 32)
"""Four rows of three tiles for kernels of five lines, one word line and one pair to spare: one array instead of 3."""
BOUNDS = Bounds(mvm=0.12, kernel=0.35, impulse=0.7, task_loss=0.1)


class StepByStep(Wrapper):
    """An array that knows of no loops."""

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        return super()._read_mvm(voltages)


def healthy(seed: int = 4) -> DigitalTwin:
    profile = TwinProfile.load("supert-a0-easy")
    none = profile.stuck.model_copy(update={"on_fraction": 0.0, "off_fraction": 0.0})
    return DigitalTwin(profile.model_copy(update={"stuck": none, "lines": None}), SHAPE, seed)


def deployed(bundle: KernelBundle, array: DigitalTwin, inputs: FloatArray, *, mending: bool = True) -> Deployment:
    labels = run_network(bundle, inputs).argmax(axis=1)
    choices = DeploymentChoices(bounds=BOUNDS, mending=mending)
    return deploy(bundle, [array], Sequences(inputs[:32], inputs, labels), choices)


def test_an_ideal_twin_is_software_read_in_one_call_or_step_by_step(
    bundle: KernelBundle, sequences: FloatArray
) -> None:
    array = DigitalTwin("ideal", SHAPE, 0)
    mapping = map_bundle(bundle, SHAPE, array.info.window, 1, packing="area")
    array.program_conductances(*mapping.target(0))
    runner, steps = (KernelRunner([each], mapping) for each in (array, StepByStep(array)))
    for layer, inputs in enumerate(layer_inputs(bundle, sequences)):
        exact, got = run_kernels(bundle.layers[layer], inputs), runner(layer, inputs)
        assert np.abs(got - exact).max() <= 1e-6 * np.abs(exact).max()
        assert np.array_equal(got, steps(layer, inputs))
    assert run_network(bundle, sequences, runner) == pytest.approx(run_network(bundle, sequences), rel=1e-6)
    kernels, (n, length, _) = 12, sequences.shape
    assert runner.reads == 2 * kernels * n * length  # each layer's once above, and once as a network


def test_too_few_arrays_for_time_are_packed_for_area_and_deploy(bundle: KernelBundle, sequences: FloatArray) -> None:
    result = deployed(bundle, healthy(), sequences)
    assert (result.mapping.packing, result.mapping.arrays, result.reads_a_step) == ("area", 1, (12, 12))
    assert result.passed, str(result)
    labels = np.zeros(64, dtype=np.int64)
    asked = Sequences(sequences[:32], sequences, labels), DeploymentChoices(packing="time")
    with pytest.raises(DeploymentError, match="packed for time, need 3 arrays"):
        deploy(bundle, [healthy()], *asked)


def test_a_bad_word_line_is_left_by_all_kernels_that_share_it(bundle: KernelBundle, sequences: FloatArray) -> None:
    """Its cells hold half of the window, in both halves of every pair: nothing can make up for them."""
    line, ours_on, naive_on = 6, healthy(), healthy()
    mask = np.zeros(SHAPE, dtype=bool)
    mask[line] = True
    for twin in (ours_on, naive_on):
        twin.cells.stick(mask, 76e-6)
        twin.cells.conductance[line, ::2] = 140e-6
    ours, naive = deployed(bundle, ours_on, sequences), deployed(bundle, naive_on, sequences, mending=False)
    assert sum(line in kernel.word_lines for kernel in naive.mapping.kernels) == 3
    assert not any(line in kernel.word_lines for kernel in ours.mapping.kernels)
    assert sum(20 in kernel.word_lines for kernel in ours.mapping.kernels) == 3  # the one to spare
    assert all(level.passed for level in ours.levels[1:]), str(ours)
    assert not all(level.passed for level in naive.levels[1:])  # null control


def test_hardly_anything_is_asked_of_an_open_bit_line(bundle: KernelBundle, sequences: FloatArray) -> None:
    """It reads as cells at the bottom of the window do, so that only cells which do not rise show it."""
    ours_on, naive_on = healthy(), healthy()
    plan = map_bundle(bundle, SHAPE, ours_on.info.window, 1, packing="area").target(0)[0]
    line = int((plan > 12.4e-6).sum(axis=0).argmax())
    mask = np.zeros(SHAPE, dtype=bool)
    mask[:, line] = True
    for twin in (ours_on, naive_on):
        twin.cells.stick(mask, 0.8e-6)
    ours, naive = deployed(bundle, ours_on, sequences), deployed(bundle, naive_on, sequences, mending=False)
    asked = [int((result.mapping.target(0)[0][:, line] > 12.4e-6).sum()) for result in (ours, naive)]
    assert asked[0] <= 1 < 6 <= asked[1]
    assert all(level.passed for level in ours.levels[1:]), str(ours)
    assert ours.levels[1].measured < 0.5 * naive.levels[1].measured


def test_dense_layers_stand_beside_kernels_packed_for_area(bundle: KernelBundle, sequences: FloatArray) -> None:
    labels = run_network(bundle, sequences).argmax(axis=1)
    arrays = [DigitalTwin("ideal", (64, 64), seed) for seed in range(2)]
    choices = DeploymentChoices(bounds=BOUNDS, packing="area", layers="all")
    result = deploy(bundle, arrays, Sequences(sequences[:32], sequences, labels), choices)
    assert result.passed, str(result)
    assert {kernel.array for kernel in result.mapping.kernels} == {0}
    assert {tile.array for tile in result.mapping.tiles} == {1}
    assert result.reads_a_step[0] == 12 + len(result.mapping.tiles)


@pytest.mark.parametrize(("failed", "could", "silent"), [(6, 0, True), (5, 0, False), (8, 2, True), (8, 3, False)])
def test_a_bit_line_is_silent_when_most_that_were_to_rise_did_not(failed: int, could: int, silent: bool) -> None:
    window = DigitalTwin("ideal", SHAPE, 0).info.window
    state, held = ArrayState.fresh(SHAPE), np.full(SHAPE, window.low)
    state.stuck[:failed, 5], state.standing[:failed, 5] = True, window.low
    held[failed : failed + could, 5] = 100e-6
    state.stuck[:, 8], state.standing[:, 8] = True, 140e-6  # stuck, but no sign of an open line
    found = silent_lines(state, held, window.low + 10e-6)
    assert found[:, 5].all() == found[:, 5].any() == silent
    assert found.any(axis=0).sum() == silent
    mapping = map_bundle(untrained_bundle(), SHAPE, window, 3)
    for packing, lost in (("time", failed), ("area", SHAPE[0] if silent else failed)):
        (reach,) = reaches_of(replace(mapping, packing=packing), [state], [held], 10e-6)
        assert (reach.high[:, 5] == window.low).sum() == lost


def test_what_is_worth_new_pulses(bundle: KernelBundle) -> None:
    kernels = map_bundle(bundle, SHAPE, DigitalTwin("ideal", SHAPE, 0).info.window, 1, packing="area").kernels[:3]
    harm, costs = np.array([1.0, 1.0, 0.02]), np.array([0.1, 0.9, 0.0])
    assert worth_arranging("area", kernels, harm, costs, 0.7) == [0]  # little is won by the others
    assert worth_arranging("time", kernels, harm, costs, 0.7) == [0, 1, 2]
    assert worth_arranging("time", kernels, harm, costs, 0.4) == []


def test_a_journal_keeps_the_packing(bundle: KernelBundle) -> None:
    window = DigitalTwin("ideal", SHAPE, 0).info.window
    area, time = (map_bundle(bundle, SHAPE, window, 3, packing=packing) for packing in ("area", "time"))
    for mapping in (area, time):
        entry = plan_entry(mapping, bundle.digest())
        assert ("packing" in entry) == (mapping is area)  # as of versions with one packing
        assert planned_packing([entry]) == mapping.packing
        again = read_journal([entry], bundle, 3).mapping
        assert plan_entry(again, bundle.digest()) == entry
        assert again.free_places(3) == mapping.free_places(3)
    assert planned_packing([]) is None
