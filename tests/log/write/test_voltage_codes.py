"""Voltages that are codes are kept as codes and come back in every bit; all others are kept as they are."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from imssa_lab.contract.errors import LogError
from imssa_lab.contract.hal import FloatArray
from imssa_lab.log import open_run, record
from imssa_lab.log.care.snapshot import snapshot
from imssa_lab.log.care.verify import verify
from imssa_lab.log.write import voltage_codes
from imssa_lab.log.write.voltage_codes import VoltageCodes
from twin import DigitalTwin

STEP = 0.2 / 127


def coded(rows: int, seed: int) -> FloatArray:
    return np.asarray(STEP * np.random.default_rng(seed).integers(-127, 128, (rows, 8)))


def calls() -> list[FloatArray]:
    """Whole steps and what is none, many vectors and few, in turns."""
    odd = coded(3, 1)
    odd[1, 2] = np.nextafter(odd[1, 2], 1.0)
    signed_zero = coded(1, 2)
    signed_zero[0, 0] = -0.0
    noise = np.random.default_rng(3).uniform(-0.2, 0.2, (70, 8))
    return [coded(1, 4), odd, coded(700, 5), signed_zero, coded(40, 6), noise, coded(1, 7), coded(1, 8), noise[:1]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    with record(tmp_path / "run.h5", [DigitalTwin("supert-a0-easy", (8, 8))], {}) as (array,):
        for voltages in calls():
            array.read_mvm(voltages)
    return tmp_path / "run.h5"


def test_every_bit_comes_back_in_any_piece(file: Path, tmp_path: Path) -> None:
    wanted = np.concatenate(calls())
    for packed in (False, True):
        snapshot(file, tmp_path / f"{packed}.h5", packed=packed)
    for path in (file, tmp_path / "False.h5", tmp_path / "True.h5"):
        assert verify(path).good
        with open_run(path) as run:
            assert run.column("read_mvm", "voltage").tobytes() == wanted.tobytes()
            for first, stop in ((0, 1), (2, 3), (1, 5), (3, 701), (703, 705), (690, 818), (5, 5)):
                assert run.column("read_mvm", "voltage", slice(first, stop)).tobytes() == wanted[first:stop].tobytes()
            assert run.column("read_mvm", "voltage", 704).tobytes() == wanted[704].tobytes()
            assert run.read_mvm["voltage"].values.tobytes() == wanted.tobytes()
            (again,) = run.arrays()
            for voltages in calls():
                again.read_mvm(voltages)


def test_only_what_is_a_code_is_one(file: Path) -> None:
    with open_run(file) as run:
        steps = run.stored_column("read_mvm", "voltage_step", slice(0, run.rows("read_mvm", "voltage")))
    per_call = np.split(steps, np.cumsum([len(each) for each in calls()])[:-1])
    assert [float(each[0]) for each in per_call] == [STEP, 0, STEP, 0, STEP, 0, STEP, STEP, 0]
    assert all(len(set(each.tolist())) == 1 for each in per_call)


def test_a_running_file_is_read_and_copied(tmp_path: Path) -> None:
    """Datasets end with the last row that they hold something for."""
    with record(tmp_path / "run.h5", [DigitalTwin("supert-a0-easy", (8, 8))], {}) as (array,):
        done: list[FloatArray] = []
        for number, voltages in enumerate(calls()):
            array.read_mvm(voltages)
            done.append(voltages)
            snapshot(tmp_path / "run.h5", tmp_path / f"{number}.h5")
            for path in (tmp_path / "run.h5", tmp_path / f"{number}.h5"):
                with open_run(path) as run:
                    assert run.column("read_mvm", "voltage").tobytes() == np.concatenate(done).tobytes()


def test_codes_are_small(tmp_path: Path) -> None:
    sizes = {}
    for name, off in (("codes", 0.0), ("none", 1e-12)):
        with record(tmp_path / name, [DigitalTwin("supert-a0-easy", (8, 8))], {}) as (array,):
            array.read_mvm(np.clip(coded(4000, 9) + off, -0.2, 0.2))
        with h5py.File(tmp_path / name) as plain:
            sizes[name] = sum(
                plain["read_mvm"][each].id.get_storage_size() for each in ("voltage", "voltage_code", "voltage_step")
            )
            assert plain["read_mvm/voltage_code"].dtype == np.int8
    assert sizes["codes"] < 4000 * 8 * 1.1
    assert sizes["none"] > 2 * sizes["codes"]


@pytest.mark.parametrize("encode", [voltage_codes.encode, voltage_codes.encode_by_numpy])
@pytest.mark.parametrize("dtype", ["i1", "i2"])
def test_both_ways_say_the_same(encode: Callable[..., bool], dtype: str) -> None:
    for voltages in calls():
        codes = np.zeros(voltages.shape, dtype)
        is_code = np.array_equal((np.rint(voltages / STEP) * STEP + 0.0).view("i8"), voltages.view("i8"))
        assert encode(voltages, STEP, codes) == is_code
        assert not is_code or (codes * STEP).tobytes() == voltages.tobytes()
    assert not encode(np.array([[np.nan]]), STEP, np.zeros((1, 1), dtype))


@pytest.mark.parametrize(("dtype", "step"), [("i1", 0.2 / 200), ("i2", 0.2 / 40_000), ("i2", None)])
def test_codes_that_do_not_fit_are_no_codes(dtype: str, step: float | None) -> None:
    codes = VoltageCodes([step], np.dtype(dtype))
    voltages = np.array([[0.2, 0.0]])
    columns = codes.columns(0, voltages)
    assert columns["voltage"] is voltages
    assert columns["voltage_code"] is None


def test_a_file_that_lost_the_codes_is_refused(file: Path) -> None:
    with h5py.File(file, "r+") as plain:
        del plain["read_mvm/voltage_step"]
    with pytest.raises(LogError, match="voltage_step"):
        open_run(file)
