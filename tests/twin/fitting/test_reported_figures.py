"""Figures that a fit reports beside its profile: parameters with intervals, curves, facts and what stays open."""

import numpy as np
import pytest

from imssa_lab.contract.hal import FloatArray
from tests.twin.fitting.conftest import table
from twin.fitting.current_voltage import fit_current_voltage
from twin.fitting.fit_outcome import Outcome
from twin.fitting.noise.traces import allan_deviation
from twin.fitting.read_noise import fit_read_noise
from twin.fitting.stuck import fit_stuck
from twin.fitting.tables.measured_tables import Table


def curves(g: FloatArray, power: int, bend: float, offset: FloatArray | float = 0.0) -> Table:
    """I = I0 + G V (1 + b V^power) of cells `g` (n,), S, at 31 voltages, with noise of 1 nA."""
    volts = np.tile(np.linspace(-0.35, 0.35, 31) if power == 2 else np.linspace(0, 0.35, 31), g.size)
    every = np.repeat(g, 31)
    noise = 1e-9 * np.random.default_rng(5).standard_normal(every.size)
    current = every * volts * (1 + bend * volts**power) + np.repeat(np.broadcast_to(offset, g.shape), 31) + noise
    return table(cell=np.repeat(np.arange(g.size), 31), voltage=volts, current=current)


def parameter(outcome: Outcome, begin: str) -> list[float]:
    return [one.value for one in outcome.parameters if one.name.startswith(begin)]


def test_the_bend_of_i_v_is_reported_by_level_and_in_both_forms() -> None:
    g = np.linspace(20e-6, 80e-6, 120)
    cubic = fit_current_voltage(curves(g, 2, 0.9), np.random.default_rng(0))
    (law,) = (one for one in cubic.parameters if one.name.startswith("cubic at"))
    assert law.value == pytest.approx(0.9, rel=0.02)
    assert law.low <= law.value <= law.high
    assert parameter(cubic, "exponent") == pytest.approx([0.0], abs=0.05)
    by_level = [one for one in cubic.parameters if one.name.startswith("b of") and "=" not in one.name]
    assert [one.value for one in by_level] == pytest.approx([0.9] * 6, rel=0.02)
    assert by_level[0].name == "b of 20 to 30 uS"
    assert by_level[-1].name == "b of 70 to 80 uS"
    quadratic = fit_current_voltage(curves(g, 1, 0.5), np.random.default_rng(0))
    assert parameter(quadratic, "b of I = G V (1 + b V)") == pytest.approx([0.5] * 6, rel=0.02)


def test_offset_and_its_spread_are_reported_in_microamperes() -> None:
    offsets = -2e-6 + 0.25e-6 * np.where(np.arange(120) % 2, 1.0, -1.0)
    outcome = fit_current_voltage(curves(np.full(120, 50e-6), 2, 0.9, offsets), np.random.default_rng(0))
    median, spread = outcome.facts["instrument offset, subtracted"].split(" uA, sd ")
    assert abs(float(median) + 2.0) <= 0.26
    assert float(spread) == pytest.approx(0.25, abs=0.002)


def test_currents_against_the_voltage_are_named_even_if_the_cell_hardly_conducts() -> None:
    """Of 40 cells one carries -20 uS; cells without current are no sign of swapped leads."""
    g = np.linspace(20e-6, 80e-6, 40)
    g[3], g[5] = -20e-6, 0.0
    outcome = fit_current_voltage(curves(g, 2, 0.0), np.random.default_rng(0))
    assert [str(one) for one in outcome.remarks if "negative conductance" in str(one)]
    assert "in 1 cells" in next(str(one) for one in outcome.remarks if "negative conductance" in str(one))


@pytest.mark.parametrize("count", [0, 1, 2])
def test_cells_stuck_on_have_a_spread_once_there_are_two(count: int) -> None:
    bit = np.tile([0.0, 1.0], 100)
    g = np.where(bit == 1, 3e-6, 80e-6)
    g[[1, 3][:count]] = [60e-6, 90e-6][:count]
    section = fit_stuck(table(bit=bit, conductance=g)).sections["stuck"]
    assert section["on_spread"] == pytest.approx(np.std(np.log([60, 90])) if count == 2 else 0.0)
    assert section["on_fraction"] == pytest.approx(count / 100)


def test_what_one_reading_after_one_write_cannot_say_is_said() -> None:
    bit = np.tile([0.0, 1.0], 100)
    outcome = fit_stuck(table(bit=bit, conductance=np.where(bit == 1, 3e-6, 80e-6)))
    assert any("a second write" in text for text in outcome.undetermined)
    assert any("where cells stick on: none did" in text for text in outcome.undetermined)


def test_the_allan_deviation_of_white_noise_falls_with_the_root_of_the_length() -> None:
    """Against 1 / sqrt(n), the textbook's law; at 4 % of the readings the estimate itself scatters by 6 %."""
    values = 50e-6 + 1e-6 * np.random.default_rng(0).standard_normal(20_000)
    lengths, found = allan_deviation(values)
    short = lengths <= 200
    assert short.sum() > 10
    assert found[short] == pytest.approx(1e-6 / np.sqrt(lengths[short]), rel=0.2)


def test_read_noise_has_a_curve_for_each_cell_and_says_what_it_leaves_open() -> None:
    rng = np.random.default_rng(1)
    cells = np.repeat([0.0, 1.0, 2.0], 400)
    level = np.array([20e-6, 40e-6, 60e-6])[cells.astype(int)]
    data = table(cell=cells, read=np.tile(np.arange(400.0), 3), conductance=level + 1e-6 * rng.standard_normal(1200))
    outcome = fit_read_noise(data, rng)
    assert [curve.title.split(",")[0] for curve in outcome.curves[:3]] == ["cell 0", "cell 1", "cell 2"]
    for word in ("telegraph noise", "drift", "time constants"):
        assert any(text.startswith(word) for text in outcome.undetermined)


def test_readings_without_times_count_by_number() -> None:
    """A hum every fifth reading is named by its frequency per reading."""
    rng = np.random.default_rng(2)
    place = np.arange(4096)
    hum = 1.5e-6 * np.sin(2 * np.pi * (0.2 * place + 0.01 * np.cumsum(rng.standard_normal(place.size))))
    data = table(conductance=50e-6 + 1e-6 * rng.standard_normal(place.size) + hum)
    outcome = fit_read_noise(data, rng)
    (named,) = (str(one) for one in outcome.remarks if "interference" in str(one))
    assert "per reading" in named
    assert float(named.split(" at ")[1].split(" per ")[0]) == pytest.approx(0.2, abs=0.02)
    assert any("time constants" in text for text in outcome.undetermined)
