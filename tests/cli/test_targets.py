"""Files of targets: siemens or microsiemens, and numbers that can be neither are named with their cell."""

from pathlib import Path

import numpy as np
import pytest

from imssa_lab.cli.shared.target_files import load_targets, read_unit
from imssa_lab.contract.errors import ConfigError

WANTED = np.array([[10e-6, np.nan, 30e-6], [40e-6, 50e-6, 0.0]])


def test_all_forms_of_a_file_give_the_same_targets(tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", WANTED)
    np.save(tmp_path / "us.npy", 1e6 * WANTED)
    (tmp_path / "s.csv").write_text("# siemens\n10e-6,,3e-5\n4e-5,5e-5,0\n")
    (tmp_path / "us.csv").write_text("10, nan,30\n40,50,0\n")
    for name in ("s.npy", "us.npy", "s.csv", "us.csv"):
        found = load_targets(tmp_path / name, unit="uS" if name.startswith("us") else "S")
        np.testing.assert_allclose(found, WANTED, rtol=1e-12)


@pytest.mark.parametrize(
    ("text", "unit", "said"),
    [
        ("10,20\n30,40\n", "S", "word line 1, bit line 1: 40 would be 40 S; are they in uS. write --unit target=uS"),
        ("1e-5,2e-5\n", "uS", "word line 0, bit line 1: 2e-05, the largest, .* leave --unit target=uS out"),
        ("1e7,1\n", "uS", "1e.07 would be 10 S; they are no conductances"),
        ("1e-5,-2e-5\n", "S", "word line 0, bit line 1: -2e-05 is below zero"),
        ("1e-5,inf\n", "S", "would be inf S"),
        ("1e-5,20uS\n", "S", "word line 0, bit line 1: '20uS' is no number"),
        ("col0,col1\n1e-5,2e-5\n", "S", "'col0' is no number"),
        ("1e-5,2e-5\n1e-5\n", "S", "line 2: 1 fields, 2 in the first line"),
        ("10;20\n", "S", "'10;20' is no number; add --separator ';'"),
        ("", "S", "no line holds data"),
        (",\n,\n", "S", "no cell has a target"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, unit: str, said: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_targets(path, unit=unit)


def test_files_that_hold_no_table(tmp_path: Path) -> None:
    np.save(tmp_path / "cube.npy", np.zeros((2, 2, 2)))
    np.save(tmp_path / "words.npy", np.array([["a"]]))
    (tmp_path / "cut.npy").write_bytes(b"\x93NUMPY")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe")
    for name in ("cube.npy", "words.npy", "cut.npy", "bytes.csv", "nowhere.csv", "nowhere.npy"):
        with pytest.raises(ConfigError, match=name):
            load_targets(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("\ufeff1e-5,\n3e-5,4e-5\n", {}),
        ("# word lines x bit lines\n10,\n30,40\n", {"unit": "uS"}),
        ("10,0;\n30,0;40,0\n", {"unit": "uS", "separator": ";", "decimal": ","}),
        ("10\tnan\n30\t40\n", {"unit": "uS", "separator": "\t"}),
    ],
)
def test_files_of_other_programs_are_read(tmp_path: Path, text: str, options: dict[str, object]) -> None:
    """A byte-order mark, the header of numpy.savetxt, semicolons with decimal commas, tabs."""
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    found = load_targets(tmp_path / "t.csv", **options)  # type: ignore[arg-type]
    np.testing.assert_allclose(found, [[10e-6, np.nan], [30e-6, 40e-6]])


def test_a_decimal_comma_is_named_and_a_word_line_left_alone_stays_one(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("10,5;20,5\n")
    with pytest.raises(ConfigError, match=r"'10,5' is no number; are these decimal commas\? add --decimal ,"):
        load_targets(tmp_path / "t.csv", unit="uS", separator=";")
    (tmp_path / "t.csv").write_text(",\n30,40\n")
    found = load_targets(tmp_path / "t.csv", unit="uS")
    np.testing.assert_allclose(found, [[np.nan, np.nan], [30e-6, 40e-6]])


def test_the_unit_of_targets_is_named_as_in_other_commands() -> None:
    assert read_unit(None) == "S"
    assert read_unit(["target=nS"]) == "nS"


@pytest.mark.parametrize("given", [["uS"], ["target="], ["target=V"], ["conductance=uS"], ["target=uS", "target=S"]])
def test_another_unit_or_role_is_refused(given: list[str]) -> None:
    with pytest.raises(ConfigError, match="write target=UNIT once"):
        read_unit(given)
