"""Pulses through lines with resistance: against Kirchhoff's current law and a pulse that is followed step by step."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from imssa_lab.contract.hal import PulseKind, Pulses
from trials.circuits.kirchhoff import Crossbar
from twin import DigitalTwin, TwinProfile
from twin.wires.wire_resistance import Wires

SHAPE = (4, 5)
LINES = {"r_word": (40.0, 10.0, 90.0, 25.0), "r_bit": (15.0, 60.0, 5.0, 120.0, 30.0), "r_in": 20.0, "r_out": 35.0}
PULSES = [
    ("SET", 20e-6, 1.1, 1.4, 1e-6),
    ("SET", 90e-6, 2.4, 1.3, 1e-6),
    ("RESET", 390e-6, 1.2, 5.0, 1e-6),
    ("RESET", 390e-6, 0.56, 5.0, 1e-6),
    ("RESET", 150e-6, 1.6, 4.0, 1e-4),
]


def profile(wires: dict[str, Any], drop: dict[str, float] | None, preset: str = "supert-a0-easy") -> TwinProfile:
    """Without stuck cells, and cycles that scatter and cells that differ as in the preset."""
    tables = TwinProfile.load(preset).model_dump() | {"wires": wires, "line_drop": drop, "lines": None}
    return TwinProfile.model_validate(tables | {"stuck": tables["stuck"] | {"on_fraction": 0.0, "off_fraction": 0.0}})


def pulsed(kind: TwinProfile, pulse: tuple[str, float, float, float, float], shape: tuple[int, int] = SHAPE) -> Any:
    """The cells after one pulse on all of them from one conductance; the twin."""
    name, start, voltage, gate, width = pulse
    twin = DigitalTwin(kind, shape, seed=3)
    twin.cells.conductance = np.full(shape, start)
    twin.apply_pulses(Pulses.on(np.ones(shape, dtype=bool), name, voltage, gate, width))
    return twin


def by_kirchhoff(wires: Wires, cell: tuple[int, int], conductance: float, voltage: float) -> float:
    """Voltage across one cell whose neighbours are switched off, V, from the circuit itself."""
    alone = np.zeros(SHAPE)
    alone[cell] = conductance
    word, bit = (np.asarray(r, dtype=float) for r in (wires.r_word, wires.r_bit))
    left, right = (np.full(SHAPE[0], wires.drive in (end, "both")) for end in ("left", "right"))
    bottom, top = (np.full(SHAPE[1], wires.sense in (end, "both")) for end in ("bottom", "top"))
    circuit = Crossbar(alone, word, bit, left, right, bottom, top, wires.r_in, wires.r_out)
    drive = np.zeros(SHAPE[0])
    drive[cell[0]] = voltage
    return float(circuit.currents(drive.tolist(), [0.0] * SHAPE[1])[1][cell[1]] / conductance)


def law_of_one_cell(kind: TwinProfile, cell: tuple[int, int], pulse: tuple[str, float, float, float, float]) -> Any:
    """G that the pulse brings this cell to from `start` if `volts` act on it: what a twin without wires does."""

    def brought(start: float, volts: float) -> float:
        name, _, _, gate, width = pulse
        twin = DigitalTwin(kind.model_copy(update={"wires": None, "line_drop": None}), SHAPE, seed=3)
        twin.cells.conductance = np.full(SHAPE, start)
        twin.apply_pulses(Pulses.on(np.ones(SHAPE, dtype=bool), name, volts, gate, width))
        return float(twin.cells.conductance[cell])

    return brought


@pytest.mark.parametrize(
    "ends", [{}, {"drive": "right", "sense": "top"}, {"drive": "both", "sense": "both"}], ids=str
)
@pytest.mark.parametrize("pulse", PULSES, ids=str)
def test_a_pulse_ends_where_what_the_lines_leave_does_nothing_more(pulse: Any, ends: dict[str, str]) -> None:
    """Cell by cell: nothing moves it from where it is, and everything before that moves it on."""
    kind = profile(LINES | ends, {})
    twin = pulsed(kind, pulse)
    start, voltage = pulse[1], pulse[2]
    for cell in ((0, 0), (2, 3), (3, 4)):
        end = float(twin.cells.conductance[cell])
        law = law_of_one_cell(kind, cell, pulse)
        for g in np.linspace(start, end, 6):
            acts = by_kirchhoff(Wires.model_validate(LINES | ends), cell, float(g), voltage)
            brought = law(float(g), acts)
            if g == end or start == end:
                assert brought == pytest.approx(end, rel=1e-10)
            else:
                assert (brought - g) * (end - start) > 0


def test_the_far_corner_gets_less() -> None:
    """SETs reach less and RESETs leave more, the farther the cell; the same cells on nothing but drivers do not."""
    bare = TwinProfile.load("ideal").model_copy(update={"name": "bare"})
    for name, start in (("SET", 1e-6), ("RESET", 140e-6)):
        pulse = (name, start, 1.5, 1.0 if name == "SET" else 5.0, 1e-6)
        wired = profile({"r_word": 20.0, "r_bit": 20.0}, {}, "ideal")
        g = pulsed(wired, pulse, (16, 16)).cells.conductance
        assert np.ptp(pulsed(bare, pulse, (16, 16)).cells.conductance) == 0.0
        rising = -1 if name == "SET" else 1
        assert (rising * np.diff(g, axis=1) > 0).all()  # word lines are driven at column 0
        assert (rising * np.diff(g, axis=0) < 0).all()  # bit lines are at ground below the last row
        assert abs(g[0, 15] / g[15, 0] - 1) > 0.01


def test_a_reset_that_the_lines_weaken_below_its_threshold_does_not_begin() -> None:
    """And one that begins runs on: what is left of the cell takes less from the pulse."""
    kind = profile({"r_word": 0.0, "r_bit": 0.0, "r_in": 1000.0}, {}, "supert-a0-easy")
    threshold = kind.reset.v_threshold
    divided = 1.0 + 1000.0 * 400e-6
    for voltage, begins in ((threshold * divided * 0.999, False), (threshold * divided * 1.7, True)):
        left = pulsed(kind, ("RESET", 400e-6, voltage, 5.0, 1e-3)).cells.conductance
        assert (left < 400e-6).all() if begins else (left == 400e-6).all()
    alone = pulsed(kind.model_copy(update={"wires": None, "line_drop": None}), ("RESET", 400e-6, voltage, 5.0, 1e-3))
    first = alone.cells.conductance  # the whole voltage
    stopped = kind.reset.g_at_1v * np.exp(-(voltage / divided - 1.0) / kind.reset.v_scale)
    assert (first < left).all()
    assert left.mean() < 0.8 * stopped  # the voltage that the first moment leaves, for all of the pulse


def test_lines_without_resistance_change_no_bit_nor_does_a_path_that_was_there_when_cells_were_measured() -> None:
    for pulse in PULSES:
        expected = pulsed(profile({"r_word": 0.0, "r_bit": 0.0}, None), pulse).cells.conductance
        for ohm in (0.0, 70.0):
            kind = profile({"r_word": 0.0, "r_bit": 0.0, "r_in": ohm}, {"through": ohm})
            found = pulsed(kind, pulse).cells.conductance
            assert np.array_equal(found, expected)
        other = pulsed(profile({"r_word": 0.0, "r_bit": 0.0, "r_in": 70.0}, {}), pulse).cells.conductance
        assert np.array_equal(other != expected, expected != pulse[1])  # null control


def test_without_the_section_pulses_arrive_in_full_through_any_wires() -> None:
    for pulse in PULSES:
        one, other = (
            pulsed(profile(w, None), pulse).cells.conductance for w in (LINES, {"r_word": 0.0, "r_bit": 0.0})
        )
        assert np.array_equal(one, other)


@pytest.mark.parametrize("name", ["SET", "RESET"])
def test_a_cell_nearer_than_those_measured_runs_on_to_the_first_place_of_rest(name: str) -> None:
    """A SET through less than the law was measured through drives itself; then one ends where a slow walk ends."""
    pulse = next(one for one in PULSES if one[0] == name)
    kind = profile({"r_word": 0.0, "r_bit": 0.0, "r_in": 20.0}, {"through": 900.0})
    found = pulsed(kind, pulse).cells.conductance
    law = law_of_one_cell(kind, (1, 2), pulse)
    g = pulse[1]
    for _ in range(400):
        g += 0.3 * (law(g, pulse[2] * (1 + 900.0 * g) / (1 + 20.0 * g)) - g)
    assert found[1, 2] == pytest.approx(g, rel=1e-9)
    assert abs(g / law(pulse[1], pulse[2]) - 1) > 0.01


def test_lines_that_lead_nowhere_bring_no_pulse() -> None:
    kind = profile(LINES | {"open_word": [1], "open_bit": [-1]}, {})
    for pulse in PULSES[:3]:
        moved = pulsed(kind, pulse).cells.conductance != pulse[1]
        expected = np.ones(SHAPE, dtype=bool)
        expected[1], expected[:, -1] = False, False
        assert np.array_equal(moved, expected)


def test_cells_are_formed_and_broken_by_what_reaches_them() -> None:
    forming = {"voltage": 2.0, "spread": 0.0, "formed_fraction": 0.0, "pristine": 50e-6}
    overdrive = {"voltage": 1.5, "probability": 1.0, "v_per_decade": 1e-3, "conductance": 3e-6}
    wires = {"r_word": 0.0, "r_bit": 0.0, "r_in": 2000.0}
    tables = profile(wires, {}).model_dump()
    kind = TwinProfile.model_validate(tables | {"forming": forming})
    for voltage, formed in ((2.0 * 1.1 * 0.999, False), (2.0 * 1.1 * 1.001, True)):
        twin = DigitalTwin(kind, (2, 2))
        twin.cells.apply(Pulses.on(np.ones((2, 2), dtype=bool), PulseKind.FORM, voltage, 1.2, 1e-6))
        assert twin.cells.formed.all() == formed == twin.cells.formed.any()
    kind = TwinProfile.model_validate(tables | {"overdrive": overdrive})
    for voltage, breaks in ((1.51, False), (1.7, True)):  # at its end, when the cell lets little through
        assert pulsed(kind, ("RESET", 390e-6, voltage, 5.0, 1e-3)).cells.stuck.all() == breaks


def test_the_recipe_makes_up_for_what_one_pulse_misses() -> None:
    wires = {"r_word": 0.0, "r_bit": 0.0, "r_in": 500.0}
    one = [pulsed(profile(wires, drop), ("SET", 2e-6, 0.8, 1.0, 1e-6)).cells.conductance for drop in (None, {})]
    assert (one[1] < 0.97 * one[0]).all()
    report = DigitalTwin(profile(wires, {}), (8, 8), 1).program_conductances(np.full((8, 8), 60e-6))
    assert report.within(10e-6) > 0.9


@pytest.mark.parametrize(
    ("wires", "drop", "words"),
    [
        (None, {}, "write a section wires with r_word"),
        ({"r_word": 1.0, "r_bit": 1.0, "selector": "none"}, {}, "computed for cells with a transistor"),
        ({"r_word": 1.0, "r_bit": 1.0}, {"through": -1.0}, "greater than or equal to 0"),
        ({"r_word": 1.0, "r_bit": 1.0}, {"through": float("inf")}, "finite"),
        ({"r_word": 1.0, "r_bit": 1.0}, {"thru": 1.0}, "Extra inputs"),
    ],
)
def test_sections_that_make_no_sense_are_refused(wires: Any, drop: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        TwinProfile.model_validate(TwinProfile.load("ideal").model_dump() | {"wires": wires, "line_drop": drop})
