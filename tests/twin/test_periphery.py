"""Inputs, column amplifiers, converters and read rate, against exact laws and the board's own conversions."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from drivers.supert_a0 import convert
from imssa_lab.contract.errors import LimitError, LinkCorrupt
from protocols.recurrence import read_signed
from twin import DigitalTwin, TwinProfile
from twin.periphery.columns import ColumnAmplifiers, ReadRate, Sag
from twin.periphery.converter import Adc, Converters, adc_ranges, codes_of
from twin.periphery.inputs import Inputs, dac_voltage, pulse_trains, weighted_sum

BOARD = TwinProfile.load("supert-a0")
PLAIN = TwinProfile.load("ideal")


def changed(profile: TwinProfile, **sections: Any) -> TwinProfile:
    return profile.model_copy(update=sections)


def converters(cols: int = 8, seed: int = 0, **adc: Any) -> Converters:
    return Converters(Adc(**adc), cols, np.random.default_rng(seed))


# ---- inputs


def test_dac_steps() -> None:
    inputs = Inputs(bits=8, full_scale=0.2)
    voltages = np.linspace(-0.2, 0.2, 1001)
    out = dac_voltage(voltages, inputs)
    assert len(np.unique(out)) == 255
    assert np.abs(out - voltages).max() <= 0.2 / 127 / 2 + 1e-15
    assert np.array_equal(dac_voltage(voltages, Inputs(full_scale=0.2)), voltages)


@pytest.mark.parametrize(("coding", "bits", "products"), [("bit-serial", 8, 8), ("unary", 3, 7), ("analog", 6, 1)])
@pytest.mark.parametrize("signed", [True, False])
def test_every_coding_computes_the_product(coding: str, bits: int, products: int, signed: bool) -> None:
    """Exact on perfect cells, for voltages that the coding has; pulses are at full scale or off."""
    inputs = Inputs(coding=coding, bits=bits, full_scale=0.2, signed=signed)
    rng = np.random.default_rng(0)
    numbers = rng.uniform(-1 if signed else 0, 1, (6, 12))
    drive = dac_voltage(0.2 * numbers, inputs)
    trains = pulse_trains(drive, inputs)
    assert trains.shape == (6 * products, 12)
    if coding != "analog":
        assert set(np.unique(np.abs(trains)).round(12)) <= {0.0, 0.2}
    assert sum(inputs.weights) == pytest.approx(1.0)
    assert weighted_sum(trains, inputs) == pytest.approx(drive, abs=1e-15)
    target = rng.uniform(2e-6, 150e-6, (12, 5))
    twin = DigitalTwin(changed(PLAIN, inputs=inputs), (12, 5))
    twin.cells.conductance = target
    assert twin.read_mvm(drive) == pytest.approx(drive @ target, abs=1e-18)
    assert twin.info.input_coding == coding
    assert twin.time == pytest.approx(6 * products * PLAIN.timing.mvm)


def test_bit_serial_codes_are_binary_with_the_least_bit_first() -> None:
    inputs = Inputs(coding="bit-serial", bits=4, full_scale=0.3, signed=True)
    trains = pulse_trains(np.array([[0.3 * 11 / 15, -0.3 * 4 / 15]]), inputs)
    assert (trains / 0.3).round(12).T.tolist() == [[1, 1, 0, 1], [0, 0, -1, 0]]


def test_word_lines_without_sign_refuse_and_take_two_passes() -> None:
    inputs = Inputs(coding="bit-serial", bits=8, full_scale=0.2, signed=False)
    twin = DigitalTwin(changed(PLAIN, inputs=inputs), (6, 4))
    twin.cells.conductance = np.random.default_rng(0).uniform(2e-6, 150e-6, (6, 4))
    drive = dac_voltage(np.random.default_rng(1).uniform(-0.2, 0.2, (3, 6)), inputs)
    with pytest.raises(LimitError, match="two passes"):
        twin.read_mvm(drive)
    assert read_signed(twin, drive) == pytest.approx(drive @ twin.cells.conductance, rel=1e-10)


@pytest.mark.parametrize("bad", [{"coding": "bit-serial"}, {"coding": "unary", "bits": 12}, {"bits": 1}])
def test_codings_that_cannot_be(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Inputs(**{"full_scale": 0.2, **bad})


# ---- converters


def test_adc_takes_the_smallest_range_and_saturates_beyond_the_last() -> None:
    adc = Adc(bits=10, full_scales=(1e-6, 1e-5, 1e-4))
    readout = Converters(adc, 5, np.random.default_rng(0)).convert(np.array([0.9e-6, -1.1e-6, 5e-5, 3e-4, -3e-4]))
    assert readout.ranges is not None
    assert readout.ranges.tolist() == [0, 1, 2, 2, 2]
    current = readout.current(adc_ranges(adc))
    assert current[:3] == pytest.approx([0.9e-6, -1.1e-6, 5e-5], rel=0.02)
    assert current[3:] == pytest.approx([1e-4, -1e-4])


def test_unsigned_codes_start_at_zero_and_headroom_moves_the_change_of_range() -> None:
    adc = Adc(bits=10, full_scales=(1e-6, 1e-5), signed=False, headroom=0.8)
    readout = Converters(adc, 4, np.random.default_rng(0)).convert(np.array([-5e-6, 0.79e-6, 0.81e-6, 1e-4]))
    assert readout.ranges is not None
    assert readout.values.tolist() == [0, round(0.79 * 1023), round(0.081 * 1023), 1023]
    assert readout.ranges.tolist() == [0, 0, 1, 1]


def test_codes_that_are_missing_never_occur_and_the_others_all_do() -> None:
    adc = Adc(bits=10, full_scales=(1.0,), signed=False, missing=((0.25, 32), (0.75, 4), (1.0, 16)))
    seen = np.unique(codes_of(np.linspace(0, 1, 100_001), adc)).astype(int)
    low, middle, high = seen[seen < 256], seen[(seen >= 256) & (seen < 768)], seen[seen >= 768]
    assert low.tolist() == list(range(0, 256, 32))
    assert middle.tolist() == list(range(256, 768, 4))
    assert high.tolist() == [*range(768, 1023, 16), 1023]
    assert len(np.unique(codes_of(np.linspace(0, 1, 100_001), adc.model_copy(update={"missing": ()})))) == 1024


def test_the_boards_converter_is_as_bad_as_measured() -> None:
    """12 converters swept: residual about a line 13-33 mV rms, at most 34-79 mV, of 3.5 V; gain +-1 %."""
    assert BOARD.adc is not None
    share = np.linspace(0.0, 1.0, 4001)
    adc = BOARD.adc.model_copy(update={"full_scales": (1.0,), "headroom": 1.0, "converters": 12})
    many = Converters(adc, 12, np.random.default_rng(3))
    codes = many.convert(np.tile(share[:, None], (1, 12))).values / adc.top * 3.5
    inside = slice(200, 3800)  # where no converter saturates
    rms, worst = [], []
    for column in codes.T:
        slope, offset = np.polyfit(3.5 * share[inside], column[inside], 1)
        residual = column[inside] - slope * 3.5 * share[inside] - offset
        rms.append(residual.std())
        worst.append(np.abs(residual).max())
    assert 0.013 < np.median(rms) < 0.033
    assert 0.034 < np.median(worst) < 0.079
    assert np.ptp(many.offset) * 3.5 == pytest.approx(0.08, rel=0.5)


def test_saturation_and_inl_and_shared_converters() -> None:
    one = converters(bits=10, full_scales=(1.0,), signed=False, gain_spread=0.05, offset_spread=0.02, converters=4)
    codes = one.convert(np.full((1, 8), 0.5)).values[0]
    assert np.array_equal(codes[:4], codes[4:])  # column c and c + 4 go to the same converter
    assert len(set(codes[:4].tolist())) == 4
    bent = converters(cols=1, bits=16, full_scales=(1.0,), signed=False, inl=0.02)
    share = np.linspace(0, 1, 101)
    off = bent.convert(share[:, None]).values[:, 0] / (2**16 - 1) - share
    assert np.abs(off).max() > 0.005
    assert np.abs(off[[0, -1]]).max() < 1e-4  # the ends stay: gain and offset are apart from it


@pytest.mark.parametrize(
    ("fault", "at"),
    [({"inl": 0.02}, 0.5), ({"offset_spread": 0.02}, 0.3), ({"gain_spread": 0.02}, 0.5)],
    ids=["nonlinearity", "offset", "gain"],
)
def test_faults_of_converters_have_the_spread_of_their_fields(fault: dict[str, float], at: float) -> None:
    """From 4000 converters, which show a sd to 1.1 %: at mid-scale the bow alone, at 0.2113 its 2/3 and the S."""
    low = 0.5 - 0.5 / 3**0.5  # where the S has its peak
    share = np.array([[at], [low]]) * np.ones(4000)
    many = converters(4000, bits=16, full_scales=(1.0,), signed=False, **fault)
    off = many.convert(share).values / (2**16 - 1) - share
    shown = off[0] / at if "gain_spread" in fault else off[0]
    assert shown.std() == pytest.approx(0.02, rel=0.04)
    assert abs(shown.mean()) < 4 * 0.02 / 4000**0.5
    if "inl" in fault:
        bend = off[1] - 2 / 3 * off[0]
        assert bend.std() == pytest.approx(0.02, rel=0.04)
        assert abs(np.corrcoef(bend, off[0])[0, 1]) < 4 / 4000**0.5


@pytest.mark.parametrize(
    "bad",
    [
        {"full_scales": (2e-6, 1e-6)},
        {"full_scales": (1e-6,), "missing": ((0.5, 4),)},
        {"full_scales": (1e-6,), "missing": ((0.9, 4), (0.5, 2), (1.0, 1))},
        {"full_scales": (1e-6,), "missing": ((1.0, 0),)},
    ],
)
def test_converters_that_cannot_be(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="adc"):
        Adc(**{"bits": 10, **bad})


# ---- the board's own conversions


def test_dac_codes_of_the_board() -> None:
    """Codes that the board's host sends for its power-on references and for pulses (hardware sheet, 3.1)."""
    volts = [0.0, 0.3, 0.497, 1.0, 2.505, 2.507, 3.9, 4.0, 5.0]
    codes = [32511, 33494, 34140, 35788, 40720, 40726, 45291, 45618, 48895]
    assert convert.dac_code(volts, convert.DAC_OFFSET).tolist() == codes
    assert convert.dac_code([0.0, 1.0, 5.0]).tolist() == [32767, 36044, 49151]
    back = convert.dac_voltage(convert.dac_code(volts), 0.0)
    assert np.abs(back - volts).max() <= 20 / 65535
    with pytest.raises(LimitError, match="-10 to"):
        convert.dac_code(10.2)


def test_readings_of_the_board() -> None:
    """Full scales, steps and recurring values as published (hardware sheet, 3.2 and 3.3)."""
    assert convert.current(1023, np.arange(5)) == pytest.approx([3.5e-3, 700e-6, 3.5 / 30e3, 17.5e-6, 3.5e-6])
    assert convert.current([240, 256], 2) == pytest.approx([27.37e-6, 29.195e-6], rel=1e-3)
    assert convert.current(192, 2) / 0.2 == pytest.approx(109.48e-6, rel=1e-3)
    assert convert.adc_code([0.4, 0.5, 4.0, 5.0]).tolist() == [0, 0, 1023, 1023]
    code, gain = convert.unpack(convert.pack([0, 512, 1023], [0, 2, 4]))
    assert code.tolist() == [0, 512, 1023]
    assert gain.tolist() == [0, 2, 4]
    assert convert.unpack([2048, 3071])[1].tolist() == [2, 2]
    for word in (0x1400, 0x8001):
        with pytest.raises(LinkCorrupt, match=f"0x{word:04X}"):
            convert.unpack([0, word])


def test_the_twin_of_the_board_and_its_driver_convert_alike() -> None:
    """Every code in every range: the twin's ranges count from 1 MOhm down, the board's gains from 1 kOhm up."""
    assert BOARD.adc is not None
    ranges = adc_ranges(BOARD.adc)
    codes = np.arange(1024)
    for index, scale in enumerate(ranges.scale):
        ours = scale * codes + ranges.offset[index]
        assert ours == pytest.approx(convert.current(codes, 4 - index), rel=1e-12)
    perfect = BOARD.adc.model_copy(
        update={"missing": (), "inl": 0.0, "gain_spread": 0.0, "offset_spread": 0.0, "full_scales": (17.5e-6,)}
    )
    current = np.linspace(0, 17.5e-6, 5001)
    ours = Converters(perfect, 1, np.random.default_rng(0)).convert(current[:, None]).values[:, 0]
    theirs = convert.adc_code(convert.ADC_ZERO + 200e3 * current)
    assert np.mean(ours == theirs) > 0.999  # rounding in volts and in shares differs on a hair's breadth
    assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1


# ---- read rate


def test_readings_sag_to_the_steady_value_that_the_law_gives() -> None:
    rate = ReadRate(drain=0.1, recovery=1e-3)
    left = Sag(rate).left(0.0, 200, 0.5e-3, 0.1)
    healed = np.exp(-0.5)
    assert left[0] == 1.0
    assert 1 - left[-1] == pytest.approx(0.1 * healed / (1 - 0.9 * healed), rel=1e-12)
    assert np.all(np.diff(left) <= 0)
    assert (Sag(None).left(0.0, 5, 1e-9, 1.0) == 1.0).all()


def test_the_board_sags_by_the_measured_4_percent_without_a_pause_and_by_less_with_one() -> None:
    """50 MHz: 0.35 ms a read without pause; with the recommended 500 us less than half."""
    assert BOARD.read_rate is not None
    quick = Sag(BOARD.read_rate).left(0.0, 500, 0.35e-3, 1.0)
    paused = Sag(BOARD.read_rate).left(0.0, 500, 0.85e-3, 1.0)
    assert 1 - quick[-1] == pytest.approx(0.042, abs=0.004)
    assert 1 - paused[-1] < 0.02


def test_a_pause_heals_and_one_call_is_as_good_as_many() -> None:
    rate = ReadRate(drain=0.1, recovery=1e-3)
    one, many, rested = Sag(rate), Sag(rate), Sag(rate)
    together = one.left(0.0, 40, 1e-3, 40e-3)
    apart = np.concatenate([many.left(i * 1e-3, 1, 1e-3, (i + 1) * 1e-3) for i in range(40)])
    assert np.array_equal(together, apart)
    rested.left(0.0, 40, 1e-3, 40e-3)
    assert rested.left(1.0, 1, 1e-3, 1.001)[0] == pytest.approx(1.0, abs=1e-9)


# ---- the whole path


def test_batches_of_reads_give_the_same_bits() -> None:
    """All the board's faults and noise: ten vectors in one call, or one by one; averages likewise."""
    drive = np.random.default_rng(0).uniform(0, 0.2, (10, 16))
    one, many = (DigitalTwin(BOARD, (16, 12), seed=2) for _ in range(2))
    assert np.array_equal(one.read_mvm(drive), np.array([many.read_mvm(vector) for vector in drive]))
    together = one.read_conductances(averages=4)
    apart = np.mean([many.read_conductances() for _ in range(4)], axis=0)
    assert together == pytest.approx(apart, rel=1e-14)


def test_column_gains_show_in_products_but_not_in_cell_reads() -> None:
    """Perfect cells and converters, so that the columns alone are seen; sd of the gain 17 % in both directions."""
    kind = changed(PLAIN, columns=BOARD.columns)
    twin = DigitalTwin(kind, (32, 400), seed=2)
    twin.cells.conductance = np.full((32, 400), 50e-6)
    two = twin.read_mvm(np.array([[0.2] * 32, [0.1] * 32]))
    gain = (two[0] - two[1]) / (32 * 0.1 * 50e-6)
    assert gain == pytest.approx(twin.columns.gain, rel=1e-9)
    assert two[0] - gain * 32 * 0.2 * 50e-6 == pytest.approx(twin.columns.offset, abs=1e-15)
    assert (1 / gain).mean() == pytest.approx(1.22, abs=0.03)
    assert (1 / gain).std() == pytest.approx(0.17, abs=0.03)
    assert twin.read_conductances() == pytest.approx(50e-6, rel=1e-12)


def test_offsets_of_columns_and_converters_have_a_spread_of_their_own() -> None:
    """Offsets and gains are drawn apart: each has the sd that its own field says, and they do not correlate."""
    section = BOARD.columns.model_copy(update={"gain_spread": 0.2, "offset_spread": 3e-7})
    columns = ColumnAmplifiers(section, 4000, np.random.default_rng(1))
    shared = converters(4000, 2, bits=10, full_scales=(1.0,), gain_spread=0.2, offset_spread=0.01)
    for drawn, spread in ((columns, 3e-7), (shared, 0.01)):
        assert drawn.gain.std() == pytest.approx(0.2, rel=0.05)
        assert drawn.offset.std() == pytest.approx(spread, rel=0.05)
        assert abs(np.corrcoef(drawn.gain, drawn.offset)[0, 1]) < 0.06  # chance alone: sd 0.016
    exact = converters(4000, 2, bits=10, full_scales=(1.0,), gain_spread=0.2)
    assert not exact.offset.any()
