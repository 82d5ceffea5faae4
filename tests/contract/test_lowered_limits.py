"""Lowered limits: what each kind of array drives then, or why it refuses."""

from pathlib import Path

import numpy as np
import pytest

from drivers.scpi import open_scpi
from drivers.scpi.wire import Description
from imssa_lab.contract.errors import LimitError
from imssa_lab.contract.hal import ArrayInfo, CrossbarArray, Pulses
from imssa_lab.contract.testing.electrodes import lowered
from imssa_lab.log import open_run, record
from imssa_lab.virtual.bench_twin import BenchTwin
from imssa_lab.virtual.server import TcpPort
from imssa_lab.virtual.virtual_scpi_array import ScpiArrayTester
from protocols.characterisation.column_calibration import calibrate_columns, check_columns
from protocols.wrappers.progress import ProgressReported
from tests.contract.conftest import ARRAYS
from twin import DigitalTwin

LOWERS = {
    "twin",
    "scpi over tcp",
    "scpi, its wire replayed",
    "superT over a pty",
    "superT, its wire replayed",
    "smu and matrix over tcp",
    "ArC TWO's stand-in",
}


@pytest.mark.parametrize("kind", sorted(LOWERS & set(ARRAYS)))
def test_who_can_lower_the_voltage_of_cell_reads_does(kind: str, tmp_path: Path) -> None:
    def script(array):
        array.lower_limits(lowered(array.info, 0.4))
        return array.info.read_voltage

    assert ARRAYS[kind](script, tmp_path / "run.h5") == pytest.approx(0.08, rel=1e-3)  # a superT A0: a DAC step


class FixedVoltage(DigitalTwin):
    """A driver of a third party that knows nothing of lower limits and reads at the voltage it always did."""

    def _lower(self, lowered: ArrayInfo) -> None:
        super(DigitalTwin, self)._lower(lowered)


def test_a_driver_that_says_nothing_refuses_a_lower_read_limit() -> None:
    with FixedVoltage(shape=(4, 4)) as array:
        own = array.info
        with pytest.raises(LimitError, match=r"0\.1 V asked, this driver reads at 0\.2 V"):
            array.lower_limits(lowered(own, 0.5))
        assert array.info == own
        pulses = own.limits.set.model_copy(update={"voltage_max": 1.0})
        array.lower_limits(own.limits.model_copy(update={"set": pulses}))  # these the contract checks by itself
        assert array.info.limits.set.voltage_max == 1.0


def test_a_wrapper_lowers_the_array_inside() -> None:
    inside = DigitalTwin(shape=(4, 4))
    with ProgressReported(inside, np.full((4, 4), 50e-6), lambda done, total: None) as array:
        array.lower_limits(lowered(array.info, 0.5))
        assert inside.info.read_voltage == inside.info.limits.read_voltage == pytest.approx(0.1)


def test_a_record_and_its_replay_name_one_read_voltage(tmp_path: Path) -> None:
    twin = DigitalTwin(shape=(4, 4))
    twin.lower_limits(lowered(twin.info, 0.5))
    with record(tmp_path / "run.h5", [twin], {}) as (array,), array:
        with pytest.raises(LimitError, match="before its record begins"):
            array.lower_limits(lowered(array.info, 0.5))
        read = array.read_conductances()
    (again,) = open_run(tmp_path / "run.h5").arrays()
    with again:
        assert again.info.read_voltage == pytest.approx(0.1)
        with pytest.raises(LimitError, match="need the chip"):
            again.lower_limits(lowered(again.info, 0.5))
        assert np.array_equal(again.read_conductances(), read)


def test_limits_of_pulses_may_be_lowered_within_a_record_and_its_replay(tmp_path: Path) -> None:
    def script(array: CrossbarArray) -> bytes:
        own = array.info.limits
        array.lower_limits(own.model_copy(update={"set": own.set.model_copy(update={"voltage_max": 1.0})}))
        cells = np.ones(array.info.shape, dtype=np.bool_)
        with pytest.raises(LimitError, match="SET"):
            array.apply_pulses(Pulses.on(cells, "SET", 1.1, 0.7, 1e-5))
        array.apply_pulses(Pulses.on(cells, "SET", 1.0, 0.7, 1e-5))
        return array.read_conductances().tobytes()

    with record(tmp_path / "run.h5", [DigitalTwin(shape=(4, 4))], {}) as (array,), array:
        seen = script(array)
    (again,) = open_run(tmp_path / "run.h5").arrays()
    with again:
        assert script(again) == seen


def test_an_instrument_without_the_command_is_not_asked_for_a_lower_voltage(monkeypatch: pytest.MonkeyPatch) -> None:
    tester = ScpiArrayTester(BenchTwin("supert-a0-easy", (4, 4), seed=5))
    plain = Description.model_dump_json
    monkeypatch.setattr(Description, "model_dump_json", lambda self: plain(self, exclude={"reads_at"}))
    with TcpPort(tester) as port, open_scpi(port.resource, {}) as array:
        with pytest.raises(LimitError, match="READ:CONDuctance:AT"):
            array.lower_limits(lowered(array.info, 0.5))
        assert np.isfinite(array.read_conductances()).all()


def test_calibrations_drive_no_more_than_the_lowered_limit() -> None:
    bench = BenchTwin("supert-a0-easy", (16, 16), seed=1)
    with bench:
        bench.apply_pulses(Pulses.on(np.ones((16, 16), dtype=bool), "SET", 2.0, 0.7, 1e-5))
        bench.lower_limits(lowered(bench.info, 0.5))
        carried = calibrate_columns(bench)
        check_columns(bench)
    entries = [entry for entry in bench.journal.entries if entry.what in ("mvm", "cells")]
    assert max(float(np.nanmax(np.abs(entry.voltage))) for entry in entries) == pytest.approx(0.1)
    assert ((carried.gain > 0.8) & (carried.gain < 2.0)).all()  # and is a calibration still
