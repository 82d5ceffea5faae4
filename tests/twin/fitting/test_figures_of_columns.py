"""Gain, offset and wires of bit lines from products: figures and intervals against what the currents were made of."""

import numpy as np
import pytest

from imssa_lab.contract.errors import DataError
from imssa_lab.contract.hal import FloatArray
from twin.fitting.bit_lines import fit_columns
from twin.fitting.fit_outcome import Outcome
from twin.wires.wire_resistance import Wires, effective_matrix

ROWS, COLS = 16, 12
DRAW = np.random.default_rng(0)
CELLS = DRAW.uniform(5e-6, 100e-6, (ROWS, COLS))
VOLTS = DRAW.uniform(-0.2, 0.2, (120, ROWS))
GAIN, OFFSET = 1.0 + 0.01 * np.arange(COLS), 1e-6 * np.cos(np.arange(COLS))


def fitted(currents: FloatArray, count: int = 120, seed: int = 0) -> Outcome:
    return fit_columns(CELLS, VOLTS[:count], currents[:count], np.random.default_rng(seed))


def plain(noise: float = 0.0) -> FloatArray:
    """Currents (120, COLS), A, of columns without wires."""
    return GAIN * (VOLTS @ CELLS) + OFFSET + noise * np.random.default_rng(1).standard_normal((120, COLS))


def test_exact_currents_give_the_exact_figures() -> None:
    outcome = fitted(plain())
    assert outcome.chosen == "no wires"
    columns = outcome.sections["columns"]
    assert columns["gain"] == pytest.approx(1.055)
    assert columns["gain_spread"] == pytest.approx(0.01 * np.sqrt(13.0))  # of 0 to 11, with n - 1
    assert columns["offset_spread"] == pytest.approx(np.sqrt(np.mean(OFFSET**2)))
    assert outcome.facts["products"] == "120"
    (curve,) = outcome.curves
    assert (np.diff(curve.x) >= 0).all()
    assert curve.fitted == pytest.approx(GAIN[0] * curve.x + OFFSET[0])
    assert curve.y == pytest.approx(curve.fitted)
    assert not outcome.remarks


def test_what_is_left_is_the_noise_that_was_added() -> None:
    outcome = fitted(plain(3e-7))
    value, unit = outcome.facts["rms error left"].split()
    assert unit == "uA"
    assert float(value) == pytest.approx(0.3, rel=0.05)
    assert -outcome.held_out["no wires"] == pytest.approx(3e-7, rel=0.1)


def test_intervals_of_the_population_have_its_standard_errors() -> None:
    """Of a mean of n values the standard error is sd / sqrt(n), of a spread about sd / sqrt(2 n) (Gaussian)."""
    rng = np.random.default_rng(4)
    cells, volts = rng.uniform(5e-6, 100e-6, (4, 64)), rng.uniform(-0.2, 0.2, (20, 4))
    gain, offset = 1.0 + 0.1 * rng.standard_normal(64), 1e-6 * rng.standard_normal(64)
    outcome = fit_columns(cells, volts, gain * (volts @ cells) + offset, rng)
    found = {one.name: one for one in outcome.parameters}
    mean, spread, rms = found["mean gain"], found["sd of gain"], found["rms offset"]
    sd = gain.std(ddof=1)
    for one, value, error in (
        (mean, gain.mean(), sd / np.sqrt(64)),
        (spread, sd, sd / np.sqrt(128)),
        (rms, np.sqrt(np.mean(offset**2)), 1e-6 / np.sqrt(128)),
    ):
        assert one.low < one.value < one.high
        assert one.value == pytest.approx(value, abs=0.4 * error)
        assert one.high - one.low == pytest.approx(2 * 1.645 * error, rel=0.35)


def test_a_single_bit_line_has_no_spread() -> None:
    outcome = fit_columns(CELLS[:, :1], VOLTS, plain()[:, :1], np.random.default_rng(0))
    assert outcome.sections["columns"]["gain_spread"] == 0.0
    assert outcome.sections["columns"]["gain"] == pytest.approx(1.0)


def test_eight_products_are_needed_and_every_cell() -> None:
    assert fitted(plain(), 8).facts["products"] == "8"
    with pytest.raises(DataError, match=r"7 products; .* need eight"):
        fitted(plain(), 7)
    hole = CELLS.copy()
    hole[3, 2] = np.nan
    with pytest.raises(DataError, match="conductances of some cells are missing"):
        fit_columns(hole, VOLTS, plain(), np.random.default_rng(0))


def test_a_bit_line_far_from_the_others_is_named() -> None:
    currents = plain()
    currents[:, 5] *= 2
    (remark,) = fitted(currents).remarks
    assert str(remark).startswith("bit lines 5 have gains far from the others")


def test_a_column_of_dead_cells_keeps_its_offset_and_a_gain_of_one() -> None:
    cells = CELLS.copy()
    cells[:, 3] = 0.0
    outcome = fit_columns(cells, VOLTS, VOLTS @ cells + 2e-6, np.random.default_rng(0))
    assert outcome.sections["columns"] == pytest.approx({"gain": 1.0, "gain_spread": 0.0, "offset_spread": 2e-6})


def test_the_interval_of_the_resistance_is_how_far_it_scatters() -> None:
    """Forty fits to the same wires with other noise: their scatter is what each reports."""
    clean = VOLTS @ effective_matrix(CELLS, Wires(r_word=3.0, r_bit=3.0))
    values, spreads = [], []
    for seed in range(40):
        noise = 1e-7 * np.random.default_rng(seed).standard_normal(clean.shape)
        (wire,) = (one for one in fitted(clean + noise).parameters if one.name == "wire")
        values.append(wire.value)
        assert wire.high - wire.value == pytest.approx(wire.value - wire.low)
        spreads.append((wire.high - wire.low) / (2 * 1.645))
    scatter = np.std(values, ddof=1)
    assert np.mean(values) == pytest.approx(3.0, abs=3 * scatter / np.sqrt(40))
    assert np.mean(spreads) == pytest.approx(scatter, rel=0.25)  # the scatter of 40 is known to 11 %


def test_wires_are_taken_only_where_they_show_in_products_that_were_not_fitted() -> None:
    clean = VOLTS @ effective_matrix(CELLS, Wires(r_word=3.0, r_bit=3.0))
    wired, without = fitted(clean), fitted(plain(1e-7))
    assert wired.chosen == "wires"
    assert wired.sections["wires"] == pytest.approx({"r_word": 3.0, "r_bit": 3.0}, rel=1e-3)
    assert wired.sections["columns"]["gain"] == pytest.approx(1.0, abs=1e-4)  # the wires took what was theirs
    assert wired.held_out["wires"] > wired.held_out["no wires"]
    assert "wires" not in without.sections
