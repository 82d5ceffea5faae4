"""Checks of the contract at their edges: the last value that passes, the first that does not, and what is named."""

import itertools
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from imssa_lab.contract import jit
from imssa_lab.contract.array_types import AdcRanges, ColumnCalibration, Readout, is_gain
from imssa_lab.contract.checks import arguments, containers, incoming
from imssa_lab.contract.checks.frozen_arrays import frozen
from imssa_lab.contract.closed_loop import ClosedLoop, LoopBank, LoopRun
from imssa_lab.contract.errors import InvalidReading, LimitError
from imssa_lab.contract.hal import ArrayInfo, CellOutcome, ProgrammingReport
from imssa_lab.contract.suggestions import did_you_mean, explain
from twin import DigitalTwin

SHAPE = (3, 4)


def info(**changes: object) -> ArrayInfo:
    return DigitalTwin("ideal", SHAPE).info.model_copy(update={"name": "chip", **changes})


ADC = AdcRanges(bits=4, signed=True, scale=(1e-6, 2e-6, 4e-6), offset=(0.0, 0.0, 0.0))


@pytest.mark.parametrize("numba", [True, False])
@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64])
@pytest.mark.parametrize("kind", [np.uint8, np.int16])
def test_codes_and_ranges_up_to_the_ends_pass_and_none_beyond(
    monkeypatch: pytest.MonkeyPatch, numba: bool, dtype: Any, kind: Any
) -> None:
    """Four bits with sign: -8 to 7; three ranges; wherever in the reading the one value stands."""
    monkeypatch.setattr(jit, "AVAILABLE", numba and jit.AVAILABLE)
    chip = info(adc=ADC)
    for place, code, index in itertools.product((0, 5, 11), (-9, -8, 7, 8), (0, 2, 3)):
        codes, ranges = np.zeros((3, 4), dtype), np.ones((3, 4), kind)
        codes.flat[place], ranges.flat[place] = code, index
        got = Readout(codes, ranges)
        where = f"bit line {place % 4}, vector {place // 4}"
        if -8 <= code <= 7 and index <= 2:
            assert incoming.readout(chip, "read_mvm", got, (3, 4)) is got
            assert incoming.current(chip, "read_mvm", got, (3, 4)).tobytes() == got.current(ADC).tobytes()
        else:
            words = f"code {code} came for {where}" if not -8 <= code <= 7 else f"range 3 came for {where}"
            with pytest.raises(InvalidReading, match=words):
                incoming.readout(chip, "read_mvm", got, (3, 4))
            with pytest.raises(InvalidReading, match=words):
                incoming.current(chip, "read_mvm", got, (3, 4))


@pytest.mark.parametrize("offset", [(0.0, 0.0), (1e-9, -0.0)])
@pytest.mark.parametrize("shape", [(5, 7), (2, 5, 7)])
def test_currents_have_the_bits_of_the_readout_wherever_they_lie_in_memory(
    offset: tuple[float, ...], shape: tuple[int, ...]
) -> None:
    """A falling scale makes -0.0 of code 0; parts of larger arrays and turned ones are read in their own order."""
    adc, rng = AdcRanges(bits=12, signed=True, scale=(-1e-6 / 3, 7e-6), offset=offset), np.random.default_rng(0)
    codes = rng.integers(-5, 5, (*shape[:-1], 2 * shape[-1])).astype(np.int16)
    ranges = rng.integers(0, 2, shape[::-1]).astype(np.uint8)
    got = Readout(frozen(codes)[..., ::2], frozen(ranges).T)
    current = incoming.current(info(adc=adc), "read", got, shape)
    assert current.tobytes() == got.current(adc).tobytes()
    assert current.shape == shape
    for other in (shape[::-1], (1, *shape)):
        with pytest.raises(InvalidReading, match=re.escape(f"{shape}")):
            incoming.current(info(adc=adc), "read", got, other)
    amperes = rng.uniform(-1.0, 1.0, shape)
    assert (incoming.current(info(), "read", Readout(amperes), shape) == amperes).all()


def test_codes_need_ranges_of_their_shape_whole_numbers_and_a_converter() -> None:
    codes, ranges = np.zeros((2, 4), np.int16), np.zeros((2, 4), np.uint8)
    for chip, got, words in (
        (info(adc=ADC), Readout(codes, ranges[:1]), "one range index for every code"),
        (info(adc=ADC), Readout(codes, ranges.astype(float)), "one range index for every code"),  # type: ignore[arg-type]
        (info(adc=ADC), Readout(codes, ranges.tolist()), "one range index for every code"),  # type: ignore[arg-type]
        (info(adc=ADC), Readout(codes.astype(float), ranges), "codes are whole numbers"),
        (info(adc=None), Readout(codes, ranges), "but no ADC"),
    ):
        with pytest.raises(InvalidReading, match=words):
            incoming.readout(chip, "read_mvm", got, (2, 4))
    below = np.zeros((2, 4), np.int16)
    below[1, 3] = -1
    with pytest.raises(InvalidReading, match="range -1 came for bit line 3, vector 1"):
        incoming.readout(info(adc=ADC), "read_mvm", Readout(codes, below), (2, 4))  # type: ignore[arg-type]


@pytest.mark.skipif(not jit.AVAILABLE, reason="numba is not installed")
@pytest.mark.parametrize(("dtype", "compiled"), [(np.int16, True), (np.int32, True), (np.int64, False)])
def test_what_converters_usually_give_is_judged_by_one_compiled_loop(
    monkeypatch: pytest.MonkeyPatch, dtype: Any, compiled: bool
) -> None:
    seen: list[tuple[int, ...]] = []
    monkeypatch.setattr(incoming, "_all_exist", lambda codes, ranges, *ends: seen.append(ends) or True)
    incoming.readout(info(adc=ADC), "x", Readout(np.zeros((2, 4), dtype), np.zeros((2, 4), np.uint8)), (2, 4))
    assert seen == ([(-8, 7, 2)] if compiled else [])


@pytest.mark.skipif(not jit.AVAILABLE, reason="numba is not installed")
@pytest.mark.parametrize("everywhere", [True, False])
@pytest.mark.parametrize("code", [-9, -8, 0, 7, 8])
@pytest.mark.parametrize("index", [0, 2, 3])
def test_both_compiled_loops_know_which_codes_and_ranges_exist(everywhere: bool, code: int, index: int) -> None:
    """In one place or in all: where every value is wrong, none contradicts the others."""
    codes, ranges = np.zeros((3, 4), np.int16), np.ones((3, 4), np.uint8)
    chosen = slice(None) if everywhere else slice(5, 6)
    codes.flat[chosen], ranges.flat[chosen] = code, index
    scale, made = np.array(ADC.scale), np.empty((3, 4))
    exists = -8 <= code <= 7 and index <= 2
    assert incoming._all_exist(codes, ranges, -8, 7, 2) == exists
    assert incoming._convert(codes, ranges, -8, 7, scale, np.empty(0), made) == exists
    if exists:
        assert made.tobytes() == (scale[ranges] * codes).tobytes()


def test_amperes_pass_up_to_a_kiloampere_and_outside_the_mask_whatever_they_are() -> None:
    chip = info()
    values = np.zeros((2, *SHAPE))
    values[1, 2, 3], values[0, 0, 0] = -1e3, 1e3
    incoming.readout(chip, "read", Readout(values), values.shape)
    values[1, 2, 3] = -1.001e3
    with pytest.raises(InvalidReading, match="word line 2, bit line 3, read 1"):
        incoming.readout(chip, "read", Readout(values), values.shape)
    mask = np.ones(SHAPE, dtype=bool)
    mask[2, 3] = False
    incoming.readout(chip, "read", Readout(values), values.shape, mask)


@pytest.mark.parametrize(("signed", "passes"), [(True, 1), (False, 2)])
def test_a_loop_reads_twice_where_word_lines_take_no_sign(signed: bool, passes: int) -> None:
    chip = info(input_signed=signed)
    ones = np.ones((1, 3))
    bank = LoopBank(np.arange(3)[None], np.zeros((1, 3), np.intp), 0.1 * ones, ones, np.ones(1), np.ones(1))
    loop = ClosedLoop([bank, bank], np.zeros(2))
    n, steps = 3, 5

    def run(reads: int) -> LoopRun:
        return LoopRun(
            np.zeros((n, steps, 2)),
            loop.rest(n),
            np.zeros((reads, 2 * n, 3)),
            Readout(np.zeros((reads, 2 * n, 4))),
            np.zeros(reads),
        )

    right = run(steps * 2 * passes)
    assert incoming.loop_run(chip, right, loop, n, steps) is right
    for wrong in (1, 2, 3):
        if wrong != passes:
            with pytest.raises(InvalidReading, match="voltages"):
                incoming.loop_run(chip, run(steps * 2 * wrong), loop, n, steps)
    edge = replace(right, voltages=np.full(right.voltages.shape, -chip.limits.read_voltage))
    assert incoming.loop_run(chip, edge, loop, n, steps) is edge
    with pytest.raises(InvalidReading, match="drove"):
        incoming.loop_run(chip, replace(right, voltages=edge.voltages * 1.001), loop, n, steps)


def test_the_first_cell_without_a_conductance_is_named() -> None:
    achieved = np.full(SHAPE, 5e-5)
    achieved[1, 2] = achieved[2, 0] = np.nan
    report = ProgrammingReport(
        np.full(SHAPE, 5e-5),
        achieved,
        np.zeros(SHAPE, np.int32),
        np.full(SHAPE, CellOutcome.REACHED, np.uint8),
        1e-6,
        1.0,
        1,
    )
    with pytest.raises(InvalidReading, match="nan S came for word line 1, bit line 2"):
        incoming.report(info(), report)
    left_out = np.where(np.isnan(achieved), CellOutcome.NOT_SELECTED, CellOutcome.REACHED).astype(np.uint8)
    assert incoming.report(info(), replace(report, outcome=left_out)).within() == 1.0


def test_gains_and_offsets_pass_up_to_their_ends() -> None:
    inside = np.array([1e-6, 1e6, -1e-6, -1e6, 1.0])
    assert is_gain(inside).all()
    assert not is_gain(np.array([0.9e-6, 1.1e6, -0.9e-6, -1.1e6, 0.0, np.nan, np.inf])).any()
    ColumnCalibration(inside, np.array([1.0, -1.0, 0, 0, 0]), np.zeros(5))
    for beyond in (1.001, -1.001, np.nan):
        with pytest.raises(LimitError, match="offset"):
            ColumnCalibration(np.ones(1), np.array([beyond]), np.zeros(1))


@pytest.mark.parametrize("low", [True, False])
def test_targets_pass_up_to_the_ends_of_the_window_and_the_first_beyond_is_named(low: bool) -> None:
    chip = info()
    end = chip.window.low if low else chip.window.high
    target = np.full(SHAPE, 5e-5)
    target[1, 3] = target[2, 1] = end
    every = np.ones(SHAPE, dtype=bool)
    assert np.array_equal(arguments.targets(chip, target, every), target)
    target[1, 3] = target[2, 1] = end + (-1e-9 if low else 1e-9)
    with pytest.raises(LimitError, match=r"word line 1, bit line 3 .*\(2 such cells\)"):
        arguments.targets(chip, target, every)
    arguments.targets(chip, target, np.arange(4) == 0 * every)


def test_numbers_that_are_almost_a_limit_are_shown_in_digits_that_tell_them_apart() -> None:
    assert arguments.apart(0.21, 0.2) == ("0.21", "0.2")
    assert arguments.apart(1.0000001, 1.0) == ("1.0000001", "1")
    asked, limit = arguments.apart(np.nextafter(0.3, 1.0), 0.3)
    assert asked != limit
    assert float(asked) == np.nextafter(0.3, 1.0)


def test_what_only_looks_like_a_known_container_is_refused_in_words() -> None:
    pandas, torch, xarray = (pytest.importorskip(name) for name in ("pandas", "torch", "xarray"))
    for odd in (
        xarray.Dataset({"g": ("row", [1.0, 2.0])}),
        xarray.Variable("row", [1.0, 2.0]),
        pandas.Index([1.0, 2.0]),
        torch.nn.Linear(2, 2),
        type("DataArray", (), {})(),
        type("DataFrame", (), {})(),
        {1.0: 2.0},
        "12",
    ):
        with pytest.raises(LimitError, match=r"voltages: "):
            containers.floats(odd, "voltages", ("row",), "V")


@pytest.mark.parametrize("value", [True, np.bool_(False), 3.0, "3", None, np.array(3)])
def test_a_count_is_a_whole_number_and_nothing_else(value: object) -> None:
    with pytest.raises(LimitError, match="whole number"):
        containers.count(value, "averages")
    assert containers.count(np.int8(3), "averages") == 3


# ---- words that are nearly right


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    read_noise: float = 0.0
    on: float = 0.0


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    window: float = 1.0
    inner: Inner | None = None
    tables: dict[str, Inner] = {}


def said(given: dict[str, object]) -> str:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(given)
    return explain(Outer, caught.value, "file")


def test_the_nearest_known_word_is_offered_and_none_where_none_is_near() -> None:
    assert did_you_mean("hysteretc", ["gate-start", "hysteretic", "hysteresis"]) == "; did you mean 'hysteretic'?"
    assert did_you_mean("xyz", ["gate-start", "hysteretic"]) == ""


def test_unknown_keys_are_explained_with_their_place_and_the_key_that_was_meant() -> None:
    assert said({"windw": 1}) == "unknown key 'windw'; did you mean 'window'?"
    assert said({"zzz": 1}) == "unknown key 'zzz'; there are window, inner, tables"
    assert said({"inner": {"red_noise": 1}}) == "unknown key 'inner.red_noise'; did you mean 'read_noise'?"
    assert said({"read_noise": 1}) == "unknown key 'read_noise'; did you mean 'inner.read_noise'?"
    assert said({"inner": {"noise_sd": 1}}) == "unknown key 'inner.noise_sd'; did you mean 'read_noise'?"
    assert said({"inner": {"off": 1}}) == "unknown key 'inner.off'; there are read_noise, on"
    assert "did you mean 'read_noise'?" in said({"tables": {"a": {"noise_sd": 1}}})
    assert said({"window": "wide"}) == "window: 'wide' is no number; write one alone, without quotes, in SI units"
    assert said({"window": 1, "inner": 3}).startswith("inner: ")
    both = said({"windw": 1, "inner": {"zz": 1}})
    assert both.count("unknown key") == 2
    assert "; " in both
