"""A table that came later: files from before it are read as ever, and it reads as empty in them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from imssa_lab.contract.errors import LogError
from imssa_lab.log import RunLog, open_run, record
from imssa_lab.log.care.repair import repair
from imssa_lab.log.care.verify import verify
from imssa_lab.log.read.follower import Follower
from imssa_lab.log.schema import CALL, TABLES, Column, Table
from twin import DigitalTwin

LATER = Table({**CALL, "kelvin": Column("f8", "K")}, signal="kelvin", required=False)


def recorded(path: Path, more: Callable[[RunLog], object] = lambda log: None) -> None:
    with record(path, [DigitalTwin("ideal", (4, 4), seed=0)], {}) as (array,):
        array.read_mvm(np.full(4, 0.1))
        more(array.log)


def test_an_older_file_lacks_it_and_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(tmp_path / "old.h5")
    monkeypatch.setitem(TABLES, "temperatures", LATER)
    assert verify(tmp_path / "old.h5").good
    assert not repair(tmp_path / "old.h5").needed
    with open_run(tmp_path / "old.h5") as run:
        assert run.records("temperatures") == 0
        assert run.column("temperatures", "kelvin").shape == (0,)
        assert run.summary()["temperatures"] == "0"
        (again,) = run.arrays()
        again.read_mvm(np.full(4, 0.1))
    with Follower(tmp_path / "old.h5") as follower:
        assert [seen.table for seen in follower.new() if seen.table != "events"] == ["read_mvm"]
    monkeypatch.setitem(TABLES, "temperatures", Table(LATER, signal="kelvin"))  # null control: one that must be there
    with pytest.raises(LogError, match="temperatures"):
        open_run(tmp_path / "old.h5")


def test_a_newer_file_holds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TABLES, "temperatures", LATER)
    values = {"array": 0, "device_time": 1.0, "kelvin": 300.0}
    recorded(tmp_path / "new.h5", lambda log: log.append("temperatures", values))
    assert verify(tmp_path / "new.h5").good
    with open_run(tmp_path / "new.h5") as run:
        assert run.column("temperatures", "kelvin").tolist() == [300.0]
    with Follower(tmp_path / "new.h5") as follower:
        assert [seen.text for seen in follower.new() if seen.table == "temperatures"] == ["kelvin 300.0"]
