"""The number of a record is written last, and a number that is missing between calls is found."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from imssa_lab.contract.errors import LogError
from imssa_lab.log import open_run, record
from imssa_lab.log.care.verify import verify
from imssa_lab.log.schema import SCALES, TABLES, parts
from imssa_lab.log.write.shared_chunks import SharedChunks

from .conftest import Chip

Finished = tuple[Path, list[Any]]


@pytest.mark.parametrize("step", range(1, 6))
def test_a_record_does_not_exist_before_all_of_it_is_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """The file is looked at before each of the writes that make up one record: it is not there, then it is, whole."""
    path, seen, real = tmp_path / "run.h5", [], SharedChunks.put

    def put(self: SharedChunks, *given: Any) -> None:
        with open_run(path) as now:
            seen.append(now.records("read_conductances"))
        real(self, *given)

    with record(path, [Chip()], {}) as (array,), array:
        array.read_conductances()
        with monkeypatch.context() as patch:
            patch.setattr(SharedChunks, "put", put)
            array.read_conductances(averages=step)
        assert set(seen) == {1}
        assert len(seen) == 2  # what the record holds, then its number
        with open_run(path) as now:
            assert now.records("read_conductances") == 2
            assert now.column("read_conductances", "count").tolist() == [1, step]


def test_a_write_that_fails_leaves_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.h5"

    def fail(*given: Any) -> None:
        raise OSError("no space left on device")

    with record(path, [Chip()], {}) as (array,):
        array.read_mvm(np.full(5, 0.1))
        with monkeypatch.context() as patch:
            patch.setattr(SharedChunks, "flush", fail)
            with pytest.raises(LogError, match="cannot be written"):
                array.read_mvm(np.full(5, 0.2))
    with open_run(path) as run:
        assert run.records("read_mvm") == 1


@pytest.mark.parametrize("gap", [1, 7])
def test_records_that_are_missing_between_two_calls_are_found(finished: Finished, gap: int) -> None:
    """As if another program had taken records out of the middle and made all checksums again."""
    path, _ = finished
    assert verify(path).good
    with open_run(path) as run:
        middle = int(run.column("read_mvm", "seq")[2])
    _renumber(path, lambda numbers: np.where(numbers >= middle, numbers + gap, numbers))
    found = verify(path)
    assert not found.good
    assert f"{gap} records are missing, the first is number {middle}" in "; ".join(map(str, found.findings))


def _renumber(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    with h5py.File(path, "r+") as file:
        for table, columns in TABLES.items():
            names = [name for name in ("seq", SCALES.get(parts(table) or "", "")) if name in columns]
            for name in names:
                values = file[table][name][:]
                there = values != np.iinfo(values.dtype).max
                values[there] = change(values[there])
                file[table][name][:] = values
