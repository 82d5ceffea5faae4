"""Files of other programs, and runs that other programs have touched: named, never in the way."""

import os
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

Finished = tuple[Path, list[Any]]

OTHER_FORMATS: dict[str, Any] = {
    "text": "Igor",
    "bytes": b"Igor",
    "padded": np.bytes_("Igor"),
    "not UTF-8": np.bytes_(b"\xff\xfe"),
    "number": 3,
    "float": 2.5,
    "vector": np.arange(3),
    "texts": ["a", "b"],
    "empty": h5py.Empty("f8"),
    "record": np.zeros(2, dtype=[("a", "i4"), ("b", "f8")]),
    "complex": 1 + 2j,
    "flag": True,
    "none": None,
}


@pytest.fixture
def folder(finished: Finished, tmp_path: Path) -> Path:
    """Forty odd files and one good run."""
    where = tmp_path / "data"
    (where / "deep" / "folder.h5").mkdir(parents=True)
    finished[0].rename(where / "deep" / "good.h5")
    for name, value in OTHER_FORMATS.items():
        for depth in (where, where / "deep"):
            with h5py.File(depth / f"{name}.h5", "w") as file:
                file["data"] = np.arange(3)
                if value is not None:
                    file.attrs["format"] = value
    whole = (where / "deep" / "good.h5").read_bytes()
    for length in (0, 1, 8, 11, 12, 100, 1000, 5000, len(whole) // 2):
        (where / f"cut{length}.h5").write_bytes(whole[:length])
    (where / "words.h5").write_text("no HDF5 at all")
    os.symlink(where / "nowhere", where / "dangling.h5")
    os.symlink(where / "deep" / "good.h5", where / "link.h5")
    return where


def test_a_folder_of_odd_files_is_listed_with_the_good_run_in_it(folder: Path) -> None:
    entries = {str(entry.path.relative_to(folder)): entry for entry in catalogue(folder)}
    assert len(entries) == 2 * len(OTHER_FORMATS) + 9 + 1 + 2
    good = {name for name, entry in entries.items() if entry.state == "closed"}
    assert good == {"deep/good.h5", "link.h5"}
    assert {name for name, entry in entries.items() if entry.state == "foreign"} == {
        f"{depth}{name}.h5" for name in OTHER_FORMATS for depth in ("", "deep/")
    }
    assert all(entry.problem and "\n" not in entry.problem for name, entry in entries.items() if name not in good)


def test_every_verb_says_one_line_of_every_odd_file(folder: Path, tmp_path: Path) -> None:
    odd = [entry.path for entry in catalogue(folder) if entry.state != "closed"]
    odd += [folder / "dangling.h5", folder / "deep" / "folder.h5"]
    assert len(odd) >= 38
    for path in odd:
        before = path.read_bytes() if path.is_file() else b""
        for act in (open_run, verify, repair, lambda file: snapshot(file, tmp_path / "copy.h5")):
            with pytest.raises(LogError) as caught:
                act(path)
            assert "\n" not in str(caught.value)
            assert path.name in str(caught.value)
        assert (path.read_bytes() if path.is_file() else b"") == before
    assert not list(tmp_path.glob("copy*"))


@pytest.mark.parametrize("name", OTHER_FORMATS)
def test_a_foreign_file_is_named_by_whoever_opens_it(folder: Path, name: str) -> None:
    for act in (open_run, verify):
        with pytest.raises(LogError, match=rf"{name}\.h5: an HDF5 file, but not an imssa_lab run"):
            act(folder / f"{name}.h5")


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
