"""Cells wear by RESETs and their window closes: against numbers worked out here, and against cells without it."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from imssa_lab.contract.hal import Pulses
from twin import DigitalTwin, TwinProfile

SHAPE = (3, 4)
LAW = {"cycles": 40.0, "voltage": 1.5, "v_per_decade": 0.25, "middle": 60e-6}
SET, RESET = ("SET", 1.8, 1.3), ("RESET", 1.5, 4.0)


def profile(law: dict[str, float] | None, preset: str = "ideal", **other: Any) -> TwinProfile:
    return TwinProfile.model_validate(TwinProfile.load(preset).model_dump() | {"endurance": law} | other)


def pulse(twin: DigitalTwin, kind: str, voltage: float, gate: float, width: float = 1e-6) -> np.ndarray:
    twin.apply_pulses(Pulses.on(np.ones(twin.info.shape, dtype=bool), kind, voltage, gate, width))
    return twin.cells.conductance


def test_the_window_of_a_cell_closes_as_the_law_says_cycle_by_cycle() -> None:
    """Where SETs and RESETs of a fresh cell end is measured; how far both come is worked out from the keys."""
    fresh, twin = DigitalTwin(profile(None), SHAPE), DigitalTwin(profile(LAW), SHAPE)
    high, low = pulse(fresh, *SET)[0, 0], pulse(fresh, *RESET)[0, 0]
    assert low < LAW["middle"] < high
    widths = []
    for cycle in range(120):
        closed = (cycle / 40) / (1 + cycle / 40)
        set_ = pulse(twin, *SET)
        reset = pulse(twin, *RESET)
        assert set_ == pytest.approx(high ** (1 - closed) * 60e-6**closed, rel=1e-12)
        assert reset == pytest.approx(low ** (1 - closed) * 60e-6**closed, rel=1e-12)
        widths.append(np.log(set_ / reset).mean())
    assert widths[40] == pytest.approx(widths[0] / 2)
    assert twin.cells.wear == pytest.approx(3.0)


def test_a_tenth_of_the_cycles_for_a_quarter_of_a_volt_and_none_by_sets() -> None:
    for voltage, expected in ((1.5, 1 / 40), (1.75, 10 / 40), (1.0, 0.01 / 40)):
        twin = DigitalTwin(profile(LAW), SHAPE)
        for _ in range(3):
            pulse(twin, *SET)
            pulse(twin, "RESET", voltage, 4.0)
        assert twin.cells.wear == pytest.approx(3 * expected, rel=1e-12)


def test_resets_that_do_not_act_do_not_wear() -> None:
    """Below the threshold, with the transistor off, on stuck cells and on those that are not formed."""
    forming = {"voltage": 2.0, "spread": 0.0, "formed_fraction": 1.0, "pristine": 1e-7}
    twin = DigitalTwin(profile(LAW, forming=forming), SHAPE)
    pulse(twin, "RESET", twin.profile.reset.v_threshold, 4.0)
    pulse(twin, "RESET", 1.5, twin.profile.reset.gate_on * 0.99)
    assert (twin.cells.wear == 0.0).all()
    out = np.zeros(SHAPE, dtype=bool)
    out[0, 0] = True
    twin.cells.stick(out, 1e-4)
    twin.cells.formed = ~np.roll(out, 1)
    pulse(twin, *RESET)
    assert np.array_equal(twin.cells.wear > 0, ~(out | np.roll(out, 1)))


def test_levels_inside_the_window_are_reached_by_stronger_pulses_until_it_has_closed() -> None:
    twin = DigitalTwin(profile(LAW), SHAPE)
    low, before = (pulse(twin, "SET", 1.8, gate) for gate in (0.45, 0.8))
    twin.cells.wear = np.full(SHAPE, 0.5)
    twin.cells.conductance = np.full(SHAPE, 2e-6)
    assert low[0, 0] < LAW["middle"]
    assert np.array_equal(pulse(twin, "SET", 1.8, 0.45), low)
    weaker = pulse(twin, "SET", 1.8, 0.8)
    assert (weaker < before).all()
    stronger = pulse(twin, "SET", 1.8, 1.2)
    assert (stronger > before).all()
    twin.cells.wear = np.full(SHAPE, 1e9)
    twin.cells.conductance = np.full(SHAPE, 2e-6)
    assert pulse(twin, "SET", 1.8, 1.4) == pytest.approx(60e-6)


def test_cells_last_differently_long_each_its_own_life() -> None:
    twin = DigitalTwin(profile(LAW | {"spread": 0.6}), (50, 60), seed=2)
    pulse(twin, *RESET)
    first = np.log(twin.cells.wear)
    assert first.std() == pytest.approx(0.6, rel=0.05)
    assert np.median(first) == pytest.approx(-np.log(40), abs=0.05)
    pulse(twin, *RESET)
    assert np.log(twin.cells.wear) == pytest.approx(first + np.log(2))


def test_steepness_makes_the_end_sudden() -> None:
    for steepness in (1.0, 4.0):
        law = profile(LAW | {"steepness": steepness}).endurance
        assert law is not None
        closed = law.closed(np.array([0.0, 0.5, 1.0, 2.0]))
        assert closed == pytest.approx([0.0, 1 / (1 + 2**steepness), 0.5, 2**steepness / (1 + 2**steepness)])


def test_a_reset_far_beyond_all_measured_wears_out_at_once() -> None:
    twin = DigitalTwin(profile(LAW | {"v_per_decade": 1e-3, "steepness": 3.0}), SHAPE)
    for _ in range(2):
        pulse(twin, "RESET", 2.0, 4.0)
        assert (pulse(twin, *SET) == 60e-6).all()
    assert np.isinf(twin.cells.wear).all()


def test_cells_that_last_for_ever_are_to_the_bit_those_without_it() -> None:
    """Null control in both directions; the board's cells, with all that differs and scatters."""
    found = []
    for law in (None, LAW | {"cycles": 1e300}, LAW):
        twin = DigitalTwin(profile(law, "supert-a0"), (8, 8), seed=4)
        for _ in range(4):
            pulse(twin, *SET)
            pulse(twin, "RESET", 1.4, 4.0)
        report = twin.program_conductances(np.full((8, 8), 40e-6))
        found.append((twin.cells.conductance, report.achieved, report.pulses))
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(found[0], found[1], strict=True))
    assert not np.array_equal(found[0][0], found[2][0])


def test_lines_and_half_selection_wear_by_what_reaches_a_cell() -> None:
    wires = {"r_word": 0.0, "r_bit": 0.0, "r_in": 3000.0}
    twin = DigitalTwin(profile(LAW, wires=wires, line_drop={}), SHAPE)
    twin.cells.conductance = np.full(SHAPE, 140e-6)
    after = pulse(twin, *RESET)
    acted = 1.5 / (1 + 3000.0 * after)  # at the end, when the cell lets least through
    assert twin.cells.wear == pytest.approx(10 ** ((acted - 1.5) / 0.25) / 40)
    assert (acted < 1.45).all()
    twin = DigitalTwin(profile(LAW, half_selected={"same_word": 0.5, "same_bit": 0.0}), SHAPE)
    mask = np.zeros(SHAPE, dtype=bool)
    mask[1, 1] = True
    twin.apply_pulses(Pulses.on(mask, "RESET", 1.5, 4.0, 1e-6))
    assert twin.cells.wear[1] == pytest.approx(np.where(mask[1], 1.0, 10 ** (-0.75 / 0.25)) / 40)
    assert (twin.cells.wear[[0, 2]] == 0).all()


def test_a_worn_cell_creeps_to_the_end_of_its_own_window() -> None:
    creep = {"voltage": 0.4, "time": 1e-9, "v_per_decade": 0.1}
    twin = DigitalTwin(profile(LAW, half_selected={"same_word": 0.5, "same_bit": 0.0, "set": creep}), (1, 2))
    twin.cells.wear = np.ones((1, 2))
    twin.apply_pulses(Pulses.on(np.array([[True, False]]), "SET", 0.8, 1.3, 1e-6))
    limit = twin.profile.set.slope * (1.3 - twin.profile.set.gate_threshold)
    assert twin.cells.conductance[0, 1] == pytest.approx((limit * 60e-6) ** 0.5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cycles": 0.0}, "cycles"),
        ({"v_per_decade": -0.1}, "v_per_decade"),
        ({"middle": 0.0}, "middle"),
        ({"life": 1.0}, "Extra inputs"),
    ],
)
def test_sections_that_make_no_sense_are_refused(change: dict[str, float], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        profile(LAW | change)
