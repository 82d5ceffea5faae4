"""The plain functions of a deployment, each against another way to the same number or word."""

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from imssa_lab.contract.cell_classes import CellMap
from imssa_lab.contract.errors import DeploymentError
from imssa_lab.contract.hal import CellOutcome, FloatArray, Window
from imssa_lab.mapping import map_bundle
from imssa_lab.s4d.inference import layer_inputs, run_kernels, run_network
from imssa_lab.s4d.output_correction import nrmse, output_correction
from protocols.characterisation.column_calibration import ColumnCheck, fitted_columns
from protocols.deployment.journal import ArrayState, array_entry, done_entry, plan_entry, read_journal, read_states
from protocols.deployment.outcomes import KernelEnd, cell_ends, kernel_ends, unfinished_ends
from protocols.deployment.predict import Predictor, corrected_nrmse, reachable, run_blocks
from protocols.probes import probe_voltages
from protocols.recurrence import spreads_of
from protocols.wrappers.budget import Account, Budget
from trials.untrained import untrained_bundle, varied_sequences
from twin import DigitalTwin

WINDOW = Window(low=2e-6, high=150e-6)
RNG = np.random.default_rng(0)


# ---- corrections and errors


def test_corrections_are_straight_lines_through_the_points() -> None:
    measured = RNG.normal(0.1, 0.2, (5, 7, 3))
    ideal = measured * [0.5, -2.0, 1.3] + [0.2, 0.0, -0.4] + 0.05 * RNG.standard_normal((5, 7, 3))
    gain, offset = output_correction(0, measured, ideal)
    columns = fitted_columns(measured.reshape(35, 3), ideal.reshape(35, 3))
    for channel in range(3):
        x, y = measured[..., channel].ravel(), ideal[..., channel].ravel()
        slope, start = np.polyfit(x, y, 1)
        assert (gain[channel], offset[channel]) == (pytest.approx(slope), pytest.approx(start))
        assert (columns.gain[channel], columns.offset[channel]) == (pytest.approx(slope), pytest.approx(start))
        assert columns.residual[channel] == pytest.approx(np.sqrt(np.mean((slope * x + start - y) ** 2)))
        error = corrected_nrmse(measured, ideal)[channel]
        assert error == pytest.approx(np.sqrt(np.mean((slope * x + start - y) ** 2)) / y.std())
    measured[..., 1] = 0.7  # its mean is another number, by rounding
    assert (measured[..., 1] != measured[..., 1].mean()).all()
    with pytest.raises(DeploymentError, match=r"layer 4: channels \[1\] give a constant output"):
        output_correction(4, measured, ideal)
    still = fitted_columns(measured.reshape(35, 3), ideal.reshape(35, 3))
    assert still.gain[1] == 1.0
    assert corrected_nrmse(measured, ideal)[1] == pytest.approx(1.0)
    measured[..., 1] = 0.0
    assert corrected_nrmse(ideal, measured)[1] == 0.0


def test_several_variants_are_judged_at_once() -> None:
    exact, got = RNG.standard_normal((4, 6, 3)), RNG.standard_normal((4, 6, 5, 3))
    found = corrected_nrmse(got, exact)
    assert found.shape == (5, 3)
    for variant in range(5):
        assert found[variant] == pytest.approx(corrected_nrmse(got[:, :, variant], exact))


def test_an_error_counts_in_units_of_the_spread_of_what_should_be() -> None:
    ideal, off = RNG.standard_normal((4, 9, 2)), RNG.standard_normal((4, 9, 2))
    expected = [np.sqrt(np.mean(off[..., k] ** 2)) / ideal[..., k].std() for k in range(2)]
    assert nrmse(ideal + off, ideal) == pytest.approx(expected)
    assert nrmse(off, np.zeros_like(off)).tolist() == [0.0, 0.0]


def test_a_bit_line_is_silent_when_it_misses_more_than_half_of_what_it_should_give() -> None:
    check = ColumnCheck(np.zeros(3), np.array([0.49, 0.5, 0.51]), np.ones(3))
    assert check.silent.tolist() == [False, False, True]


@pytest.mark.parametrize(("bits", "averages"), [(None, 3), (2, 1), (4, 4), (8, 5)])
def test_reads_of_a_step_are_spread_evenly_within_one_step_of_the_converter(bits: int | None, averages: int) -> None:
    spreads = spreads_of(bits, averages)
    assert spreads.shape == (averages,)
    if bits is None:
        assert not spreads.any()
        return
    step = 1 / (2 ** (bits - 1) - 1)
    assert spreads.mean() == pytest.approx(0.0, abs=1e-15)
    assert np.diff(spreads) == pytest.approx(np.full(averages - 1, step / averages))
    assert spreads[0] == pytest.approx(-step / 2 + step / averages / 2)


def test_probe_vectors_are_spread_evenly_and_word_lines_have_primes_of_their_own() -> None:
    probes = probe_voltages(500, 6, 0.2)
    assert probes.shape == (500, 6)
    for line, prime in enumerate((2, 3, 5, 7, 11, 13)):
        assert probes[:, line] == pytest.approx(0.2 * (2 * (np.arange(1, 501) * np.sqrt(prime) % 1) - 1))
        ranked = np.sort(probes[:, line])
        assert np.abs(ranked - np.linspace(-0.2, 0.2, 500)).max() < 0.01
    assert np.abs(np.corrcoef(probes.T) - np.eye(6)).max() < 0.12


# ---- predictions


@pytest.mark.parametrize("bits", [None, 4])
def test_a_prediction_runs_blocks_step_by_step_as_an_array_does(bits: int | None) -> None:
    """Against one product a step written out; variants of the weights stand before the kernels."""
    bundle = untrained_bundle(channels=3, states=2, layers=1)
    kernels = map_bundle(bundle, (40, 40), WINDOW, 1, [["delta", "direct", "delta"]]).kernels
    blocks = [replace(kernel.block, input_scale=0.7 + kernel.channel) for kernel in kernels]
    weights = np.array([block.weights for block in blocks]) + 0.3 * RNG.standard_normal((2, 3, 5, 5))
    inputs = RNG.uniform(-3, 3, (2, 9, 3))
    found = run_blocks(blocks, weights, inputs, bits)
    assert found.shape == (2, 9, 2, 3)
    for variant, kernel, n in np.ndindex(2, 3, 2):
        block, state = blocks[kernel], np.zeros(4)
        for step in range(9):
            drive = np.clip(np.append(inputs[n, step, kernel] / block.input_scale, state), -1, 1)
            if bits is not None:
                drive = np.rint(drive * 7) / 7
            out = drive @ weights[variant, kernel] * block.column_scale
            state = np.clip(out[:-1] + (state if block.form == "delta" else 0.0), -1, 1)
            assert found[n, step, variant, kernel] == pytest.approx(out[-1])


@pytest.fixture
def predicted() -> tuple[Any, Predictor, FloatArray]:
    bundle = untrained_bundle(channels=4, states=2, layers=2)
    inputs = varied_sequences(5)
    info = DigitalTwin("ideal", shape=(24, 40)).info
    return bundle, Predictor(bundle, info, layer_inputs(bundle, inputs[:8])), inputs


def test_a_predicted_accuracy_is_that_of_the_network_with_these_weights_and_corrected_outputs(
    predicted: tuple[Any, Predictor, FloatArray],
) -> None:
    bundle, predictor, inputs = predicted
    mapping = map_bundle(bundle, (24, 40), WINDOW, 3)
    labels = run_network(bundle, inputs).argmax(axis=1)
    exact = [mapping.target(index)[0] for index in range(mapping.arrays)]
    assert predictor.accuracy(mapping, exact, inputs, labels) == 1.0
    noise = np.random.default_rng(1)
    spoilt = [np.clip(one + 30e-6 * noise.standard_normal(one.shape), WINDOW.low, WINDOW.high) for one in exact]
    gains: list[tuple[FloatArray, FloatArray]] = []

    def raw(layer: int, u: FloatArray) -> FloatArray:
        total = np.zeros(u.shape)
        for kernel in mapping.kernels:
            if kernel.layer == layer:
                held = mapping.implemented(kernel, spoilt[kernel.array])
                total[..., kernel.channel] += run_blocks([kernel.block], held[None], u[..., [kernel.channel]])[..., 0]
        return total

    for layer, given in enumerate(layer_inputs(bundle, inputs[:8])):
        gains.append(output_correction(layer, raw(layer, given), run_kernels(bundle.layers[layer], given)))
    logits = run_network(bundle, inputs, lambda layer, u: gains[layer][0] * raw(layer, u) + gains[layer][1])
    expected = float(np.mean(logits.argmax(axis=1) == labels))
    assert 0.3 < expected < 1.0
    assert predictor.accuracy(mapping, spoilt, inputs, labels) == pytest.approx(expected)


def test_a_predicted_error_is_that_of_the_kernel_alone(predicted: tuple[Any, Predictor, FloatArray]) -> None:
    bundle, predictor, inputs = predicted
    kernels = map_bundle(bundle, (24, 40), WINDOW, 3).kernels[2:7]
    weights = [kernel.block.weights + 0.1 * RNG.standard_normal((5, 5)) for kernel in kernels]
    found = predictor.nrmse(kernels, weights)
    given = layer_inputs(bundle, inputs[:8])
    for kernel, held, error in zip(kernels, weights, found, strict=True):
        u = given[kernel.layer][..., [kernel.channel]]
        exact = run_blocks([kernel.block], kernel.block.weights[None], u)
        assert error == pytest.approx(corrected_nrmse(run_blocks([kernel.block], held[None], u), exact)[0])


def test_known_faults_leave_what_their_partners_can_make_up_for() -> None:
    mapping = map_bundle(untrained_bundle(channels=1, states=1, layers=1), (3, 6), WINDOW, 1)
    target = mapping.target(0)[0]
    state = ArrayState.fresh((3, 6))
    state.stuck[0, 0] = state.stuck[1, 2] = state.stuck[1, 3] = True
    state.standing[0, 0], state.standing[1, 2], state.standing[1, 3] = 60e-6, 5e-6, 7e-6
    (left,) = reachable(mapping, [state])
    assert (left[0, 0], left[1, 2], left[1, 3]) == (60e-6, 5e-6, 7e-6)
    wanted = np.clip(60e-6 + target[0, 1] - target[0, 0], WINDOW.low, WINDOW.high)
    assert left[0, 1] == pytest.approx(wanted)
    others = np.ones((3, 6), dtype=bool)
    others[0, :2] = others[1, 2:4] = False
    assert left[others] == pytest.approx(target[others])


# ---- verdicts


def test_every_cell_ends_as_its_last_re_read_says() -> None:
    target = np.array([[50.0, 50, 50, 50, 50, 50, np.nan, 50]]) * 1e-6
    read = np.array([[52.0, 45.1, 55.1, 44.9, 44.0, 70, 50, 54.9]]) * 1e-6
    state = ArrayState.fresh((1, 8))
    state.stuck[0, [0, 4, 5, 6]] = True
    for spent, rest in ((False, CellOutcome.GAVE_UP), (True, CellOutcome.BUDGET)):
        (ends,) = cell_ends([CellMap(target, read)], [state], 5e-6, spent)
        good, low, high = CellOutcome.REACHED, CellOutcome.STUCK_LOW, CellOutcome.STUCK_HIGH
        assert ends.tolist() == [[good, good, rest, rest, low, high, CellOutcome.NOT_SELECTED, good]]


def test_every_kernel_ends_by_a_name() -> None:
    mapping = map_bundle(untrained_bundle(channels=5, states=2, layers=1), (40, 40), WINDOW, 1)
    good, turned, moved, left, bad = mapping.kernels
    turned_ = replace(turned, row_signs=np.array([1, 1, -1, 1, 1.0]))
    moved_ = replace(moved, word_lines=moved.word_lines[::-1])
    abandoned = ((left.array, left.slot),)
    changed = replace(mapping, kernels=(good, turned_, moved_, left, bad), abandoned=abandoned)
    error = np.array([0.1, 0.2, 0.0, 0.2, 0.21])
    ends = kernel_ends(changed, error, 0.2, False)
    assert list(ends.values()) == [KernelEnd.GOOD, *[KernelEnd.ARRANGED] * 3, KernelEnd.OUTSIDE]
    assert list(kernel_ends(changed, error, 0.2, True).values())[-1] is KernelEnd.BUDGET
    column = replace(good, column_signs=np.array([1, 1, 1, 1, -1.0]))
    assert kernel_ends(replace(mapping, kernels=(column,)), error[:1], 0.2, False)[good.name] is KernelEnd.ARRANGED
    parts = map_bundle(untrained_bundle(channels=1, states=2, layers=1), (4, 8), WINDOW, 2)
    assert set(kernel_ends(parts, np.array([0.1]), 0.2, False).values()) == {KernelEnd.PART}
    assert set(kernel_ends(parts, np.array([0.3]), 0.2, False).values()) == {KernelEnd.OUTSIDE}


def test_what_was_cut_off_is_told_by_the_cells_that_are_finished_or_stuck() -> None:
    mapping = map_bundle(untrained_bundle(channels=2, states=1, layers=1), (6, 12), WINDOW, 1)
    state = ArrayState.fresh((6, 12))
    first, second = mapping.kernels
    state.finished[first.cells] = state.finished[second.cells] = True
    state.finished[first.word_lines[1], first.bit_lines[2]] = False
    state.stuck[first.word_lines[1], first.bit_lines[2]] = True
    state.finished[second.word_lines[0], second.bit_lines[0]] = False
    ends = unfinished_ends(SimpleNamespace(mapping=mapping, arrays=[state]))  # type: ignore[arg-type]
    assert ends == {first.name: KernelEnd.UNVERIFIED, second.name: KernelEnd.CUT_OFF}


# ---- the journal and the budget


def test_a_journal_gives_back_the_mapping_and_the_states() -> None:
    bundle = untrained_bundle(channels=3, states=2, layers=1)
    mapping = map_bundle(bundle, (7, 12), WINDOW, 3)
    first, second, third = mapping.kernels
    kernels = (replace(first, row_signs=np.array([1, -1, 1, 1, 1.0])), replace(second, bank=3), third)
    mapping = replace(mapping, kernels=kernels, abandoned=((0, 1), (2, 0)))
    state = ArrayState.fresh((7, 12))
    state.finished[mapping.kernels[1].cells] = True
    state.stuck[2, 3] = state.stuck[6, 11] = True
    state.standing[2, 3] = 77e-6
    texts = [plan_entry(mapping, bundle.digest()), array_entry(1, state, 41), array_entry(1, state, 42)]
    found = read_journal(texts, bundle, 4)
    assert (found.pulses, found.done, len(found.arrays)) == (42, False, 4)
    assert found.mapping.abandoned == mapping.abandoned
    assert (found.mapping.shape, found.mapping.window) == (mapping.shape, mapping.window)
    for one, other in zip(found.mapping.kernels, mapping.kernels, strict=True):
        places = ("layer", "channel", "array", "bank", "slot")
        assert [getattr(one, name) for name in places] == [getattr(other, name) for name in places]
        for name in ("word_lines", "pairs", "row_signs", "column_signs", "weights"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name
        assert (one.block.form, one.block.states) == (other.block.form, other.block.states)
    again = found.arrays[1]
    assert np.array_equal(again.stuck, state.stuck)
    assert np.array_equal(again.standing, state.standing, equal_nan=True)
    assert again.finished[mapping.kernels[1].cells].all()
    assert not found.arrays[0].finished.any()
    (alone,) = read_states(texts[1:2], (7, 12))
    assert np.array_equal(alone.finished, state.finished)
    assert json.loads(done_entry(False)) == {"kind": "done", "passed": False}
    with pytest.raises(DeploymentError, match="no plan"):
        read_journal(texts[1:], bundle, 4)
    with pytest.raises(DeploymentError, match="another bundle"):
        read_journal(texts, untrained_bundle(channels=3, states=2, layers=1, seed=9), 4)


def test_a_budget_is_spent_to_its_last_pulse_and_second_and_refuses_what_is_more() -> None:
    account = Account(Budget(pulses=10, seconds=5.0))
    account.ask(4)
    account.ask(6)
    assert (account.pulses, account.refused) == (10, False)
    with pytest.raises(DeploymentError, match=r"10 pulses is spent \(10 sent, 1 more asked\)"):
        account.ask(1)
    assert (account.pulses, account.refused) == (10, True)
    timed = Account(Budget(seconds=5.0))
    for seconds in (4.9, -1.0, 86_400.0, 0.0):
        timed.passed(seconds)
    assert (timed.seconds, timed.leaps) == (4.9, 2)
    timed.ask(10**9)
    timed.passed(0.1)
    with pytest.raises(DeploymentError, match="5 s device time is spent"):
        timed.ask(1)
    assert Budget().endless
    assert not Budget(pulses=0).endless
    assert not Budget(seconds=0.0).endless
    for wrong in (-1, float("nan"), float("inf")):
        with pytest.raises(DeploymentError, match="budget: seconds="):
            Budget(seconds=wrong)
        with pytest.raises(DeploymentError, match="budget: pulses="):
            Budget(pulses=wrong)  # type: ignore[arg-type]
