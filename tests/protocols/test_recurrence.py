"""A closed loop in one call gives the bits of one that is read step by step, recorded or not."""

from pathlib import Path

import numpy as np
import pytest

from imssa_lab.contract import jit
from imssa_lab.contract.closed_loop import VECTORS_AT_ONCE, ClosedLoop
from imssa_lab.contract.errors import ConfigError, LimitError, ReplayMismatch
from imssa_lab.contract.hal import ColumnCalibration, CrossbarArray, FloatArray, Readout
from imssa_lab.contract.wrapper import Wrapper
from imssa_lab.log import open_run, record
from imssa_lab.mapping import Mapping, map_bundle
from protocols.dense_runner import DenseRunner
from protocols.deployment.choices import DeploymentChoices
from protocols.recurrence import KernelRunner
from trials.untrained import untrained_bundle
from twin import DigitalTwin, TwinProfile
from twin.wires.wire_resistance import Wires

needs_numba = pytest.mark.skipif(not jit.AVAILABLE, reason="numba is not installed")


class StepByStep(Wrapper):
    """An array that knows of no loops."""

    def _read_mvm(self, voltages: FloatArray) -> Readout:
        return super()._read_mvm(voltages)


class Telling(Wrapper):
    """Counts the loops that the array inside ran by itself."""

    loops = 0

    def _read_loop(self, *asked):  # type: ignore[no-untyped-def]
        run = super()._read_loop(*asked)
        self.loops += run is not None
        return run


def chip(**changes: object) -> DigitalTwin:
    profile = TwinProfile.load("supert-a0-easy").model_copy(update={"wires": None, **changes})
    array = DigitalTwin(profile, seed=5)
    array.cells.conductance = np.random.default_rng(2).uniform(2e-6, 150e-6, (64, 64))
    return array


def two_banks() -> Mapping:
    """Kernels of one layer in more than one bank of an array."""
    array = chip()
    return map_bundle(untrained_bundle(channels=6, states=4, layers=1), array.info.shape, array.info.window, 1)


def run(array: CrossbarArray, n: int, steps: int, averages: int = 1) -> FloatArray:
    inputs = np.random.default_rng(n).uniform(-1.5, 1.5, (n, steps, 6))
    return KernelRunner([array], two_banks(), averages=averages).raw(0, inputs)


@needs_numba
@pytest.mark.parametrize(
    ("n", "steps", "averages"), [(1, 60, 1), (3, 20, 4), (40, 9, 1), (5, 9, 3), (1000, VECTORS_AT_ONCE // 500 + 1, 1)]
)
def test_same_bits_in_one_call_and_step_by_step(n: int, steps: int, averages: int) -> None:
    fast, plain = Telling(chip()), StepByStep(chip())
    assert run(fast, n, steps, averages).tobytes() == run(plain, n, steps, averages).tobytes()
    assert fast.time == plain.time
    assert fast.loops >= 1
    # the streams of noise stand at the same place
    assert fast.read_mvm(np.full(64, 0.1)).tobytes() == plain.read_mvm(np.full(64, 0.1)).tobytes()
    assert not (run(chip(), n, steps, averages) == run(fast, n, steps, averages)).all()


@needs_numba
@pytest.mark.parametrize("calibrated", [True, False])
@pytest.mark.parametrize("wires", [None, Wires(r_word=2.0, r_bit=1.0, r_in=20.0)])
def test_calibration_and_wires_take_part(wires: Wires | None, calibrated: bool) -> None:
    rng = np.random.default_rng(0)
    calibration = ColumnCalibration(rng.uniform(0.9, 1.1, 64), rng.normal(0, 1e-7, 64), np.zeros(64))
    arrays = Telling(chip(wires=wires)), StepByStep(chip(wires=wires))
    for array in arrays:
        array.set_calibration(calibration if calibrated else None)
    fast, plain = (run(array, 4, 30) for array in arrays)
    assert fast.tobytes() == plain.tobytes()
    assert arrays[0].loops == 1
    assert (fast == run(chip(), 4, 30)).all() == (wires is None and not calibrated)


def test_without_numba_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    with_it = run(chip(), 4, 30)
    monkeypatch.setattr(jit, "AVAILABLE", False)
    without = Telling(chip())
    assert run(without, 4, 30).tobytes() == with_it.tobytes()
    assert without.loops == 0


def test_the_log_holds_each_step_and_replays(tmp_path: Path) -> None:
    logs = {}
    for name, array in (("fast", chip()), ("plain", StepByStep(chip()))):
        with record(tmp_path / name, [array], {}) as (recorded,):
            got = run(recorded, 3, 50)
            assert got.tobytes() == run(chip(), 3, 50).tobytes()
            after = recorded.read_mvm(np.full(64, 0.1))
        with open_run(tmp_path / name) as log:
            names = ("seq", "array", "device_time", "first", "count", "vector_call", "voltage", "value", "range")
            logs[name] = [log.column("read_mvm", column).tobytes() for column in names]
            assert log.records("read_mvm") == 50 * 2 + 1
            (again,) = log.arrays()
            assert run(again, 3, 50).tobytes() == got.tobytes()
            assert again.read_mvm(np.full(64, 0.1)).tobytes() == after.tobytes()
            (other,) = log.arrays()
            with pytest.raises(ReplayMismatch, match="voltage"):
                run(other, 2, 50)
    assert logs["fast"] == logs["plain"]


def test_a_loop_outside_the_limits_is_refused() -> None:
    array = chip()
    stream = KernelRunner([array], two_banks()).stream(0, 1)
    with pytest.raises(LimitError, match="finite"):
        stream.step(np.full((1, 6), np.nan))
    limits = array.info.limits.model_copy(update={"read_voltage": array.info.limits.read_voltage / 2})
    array.lower_limits(limits)
    with pytest.raises(LimitError, match="at most"):
        stream.step(np.zeros((1, 6)))
    bank = KernelRunner([chip()], two_banks())._banks[0][0].lines
    small = DigitalTwin("supert-a0-easy", (8, 8))
    with pytest.raises(LimitError, match="outside the array"):
        small.read_loop(ClosedLoop([bank], np.zeros(1)), np.zeros((1, 1, len(bank.rows))), [])
    assert array.time == 0.0


@pytest.mark.parametrize(("vectors", "averages"), [(2, 3), (0, 1), (None, 0)])
def test_more_averages_than_go_into_one_read_are_refused_before_anything_is_pulsed(
    vectors: int | None, averages: int
) -> None:
    for runner in (KernelRunner, DenseRunner):
        with pytest.raises(ConfigError, match="no more than go into one read"):
            runner([chip()], two_banks(), vectors, averages)
    with pytest.raises(ConfigError, match="no more than go into one read"):
        DeploymentChoices(vectors=vectors, averages=averages)


def test_no_read_takes_more_vectors_than_allowed() -> None:
    class Watched(Wrapper):
        def _read_mvm(self, voltages: FloatArray) -> Readout:
            sizes.add(len(voltages))
            return super()._read_mvm(voltages)

    inputs = np.random.default_rng(0).uniform(-1, 1, (7, 4, 6))
    for vectors, averages, most in ((3, 3, {3}), (5, 2, {4, 2}), (None, 2, {14})):
        sizes: set[int] = set()
        KernelRunner([Watched(chip())], two_banks(), vectors, averages).raw(0, inputs)
        assert sizes == most


def test_progress_counts_every_vector_and_ends_at_all_of_them():
    runner = KernelRunner([chip()], two_banks(), averages=2)
    told: list[tuple[str, int, int]] = []
    inputs = np.zeros((3, 5, 6))
    with runner.watched("run", 3, 5, lambda stage, done, total: told.append((stage, done, total))):
        runner.raw(0, inputs)
    assert told[0] == ("run", 0, told[-1][2])
    assert told[-1][1] == told[-1][2] == runner.reads
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    runner.raw(0, inputs)
    assert told[-1][1] < runner.reads  # null control: outside nobody is told
