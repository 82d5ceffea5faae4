"""Files of other programs, and runs that other programs have touched: named, never in the way."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from imssa_lab.contract.errors import LogError
from imssa_lab.log import open_run
from imssa_lab.log.care.catalogue import catalogue
from imssa_lab.log.care.repair import repair
from imssa_lab.log.care.snapshot import snapshot
from imssa_lab.log.care.verify import verify
from imssa_lab.log.file.attributes import text_attribute, whole_number_attribute
from imssa_lab.log.schema import FORMAT, FORMAT_VERSION
from trials.record.odd_folder import OTHER_FORMATS, OddFolder, odd_folder

Finished = tuple[Path, list[Any]]


@pytest.fixture
def folder(finished: Finished, tmp_path: Path) -> OddFolder:
    """Forty odd files and two good ones."""
    return odd_folder(tmp_path / "data", finished[0])


def test_a_folder_of_odd_files_is_listed_with_the_good_runs_in_it(folder: OddFolder) -> None:
    entries = {entry.path: entry for entry in catalogue(folder.path)}
    assert set(entries) == {path for path in (*folder.good, *folder.odd) if path.is_file()}
    assert {path for path, entry in entries.items() if entry.state == "closed"} == set(folder.good)
    assert {path for path, entry in entries.items() if entry.state == "foreign"} == set(folder.foreign)
    assert all(entries[path].problem and "\n" not in entries[path].problem for path in folder.odd if path.is_file())


def test_each_act_says_one_line_of_every_odd_file(folder: OddFolder, tmp_path: Path) -> None:
    assert len(folder.odd) == 40
    for path in folder.odd:
        before = path.read_bytes() if path.is_file() else b""
        for act in (open_run, verify, repair, lambda file: snapshot(file, tmp_path / "copy.h5")):
            with pytest.raises(LogError) as caught:
                act(path)
            assert "\n" not in str(caught.value)
            assert path.name in str(caught.value)
        assert (path.read_bytes() if path.is_file() else b"") == before
    assert not list(tmp_path.glob("copy*"))


@pytest.mark.parametrize("name", OTHER_FORMATS)
def test_a_foreign_file_is_named_by_whoever_opens_it(folder: OddFolder, name: str) -> None:
    for act in (open_run, verify):
        with pytest.raises(LogError, match=rf"{name}\.h5: an HDF5 file, but not an imssa_lab run"):
            act(folder.path / f"{name}.h5")


@pytest.mark.parametrize("kind", ["variable text", "padded bytes", "array of one"])
def test_attributes_that_another_tool_has_rewritten_are_read(finished: Finished, kind: str) -> None:
    path, _ = finished
    with open_run(path) as run:
        before = run.summary()
    with h5py.File(path, "r+") as file:
        for item in [file, *(file["arrays"][name] for name in file["arrays"])]:
            for name in list(item.attrs):
                text = text_attribute(item, name)
                if text is not None:
                    item.attrs[name] = {
                        "variable text": text,
                        "padded bytes": np.array(text.encode(), dtype=f"S{len(text.encode()) + 20}"),
                        "array of one": np.array([text], dtype=h5py.string_dtype()),
                    }[kind]
        assert whole_number_attribute(file, "format_version") == FORMAT_VERSION
        assert text_attribute(file, "format") == FORMAT
    with open_run(path) as run:
        assert run.summary() == before
        assert len(run.arrays()) == 1


def test_a_dataset_that_a_user_has_added_is_not_ours_and_no_damage(finished: Finished) -> None:
    path, _ = finished
    with h5py.File(path, "r+") as file:
        file["my_notes/fit"] = np.arange(5.0)
        file["read_mvm/smoothed"] = np.arange(5.0)
    found = verify(path)
    assert found.good
    assert sorted(finding.place for finding in found.findings if "not ours" in finding.text) == [
        "/my_notes/fit",
        "/read_mvm/smoothed",
    ]
    with h5py.File(path, "r+") as file:  # null control: what is ours must keep its checksums
        values = file["read_mvm/voltage"][:]
        del file["read_mvm/voltage"]
        file["read_mvm/voltage"] = values
    assert not verify(path).good
