"""Products of pulse trains as sums of codes: exact, the same in every implementation, and small in a log."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from drivers.supert_a0.convert import TIA_RESISTANCES, pack
from drivers.supert_a0.reading import train_currents
from imssa_lab.contract import jit
from imssa_lab.contract.hal import AdcRanges, Readout
from imssa_lab.log import open_run, record
from imssa_lab.log.care.snapshot import snapshot
from imssa_lab.virtual.virtual_supert_a0 import board_profile
from twin import DigitalTwin, TwinProfile
from twin.periphery.converter import Converters
from twin.periphery.inputs import Inputs
from twin.periphery.pulse_sums import PulseSums

BOARD = TwinProfile.load("supert-a0")
SHAPE = (16, 12)


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, SHAPE[0])) * (0.2 / 255)


def pulses_seen(twin: DigitalTwin, monkeypatch: pytest.MonkeyPatch) -> list[Readout]:
    """What its converter gives for every pulse, from now on; numpy reads this twin."""
    seen: list[Readout] = []
    convert = Converters.convert
    monkeypatch.setattr(Converters, "convert", lambda self, amperes: seen.append(convert(self, amperes)) or seen[-1])
    return seen


@pytest.mark.parametrize(("inputs", "bits"), [("bit-serial", 8), ("unary", 3)])
def test_a_product_is_the_exact_sum_of_its_pulses(inputs: Any, bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Independent: scales, codes and weights as fractions, added up without rounding."""
    monkeypatch.setattr(jit, "AVAILABLE", False)
    profile = BOARD.model_copy(update={"inputs": BOARD.inputs.model_copy(update={"coding": inputs, "bits": bits})})
    twin = DigitalTwin(profile, SHAPE, 3)
    twin.cells.conductance = np.random.default_rng(1).uniform(1e-6, 400e-6, SHAPE)
    seen = pulses_seen(twin, monkeypatch)
    volts = vectors(6)
    volts[1, 2:] = volts[2] = 0.0
    got = twin.read_mvm(volts)
    (raw,) = seen
    assert raw.ranges is not None
    assert len(np.unique(raw.ranges)) >= 3  # small currents and large ones
    counts, assumed = profile.inputs.pulse_counts, (Fraction(7, 2), Fraction(35, 2), Fraction(350, 3), 700, 3500)
    codes, ranges = (np.asarray(each).reshape(len(volts), len(counts), -1) for each in (raw.values, raw.ranges))
    for vector in range(len(volts)):
        for col in range(SHAPE[1]):
            exact = sum(
                count * assumed[ranges[vector, pulse, col]] * int(codes[vector, pulse, col])
                for pulse, count in enumerate(counts)
            ) / (1023 * 10**6 * sum(counts))
            assert got[vector, col] == pytest.approx(float(exact), rel=1e-11, abs=0.0)


def test_codes_are_in_the_largest_unit() -> None:
    sums = PulseSums.of(BOARD.adc, BOARD.inputs)
    assert sums is not None
    assert (sums.units, sums.multiples) == ((1, 3, 4, 12), (3, 15, 100, 600, 3000))
    twin = DigitalTwin(BOARD, SHAPE, 3)
    twin.cells.conductance = np.random.default_rng(1).uniform(1e-6, 400e-6, SHAPE)
    readout = twin._read_mvm(vectors(300))
    assert readout.ranges is not None
    units = np.array(sums.units)[readout.ranges]
    whole = readout.values.astype(np.int64) * units
    for unit in sums.units:
        assert ((whole % unit != 0) | (units >= unit)).all()
    assert set(np.unique(units)) == {4, 12}  # the ADC's codes come in fours; the third range is no multiple of three
    step = twin.info.adc.scale[0]  # type: ignore[union-attr]
    assert (readout.current(twin.info.adc) == step * whole).all()  # rounded once, however it is written


def test_cells_keep_the_code_and_the_range_of_the_converter() -> None:
    twin, plain = DigitalTwin(BOARD, SHAPE, 3), DigitalTwin(board_profile("supert-a0"), SHAPE, 3)
    adc = twin.info.adc
    assert adc is not None
    for one in (twin, plain):
        one.cells.conductance = np.random.default_rng(1).uniform(1e-6, 400e-6, SHAPE)
    readout = twin._read_conductances(np.ones(SHAPE, bool), 2)
    assert readout.ranges is not None
    assert 0 <= readout.values.min() <= readout.values.max() <= 1023
    assert readout.ranges.min() >= 4
    assert adc.scale[4:] == tuple(scale / 1023 for scale in BOARD.adc.full_scales)  # type: ignore[union-attr]


def test_no_simple_ratios_and_sums_of_too_many_bits_stay_in_amperes() -> None:
    for scale, step in (((1.5, 2.5, 5.0), (0.25, (3, 5, 10))), ((1.0, np.pi), None), ((1.0, 60 / 59, 60 / 53), None)):
        assert AdcRanges(bits=8, scale=scale, offset=(0.0,) * len(scale)).common_step(2) == step
    adc, inputs = BOARD.adc, BOARD.inputs
    assert adc is not None
    odd = adc.model_copy(update={"full_scales": (3.5e-6, 3.5e-6 * np.pi)})
    fine = inputs.model_copy(update={"bits": 16})
    single = Inputs(coding="analog", full_scale=0.2)
    for given in ((odd, inputs), (adc, fine), (None, inputs), (adc, single)):
        assert PulseSums.of(*given) is None
    for profile in (BOARD.model_copy(update={"adc": odd}), BOARD.model_copy(update={"inputs": fine})):
        with DigitalTwin(profile, SHAPE) as twin:
            assert twin.info.adc is None
            assert twin._read_mvm(vectors(2)).values.dtype == np.float64


def test_a_board_adds_up_in_the_same_way() -> None:
    """The driver's sums, from words of the wire, against fractions."""
    rng = np.random.default_rng(2)
    codes, gains = rng.integers(0, 1024, (2, 8, 5)), rng.integers(0, 5, (2, 8, 5))
    got = train_currents(pack(codes, gains).reshape(16, 5), 2.0 ** np.arange(8))
    for vector in range(2):
        for col in range(5):
            exact = sum(
                Fraction(2**bit * int(codes[vector, bit, col])) / int(TIA_RESISTANCES[gains[vector, bit, col]])
                for bit in range(8)
            ) * Fraction(7, 2 * 1023 * 255)
            assert got[vector, col] == pytest.approx(float(exact), rel=1e-11, abs=0.0)


def test_a_log_takes_two_bytes_a_product_and_gives_the_same_bits(tmp_path: Path) -> None:
    volts = vectors(2000)
    with record(tmp_path / "run.h5", [DigitalTwin(BOARD, SHAPE, 3)], {}) as (array,):
        wanted, cells = array.read_mvm(volts), array.read_conductances(averages=2)
    snapshot(tmp_path / "run.h5", tmp_path / "packed.h5", packed=True)
    for name, most in (("run.h5", 2.5), ("packed.h5", 2.4)):
        with open_run(tmp_path / name) as run:
            (again,) = run.arrays()
            assert again.read_mvm(volts).tobytes() == wanted.tobytes()
            assert again.read_conductances(averages=2).tobytes() == cells.tobytes()
            assert run.read_mvm["current"].values.tobytes() == wanted.tobytes()
        with h5py.File(tmp_path / name) as file:  # as docs/log_format.md reads it
            table, info = file["read_mvm"], json.loads(file["arrays/0"].attrs["info"])
            scale = np.array(info["adc"]["scale"])
            assert (scale[table["range"][:]] * table["value"][:]).tobytes() == wanted.tobytes()
            size = sum(table[each].id.get_storage_size() for each in ("value", "range"))
        assert size < most * wanted.size
