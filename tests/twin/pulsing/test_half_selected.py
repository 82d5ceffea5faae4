"""Pulses disturb the cells beside their own: against a walk in small steps, the circuit, and twins without it."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from imssa_lab.contract.hal import PulseKind, Pulses
from trials.circuits.kirchhoff import Crossbar
from twin import DigitalTwin, TwinProfile
from twin.pulsing.half_selected import crept

SHAPE = (5, 4)
V2 = {"same_word": 0.5, "same_bit": 0.5}
V3 = {"same_word": 1 / 3, "same_bit": 1 / 3, "neither": -1 / 3}
SET = {"voltage": 0.4, "time": 2e-3, "v_per_decade": 0.1}
RESET = {"voltage": 0.4, "time": 5e-3, "v_per_decade": 0.15}
GATE = 1.2


def profile(section: dict[str, Any] | None, preset: str = "ideal", **other: Any) -> TwinProfile:
    """RESETs work at any gate, so that pulses of both directions can disturb in both."""
    tables = TwinProfile.load(preset).model_dump() | other
    tables["reset"] = tables["reset"] | {"gate_on": 0.1}
    return TwinProfile.model_validate(tables | {"half_selected": section})


def at(mask: np.ndarray, kind: str, voltage: Any, width: float = 1e-6, gate: float = GATE) -> Pulses:
    return Pulses.on(mask, kind, voltage, gate, width)


def one(cell: tuple[int, int], shape: tuple[int, int] = SHAPE) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[cell] = True
    return mask


def start(twin: DigitalTwin, seed: int = 0) -> np.ndarray:
    g = np.random.default_rng(seed).uniform(20e-6, 120e-6, twin.info.shape)
    twin.cells.conductance = g
    return g


def walked(kind: TwinProfile, g: np.ndarray, pulses: Pulses, share: Any, steps: int = 400) -> np.ndarray:
    """Every cell at every pulse, by Euler steps of d ln G/dt = (ln G_end - ln G)/time(U), from the profile's keys."""
    g, law = g.copy(), kind.half_selected
    assert law is not None
    for cell in np.argwhere(pulses.mask):
        volts, gate = pulses.voltage[tuple(cell)], pulses.gate[tuple(cell)]
        rises = pulses.kind is PulseKind.SET
        limit = kind.set.slope * (gate - kind.set.gate_threshold)
        for other in np.ndindex(g.shape):
            u = share(tuple(cell), other) * volts
            raises = rises == (u > 0)
            time, end = (law.set, limit) if raises else (law.reset, kind.reset.floor)
            if u == 0.0 or time is None or (end > g[other]) != raises:
                continue
            x, rate = math.log(g[other]), 10 ** ((abs(u) - time.voltage) / time.v_per_decade) / time.time
            for _ in range(steps):
                x += (math.log(end) - x) * rate * pulses.width / steps
            g[other] = math.exp(x)
        own = 1 - math.exp(-(volts - kind.set.v_threshold) / kind.set.v_scale)
        left = kind.reset.g_at_1v * math.exp(
            -(volts - 1 + kind.reset.v_per_decade * math.log10(pulses.width / kind.reset.width_reference))
            / kind.reset.v_scale
        )
        g[tuple(cell)] = max(g[tuple(cell)], limit * own) if rises else min(g[tuple(cell)], left)
    return g


def shares(section: dict[str, float]) -> Any:
    def share(cell: tuple[int, int], other: tuple[int, int]) -> float:
        if cell == other:
            return 0.0
        if cell[0] == other[0]:
            return section["same_word"]
        return section["same_bit"] if cell[1] == other[1] else section.get("neither", 0.0)

    return share


@pytest.mark.parametrize("kind", ["SET", "RESET"])
@pytest.mark.parametrize("scheme", [V2, V3, {"same_word": 0.1, "same_bit": -0.4, "neither": 0.25}], ids=str)
def test_cells_creep_as_a_walk_in_small_steps_does(scheme: dict[str, float], kind: str) -> None:
    """All pulses of a call one after another, each with what earlier ones left; voltages below the thresholds."""
    made = profile(scheme | {"set": SET, "reset": RESET})
    twin = DigitalTwin(made, SHAPE)
    g = start(twin)
    mask = np.random.default_rng(3).random(SHAPE) < 0.5
    volts = np.random.default_rng(4).uniform(0.7, 0.85, SHAPE)
    pulses = at(mask, kind, volts, 3e-5)
    twin.apply_pulses(pulses)
    found = twin.cells.conductance
    assert found == pytest.approx(walked(made, g, pulses, shares(scheme)), rel=2e-4)
    moved = np.abs(found[~mask] / g[~mask] - 1)
    assert moved.max() > 0.005  # so there was something to be compared


@pytest.mark.parametrize("scheme", [V2, V3], ids=["V/2", "V/3"])
def test_shares_are_those_of_the_lines_of_a_passive_array(scheme: dict[str, float]) -> None:
    """V/2 and V/3 as the circuit has them, for any cells: lines at the scheme's voltages, no resistance."""
    word, bit = (0.5, 0.5) if scheme is V2 else (1 / 3, 2 / 3)
    g, selected = np.random.default_rng(1).uniform(1e-6, 1e-4, SHAPE), (2, 1)
    drive = [1.0 if i == selected[0] else word for i in range(SHAPE[0])]
    bias = [0.0 if j == selected[1] else bit for j in range(SHAPE[1])]
    for other in np.ndindex(SHAPE):
        if other != selected:
            alone = np.where(one(other), g, 0.0)
            ends = np.ones(SHAPE[0], dtype=bool), np.ones(SHAPE[1], dtype=bool)
            circuit = Crossbar(alone, np.zeros(SHAPE[0]), np.zeros(SHAPE[1]), ends[0], ~ends[0], ends[1], ~ends[1])
            current = circuit.currents(drive, bias)[1][other[1]]
            assert current / g[other] == pytest.approx(shares(scheme)(selected, other), abs=1e-12)


def pulses_of_all_kinds(seed: int) -> Iterator[Pulses]:
    rng = np.random.default_rng(seed)
    for kind, volts in (("SET", 1.1), ("RESET", 1.3), ("SET", 0.8), ("RESET", 0.7)):
        yield at(rng.random((8, 7)) < 0.6, kind, volts, gate=GATE if kind == "SET" else 4.0)


def test_where_no_cell_sees_anything_every_bit_is_as_without() -> None:
    """The own pulse is the same code by another way: cycles, broken cells and measured tables included."""
    broken = {"overdrive": {"voltage": 1.3, "probability": 0.2, "v_per_decade": 0.5, "conductance": 3e-6}}
    found = []
    small = {"same_word": 0.1, "same_bit": 0.1}  # no cell moves by it, but cycles of its own are drawn for it
    for section in (None, {"same_word": 0.0, "same_bit": 0.0}, small, V2 | {"set": SET}):
        twin = DigitalTwin(profile(section, "supert-a0", **broken), (8, 7), seed=2)
        for pulses in pulses_of_all_kinds(1):
            twin.apply_pulses(pulses)
        twin.read_conductances(averages=2)
        found.append((twin.cells.conductance, twin.cells.stuck, twin.read_conductances()))
    for with_section in found[1:3]:
        for without, other in zip(found[0], with_section, strict=True):
            assert np.array_equal(without, other)
    assert not np.array_equal(found[0][0], found[3][0])  # null control


def test_a_long_exposure_is_many_short_ones_and_ends_where_a_full_pulse_does() -> None:
    made = profile(V2 | {"set": SET})
    ends = []
    for number in (1, 10, 250):
        twin = DigitalTwin(made, SHAPE)
        start(twin)
        for _ in range(number):
            twin.apply_pulses(at(one((0, 0)), "SET", 0.8, 2e-3 / number))
        ends.append(twin.cells.conductance)
    assert ends[0] == pytest.approx(ends[1], rel=1e-10)
    assert ends[0] == pytest.approx(ends[2], rel=1e-9)
    for _ in range(6):
        twin.apply_pulses(at(one((0, 0)), "SET", 0.8, 0.01))
    limit = made.set.slope * (GATE - made.set.gate_threshold)
    assert twin.cells.conductance[0, 1:] == pytest.approx(limit)
    assert twin.cells.conductance[1:, 0] == pytest.approx(limit)


def test_a_voltage_far_above_the_creep_s_own_moves_a_cell_all_of_the_way() -> None:
    made = profile(V2 | {"set": SET | {"v_per_decade": 1e-3}})
    twin = DigitalTwin(made, SHAPE)
    start(twin)
    twin.apply_pulses(at(one((0, 0)), "SET", 1.6))
    limit = made.set.slope * (GATE - made.set.gate_threshold)
    assert twin.cells.conductance[0, 1:] == pytest.approx(limit)


def test_above_the_threshold_a_half_selected_cell_takes_a_pulse_of_what_it_sees() -> None:
    """V/2 of 2 V are a SET of 1 V: arrays of cells that switch below half of the write voltage cannot be passive."""
    made = profile(V2)
    twin, other = DigitalTwin(made, SHAPE), DigitalTwin(profile(None), SHAPE)
    for array in (twin, other):
        array.cells.conductance = np.full(SHAPE, 5e-6)
    twin.apply_pulses(at(one((1, 2)), "SET", 2.0))
    other.apply_pulses(at(np.ones(SHAPE, dtype=bool), "SET", 1.0))
    beside = np.zeros(SHAPE, dtype=bool)
    beside[1, :], beside[:, 2], beside[1, 2] = True, True, False
    assert np.array_equal(twin.cells.conductance[beside], other.cells.conductance[beside])
    rest = ~beside
    rest[1, 2] = False
    assert (twin.cells.conductance[rest] == 5e-6).all()


def test_with_v_3_less_is_written_beside_and_all_other_cells_are_lowered() -> None:
    moved = {}
    for name, scheme in (("V/2", V2), ("V/3", V3)):
        twin = DigitalTwin(profile(scheme | {"set": SET, "reset": RESET}), (8, 8))
        g = start(twin)
        twin.apply_pulses(at(one((3, 3), (8, 8)), "SET", 0.9, 1e-5))
        change = np.log(twin.cells.conductance / g)
        moved[name] = (change[3, 4:].mean(), np.abs(change[4:, 4:]).mean())
        assert (change[4:, 4:] <= 0).all()
    assert moved["V/2"][0] > 10 * moved["V/3"][0] > 0
    assert moved["V/2"][1] == 0.0 < moved["V/3"][1]


def test_times_spread_over_cells_and_stay_with_them() -> None:
    made = profile({"same_word": 0.5, "same_bit": 0.0, "set": SET | {"spread": 0.7}})
    twin = DigitalTwin(made, (40, 60), seed=5)
    scores = []
    for _ in range(2):
        twin.cells.conductance = np.full((40, 60), 30e-6)
        mask = np.zeros((40, 60), dtype=bool)
        mask[:, 0] = True
        twin.apply_pulses(at(mask, "SET", 0.8, 1e-6))
        scores.append(np.log(np.log(twin.cells.conductance[:, 1:] / 30e-6)))
    assert np.array_equal(scores[0], scores[1])
    assert scores[0].std() == pytest.approx(0.7, rel=0.05)
    assert not np.array_equal(twin.cells._creep_score, DigitalTwin(made, (40, 60), seed=6).cells._creep_score)


def test_stuck_and_unformed_cells_do_not_creep_but_their_own_pulses_disturb() -> None:
    made = profile(
        V2 | {"set": SET}, forming={"voltage": 2.0, "spread": 0.0, "formed_fraction": 1.0, "pristine": 1e-7}
    )
    twin = DigitalTwin(made, SHAPE)
    g = start(twin)
    still = one((2, 2)) | one((2, 3)) | one((4, 2))
    twin.cells.stick(one((2, 2)) | one((4, 2)), g)
    twin.cells.formed = ~one((2, 3))
    twin.apply_pulses(at(one((2, 2)), "SET", 0.8, 1e-3))
    after = twin.cells.conductance
    assert (after[still] == g[still]).all()
    assert (after[2, :2] > g[2, :2]).all()
    assert (after[[0, 1, 3], 2] > g[[0, 1, 3], 2]).all()


def test_a_cell_that_breaks_under_the_pulse_of_another_is_pulsed_no_more() -> None:
    """One in two breaks at every RESET that it sees, high, so that a pulse of its own would lower it again."""
    broken = {"overdrive": {"voltage": 1.0, "probability": 0.5, "v_per_decade": 1e3, "conductance": 300e-6}}
    twin = DigitalTwin(profile({"same_word": 0.5, "same_bit": 0.0}, **broken), (12, 6))
    twin.cells.conductance = np.full((12, 6), 140e-6)
    twin.apply_pulses(at(np.ones((12, 6), dtype=bool), "RESET", 1.4, 1e-3))
    stuck = twin.cells.stuck
    assert stuck.mean() > 0.8
    assert (twin.cells.conductance[stuck] == 300e-6).all()


def test_a_reset_creeps_only_where_its_transistor_is_open() -> None:
    tables = TwinProfile.load("ideal").model_dump() | {"half_selected": V2 | {"reset": RESET}}
    made = TwinProfile.model_validate(tables)
    for gate, creeps in ((made.reset.gate_on * 0.99, False), (made.reset.gate_on, True)):
        twin = DigitalTwin(made, SHAPE)
        g = start(twin)
        twin.apply_pulses(at(one((1, 1)), "RESET", 0.8, 1e-3, gate))
        assert (twin.cells.conductance[1, 2:] < g[1, 2:]).all() == creeps


@pytest.mark.parametrize("preset", ["wan-2022", "pcm-joshi"])
def test_creeping_does_not_begin_relaxation_again(preset: str) -> None:
    """A cell that crept by a millionth goes on as one that did not; one that was pulsed begins again."""
    relaxation = TwinProfile.load(preset).model_dump()["relaxation"]
    ends = []
    for section in (None, V2 | {"set": SET | {"time": 2e6}}):
        twin = DigitalTwin(profile(section, relaxation=relaxation), SHAPE, seed=1)
        twin.apply_pulses(at(np.ones(SHAPE, dtype=bool), "SET", 0.9))
        twin.wait(3600.0)
        before = twin.cells.conductance
        twin.apply_pulses(at(one((1, 1)), "SET", 0.8, 1e-4))
        change = twin.cells.conductance / before - 1
        twin.wait(0.5)
        ends.append(twin.cells.conductance)
        beside = np.zeros(SHAPE, dtype=bool)
        beside[1, 2:], beside[2:, 1] = True, True
        if section is not None:
            assert (change[beside] > 0).all()
            assert (change[beside] < 1e-6).all()
            assert np.abs(twin.cells.conductance[beside] / before[beside] - 1).max() < 1e-3
    assert ends[1][beside] == pytest.approx(ends[0][beside], rel=2e-3)


@pytest.mark.parametrize("preset", ["wan-2022", "pcm-joshi"])
def test_a_cell_relaxes_on_from_where_it_crept(preset: str) -> None:
    relaxation = TwinProfile.load(preset).model_dump()["relaxation"]
    twin = DigitalTwin(profile(V2 | {"set": SET}, relaxation=relaxation), SHAPE, seed=1)
    twin.apply_pulses(at(np.ones(SHAPE, dtype=bool), "SET", 0.9, 1e-7))
    twin.wait(3600.0)
    before = twin.cells.conductance
    twin.apply_pulses(at(one((1, 1)), "SET", 0.8, 1e-3))
    left = twin.cells.conductance
    twin.wait(0.1)
    assert (left[1, 2:] > 1.01 * before[1, 2:]).all()
    assert np.abs(twin.cells.conductance / left - 1)[1, 2:].max() < 1e-3


def test_crept_never_goes_back_nor_beyond() -> None:
    g, end = np.array([1e-5, 2e-5, 3e-5, 0.0]), np.array([2e-5, 2e-5, 2e-5, 2e-5])
    for exposure in (0.0, 0.1, 1.0, 50.0):
        up = crept(g, end, np.full(4, exposure), rises=True)
        down = crept(g, end, np.full(4, exposure), rises=False)
        assert (up >= g).all()
        assert (up[:2] <= end[:2] * (1 + 1e-12)).all()
        assert (down <= g).all()
        assert (down[2] >= end[2] * (1 - 1e-12)).all()
        assert up[2] == g[2]
        assert down[0] == g[0]


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"same_word": 1.5, "same_bit": 0.0}, "less than or equal to 1"),
        ({"same_word": 0.0, "same_bit": 0.0, "set": SET}, "no cell sees any voltage"),
        ({"same_word": 0.5, "same_bit": 0.5, "set": SET | {"time": 0.0}}, "greater than 0"),
        ({"same_word": 0.5}, "same_bit"),
        ({"same_word": 0.5, "same_bit": 0.5, "other": 0.1}, "Extra inputs"),
    ],
)
def test_sections_that_make_no_sense_are_refused(section: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        profile(section)
