"""What no measurement gives is an error with a name before it is returned or logged, whoever wrote the driver."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imssa_lab.contract.array_types import AdcRanges, ColumnCalibration, Limits, PulseLimits, Readout, Window
from imssa_lab.contract.closed_loop import LoopRun
from imssa_lab.contract.errors import InvalidReading, LimitError, LinkError
from imssa_lab.contract.hal import CrossbarArray
from imssa_lab.log import open_run, record
from protocols.wrappers.progress import ProgressReported
from tests.contract.test_containers import loop
from twin import DigitalTwin

SHAPE = (4, 3)
Change = Callable[[Readout], Any]


def at(place: int, value: Any) -> Change:
    def changed(good: Readout) -> Readout:
        values = good.values.copy()
        values.flat[place] = value
        return replace(good, values=values)

    return changed


AMPERES: dict[str, tuple[Change, str]] = {
    "overflow": (at(1, 9.9e37), "SCPI: overflow"),
    "not a number": (at(1, 9.91e37), "SCPI: not a number"),
    "overflow below": (at(1, -9.9e37), "SCPI: overflow, negative"),
    "NaN": (at(1, np.nan), "nan A"),
    "infinity": (at(1, np.inf), "inf A"),
    "another byte order": (at(1, 7e48), "7e\\+48 A"),
    "one column less": (lambda good: Readout(good.values[..., :-1]), "shape"),
    "one dimension less": (lambda good: Readout(good.values[0]), "shape"),
    "whole numbers": (lambda good: Readout(np.ones(good.values.shape, dtype=np.int32)), "without ranges"),
    "complex": (lambda good: Readout(good.values + 1j), "without ranges"),
    "ranges without an ADC": (lambda good: Readout(good.values, np.zeros(good.values.shape, np.uint8)), "no ADC"),
    "masked": (lambda good: Readout(np.ma.MaskedArray(good.values)), "MaskedArray"),
    "a list": (lambda good: Readout(good.values.tolist()), "list"),
    "nothing": (lambda good: None, "NoneType"),
    "an array": (lambda good: good.values, "ndarray"),
}
CODES: dict[str, tuple[Change, str]] = {
    "a code above the converter": (at(1, 512), "code 512 .* -512 to 511"),
    "a code below the converter": (at(1, -513), "code -513"),
    "a range that is not there": (
        lambda good: Readout(good.values, np.full(good.values.shape, 200, np.uint8)),
        "range 200 .* ranges 0 to",
    ),
    "a range below 0": (
        lambda good: Readout(good.values, np.full(good.values.shape, -1, np.int8)),  # type: ignore[arg-type]
        "range -1",
    ),
    "codes as floats": (lambda good: Readout(good.values.astype(float), good.ranges), "whole numbers"),
    "ranges of another shape": (lambda good: Readout(good.values, np.zeros(2, np.uint8)), "one range index"),
    "one column less": (lambda good: Readout(good.values[..., 1:], good.ranges), "shape"),
}
CASES = [("amperes", *case) for case in AMPERES.items()] + [("codes", *case) for case in CODES.items()]
CALLS: dict[str, Callable[[CrossbarArray], object]] = {
    "read_mvm": lambda array: array.read_mvm(np.full((2, 4), 0.1)),
    "read_conductances": lambda array: array.read_conductances(averages=2),
}


class Driver(DigitalTwin):
    """A driver of a third party that gives what `change` makes of what was measured."""

    change: Change = staticmethod(lambda good: good)

    def __init__(self, answers: str) -> None:
        super().__init__("supert-a0-easy", SHAPE, seed=1)
        self._adc = self._info.adc
        if answers == "amperes":
            self._info = self._info.model_copy(update={"adc": None})

    def _given(self, good: Readout) -> Any:
        return self.change(good if self._info.adc is not None else Readout(good.current(self._adc)))

    def _read_mvm(self, voltages: Any) -> Any:
        return self._given(super()._read_mvm(voltages))

    def _read_conductances(self, mask: Any, averages: int) -> Any:
        info, self._info = self._info, self._info.model_copy(update={"adc": self._adc})
        try:
            good = super()._read_conductances(mask, averages)
        finally:
            self._info = info
        return self._given(good)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("answers", "name", "case"), CASES, ids=[f"{kind}: {name}" for kind, name, _ in CASES])
def test_nonsense_is_named_before_it_is_returned_or_logged(
    tmp_path: Path, answers: str, name: str, case: tuple[Change, str], call: str
) -> None:
    change, words = case
    for wrapped in (False, True):
        array: CrossbarArray = Driver(answers)
        array.change = change  # type: ignore[attr-defined]
        if wrapped:
            array = ProgressReported(array, np.full(SHAPE, 5e-5), lambda done, total: None)
        with pytest.raises(InvalidReading, match=words) as caught:
            CALLS[call](array)
        assert isinstance(caught.value, LinkError)
        assert str(caught.value).startswith(f"twin:supert-a0-easy, {call}")
    path = tmp_path / "run.h5"
    inside = Driver(answers)
    with record(path, [inside], {}) as (array,), array:
        CALLS[call](array)  # null control: unchanged it goes through
        inside.change = change  # type: ignore[method-assign]
        with pytest.raises(InvalidReading, match=words):
            CALLS[call](array)
    with open_run(path) as run:
        assert run.records(call) == 1
        (failed,) = [json.loads(text) for kind, text in run.events() if kind == "failed"]
        assert failed["error"] == "InvalidReading"


@pytest.mark.parametrize("call", CALLS)
def test_the_place_is_named(call: str) -> None:
    array = Driver("amperes")
    array.change = at(4, 9.9e37)  # type: ignore[method-assign]
    place = {"read_mvm": "bit line 1, vector 1", "read_conductances": "word line 1, bit line 1, read 0"}[call]
    with pytest.raises(InvalidReading, match=place):
        CALLS[call](array)


def test_outside_the_mask_anything_may_stand() -> None:
    array = Driver("amperes")
    array.change = at(0, np.nan)  # type: ignore[method-assign]
    mask = np.ones(SHAPE, dtype=bool)
    mask[0, 0] = False
    assert np.array_equal(np.isfinite(array.read_conductances(mask)), mask)


def test_the_ends_of_the_converter_are_codes() -> None:
    array = Driver("codes")
    for end in (-512, 511):
        array.change = at(0, end)  # type: ignore[method-assign]
        array.read_mvm(np.zeros(4))


@pytest.mark.parametrize("seconds", [np.nan, np.inf])
def test_a_clock_that_is_none(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    array = DigitalTwin("supert-a0-easy", SHAPE)
    monkeypatch.setattr(array, "_time", lambda: seconds)
    with pytest.raises(InvalidReading, match="time"):
        _ = array.time


@pytest.mark.parametrize(
    "change",
    [
        lambda run: replace(run, outputs=run.outputs[:, :1]),
        lambda run: replace(run, outputs=np.full(run.outputs.shape, np.nan)),
        lambda run: replace(run, voltages=np.full(run.voltages.shape, 0.3)),
        lambda run: replace(run, times=np.full(run.times.shape, np.inf)),
        lambda run: replace(run, states=[np.full(state.shape, np.nan) for state in run.states]),
        lambda run: replace(run, readout=at(0, 5000)(run.readout)),
    ],
)
def test_a_loop_that_cannot_have_run(change: Callable[[LoopRun], LoopRun], monkeypatch: pytest.MonkeyPatch) -> None:
    array = DigitalTwin("supert-a0-easy", SHAPE)
    script = loop(np.zeros((1, 2, 1)))
    if script(array) is None:
        pytest.skip("this twin reads loops step by step")
    right = array._read_loop
    monkeypatch.setattr(array, "_read_loop", lambda *given: change(right(*given)))
    with pytest.raises(InvalidReading, match="read_loop"):
        script(array)


@pytest.mark.parametrize(
    "change",
    [
        lambda report: replace(report, achieved=report.achieved[:2]),
        lambda report: replace(report, achieved=np.full(SHAPE, np.nan)),
        lambda report: replace(report, pulses=np.full(SHAPE, -1)),
        lambda report: replace(report, seconds=np.nan),
    ],
)
def test_a_report_that_cannot_be(change: Any) -> None:
    array = DigitalTwin("supert-a0-easy", SHAPE)
    own = array._default_programmer()
    with pytest.raises(InvalidReading, match="program_conductances"):
        array.program_conductances(np.full(SHAPE, 3e-5), programmer=lambda *given: change(own(*given)))


PULSE = {"voltage_max": 2.0, "gate_max": 1.0, "width_min": 1e-6, "width_max": 1e-3}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0, -1.0, np.array([1.0]), "V", None])
@pytest.mark.parametrize("key", PULSE)
def test_pulse_limits_are_positive_numbers_however_they_are_made(key: str, bad: Any) -> None:
    good = PulseLimits(**PULSE)
    with pytest.raises(ValueError, match=key):
        PulseLimits(**PULSE | {key: bad})
    with pytest.raises(ValueError, match=key):
        good.model_copy(update={key: bad})


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, -0.1])
def test_limits_windows_and_ranges_are_checked_however_they_are_made(bad: float) -> None:
    pulse = PulseLimits(**PULSE)
    limits = Limits(read_voltage=0.2, set=pulse, reset=pulse)
    for make in (
        lambda: Limits(read_voltage=bad, set=pulse, reset=pulse),
        lambda: limits.model_copy(update={"read_voltage": bad}),
        lambda: Window(low=1e-6, high=bad),
        lambda: Window(low=1e-6, high=1e-4).model_copy(update={"high": bad}),
    ):
        with pytest.raises(ValueError, match=r"read_voltage|high"):
            make()
    with pytest.raises(ValueError, match="no pulse width"):
        pulse.model_copy(update={"width_min": 1.0})
    with pytest.raises(ValueError, match="below"):
        Window(low=1e-6, high=1e-4).model_copy(update={"low": 1e-3})


@pytest.mark.parametrize(
    "bad",
    [
        {"scale": (np.nan,)},
        {"scale": (0.0,)},
        {"scale": (np.inf,)},
        {"offset": (np.nan,)},
        {"scale": ()},
        {"scale": (1.0, 2.0)},
        {"bits": 0},
        {"bits": 33},
        {"bits": 9.5},
        {"scale": (1.0,) * 257, "offset": (0.0,) * 257},
    ],
)
def test_ranges_of_a_converter(bad: dict[str, Any]) -> None:
    good: dict[str, Any] = {"bits": 10, "scale": (1e-9,), "offset": (0.0,)}
    with pytest.raises(ValueError, match=r"adc|scale|offset|bits"):
        AdcRanges(**good | bad)
    with pytest.raises(ValueError, match=r"adc|scale|offset|bits"):
        AdcRanges(**good).model_copy(update=bad)


@pytest.mark.parametrize("gain", [0.0, 1e300, -1e300, 1e-300, np.nan, np.inf])
def test_a_gain_that_no_amplifier_has(gain: float) -> None:
    with pytest.raises(LimitError, match="gain"):
        ColumnCalibration(np.array([1.0, gain]), np.zeros(2), np.zeros(2))
    with pytest.raises(LimitError, match="offset"):
        ColumnCalibration(np.ones(2), np.array([0.0, np.nan if gain != gain else 1e300]), np.zeros(2))
