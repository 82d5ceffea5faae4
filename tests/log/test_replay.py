"""Replay gives the same bits, and refuses everything that was not recorded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from imssa_lab.contract.array_types import (
    ColumnCalibration,
    PulseKind,
    Pulses,
)
from imssa_lab.contract.errors import ConfigError, ImssaError, LinkTimeout, LogError, ReplayMismatch
from imssa_lab.contract.hal import BoolArray, CrossbarArray, FloatArray, ProgrammingReport
from imssa_lab.contract.wrapper import Wrapper
from imssa_lab.log import open_replay, open_run, record
from twin.digital_twin import DigitalTwin
from twin.profile import TwinProfile

from .conftest import Chip, nudge, session, with_retry

Finished = tuple[Path, list[Any]]
ONES = np.ones((5, 4), dtype=np.bool_)


def test_byte_identical_including_time_and_reports(finished: Finished) -> None:
    path, seen = finished
    with open_run(path) as run:
        (array,) = run.arrays()
        assert session(array) == seen
        assert array.calls_left == 0


def programmed(array: CrossbarArray) -> list[Any]:
    """Programmers of the script before, between and after the chip's own recipe, and a loop within a loop."""

    def twice(inside: CrossbarArray, target: FloatArray, mask: BoolArray) -> ProgrammingReport:
        inside.program_conductances(target, mask, nudge)
        return nudge(inside, target, mask)

    seen: list[Any] = []
    for programmer in (nudge, nudge, None, twice, None, nudge):
        report = array.program_conductances(np.full(array.info.shape, 6e-5), None, programmer)
        seen += [report.achieved.tobytes(), report.pulses.tobytes(), report.reads, array.time]
    return [*seen, array.read_conductances().tobytes()]


@pytest.mark.parametrize("script", [session, programmed])
def test_a_replay_is_recorded_and_that_record_replays(
    script: Callable[[CrossbarArray], list[Any]], tmp_path: Path
) -> None:
    """The recorder runs a script's programmer itself, call by call: nobody asks the replay for the whole loop."""
    first, second = tmp_path / "first.h5", tmp_path / "second.h5"
    with record(first, [Chip()], {}) as (array,), array:
        seen = script(array)
    with open_run(first) as run:
        (replayed,) = run.arrays()
        with record(second, [replayed], {}) as (array,), array:
            assert script(array) == seen
            assert replayed.calls_left == 0
    with open_run(second) as run:
        (bare,) = run.arrays()
        (tolerant,) = run.arrays(tolerant=True)
        assert script(bare) == script(Wrapper(tolerant)) == seen
        assert bare.calls_left == tolerant.calls_left == 0


def test_a_loop_that_is_not_done_is_left(tmp_path: Path) -> None:
    with record(tmp_path / "run.h5", [Chip()], {}) as (array,), array:
        array.program_conductances(np.full((5, 4), 6e-5), None, nudge)
    with open_run(tmp_path / "run.h5") as run:
        (replayed,) = run.arrays()
        calls = replayed.calls_left
        replayed.read_conductances()
        assert replayed.calls_left == calls - 1 > 0


def test_recording_changes_nothing(finished: Finished) -> None:
    assert session(Chip()) == finished[1]


@pytest.mark.parametrize("bits", [None, 18])
def test_other_converters(tmp_path: Path, bits: int | None) -> None:
    with record(tmp_path / "run.h5", [Chip(bits=bits)], {}) as (array,), array:
        seen = session(array)
    assert session(open_replay(str(tmp_path / "run.h5"), {})) == seen


def test_an_unsigned_converter_of_16_bits_keeps_its_largest_codes(tmp_path: Path) -> None:
    """Codes are stored as signed numbers, of which 16 bits end at 32767."""
    profile = TwinProfile.load("supert-a0-easy")
    assert profile.adc is not None
    adc = profile.adc.model_copy(update={"bits": 16, "signed": False, "full_scales": (12e-6,)})
    twin = DigitalTwin(profile.model_copy(update={"adc": adc}), (5, 4), seed=0)
    with record(tmp_path / "run.h5", [twin], {}) as (array,), array:
        array.program_conductances(np.full((5, 4), 5e-5))
        seen = array.read_conductances().tobytes()
        assert twin.read_mvm(np.full(5, 0.2), raw=True).max() > 11e-6
        array.read_mvm(np.full(5, 0.2))
    with open_run(tmp_path / "run.h5") as run:
        (replayed,) = run.arrays()
        replayed.program_conductances(np.full((5, 4), 5e-5))
        assert replayed.read_conductances().tobytes() == seen
        assert run.column("read_mvm", "value").max() > 2**15


def test_no_random_numbers(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a replay drew a random number")

    for name in ("default_rng", "normal", "random", "seed", "uniform", "Generator"):
        monkeypatch.setattr(np.random, name, refuse)
    with open_run(finished[0]) as run:
        assert session(run.arrays()[0]) == finished[1]


def test_two_arrays_interleaved(tmp_path: Path) -> None:
    def script(one: CrossbarArray, two: CrossbarArray) -> list[bytes]:
        seen = []
        for step in range(4):
            seen.append(one.read_mvm(np.full(5, 0.01 * step)).tobytes())
            two.apply_pulses(Pulses.on(ONES, "SET", 1.0, 1.0 + 0.1 * step, 1e-7))
            seen.append(two.read_conductances().tobytes())
            seen.append(np.float64(one.time + two.time).tobytes())
        seen.append(two.program_conductances(np.full((5, 4), 5e-5)).achieved.tobytes())
        return seen

    # one answers in codes, the other in amperes: the run keeps floats, which hold both
    with record(tmp_path / "run.h5", [Chip(1), Chip(2, bits=None)], {}) as (one, two), one, two:
        seen = script(one, two)
    with open_run(tmp_path / "run.h5") as run:
        assert [info.name for info in run.infos] == ["chip 1", "chip 2"]
        one_again, two_again = run.arrays()
        assert script(one_again, two_again) == seen
        with pytest.raises(ReplayMismatch, match="chip 1: the log ends after 4 calls"):
            one_again.wait(1)


def voltages(change: float = 0.0) -> np.ndarray[Any, Any]:
    values = np.linspace(-0.2, 0.2, 15).reshape(3, 5)
    values[1, 2] += change
    return values


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            lambda a: a.read_mvm(voltages(1e-15)),
            r"chip 1, call 0: read_mvm voltage\[1, 2\] is .*1 of 15",
        ),
        (lambda a: a.read_mvm(voltages()[:2]), r"call 0: read_mvm voltage has shape \(3, 5\) in the log.*\(2, 5\)"),
        (lambda a: a.read_conductances(), "call 0: the log holds read_mvm, the script asks for read_conductances"),
        (lambda a: a.set_calibration(None), "call 0: the log holds read_mvm, the script asks for calibrations"),
        (lambda a: a.program_conductances(np.full((5, 4), 6e-5)), "call 0: the log holds read_mvm, the script prog"),
    ],
)
def test_first_call_changed(finished: Finished, request_: Callable[[CrossbarArray], Any], message: str) -> None:
    with pytest.raises(ReplayMismatch, match=message):
        request_(open_replay(str(finished[0]), {}))


STEPS: list[Callable[[CrossbarArray], Any]] = [
    lambda a: a.read_conductances(ONES, averages=2),
    lambda a: a.apply_pulses(Pulses.on(ONES, "SET", 1.0, 1.5, 1e-7)),
    lambda a: a.wait(0.5),
    lambda a: a.set_calibration(ColumnCalibration(np.ones(4), np.zeros(4), np.zeros(4), "monday")),
    lambda a: a.program_conductances(np.full((5, 4), 6e-5), ONES),
    lambda a: a.program_conductances(np.full((5, 4), 6e-5), ONES, nudge),
]


@pytest.mark.parametrize(
    ("step", "changed", "message"),
    [
        (0, lambda a: a.read_conductances(ONES, averages=3), "read_conductances count is 2 in the log, .* gives 3"),
        (0, lambda a: a.read_conductances(np.eye(5, 4, dtype=bool), 2), r"mask\[0, 1\] is 1 in the log.*False"),
        (1, lambda a: a.apply_pulses(Pulses.on(ONES, "RESET", 1.0, 1.5, 1e-7)), "kind is 0 in the log.* gives 1"),
        (1, lambda a: a.apply_pulses(Pulses.on(ONES, "SET", 1.0, 1.5, 2e-7)), "width is 1e-07 in the log.*2e-07"),
        (1, lambda a: a.apply_pulses(Pulses.on(ONES, "SET", 1.1, 1.5, 1e-7)), r"voltage\[0, 0\] is 1.0 .* 1.1"),
        (1, lambda a: a.apply_pulses(Pulses.on(ONES, "SET", 1.0, 1.6, 1e-7)), r"gate\[0, 0\] is 1.5 .* 1.6"),
        (2, lambda a: a.wait(0.6), "waits seconds is 0.5 in the log, the script gives 0.6"),
        (3, lambda a: a.set_calibration(None), "cleared is 0 in the log"),
        (
            3,
            lambda a: a.set_calibration(ColumnCalibration(np.ones(4), -np.zeros(4), np.zeros(4))),
            r"offset\[0\] is 0.0 in the log, the script gives -0.0",
        ),
        (
            4,
            lambda a: a.program_conductances(np.full((5, 4), 7e-5), ONES),
            r"target\[0, 0\] is 6e-05 .* 7e-05",
        ),
        (
            4,
            lambda a: a.program_conductances(np.full((5, 4), 6e-5), ONES, nudge),
            "default is 1 in the log",
        ),
        (5, lambda a: a.program_conductances(np.full((5, 4), 6e-5), ONES), "the script programs by the chip's own"),
    ],
)
def test_any_request_changed(
    tmp_path: Path, step: int, changed: Callable[[CrossbarArray], Any], message: str
) -> None:
    with record(tmp_path / "run.h5", [Chip()], {}) as (array,), array:
        for ask in STEPS:
            ask(array)
    with open_run(tmp_path / "run.h5") as run:
        (replay,) = run.arrays()
        for ask in STEPS[:step]:
            ask(replay)
        with pytest.raises(ReplayMismatch, match=message):
            changed(replay)


def test_calibration_from_before_the_run(tmp_path: Path) -> None:
    chip = Chip()
    chip.set_calibration(ColumnCalibration(np.full(4, 2.0), np.full(4, 1e-9), np.zeros(4), "early"))
    with record(tmp_path / "run.h5", [chip], {}) as (array,), array:
        seen = array.read_mvm(np.full(5, 0.1))
    replay = open_replay(str(tmp_path / "run.h5"), {})
    assert replay.calibration is not None
    assert replay.calibration.date == "early"
    assert replay.read_mvm(np.full(5, 0.1)).tobytes() == seen.tobytes()


@pytest.mark.parametrize("damage", [0.0, np.nan, 1e300])
def test_a_damaged_calibration_is_an_error_of_the_file(tmp_path: Path, damage: float) -> None:
    chip = Chip()
    chip.set_calibration(ColumnCalibration(np.full(4, 2.0), np.full(4, 1e-9), np.zeros(4), "early"))
    with record(tmp_path / "run.h5", [chip], {}) as (array,), array:
        pass
    with h5py.File(tmp_path / "run.h5", "r+") as file:
        file["arrays/0/gain"][2] = damage
    with open_run(tmp_path / "run.h5") as run, pytest.raises(LogError, match="/arrays/0: calibration damaged"):
        run.calibration(0)


def test_failed_calls_fail_again(tmp_path: Path) -> None:
    chip = Chip()
    chip.fail = [LinkTimeout("no answer in 1 s")]
    with record(tmp_path / "run.h5", [chip], {}) as (array,), array:
        seen = with_retry(array)
        chip.fail = [LinkTimeout("lost")]
        with pytest.raises(LinkTimeout):
            array.apply_pulses(Pulses.on(ONES, "SET", 1.0, 1.5, 1e-7))
    assert seen[0] == "no answer in 1 s"
    with open_run(tmp_path / "run.h5") as run:
        assert run.column("pulses", "done").tolist() == [0]
        (replay,) = run.arrays()
        assert with_retry(replay) == seen
        with pytest.raises(LinkTimeout, match="lost"):
            replay.apply_pulses(Pulses.on(ONES, "SET", 1.0, 1.5, 1e-7))


def test_options(finished: Finished) -> None:
    path = str(finished[0])
    for options in ({"seed": "1"}, {"array": "x"}, {"array": "1"}):
        with pytest.raises(ConfigError):
            open_replay(path, options)
    with open_replay(path, {"array": "0"}) as array:
        array.read_mvm(voltages())
    with pytest.raises(ImssaError, match="closed"):
        array.read_mvm(voltages())


def test_cells_left_alone_in_another_nan_are_left_alone(tmp_path: Path) -> None:
    """0/0 gives a NaN with the sign set, numpy's own has none; what is sent is the same."""
    voltage = np.full((5, 4), -np.nan)
    voltage[2, 1] = 1.25
    with record(tmp_path / "run.h5", [Chip()], {}) as (array,):
        array.apply_pulses(Pulses(PulseKind.SET, voltage, voltage, 1e-7))
    with open_run(tmp_path / "run.h5") as run:
        assert np.argwhere(run.pulses(0).mask).tolist() == [[2, 1]]
        (replay,) = run.arrays()
        with pytest.raises(ReplayMismatch, match=r"pulses voltage\[2, 1\] is 1.25 in the log"):
            replay.apply_pulses(Pulses(PulseKind.SET, voltage * 1.1, voltage, 1e-7))
        replay.apply_pulses(Pulses(PulseKind.SET, voltage, voltage, 1e-7))
