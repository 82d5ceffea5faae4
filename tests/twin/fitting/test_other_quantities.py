"""Read noise, I-V, stuck cells, columns and wires: known truths come back."""

import numpy as np
import pytest

from imssa_lab.contract.errors import DataError
from tests.twin.fitting.conftest import table
from twin.fitting.bit_lines import fit_columns
from twin.fitting.current_voltage import fit_current_voltage
from twin.fitting.noise.traces import fit_trace
from twin.fitting.read_noise import fit_read_noise
from twin.fitting.stuck import fit_stuck
from twin.wires.wire_resistance import Wires, effective_matrix


def trace(white, flicker, n=8192, seed=0):
    """Readings in S about 50 uS with white noise and 1/f noise of these strengths, drawn in the frequency domain."""
    rng = np.random.default_rng(seed)
    f = np.fft.rfftfreq(n)[1:]
    size = np.sqrt((2 * white**2 + flicker**2 / f) * n / 4)
    spectrum = size * (rng.standard_normal(f.size) + 1j * rng.standard_normal(f.size))
    return 50e-6 + np.fft.irfft(np.concatenate([[0], spectrum]), n)


def test_white_and_flicker_are_parted():
    found = fit_trace(trace(1.0e-6, 0.3e-6))
    assert found.white == pytest.approx(1.0e-6, rel=0.05)
    assert found.flicker == pytest.approx(0.3e-6, rel=0.15)
    assert found.white_range[0] < 1.0e-6 < found.white_range[1]
    quiet = fit_trace(trace(1.0e-6, 0.0))
    assert quiet.flicker < 0.06e-6  # null control: no 1/f noise, none found


def test_interference_is_left_out_and_named():
    values = trace(1.0e-6, 0.3e-6)
    hum = np.sin(2 * np.pi * np.cumsum(0.2 + 0.01 * np.random.default_rng(2).standard_normal(values.size)))
    data = table(time=0.05 * np.arange(values.size), conductance=values + 1.5e-6 * hum)
    outcome = fit_read_noise(data, np.random.default_rng(1))
    assert outcome.sections["read_noise"]["sd_median"] == pytest.approx(1.0e-6, rel=0.08)
    assert any("interference at" in str(remark) for remark in outcome.remarks)


def test_measured_trace(rram):
    """One cell of a 64 kbit RRAM: white 1.10 uS, 0.36 uS by Allan deviation over 100 readings."""
    g = np.loadtxt(rram / "ni_rram" / "ret1.csv", delimiter=",", usecols=3)
    found = fit_trace(g)
    assert found.plateau == pytest.approx(1.10e-6, rel=0.05)
    assert found.allan(np.array([100.0]))[0] == pytest.approx(0.36e-6, rel=0.1)
    assert found.drift < -1e-6


def test_offset_shunt_and_bend_of_current_voltage():
    rng = np.random.default_rng(0)
    g = np.repeat(rng.uniform(10e-6, 100e-6, 200), 31)
    inner = np.tile(np.linspace(0, 0.35, 31), 200)
    bend = 0.8 * (g / 50e-6) ** -1.2
    current = g * inner * (1 + bend * inner**2)
    outside = inner + 560 * current
    noisy = current - 2e-6 + 2e-8 * rng.standard_normal(g.size)
    data = table(cell=np.repeat(np.arange(200), 31), voltage=outside, current=noisy)
    section = fit_current_voltage(data, rng, series=560.0).sections["nonlinearity"]
    at_50 = section["cubic"] * (50e-6 / section["reference"]) ** -section["exponent"]
    assert at_50 == pytest.approx(0.8, rel=0.05)
    assert section["exponent"] == pytest.approx(1.2, abs=0.15)
    without = fit_current_voltage(data, rng, series=0.0).sections["nonlinearity"]
    assert abs(without["cubic"] - section["cubic"]) > 0.05 * section["cubic"]  # forgetting the shunt shows


def test_stuck_fractions_with_their_rows():
    rng = np.random.default_rng(0)
    bit = np.tile([0.0, 1.0], 2000)
    g = np.where(bit == 1, 3e-6, 80e-6) * np.exp(0.1 * rng.standard_normal(4000))
    g[[1, 5, 9]], g[2] = 90e-6, 1e-6
    outcome = fit_stuck(table(bit=bit, conductance=g))
    assert outcome.sections["stuck"]["on_fraction"] == pytest.approx(3 / 2000)
    assert outcome.sections["stuck"]["off_fraction"] == pytest.approx(1 / 2000)
    assert any(remark.rows == (3, 7, 11) for remark in outcome.remarks)
    with pytest.raises(DataError, match="swap them"):
        fit_stuck(table(bit=1 - bit, conductance=g))


def test_the_pattern_of_another_chip_is_refused_and_many_stuck_cells_are_not():
    rng = np.random.default_rng(0)
    bit = rng.integers(0, 2, 4000).astype(float)
    g = np.where(bit == 1, 3e-6, 80e-6) * np.exp(0.1 * rng.standard_normal(4000))
    other = np.where(rng.random(4000) < 0.31, 1 - bit, bit)
    with pytest.raises(DataError, match=r"bits and readings correlate by 0\.3.*bit pattern of these cells"):
        fit_stuck(table(bit=other, conductance=g))
    stuck = np.where((bit == 0) & (rng.random(4000) < 0.3), 1e-6, g)  # three in ten stuck off: a bad chip, but a chip
    section = fit_stuck(table(bit=bit, conductance=stuck)).sections["stuck"]
    assert section["off_fraction"] == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("resistance", [0.0, 2.0])
def test_columns_and_wires_from_products(resistance):
    rng = np.random.default_rng(0)
    g = rng.uniform(5e-6, 100e-6, (32, 24))
    volts = rng.uniform(-0.2, 0.2, (200, 32))
    gain, offset = 1.2 + 0.17 * rng.standard_normal(24), 1e-6 * rng.standard_normal(24)
    matrix = effective_matrix(g, Wires(r_word=resistance, r_bit=resistance)) if resistance else g
    currents = gain * (volts @ matrix) + offset + 2e-7 * rng.standard_normal((200, 24))
    outcome = fit_columns(g, volts, currents, rng)
    assert outcome.sections["columns"]["gain"] == pytest.approx(gain.mean(), rel=0.01)
    assert outcome.sections["columns"]["gain_spread"] == pytest.approx(gain.std(ddof=1), rel=0.05)
    if resistance:
        (wire,) = [p for p in outcome.parameters if p.name == "wire"]
        assert wire.low - 0.02 <= 2.0 <= wire.high + 0.02
        assert wire.value == pytest.approx(2.0, rel=0.05)
    else:
        assert "wires" not in outcome.sections
        assert any("wire resistance" in text for text in outcome.undetermined)
