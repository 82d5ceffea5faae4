"""A hot chip relaxes faster and conducts better: against Arrhenius by hand, and cold chips that aged longer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from imssa_lab.contract.errors import ConfigError, LimitError
from twin import DigitalTwin, TwinProfile
from twin.fast.many_chips import is_plain

SHAPE = (6, 9)
LAW = {"reference": 300.0, "relaxation_ev": 0.8, "conduction_ev": 0.06, "metallic": 30e-6}
K_OVER_E = 1.380649e-23 / 1.602176634e-19  # V/K, from the SI


def faster(ev: float, kelvin: float) -> float:
    return float(np.exp(ev / K_OVER_E * (1 / 300.0 - 1 / kelvin)))


def profile(law: dict[str, float] | None, preset: str = "supert-a0", **other: Any) -> TwinProfile:
    return TwinProfile.model_validate(TwinProfile.load(preset).model_dump() | {"temperature": law} | other)


def programmed(twin: DigitalTwin) -> DigitalTwin:
    twin.program_conductances(np.full(SHAPE, 20e-6))
    return twin


@pytest.mark.parametrize("preset", ["wan-2022", "pcm-joshi", "hfox-cmo"])
def test_a_hot_hour_is_as_many_cold_ones_as_arrhenius_says(preset: str) -> None:
    """The same cells with the same draws: at 340 K for a time, at 300 K for that much longer."""
    hours = faster(0.8, 340.0)
    assert hours == pytest.approx(38.0, rel=0.01)
    timing = {"timing": {"mvm": 0.0, "cell_read": 0.0, "pulse": 0.0}}
    hot = DigitalTwin(profile(LAW | {"chip": 340.0}, preset, **timing), SHAPE, seed=1)
    hot.wait(123.0)  # before its cells are programmed, which does not count
    programmed(hot)
    cold = programmed(DigitalTwin(profile(LAW, preset, **timing), SHAPE, seed=1))
    start = cold.cells.conductance
    hot.wait(1000.0)
    cold.wait(1000.0 * hours)
    assert hot.cells.conductance == pytest.approx(cold.cells.conductance, rel=1e-7)
    shorter = programmed(DigitalTwin(profile(LAW, preset, **timing), SHAPE, seed=1))
    shorter.wait(1000.0)
    assert np.abs(shorter.cells.conductance - start).sum() < np.abs(cold.cells.conductance - start).sum()


def test_cells_move_during_a_row_of_reads_as_often_as_their_age_asks() -> None:
    """Reads of a hot chip, one a second, give what reads of a cold one give that are as much further apart."""
    found = []
    for chip, period in ((340.0, 1.0), (300.0, faster(0.8, 340.0))):
        timing = {"timing": {"mvm": period, "cell_read": 0.0, "pulse": 0.0}}
        silent = {"read_noise": {"reference": 1e-5, "sd_median": 0.0, "sd_spread": 0.0, "exponent": 0.0}}
        kind = profile(LAW | {"chip": chip, "conduction_ev": 0.0}, "wan-2022", **timing, **silent)
        twin = programmed(DigitalTwin(kind, SHAPE, seed=4))
        found.append(twin.read_mvm(np.full((200, SHAPE[0]), 0.1)))
    assert len(np.unique(found[0][:, 0])) > 20
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_what_relaxed_before_a_turn_of_the_temperature_did_so_at_the_old_one() -> None:
    timing = {"timing": {"mvm": 0.0, "cell_read": 0.0, "pulse": 0.0}}
    turned = programmed(DigitalTwin(profile(LAW, "pcm-joshi", **timing), SHAPE, seed=1))
    steady = programmed(DigitalTwin(profile(LAW, "pcm-joshi", **timing), SHAPE, seed=1))
    for kelvin, seconds in ((330.0, 50.0), (280.0, 1000.0), (300.0, 20.0)):
        turned.set_temperature(kelvin)
        turned.wait(seconds)
    steady.wait(50.0 * faster(0.8, 330.0) + 1000.0 * faster(0.8, 280.0) + 20.0)
    assert turned.cells.conductance == pytest.approx(steady.cells.conductance, rel=1e-7)
    assert turned.time == pytest.approx(1070.0)


@pytest.mark.parametrize("wires", [None, {"r_word": 3.0, "r_bit": 3.0}], ids=["bare", "wired"])
def test_a_hot_chip_reads_as_a_cold_one_of_the_conductances_that_arrhenius_gives(wires: Any) -> None:
    """To the bit, noise and converters included: cells one by one, products, and compiled loops."""
    hot = DigitalTwin(profile(LAW | {"chip": 350.0}, wires=wires), SHAPE, seed=2)
    cold = DigitalTwin(profile(None, wires=wires), SHAPE, seed=2)
    g = np.random.default_rng(0).uniform(2e-6, 150e-6, SHAPE)
    hot.cells.conductance = g
    cold.cells.conductance = hot.conducting
    by_hand = g * np.exp(0.06 / (1 + g / 30e-6) / K_OVER_E * (1 / 300.0 - 1 / 350.0))
    assert hot.conducting == pytest.approx(by_hand, rel=1e-9)
    volts = np.random.default_rng(1).uniform(0, 0.2, (5, SHAPE[0]))
    assert np.array_equal(hot.read_conductances(averages=3), cold.read_conductances(averages=3))
    assert np.array_equal(hot.read_mvm(volts), cold.read_mvm(volts))
    assert np.array_equal(hot.read_mvm(volts[0]), cold.read_mvm(volts[0]))
    hot._compiled = cold._compiled = None  # and read by numpy
    assert np.array_equal(hot.read_mvm(volts), cold.read_mvm(volts))
    assert np.array_equal(hot.read_conductances(), cold.read_conductances())
    hot.set_temperature(300.0)
    assert np.array_equal(hot.conducting, g)
    assert not np.array_equal(hot.read_mvm(volts), cold.read_mvm(volts))  # null control


@pytest.mark.parametrize("preset", ["supert-a0", "wan-2022", "ideal"])
def test_at_the_reference_every_bit_is_as_without_the_section(preset: str) -> None:
    found = []
    for law in (None, LAW, LAW | {"chip": 300.0}):
        twin = programmed(DigitalTwin(profile(law, preset), SHAPE, seed=3))
        reads = [twin.read_conductances(averages=2)]
        twin.wait(1e4)
        reads += [twin.read_mvm(np.full(SHAPE[0], 0.05)), twin.read_conductances()]
        found.append(np.concatenate([read.ravel() for read in reads]))
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_strong_cells_hardly_notice() -> None:
    hot = DigitalTwin(profile(LAW | {"chip": 340.0}, "ideal"), (1, 3))
    hot.cells.conductance = np.array([[1e-9, 30e-6, 1e-2]])
    gain = np.log(hot.conducting / hot.cells.conductance)[0]
    whole = np.log(faster(0.06, 340.0))
    assert gain == pytest.approx([whole, whole / 2, whole / 334.3], rel=1e-3)


def test_temperature_and_age_are_kept(tmp_path: Path) -> None:
    state = tmp_path / "chip.h5"
    kind = profile(LAW, "pcm-joshi")
    with DigitalTwin(kind, SHAPE, 1, state) as twin:
        programmed(twin)
        twin.set_temperature(345.0)
        twin.wait(100.0)
        left, hot = twin.cells.conductance, twin.conducting
    with DigitalTwin(kind, SHAPE, 1, state) as twin:
        assert twin.warmth is not None
        assert twin.warmth.kelvin == 345.0
        assert np.array_equal(twin.cells.conductance, left)
        assert np.array_equal(twin.conducting, hot)


def test_chips_read_together_by_torch_are_refused() -> None:
    plain = TwinProfile.load("supert-a0-easy")
    assert is_plain(plain)
    assert not is_plain(plain.model_copy(update={"temperature": profile(LAW).temperature}))


def test_what_makes_no_sense_is_refused() -> None:
    twin = DigitalTwin(profile(LAW, "ideal"), (2, 2))
    for kelvin in (0.0, -5.0, float("nan"), float("inf")):
        with pytest.raises(LimitError, match="give a finite temperature above 0 K"):
            twin.set_temperature(kelvin)
    with pytest.raises(ConfigError, match=r"350\.0 K asked, but the profile has no section temperature"):
        DigitalTwin("ideal", (2, 2)).set_temperature(350.0)
    for change in ({"reference": 0.0}, {"chip": -1.0}, {"relaxation_ev": -0.1}, {"metallic": 0.0}, {"celsius": 25.0}):
        with pytest.raises(ValidationError):
            profile(LAW | change)
