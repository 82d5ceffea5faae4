"""Damage in what HDF5 keeps for itself: a LogError in every verb, no repair that calls it whole; a file cut off."""

import importlib
import inspect
import os
import pkgutil
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

import imssa_lab.log
from imssa_lab.cli.runs.log import log as app
from imssa_lab.contract.errors import LogError
from imssa_lab.contract.hal import Pulses
from imssa_lab.log import Recorded, RunLog, open_run, record
from imssa_lab.log.care.catalogue import catalogue
from imssa_lab.log.care.compare import differences, statistics
from imssa_lab.log.care.repair import repair
from imssa_lab.log.file.chunks import scan
from imssa_lab.log.read.exported_files import export
from imssa_lab.log.read.follower import in_words
from imssa_lab.log.read.run_file import RunFile
from imssa_lab.log.schema import TABLES
from tests.log.conftest import Chip

VERBS = {
    "show": lambda run, out: run.summary(),
    "events": lambda run, out: run.events(),
    "stats": lambda run, out: statistics(run),
    "tail": lambda run, out: [list(in_words(run, table, slice(0, 9))) for table in ("events", "pulses")],
    "export": lambda run, out: export(run, out, "csv", list(TABLES)),
    "arrays": lambda run, out: run.arrays(),
    "diff": lambda run, out: list(differences(run, run)),
}


def given(question: Callable[[], Any]) -> Any:
    """The answer, or the words of the LogError in its place."""
    try:
        return question()
    except LogError as error:
        return str(error)


def spoilt_header(path: Path, name: str) -> None:
    """Turn a bit in the object header of a group or dataset."""
    with h5py.File(path, "r") as file:
        place = h5py.h5o.get_info(file[name].id).addr
    data = bytearray(path.read_bytes())
    assert data[place : place + 4] == b"OHDR"
    data[place + 8] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["arrays", "arrays/0", "events", "events/text", "pulses/kind"])
def test_a_damaged_header_is_a_log_error_in_every_verb(name: str, finished: Any, tmp_path: Path) -> None:
    path, _ = finished
    spoilt_header(path, name)

    def asked(verb: str) -> Any:
        with open_run(path) as run:
            return VERBS[verb](run, tmp_path / verb)

    refused = [
        answer for answer in (given(lambda verb=verb: asked(verb)) for verb in VERBS) if isinstance(answer, str)
    ]
    assert refused
    assert all(str(path) in answer for answer in refused)
    assert len(list(catalogue(tmp_path))) == 1
    done = given(lambda: repair(path))
    assert "no repair can mend" in str(done) or str(path) in done
    said = CliRunner().invoke(app, ["repair", str(path)])
    assert said.exit_code == 1


def test_a_whole_file_is_called_whole(finished: Any) -> None:
    """The null control."""
    path, _ = finished
    done = repair(path)
    assert done.good
    assert "whole already" in str(done)


def test_a_file_that_another_program_cut_off_is_not_whole(finished: Any) -> None:
    path, _ = finished
    os.truncate(path, path.stat().st_size * 2 // 3)
    with pytest.raises(LogError):
        open_run(path)
    done = given(lambda: repair(path))
    assert not getattr(done, "good", False)


def test_a_file_cut_off_while_it_is_written_is_noticed_at_the_next_call(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    log = RunLog.create(path, [Chip()], {})
    array = Recorded(Chip(), log)
    for _ in range(5):
        array.read_mvm(np.full(5, 0.1))
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(LogError, match=r"truncated it.*lost"):
        array.read_mvm(np.full(5, 0.1))
    assert array.log is log
    given(log.close)


def test_a_file_cut_off_after_the_last_call_is_noticed_when_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    log = RunLog.create(path, [Chip()], {})
    array = Recorded(Chip(), log)
    array.read_mvm(np.full(5, 0.1))
    array.wait(1.0)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(LogError, match="truncated it"):
        log.close()


def test_a_mistake_of_the_caller_is_no_damage(finished: Any) -> None:
    with open_run(finished[0]) as run, pytest.raises(LogError, match="no table 'nothing'"):
        run.table("nothing")


@pytest.mark.parametrize("running", [True, False])
def test_a_row_that_is_not_there_is_no_damage_and_no_value_either(tmp_path: Path, running: bool) -> None:
    """The datasets of a running log grow by steps, and hold nothing behind the last record."""
    path = tmp_path / "run.h5"
    with record(path, [Chip()], {}) as (array,):
        array.read_mvm(np.full((2, 5), 0.1))
        array.apply_pulses(Pulses.on(np.ones((5, 4), dtype=np.bool_), "RESET", 1.2, 2.0, 2e-7))
        if not running:
            array.log.close()
        with open_run(path) as run:
            for table in ("read_mvm", "pulses"):
                for name in TABLES[table]:
                    rows = run.rows(table, name)
                    run.column(table, name, rows - 1)
                    for row in (rows, rows + 1):
                        with pytest.raises(LogError, match=f"/{table}/{name} has {rows} rows.*row {row} was asked"):
                            run.column(table, name, row)


def test_what_names_damage_has_its_own_name_and_words_still() -> None:
    """For `help`, for the documentation and for tracebacks."""
    for one in pkgutil.walk_packages(imssa_lab.log.__path__, "imssa_lab.log."):
        module = importlib.import_module(one.name)
        for name in re.findall(r"^@damage_named\ndef (\w+)", inspect.getsource(module), re.MULTILINE):
            function = getattr(module, name)
            assert (function.__name__, function.__module__, bool(function.__doc__)) == (name, one.name, True)
    for name, member in vars(RunFile).items():
        if not name.startswith("_") and name != "path":
            assert member.__doc__, name


def test_a_run_that_was_cut_off_has_its_length_in_spite_of_damage_further_back(tmp_path: Path) -> None:
    path, cut = tmp_path / "run.h5", tmp_path / "cut.h5"
    with record(path, [Chip()], {}) as (array,):
        with open_run(path) as run:
            rows = run.file["waits/seq"].chunks[0]
        for _ in range(rows + 1):
            array.wait(0.25)
        shutil.copy(path, cut)
    with open_run(cut) as run, cut.open("r+b") as raw:
        chunk = next(scan(run.file["waits/seq"], raw.fileno()))
        raw.seek(chunk.byte_offset)
        raw.write(b"damage")
    with open_run(cut) as run:
        assert run.records("waits") == rows + 1
        assert run.column("waits", "seconds").tolist() == [0.25] * (rows + 1)
        with pytest.raises(LogError, match="/waits/seq, row 0: damaged"):
            run.column("waits", "seq")
